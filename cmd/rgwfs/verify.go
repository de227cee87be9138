package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"rgwfs/s3backend"
)

// Limits of the verification. A person waits for its answer: two attempts and
// a few seconds tell a hiccup from a fault.
const (
	verifyAttempts = 2
	verifyDial     = 5 * time.Second
	verifyStall    = 15 * time.Second
)

// maxClockSkew is how far clocks may be apart before RGW refuses signatures
// with RequestTimeTooSkewed (RGW_AUTH_GRACE, rgw_auth_s3.h: 15 minutes).
const maxClockSkew = 15 * time.Minute

// verify makes the requests that every use of the source begins with, so that
// what is wrong with the endpoint, TLS, credentials, clock or bucket shows
// before anything is mounted. Its error is one line with the mend.
func verify(ctx context.Context, s *settings) error {
	client, watch, err := newVerifier(ctx, s.backend)
	if err != nil {
		return explainClient(err)
	}
	defer client.Close()

	err = probe(ctx, client, s.source)
	// The clock before the answer: a server that refuses us for the clock says
	// so in several ways, and one that does not refuse yet soon will.
	if ahead, known := watch.clock(); known && !s.backend.NoSignRequest && ahead.Abs() >= maxClockSkew {
		return clockError(ahead)
	}
	if err == nil {
		return verifyEncryption(ctx, client, s)
	}
	explained := explain(s, err)
	var answer *s3backend.Error
	if errors.As(err, &answer) && answer.Code == codeNoSuchBucket {
		return suggestBucket(ctx, client, s.source.bucket, explained)
	}
	return explained
}

// newVerifier returns a client that does not wait long, and what watches its
// answers.
func newVerifier(ctx context.Context, config s3backend.Config) (*s3backend.Client, *witness, error) {
	watch := &witness{now: time.Now}
	config.MaxAttempts = verifyAttempts
	config.DialTimeout = verifyDial
	config.StallTimeout = verifyStall
	wrap := config.WrapTransport
	config.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
		if wrap != nil {
			next = wrap(next)
		}
		if watch.next != nil {
			return next // of a further client by this Config
		}
		watch.next = next
		return watch
	}
	client, err := s3backend.New(ctx, config)
	return client, watch, err
}

// probe asks for what the root directory of the mount will ask for.
func probe(ctx context.Context, service s3backend.Service, from source) error {
	if from.bucket == "" {
		_, err := service.ListBuckets(ctx)
		return err
	}
	_, err := service.Bucket(from.bucket).List(ctx, s3backend.ListRequest{Prefix: from.prefix, Delimiter: "/", MaxKeys: 1})
	return err
}

func clockError(ahead time.Duration) error {
	direction := "behind"
	if ahead < 0 {
		direction = "ahead of"
	}
	return fail("this machine's clock is %v %s the server's, which refuses more than %v: set the clock (`timedatectl set-ntp true`)",
		ahead.Abs().Round(time.Second), direction, maxClockSkew)
}

// suggestBucket adds the bucket that may have been meant.
func suggestBucket(ctx context.Context, service s3backend.Service, name string, explained error) error {
	buckets, err := service.ListBuckets(ctx)
	if err != nil {
		// Many may not list their buckets; the first error says all that matters.
		return explained
	}
	var names []string
	for _, bucket := range buckets {
		names = append(names, bucket.Name)
	}
	if near := nearest(name, names); near != "" {
		return fail("%v; did you mean %s?", explained, near)
	}
	return explained
}

// The codes of S3 that tell causes apart which are one Kind, since each has
// another mend. This is the only place above s3backend that looks at them.
const (
	codeUnknownKey     = "InvalidAccessKeyId"
	codeBadSignature   = "SignatureDoesNotMatch"
	codeClock          = "RequestTimeTooSkewed"
	codeExpiredToken   = "ExpiredToken"
	codeInvalidToken   = "InvalidToken"
	codeAccessDenied   = "AccessDenied"
	codeNoSuchBucket   = "NoSuchBucket"
	codeRedirect       = "PermanentRedirect"
	codeRegion         = "AuthorizationHeaderMalformed"
	codeBucketNameRule = "InvalidBucketName"
)

// explainClient explains why there can be no client: what it is made of lies
// on this machine, and nothing has been sent yet.
func explainClient(err error) error {
	if text := explainCredentials(err); text != "" {
		return fail("%s", text)
	}
	return fail("%v: check --profile, --ca-file and the AWS_ variables", err)
}

// explain turns an error of the first requests into one line with the mend.
func explain(s *settings, err error) error {
	if text := explainCredentials(err); text != "" {
		return fail("%s", text)
	}
	if errors.Is(err, context.Canceled) {
		return fail("interrupted before %s was reached", s.backend.Endpoint)
	}
	if text := explainTransport(s, err); text != "" {
		return fail("%s", text)
	}
	var answer *s3backend.Error
	if errors.As(err, &answer) && answer.Status != 0 {
		return fail("%s%s", explainAnswer(s, answer), requestNote(answer))
	}
	return fail("%v", err)
}

// explainAnswer explains what a server answered.
func explainAnswer(s *settings, answer *s3backend.Error) string {
	what := "to list bucket " + s.source.bucket
	if s.source.bucket == "" {
		what = "to list your buckets"
	}
	endpoint := s.backend.Endpoint
	switch answer.Code {
	case codeUnknownKey:
		return fmt.Sprintf("%s does not know the access key: check AWS_ACCESS_KEY_ID or the profile, and that the endpoint is the one it was issued for", endpoint)
	case codeBadSignature:
		return fmt.Sprintf("the secret key does not fit the access key: check AWS_SECRET_ACCESS_KEY or the profile (%s)", endpoint)
	case codeClock:
		return fmt.Sprintf("this machine's clock and that of %s are more than %v apart: set the clock (`timedatectl set-ntp true`)", endpoint, maxClockSkew)
	case codeExpiredToken, codeInvalidToken:
		return "the session token has expired or is invalid: get new temporary credentials"
	case codeNoSuchBucket:
		return fmt.Sprintf("no bucket %s on %s: check its name, or make it first", s.source.bucket, endpoint)
	case codeRedirect, codeRegion:
		return fmt.Sprintf("%s wants another endpoint or region for this bucket: give its own by --endpoint and --region", endpoint)
	case codeBucketNameRule:
		return fmt.Sprintf("%s takes %q for no bucket's name: check SOURCE", endpoint, s.source.bucket)
	}
	switch answer.Kind {
	case s3backend.KindPermission:
		if s.backend.NoSignRequest {
			return "the server does not let the public in " + what + ": drop --no-sign-request and give credentials"
		}
		return "these credentials have no right " + what + ": have its owner grant s3:ListBucket, or use other credentials"
	case s3backend.KindNotExist:
		return notS3(endpoint, answer)
	}
	if answer.Status >= 500 {
		return fmt.Sprintf("%s fails with %d %s: try again later, or tell its administrator", endpoint, answer.Status, answer.Code)
	}
	if answer.Code == "" {
		return notS3(endpoint, answer)
	}
	return answer.Error()
}

func notS3(endpoint string, answer *s3backend.Error) string {
	return fmt.Sprintf("%s answers, but not as an S3 server does (%d): check --endpoint", endpoint, answer.Status)
}

// requestNote names the request for the server's administrator.
func requestNote(answer *s3backend.Error) string {
	if answer.RequestID == "" {
		return ""
	}
	return " [request " + answer.RequestID + "]"
}
