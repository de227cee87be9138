package s3backend_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"rgwfs/s3backend"
)

// stsServer answers GetSessionToken with keys that end as each element says,
// counted from now; past the last one it refuses. All else is an empty listing.
func stsServer(t *testing.T, lives ...time.Duration) (endpoint string, got func() []string) {
	var mu sync.Mutex
	var requests []string
	n := 0
	endpoint = newServer(t, func(a *answer) {
		mu.Lock()
		defer mu.Unlock()
		if a.req.Method != http.MethodPost {
			_, rest, _ := strings.Cut(a.req.Header.Get("Authorization"), "Credential=")
			key, _, _ := strings.Cut(rest, "/")
			requests = append(requests, key+" "+a.req.Header.Get("X-Amz-Security-Token"))
			a.body("<ListBucketResult></ListBucketResult>")
			return
		}
		requests = append(requests, "exchange")
		if n >= len(lives) {
			a.fail(http.StatusForbidden, "AccessDenied")
			return
		}
		end := time.Now().Add(lives[n]).UTC().Format(time.RFC3339)
		n++
		a.body(fmt.Sprintf("<GetSessionTokenResponse><GetSessionTokenResult><Credentials><AccessKeyId>key%d</AccessKeyId>"+
			"<SecretAccessKey>hush</SecretAccessKey><SessionToken>session%[1]d</SessionToken><Expiration>%s</Expiration>"+
			"</Credentials></GetSessionTokenResult></GetSessionTokenResponse>", n, end))
	})
	return endpoint, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return requests
	}
}

func TestExchangedKeysAreRenewed(t *testing.T) {
	// The first keys have ended when they come.
	url, got := stsServer(t, -time.Minute, time.Hour)
	c := testClient(t, url, func(cfg *s3backend.Config) { cfg.ExchangeToken = true })
	for range 3 {
		if _, err := c.Bucket("b").List(t.Context(), s3backend.ListRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	want := "exchange, key1 session1, exchange, key2 session2, key2 session2"
	if s := strings.Join(got(), ", "); s != want {
		t.Errorf("%s, want %s", s, want)
	}
	if n := c.Stats().Requests["ListObjectsV2"]; n != 3 {
		t.Errorf("%d listings counted: the exchange is among them", n)
	}
}

func TestRefusedExchange(t *testing.T) {
	url, got := stsServer(t)
	c := testClient(t, url, func(cfg *s3backend.Config) { cfg.ExchangeToken = true })
	_, err := c.Bucket("b").List(t.Context(), s3backend.ListRequest{})
	wantKind(t, err, s3backend.KindPermission)
	if x := (*s3backend.ExchangeError)(nil); !errors.As(err, &x) || !x.Refused || strings.Contains(err.Error(), "hush") {
		t.Error(err)
	}
	if n := len(got()); n != 1 {
		t.Errorf("it was asked for %d times: %v", n, got())
	}
	// A server that can't be reached is no refusal.
	c = testClient(t, "http://127.0.0.1:1", func(cfg *s3backend.Config) { cfg.ExchangeToken = true })
	_, err = c.Bucket("b").List(t.Context(), s3backend.ListRequest{})
	wantKind(t, err, s3backend.KindUnavailable)
	if x := (*s3backend.ExchangeError)(nil); !errors.As(err, &x) || x.Refused {
		t.Error(err)
	}
}
