package s3backend

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func TestSessionsAreRenewedBeforeTheirEnd(t *testing.T) {
	now := time.Now()
	for _, c := range []struct{ left, margin time.Duration }{
		{time.Hour, sessionMargin}, {sessionMargin, sessionMargin / 2}, {time.Minute, 30 * time.Second}, {-time.Minute, 0},
	} {
		if got := renewal(now, now.Add(c.left)); !got.Equal(now.Add(c.left - c.margin)) {
			t.Errorf("a session of %v is renewed %v before its end, not %v", c.left, now.Add(c.left).Sub(got), c.margin)
		}
	}
}

// A renewal that fails leaves keys in use that are good.
func TestSessionsOutliveAFailedRenewal(t *testing.T) {
	failure := errors.New("unreachable")
	keys := aws.Credentials{AccessKeyID: "a", SecretAccessKey: "s", CanExpire: true}
	for _, left := range []time.Duration{time.Hour, sessionRetry / 2, -time.Second} {
		end := time.Now().Add(left)
		s := &sessions{}
		s.last = keys
		s.last.Expires = end
		c, err := s.HandleFailToRefresh(t.Context(), aws.Credentials{}, failure)
		if left < 0 {
			if !errors.Is(err, failure) {
				t.Errorf("keys that have ended: %v", err)
			}
			continue
		}
		if err != nil || c.AccessKeyID != "a" || c.Expires.After(end) || left > sessionRetry && !c.Expires.Before(end) {
			t.Errorf("keys that end in %v: %v, until %v", left, err, time.Until(c.Expires))
		}
	}
	if _, err := (&sessions{}).HandleFailToRefresh(t.Context(), aws.Credentials{}, failure); !errors.Is(err, failure) {
		t.Errorf("no keys at all: %v", err)
	}
}
