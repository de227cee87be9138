package s3backend

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// retryer decides on retries. It has none of the token bucket that the SDK's
// own shares over all requests of a client: an outage of two seconds under 256
// parallel requests empties that, and 247 of them fail.
type retryer struct {
	attempts int
	min, max time.Duration
}

var _ aws.RetryerV2 = retryer{}

func (r retryer) MaxAttempts() int { return r.attempts }

func (r retryer) IsErrorRetryable(err error) bool { return retryable(err) }

// RetryDelay returns the pause before attempt+1: it doubles from min to max,
// and the upper half of it is random, so that clients which failed together
// don't come back together.
func (r retryer) RetryDelay(attempt int, _ error) (time.Duration, error) {
	return backoff(attempt, r.min, r.max), nil
}

func backoff(attempt int, least, most time.Duration) time.Duration {
	d := most
	// Beyond 30 doublings least<<n might overflow; most is reached long before.
	if n := attempt - 1; n < 30 {
		d = min(least<<max(n, 0), most)
	}
	half := d / 2
	return half + rand.N(d-half+1)
}

func release(error) error { return nil }

func (r retryer) GetRetryToken(context.Context, error) (func(error) error, error) {
	return release, nil
}

func (r retryer) GetInitialToken() func(error) error { return release }

func (r retryer) GetAttemptToken(context.Context) (func(error) error, error) {
	return release, nil
}

// retryable reports whether a failed attempt is worth repeating as it is.
func retryable(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		// Of the caller: an attempt that stalls fails with ErrStalled, and what
		// else times out in the transport has errors of its own.
		var cancelled *smithy.CanceledError
		if errors.As(err, &cancelled) || !isTimeout(err) {
			return false
		}
	}
	if permanent(err) {
		return false
	}
	var creds *CredentialsError
	var exchange *ExchangeError // which has been retried
	if errors.As(err, &creds) || errors.As(err, &exchange) {
		return false
	}
	// A body that breaks off comes with a good status: look at it first.
	if broken(err) {
		return true
	}
	var resp *smithyhttp.ResponseError
	status := 0
	if errors.As(err, &resp) && resp.Response != nil && resp.Response.Response != nil {
		status = resp.HTTPStatusCode()
	}
	code := ""
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
		if completing(code, api.ErrorMessage()) {
			return false // CompleteMultipart looks into it
		}
	}
	if status == 0 && code == "" {
		var send *smithyhttp.RequestSendError
		return errors.As(err, &send)
	}
	return retryableAnswer(status, code)
}

// retryableAnswer reports whether an answer of the server is a passing one.
func retryableAnswer(status int, code string) bool {
	switch code {
	case "SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling",
		"ThrottlingException", "RequestLimitExceeded", "BandwidthLimitExceeded", "TooManyRequests",
		// Of two writers that meet at one key RGW 20 tells one this, S3 that.
		"ConcurrentModification", "OperationAborted", "ConditionalRequestConflict",
		// The body was garbled on its way: Content-MD5 did not fit.
		"BadDigest":
		return true
	}
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout, http.StatusTooManyRequests, http.StatusRequestTimeout:
		return true
	}
	return false
}

// broken reports whether err is a connection that broke or a silent server.
func broken(err error) bool {
	for _, target := range []error{
		ErrStalled, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
		syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, syscall.ECONNREFUSED,
		syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ENETDOWN,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return isTimeout(err)
}

func isTimeout(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Timeout() {
		return true
	}
	// net/http's handshake timeout and the like; context.DeadlineExceeded has
	// the method too, but is the caller's.
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout() && !errors.Is(err, context.DeadlineExceeded)
}

// permanent reports whether err is a fault of the set-up that no repetition
// mends: an unknown host, a certificate that is not trusted, http on a TLS
// port, https on a plain one.
func permanent(err error) bool {
	if errors.Is(err, ErrPlainHTTPToTLS) || errors.Is(err, http.ErrSchemeMismatch) {
		return true
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns.IsNotFound
	}
	var (
		verify    *tls.CertificateVerificationError
		unknown   x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		alert     tls.AlertError
		recordHdr tls.RecordHeaderError
	)
	return errors.As(err, &verify) || errors.As(err, &unknown) || errors.As(err, &hostname) ||
		errors.As(err, &invalid) || errors.As(err, &alert) || errors.As(err, &recordHdr)
}
