package s3backend_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

func probeClient(t *testing.T, rgw *s3test.RGWServer, change func(*s3backend.Config)) *s3backend.Client {
	t.Helper()
	cfg := s3backend.DefaultConfig()
	cfg.Endpoint, cfg.CAFile = rgw.HTTPS, rgw.CAFile
	cfg.AccessKey, cfg.SecretKey = s3backend.Secret(rgw.AccessKey), s3backend.Secret(rgw.SecretKey)
	if change != nil {
		change(&cfg)
	}
	c, err := s3backend.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// wantEmpty fails the test if a bucket has an object, a version or an upload.
func wantEmpty(t *testing.T, c *s3backend.Client, bucket string) {
	t.Helper()
	versions, err := c.ListVersions(t.Context(), s3backend.VersionsRequest{Bucket: bucket})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range versions.Versions {
		t.Errorf("left: %s, version %s", v.Key, v.ID)
	}
	uploads, err := c.Bucket(bucket).ListMultiparts(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range uploads {
		t.Errorf("left: an upload of %s", u.Key)
	}
}

func TestProbeOnRGW(t *testing.T) {
	rgw := s3test.RGW(t)
	c, bucket := probeClient(t, rgw, nil), rgw.NewBucket()
	p := c.NewProbe(bucket, "some/dir/")
	if !strings.HasPrefix(p.Scratch(), "some/dir/.") {
		t.Errorf("scratch prefix %s", p.Scratch())
	}
	var f s3backend.Profile
	for name, step := range map[string]func() error{
		"reads":      func() error { return p.Reads(t.Context(), &f) },
		"signatures": func() error { return p.Signatures(t.Context(), true, &f) },
		"conditions": func() error { return p.Conditions(t.Context(), &f) },
		"encryption": func() error { return p.Encryption(t.Context(), &f) },
		"latency":    func() error { return p.Latency(t.Context(), &f) },
		"throughput": func() error {
			up, down, err := p.Throughput(t.Context(), 1<<20)
			if err == nil && (up <= 0 || down <= 0) {
				t.Errorf("throughput %v, %v", up, down)
			}
			return err
		},
	} {
		if err := step(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, r := range p.Rights(t.Context(), true) {
		if r.Err != nil || r.Untried != "" {
			t.Errorf("%s: %v, %s", r.Name, r.Err, r.Untried)
		}
	}
	// What holds on every release.
	for name, fact := range map[string]s3backend.Fact{
		"v4 names": f.V4Names, "v4 data": f.V4Data, "v2 names": f.V2Names, "v2 data": f.V2Data, "signed payload": f.SignedPayload,
		"read stats": f.ReadStats, "If-None-Match": f.PutIfNoneMatch, "If-Match": f.PutIfMatch, "SSE-C": f.SSEC,
	} {
		if fact != s3backend.Yes {
			t.Errorf("%s: %q", name, fact)
		}
	}
	// What differs is found out one way or the other.
	for name, fact := range map[string]s3backend.Fact{
		"stats unasked": f.StatsUnasked, "quoted If-Match": f.PutIfMatchQuoted, "DELETE": f.DeleteIfMatch, "Complete": f.CompleteCondition,
		"copy source": f.CopySourceIfMatch, "ETag of Complete": f.CompleteETag, "SSE-C copy": f.SSECCopy, "SSE-C copy of plain": f.SSECCopyPlain, "SSE-C part": f.SSECCopyPart,
	} {
		if fact == "" {
			t.Errorf("%s: not found out", name)
		}
	}
	if f.PageSize < 1000 || f.SmallAnswer <= 0 || f.SmallAnswerPlain <= 0 {
		t.Errorf("%+v", f)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
	wantEmpty(t, c, bucket)
}

// What was written goes also when the user has no patience any more, and from
// a bucket that keeps versions.
func TestProbeCleansUpWhenCancelled(t *testing.T) {
	rgw := s3test.RGW(t)
	c, bucket := probeClient(t, rgw, nil), rgw.NewBucket()
	if r := rgw.Do(http.MethodPut, "/"+bucket, "versioning", nil,
		[]byte(`<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>`)); r.Status != http.StatusOK {
		t.Fatal(r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p := c.NewProbe(bucket, "")
	var f s3backend.Profile
	if err := p.Conditions(ctx, &f); err != nil {
		t.Fatal(err)
	}
	// An upload that nobody ends, too.
	if _, err := c.Bucket(bucket).CreateMultipart(ctx, s3backend.CreateMultipartRequest{Key: p.Scratch() + "upload"}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, _, err := p.Throughput(ctx, 1<<20); s3backend.KindOf(err) != s3backend.KindCancelled {
		t.Errorf("after the cancellation: %v", err)
	}
	if err := p.Close(ctx); err != nil {
		t.Error(err)
	}
	wantEmpty(t, c, bucket)
}

func TestIdentity(t *testing.T) {
	const token = "eyJSR1dfVE9LRU4iOnsidmVyc2lvbiI6MSwidHlwZSI6ImxkYXAiLCJpZCI6InUiLCJrZXkiOiJwYXNzd29yZCJ9fQ=="
	for _, c := range []struct {
		key, secret, session, kind, shown string
	}{
		{"AKIDEXAMPLE12345", "secret", "", s3backend.IdentityKeys, "AKID"},
		{"short", "secret", "", s3backend.IdentityKeys, ""},
		{"AKIDEXAMPLE12345", "secret", "session", s3backend.IdentityTemporary, "AKID"},
		{token, "", "", s3backend.IdentityLDAP, ""},
		{token, "anything", "", s3backend.IdentityLDAP, ""},
		{"an-opaque-token-0123456789", "", "", s3backend.IdentityOpaque, ""},
	} {
		cfg := s3backend.DefaultConfig()
		cfg.Endpoint = "http://127.0.0.1:1"
		cfg.AccessKey, cfg.SecretKey, cfg.SessionToken = s3backend.Secret(c.key), s3backend.Secret(c.secret), s3backend.Secret(c.session)
		client, err := s3backend.New(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		id, err := client.Identity(t.Context())
		if err != nil || id.Kind != c.kind || id.Shown != c.shown {
			t.Errorf("%s: %+v, %v", c.kind, id, err)
		}
		text := client.Redact(t.Context(), "the key "+c.key+c.secret+c.session+" is wrong")
		for _, secret := range []string{c.key, c.secret, c.session} {
			if secret != "" && strings.Contains(text, secret) {
				t.Errorf("%s: %q", c.kind, text)
			}
		}
	}
}

// A PageSize is asked for where as many keys are wanted as there can be.
func TestPageSize(t *testing.T) {
	rgw := s3test.RGW(t)
	var queries []string
	c := probeClient(t, rgw, func(cfg *s3backend.Config) {
		cfg.PageSize = 5000
		cfg.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
			return roundTrip(func(r *http.Request) (*http.Response, error) {
				queries = append(queries, r.URL.Query().Get("max-keys"))
				return next.RoundTrip(r)
			})
		}
	})
	bucket := c.Bucket(rgw.NewBucket())
	for _, n := range []int{0, 7} {
		if _, err := bucket.List(t.Context(), s3backend.ListRequest{MaxKeys: n}); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(queries, " "); got != "5000 7" {
		t.Errorf("max-keys %q", got)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
