package s3backend

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// RGW serves STS at the endpoint of S3 (doc/radosgw/STS.rst, STSLite.rst), if
// its administrator has set rgw_s3_auth_use_sts and rgw_sts_key.

const (
	// sessionLifetime is what RGW gives if not asked; asking for more would only
	// leave a lost key good for longer.
	sessionLifetime = time.Hour
	// sessionMargin is how long before its end a session is renewed: longer than
	// a server is down for a restart, as long as clocks may be apart unnoticed.
	sessionMargin = 5 * time.Minute
	// sessionRetry is the pause between renewals that fail, as long as the
	// session is still good.
	sessionRetry = 30 * time.Second
)

// ExchangeError says that the server gave no temporary keys for the credentials.
type ExchangeError struct {
	// Refused is true if the server has answered that it does not do so, and
	// false if it could not be asked.
	Refused bool
	Err     error
}

func (e *ExchangeError) Error() string {
	if e.Refused {
		return "the server gives no temporary keys: " + e.Err.Error()
	}
	return "temporary keys can't be fetched: " + e.Err.Error()
}

func (e *ExchangeError) Unwrap() error { return e.Err }

// sessions exchanges credentials for temporary keys by GetSessionToken, so that
// RGW asks LDAP for the user once an hour, not at every request.
type sessions struct {
	client *sts.Client

	mu   sync.Mutex
	last aws.Credentials // as the server gave them; guarded by mu
}

var _ aws.HandleFailRefreshCredentialsCacheStrategy = (*sessions)(nil)

// Retrieve implements aws.CredentialsProvider.
func (s *sessions) Retrieve(ctx context.Context) (aws.Credentials, error) {
	out, err := s.client.GetSessionToken(ctx, &sts.GetSessionTokenInput{
		DurationSeconds: aws.Int32(int32(sessionLifetime / time.Second)),
	})
	if err != nil {
		var api smithy.APIError
		var resp *smithyhttp.ResponseError
		refused := errors.As(err, &api) && errors.As(err, &resp) && resp.HTTPStatusCode() < http.StatusInternalServerError
		if refused {
			// The SDK looks for the code where RGW does not put it.
			err = fmt.Errorf("GetSessionToken: status %d", resp.HTTPStatusCode())
		} else {
			err = strip(err)
		}
		return aws.Credentials{}, &ExchangeError{refused, err}
	}
	k := out.Credentials
	if k == nil || aws.ToString(k.AccessKeyId) == "" || aws.ToString(k.SecretAccessKey) == "" || k.Expiration == nil {
		return aws.Credentials{}, &ExchangeError{true, errors.New("GetSessionToken: the answer has no keys")}
	}
	c := aws.Credentials{
		AccessKeyID: *k.AccessKeyId, SecretAccessKey: *k.SecretAccessKey, SessionToken: aws.ToString(k.SessionToken),
		CanExpire: true, Expires: *k.Expiration, Source: "GetSessionToken",
	}
	s.mu.Lock()
	s.last = c
	s.mu.Unlock()
	c.Expires = renewal(time.Now(), c.Expires)
	return c, nil
}

// renewal returns when a session that ends at the given time is to be renewed.
func renewal(now, end time.Time) time.Time {
	return end.Add(-min(sessionMargin, max(end.Sub(now), 0)/2))
}

// HandleFailToRefresh implements aws.HandleFailRefreshCredentialsCacheStrategy:
// keys that are still good are used until they end.
func (s *sessions) HandleFailToRefresh(_ context.Context, _ aws.Credentials, err error) (aws.Credentials, error) {
	s.mu.Lock()
	c := s.last
	s.mu.Unlock()
	now := time.Now()
	if !c.HasKeys() || !now.Before(c.Expires) {
		return aws.Credentials{}, err
	}
	if next := now.Add(sessionRetry); next.Before(c.Expires) {
		c.Expires = next
	}
	return c, nil
}

// newSTS returns a client of the STS at endpoint, over the transport of S3.
func (c *Client) newSTS(endpoint string, provider aws.CredentialsProvider) *sts.Client {
	return sts.New(sts.Options{
		BaseEndpoint: &endpoint, Region: c.cfg.Region, Credentials: provider,
		HTTPClient:                 stsWire{c.wire},
		Retryer:                    retryer{c.cfg.MaxAttempts, c.cfg.MinBackoff, c.cfg.MaxBackoff},
		DisableClockSkewCorrection: true,
	})
}

// stsWire keeps the requests to STS apart from the call of S3 that needs the
// keys: that one's answer and attempts are not theirs.
type stsWire struct{ *wire }

func (w stsWire) Do(req *http.Request) (*http.Response, error) {
	info := &callInfo{op: "other", limit: w.stall}
	return w.wire.Do(req.WithContext(context.WithValue(req.Context(), callKey{}, info)))
}

// stsEndpoint returns the endpoint of the STS for web identities: what the
// environment or the profile names, else the server itself; "" leaves it to the
// SDK, on AWS, which has it elsewhere.
func stsEndpoint(ctx context.Context, cfg *Config, env awsconfig.EnvConfig) (string, error) {
	if s, ok, err := env.GetServiceBaseEndpoint(ctx, "STS"); err != nil || ok {
		return s, err
	}
	shared, _, err := loadProfile(ctx, env, cfg.Profile)
	if err != nil {
		return "", err
	}
	if s, ok, err := shared.GetServiceBaseEndpoint(ctx, "STS"); err != nil || ok {
		return s, err
	}
	u, err := parseEndpoint(cfg.Endpoint)
	if err != nil {
		return "", err
	}
	if host := u.Hostname(); strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn") {
		return "", nil
	}
	return cfg.Endpoint, nil
}
