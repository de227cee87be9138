package s3backend_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// signatures is a server that takes only the signatures that accepts says, and
// remembers what came.
type signatures struct {
	mu  sync.Mutex
	got []string // "GET v4"; guarded by mu
}

func (s *signatures) serve(t *testing.T, accepts func(method, version string) (code string)) string {
	return newServer(t, func(a *answer) {
		version := "v4"
		if strings.HasPrefix(a.req.Header.Get("Authorization"), "AWS ") {
			version = "v2"
		}
		// The SDK's operations, by what is asked for here: a key or a bucket.
		method := a.req.Method
		if strings.Count(a.req.URL.Path, "/") == 1 && method == http.MethodGet {
			method = "LIST"
		}
		s.mu.Lock()
		s.got = append(s.got, method+" "+version)
		s.mu.Unlock()
		if code := accepts(method, version); code != "" {
			a.fail(403, code)
			return
		}
		a.Header().Set("ETag", `"`+md5Of(content)+`"`)
		switch method {
		case "LIST":
			a.body("<ListBucketResult></ListBucketResult>")
		case http.MethodGet:
			a.body(content)
		}
	})
}

func (s *signatures) take() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := strings.Join(s.got, ", ")
	s.got = nil
	return got
}

func TestAutoFindsTheSignature(t *testing.T) {
	v2Data := func(method, version string) string {
		if (method == "LIST" || method == "HEAD") != (version == "v4") {
			return "XAmzContentSHA256Mismatch"
		}
		return ""
	}
	v2Only := func(_, version string) string {
		if version != "v2" {
			return "SignatureDoesNotMatch"
		}
		return ""
	}
	for _, c := range []struct {
		name, mode string
		accepts    func(method, version string) string
		first      string // requests of LIST, PUT, HEAD, GET
		learned    string
	}{
		{"v4", "auto", func(string, string) string { return "" }, "LIST v4, PUT v4, HEAD v4, GET v4", "v4"},
		{"hybrid", "auto", v2Data, "LIST v4, PUT v4, PUT v2, HEAD v4, GET v2", "hybrid"},
		{"v2", "auto", v2Only, "LIST v4, LIST v2, PUT v4, PUT v2, HEAD v2, GET v2", "v2"},
		{"told v2", "v2", v2Only, "LIST v2, PUT v2, HEAD v2, GET v2", "v2"},
		{"told hybrid", "hybrid", v2Data, "LIST v4, PUT v2, HEAD v4, GET v2", "hybrid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			var s signatures
			client := testClient(t, s.serve(t, c.accepts), func(cfg *s3backend.Config) {
				cfg.Signature, cfg.MaxAttempts = c.mode, 1
				cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
			})
			b := client.Bucket("b")
			all := func() {
				t.Helper()
				_, err1 := b.List(t.Context(), s3backend.ListRequest{})
				_, err2 := b.Put(t.Context(), s3backend.PutRequest{Key: "k", Body: strings.NewReader(content), Size: int64(len(content))})
				_, err3 := b.Head(t.Context(), "k")
				data, err4 := readAll(b)
				if err := errors.Join(err1, err2, err3, err4); err != nil || data != content {
					t.Fatalf("%v, %q", err, data)
				}
			}
			all()
			if got := s.take(); got != c.first {
				t.Errorf("first: %s, want %s", got, c.first)
			}
			all()
			if got := s.take(); strings.Count(got, ",") != 3 {
				t.Errorf("asked twice again: %s", got)
			}
			if got := client.Signature(); got != c.learned {
				t.Errorf("Signature is %s, want %s", got, c.learned)
			}
			told := strings.Contains(log.String(), "--signature="+c.learned)
			if want := c.mode == "auto" && c.learned != "v4"; told != want {
				t.Errorf("the log names the flag: %v, want %v: %s", told, want, &log)
			}
			if strings.Contains(log.String(), "hush") {
				t.Errorf("a secret in %s", &log)
			}
		})
	}
}

// A HEAD that is refused has no code that tells why.
func TestAutoTriesOnADoubtfulHead(t *testing.T) {
	var s signatures
	b := testClient(t, s.serve(t, func(_, version string) string {
		if version != "v2" {
			return "SignatureDoesNotMatch"
		}
		return ""
	}), nil).Bucket("b")
	if _, err := b.Head(t.Context(), "k"); err != nil {
		t.Error(err)
	}
	if got := s.take(); got != "HEAD v4, HEAD v2" {
		t.Error(got)
	}
}

// Wrong keys stay an error, the first one, and are tried the other way once.
func TestAutoTriesOnce(t *testing.T) {
	var s signatures
	b := testClient(t, s.serve(t, func(method, version string) string {
		if version == "v2" && method == "PUT" {
			return "UnsupportedAlgorithm"
		}
		return "SignatureDoesNotMatch"
	}), nil).Bucket("b")
	for range 3 {
		_, err := b.List(t.Context(), s3backend.ListRequest{})
		if e := wantKind(t, err, s3backend.KindPermission); e.Code != "SignatureDoesNotMatch" {
			t.Error(err)
		}
	}
	if got := s.take(); got != "LIST v4, LIST v2, LIST v4, LIST v4" {
		t.Error(got)
	}
	_, err := b.Put(t.Context(), s3backend.PutRequest{Key: "k", Body: strings.NewReader("x"), Size: 1})
	if e := wantKind(t, err, s3backend.KindPermission); e.Code != "SignatureDoesNotMatch" {
		t.Error(err)
	}
}

// The whole contract by version 2.
func TestRGWSuiteByVersion2(t *testing.T) {
	rgw := s3test.RGW(t)
	c := rgwClient(t, rgw, false, func(cfg *s3backend.Config) { cfg.Signature = s3backend.SignatureV2 })
	suite(t, rgw, c)
	if got := c.Signature(); got != s3backend.SignatureV2 {
		t.Errorf("Signature is %s", got)
	}
}

// suite runs the conformance suite with buckets of rgw.
func suite(t *testing.T, rgw *s3test.RGWServer, c *s3backend.Client) {
	t.Helper()
	store, other := c.Bucket(rgw.NewBucket()), c.Bucket(rgw.NewBucket())
	opts := []s3test.Option{
		s3test.OtherBucket(func(*testing.T) s3backend.Store { return other }),
		s3test.Cannot("Multipart/CopyPartOddKeys", "RGW decodes the source of UploadPartCopy twice"),
	}
	if ignoresSourceIfMatch(t, store) {
		const reason = "this RGW ignores x-amz-copy-source-if-match, as 16.2 does"
		opts = append(opts, s3test.Cannot("Copy/SourceIfMatch", reason),
			s3test.Cannot("Multipart/CopyPartSourceIfMatch", reason))
	}
	s3test.Suite(t, func(*testing.T) s3backend.Store { return store }, opts...)
}

// Each query parameter that means a subresource is signed as RGW wants it.
func TestRGWVersion2SignsSubresources(t *testing.T) {
	rgw := s3test.RGW(t)
	c := rgwClient(t, rgw, false, func(cfg *s3backend.Config) { cfg.Signature = s3backend.SignatureV2 })
	name := rgw.NewBucket()
	b := c.Bucket(name)
	put(t, b, "k ä+/?", "x")
	base, err := c.PlainURL(name, "k ä+/?", "")
	if err != nil {
		t.Fatal(err)
	}
	bucketURL := rgw.HTTP + "/" + name
	for query, target := range map[string]string{
		"": base, "acl": base, "tagging": base, "response-content-type=text%2Fx": base, "versionId=null": base,
		"location": bucketURL, "versioning": bucketURL, "versions": bucketURL, "uploads": bucketURL, "policy": bucketURL,
		"cors": bucketURL, "lifecycle": bucketURL, "requestPayment": bucketURL, "website": bucketURL, "logging": bucketURL,
		"notification": bucketURL, "publicAccessBlock": bucketURL, "policyStatus": bucketURL,
	} {
		if query != "" {
			target += "?" + query
		}
		signed, err := c.PresignV2(t.Context(), http.MethodGet, target, nil, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if status, body := fetchURL(t, http.MethodGet, signed, nil, ""); status == http.StatusForbidden {
			t.Errorf("?%s: %d %s", query, status, body)
		}
	}
}

// fetchURL sends a request without any credentials but those in the URL.
func fetchURL(t *testing.T, method, target string, h http.Header, body string) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range h {
		req.Header[name] = values
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b.String()
}

func TestRGWPresignV2(t *testing.T) {
	rgw := s3test.RGW(t)
	c := rgwClient(t, rgw, false, nil)
	name := rgw.NewBucket()
	b := c.Bucket(name)
	plain, err := c.PlainURL(name, "a dir/ä?+%.txt", "")
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{"Content-Type": {"text/x"}, "X-Amz-Meta-Note": {"hi"}}
	signed, err := c.PresignV2(t.Context(), http.MethodPut, plain, h, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := fetchURL(t, http.MethodPut, signed, nil, "data"); status != http.StatusForbidden {
		t.Errorf("PUT without the headers that are signed: %d %s", status, body)
	}
	if status, body := fetchURL(t, http.MethodPut, signed, h, "data"); status != http.StatusOK {
		t.Errorf("PUT: %d %s", status, body)
	}
	if o, err := b.Head(t.Context(), "a dir/ä?+%.txt"); err != nil || o.Metadata["note"] != "hi" {
		t.Errorf("%+v, %v", o, err)
	}
	signed, err = c.PresignV2(t.Context(), http.MethodGet, plain, nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := fetchURL(t, http.MethodGet, signed, nil, ""); status != http.StatusOK || body != "data" {
		t.Errorf("GET: %d %s", status, body)
	}
	u, err := url.Parse(signed)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("Expires", fmt.Sprint(time.Now().Add(time.Hour).Unix()))
	u.RawQuery = q.Encode()
	if status, _ := fetchURL(t, http.MethodGet, u.String(), nil, ""); status != http.StatusForbidden {
		t.Errorf("GET of a URL whose end was changed: %d", status)
	}
	if _, err := c.PresignV2(t.Context(), http.MethodGet, plain, nil, 0); s3backend.KindOf(err) != s3backend.KindInvalid {
		t.Errorf("without a lifetime: %v", err)
	}
}
