package s3backend_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// client returns a Client that is closed when the test ends.
func client(t testing.TB, change func(*s3backend.Config)) *s3backend.Client {
	t.Helper()
	cfg := s3backend.DefaultConfig()
	change(&cfg)
	c, err := s3backend.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// rgwClient returns a Client of the rig's first user.
func rgwClient(t testing.TB, rgw *s3test.RGWServer, tls bool, change func(*s3backend.Config)) *s3backend.Client {
	t.Helper()
	return client(t, func(cfg *s3backend.Config) {
		cfg.Endpoint = rgw.HTTP
		if tls {
			cfg.Endpoint, cfg.CAFile = rgw.HTTPS, rgw.CAFile
		}
		cfg.AccessKey, cfg.SecretKey = s3backend.Secret(rgw.AccessKey), s3backend.Secret(rgw.SecretKey)
		if change != nil {
			change(cfg)
		}
	})
}

func overBoth(t *testing.T, f func(t *testing.T, rgw *s3test.RGWServer, tls bool)) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) { f(t, s3test.RGW(t), scheme == "https") })
	}
}

func TestRGWSuite(t *testing.T) {
	overBoth(t, func(t *testing.T, rgw *s3test.RGWServer, tls bool) {
		c := rgwClient(t, rgw, tls, nil)
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
	})
}

func ignoresSourceIfMatch(t *testing.T, s s3backend.Store) bool {
	t.Helper()
	put(t, s, "probe", "x")
	_, err := s.Copy(t.Context(), s3backend.CopyRequest{
		Key: "probe2", SourceKey: "probe", SourceIfMatch: "00000000000000000000000000000000",
	})
	if err != nil {
		wantKind(t, err, s3backend.KindChanged)
		return false
	}
	return true
}

// RGW decodes the source of an UploadPartCopy twice, and 16.2 dies of "%".
func TestRGWCopyPartOfKeysDecodedTwice(t *testing.T) {
	rgw := s3test.RGW(t)
	s := rgwClient(t, rgw, false, nil).Bucket(rgw.NewBucket())
	for _, key := range oddKeys {
		if len(key) > 1000 {
			continue
		}
		put(t, s, key, "data of "+key)
		id, err := s.CreateMultipart(t.Context(), s3backend.CreateMultipartRequest{Key: "to"})
		if err != nil {
			t.Fatal(err)
		}
		part, err := s.CopyPart(t.Context(), s3backend.CopyPartRequest{
			Key: "to", UploadID: id, Number: 1, SourceKey: key, Length: int64(len("data of " + key)),
		})
		if strings.Contains(key, "%") || strings.Contains(key, "?versionId") {
			wantKind(t, err, s3backend.KindUnsupported)
			continue
		}
		if err != nil {
			t.Errorf("key %q: %v", key, err)
			continue
		}
		if _, err := s.CompleteMultipart(t.Context(), s3backend.CompleteMultipartRequest{Key: "to", UploadID: id, Parts: []s3backend.Part{part}}); err != nil {
			t.Fatal(err)
		}
		if got := get(t, s, "to"); got != "data of "+key {
			t.Errorf("the copy of %q holds %q", key, got)
		}
	}
}

func put(t testing.TB, s s3backend.Store, key, data string) s3backend.Object {
	t.Helper()
	o, err := s.Put(t.Context(), s3backend.PutRequest{Key: key, Body: strings.NewReader(data), Size: int64(len(data))})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func get(t testing.TB, s s3backend.Store, key string) string {
	t.Helper()
	_, body, err := s.Get(t.Context(), s3backend.GetRequest{Key: key, Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func wantKind(t testing.TB, err error, kind s3backend.Kind) *s3backend.Error {
	t.Helper()
	var e *s3backend.Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("error %v, want kind %v", err, kind)
	}
	return e
}

// Keys that something on the way might mangle.
var oddKeys = []string{
	"a//b", "//x", "/lead", "../up", "./q", "..", ".", "a/../b", "a/./b", "trail ", " lead", "%2F", "%", "%25",
	"a+b", "a b", "a?b", "a?versionId=null", "a#b", "a&b=c", "a;b", "a:b", "a\\b", "a\"b'c", "<x>&amp;", "tab\there",
	"line\nfeed", "cr\rhere", "bell\x07", "\x01", "del\x7f", "ümlaut/日本語", "e\u0301", "\u2028\u0085", "\ufffe\uffff",
	"😀", "dir/", "_under", "__two", "*", strings.Repeat("k", s3backend.MaxKeyLength),
}

func TestRGWOddKeys(t *testing.T) {
	overBoth(t, func(t *testing.T, rgw *s3test.RGWServer, tls bool) {
		s := rgwClient(t, rgw, tls, nil).Bucket(rgw.NewBucket())
		want := map[string]bool{}
		for _, k := range oddKeys {
			want[k] = true
			put(t, s, k, "data of "+k)
			if got := get(t, s, k); got != "data of "+k {
				t.Errorf("key %q holds %q", k, got)
			}
			if _, err := s.Copy(t.Context(), s3backend.CopyRequest{Key: "copied", SourceKey: k}); err != nil {
				t.Errorf("copying %q: %v", k, err)
			} else if got := get(t, s, "copied"); got != "data of "+k {
				t.Errorf("the copy of %q holds %q", k, got)
			}
			id, err := s.CreateMultipart(t.Context(), s3backend.CreateMultipartRequest{Key: k})
			if err != nil {
				t.Errorf("upload of %q: %v", k, err)
				continue
			}
			ups, err := s.ListMultiparts(t.Context(), k)
			if err != nil || len(ups) != 1 || ups[0].Key != k || ups[0].UploadID != id {
				t.Errorf("uploads of %q: %v, %v", k, ups, err)
			}
			if err := s.AbortMultipart(t.Context(), k, id); err != nil {
				t.Errorf("abort of %q: %v", k, err)
			}
		}
		if err := s.Delete(t.Context(), "copied"); err != nil {
			t.Fatal(err)
		}
		page, err := s.List(t.Context(), s3backend.ListRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Objects {
			if !want[o.Key] {
				t.Errorf("listed %q, which is not there", o.Key)
			}
			delete(want, o.Key)
		}
		for k := range want {
			t.Errorf("%q is not listed", k)
		}
		failed, err := s.DeleteMany(t.Context(), oddKeys)
		if err != nil || len(failed) > 0 {
			t.Errorf("DeleteMany: %v, %v", failed, err)
		}
		if page, err := s.List(t.Context(), s3backend.ListRequest{}); err != nil || len(page.Objects) > 0 {
			t.Errorf("after DeleteMany: %v, %v", page.Objects, err)
		}
	})
}

func TestRGWExclusiveCreateHasOneWinner(t *testing.T) {
	rgw := s3test.RGW(t)
	s := rgwClient(t, rgw, false, nil).Bucket(rgw.NewBucket())
	const racers = 12
	errs := make([]error, racers)
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			data := fmt.Sprintf("racer %d", i)
			_, errs[i] = s.Put(t.Context(), s3backend.PutRequest{
				Key: "lock", Body: strings.NewReader(data), Size: int64(len(data)),
				Conditions: s3backend.Conditions{IfNoneMatch: true},
			})
		})
	}
	wg.Wait()
	winner := ""
	for i, err := range errs {
		if err == nil {
			if winner != "" {
				t.Errorf("a second winner: racer %d", i)
			}
			winner = fmt.Sprintf("racer %d", i)
			continue
		}
		wantKind(t, err, s3backend.KindExist)
	}
	if got := get(t, s, "lock"); got != winner || winner == "" {
		t.Errorf("the object is %q, the winner %q", got, winner)
	}
}

func TestRGWIfMatchRaceLosesNothing(t *testing.T) {
	rgw := s3test.RGW(t)
	s := rgwClient(t, rgw, false, nil).Bucket(rgw.NewBucket())
	base := put(t, s, "k", "base")
	const racers = 12
	errs := make([]error, racers)
	var wg sync.WaitGroup
	for i := range racers {
		wg.Go(func() {
			data := fmt.Sprintf("racer %d", i)
			_, errs[i] = s.Put(t.Context(), s3backend.PutRequest{
				Key: "k", Body: strings.NewReader(data), Size: int64(len(data)),
				Conditions: s3backend.Conditions{IfMatch: base.ETag},
			})
		})
	}
	wg.Wait()
	got := get(t, s, "k")
	for i, err := range errs {
		won := got == fmt.Sprintf("racer %d", i)
		if (err == nil) != won {
			t.Errorf("the object is %q, racer %d got %v", got, i, err)
		}
		if err != nil {
			wantKind(t, err, s3backend.KindChanged)
		}
	}
}

func TestRGWPagesOf2500Keys(t *testing.T) {
	rgw := s3test.RGW(t)
	c := rgwClient(t, rgw, false, nil)
	s := c.Bucket(rgw.NewBucket())
	const n = 2500
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < n; i += 8 {
				if _, err := s.Put(t.Context(), s3backend.PutRequest{Key: fmt.Sprintf("d%d/k%04d", i%2, i), Body: strings.NewReader("x"), Size: 1}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	var keys []string
	pages, next := 0, ""
	for {
		page, err := s.List(t.Context(), s3backend.ListRequest{StartAfter: next})
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, o := range page.Objects {
			if o.Size != 1 || o.ETag != "9dd4e461268c8034f5c8564e155c67a6" || o.LastModified.IsZero() {
				t.Fatalf("listed %+v", o)
			}
			keys = append(keys, o.Key)
		}
		if next = page.Next; next == "" {
			break
		}
	}
	if len(keys) != n || pages != 3 || c.Stats().Requests["ListObjectsV2"] != 3 {
		t.Errorf("%d keys in %d pages", len(keys), pages)
	}
	for i := 1; i < len(keys); i++ {
		if keys[i-1] >= keys[i] {
			t.Fatalf("%q before %q", keys[i-1], keys[i])
		}
	}
	// A common prefix as StartAfter passes over all below it.
	one, err := s.List(t.Context(), s3backend.ListRequest{Delimiter: "/", MaxKeys: 1})
	if err != nil || len(one.Prefixes) != 1 || one.Next != "d0/" {
		t.Fatalf("%+v, %v", one, err)
	}
	two, err := s.List(t.Context(), s3backend.ListRequest{Delimiter: "/", MaxKeys: 1, StartAfter: one.Next})
	if err != nil || len(two.Prefixes) != 1 || two.Prefixes[0] != "d1/" || two.Next != "" {
		t.Errorf("%+v, %v", two, err)
	}
}

func TestRGWUsage(t *testing.T) {
	rgw := s3test.RGW(t)
	c := client(t, func(cfg *s3backend.Config) {
		cfg.Endpoint = rgw.HTTP
		cfg.AccessKey, cfg.SecretKey = s3backend.Secret(rgw.LimitedAccessKey), s3backend.Secret(rgw.LimitedSecretKey)
	})
	name := rgw.NewBucketName()
	if err := c.CreateBucket(t.Context(), s3backend.NewBucket{Name: name}); err != nil {
		t.Fatal(err)
	}
	rgw.RemoveBucketLater(name)
	s := c.Bucket(name)
	put(t, s, "k", strings.Repeat("x", 1000))
	u, err := s.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if u.Bytes != 1000 || u.Objects != 1 || u.UserBytes != 16<<20 || u.UserCount != -1 || u.BucketBytes != -1 || u.BucketCount != -1 {
		t.Errorf("usage %+v", u)
	}
	if u.UserBytesUsed < 0 || u.UserCountUsed < 0 {
		t.Errorf("what the user uses is unknown: %+v", u)
	}
	big := strings.Repeat("x", 20<<20)
	_, err = s.Put(t.Context(), s3backend.PutRequest{Key: "big", Body: strings.NewReader(big), Size: int64(len(big))})
	wantKind(t, err, s3backend.KindQuota)
}

func TestRGWBuckets(t *testing.T) {
	rgw := s3test.RGW(t)
	c := rgwClient(t, rgw, true, nil)
	name := rgw.NewBucketName()
	rgw.RemoveBucketLater(name)
	if err := c.CreateBucket(t.Context(), s3backend.NewBucket{Name: name}); err != nil {
		t.Fatal(err)
	}
	list, err := c.ListBuckets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, b := range list {
		found = found || b.Name == name && !b.Created.IsZero()
	}
	if !found {
		t.Errorf("%s is not among %v", name, list)
	}
	put(t, c.Bucket(name), "k", "x")
	wantKind(t, c.DeleteBucket(t.Context(), name), s3backend.KindNotEmpty)
	if err := c.Bucket(name).Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteBucket(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	_, err = c.Bucket(name).Head(t.Context(), "k")
	wantKind(t, err, s3backend.KindNotExist)
	_, err = c.Bucket(name).List(t.Context(), s3backend.ListRequest{})
	if e := wantKind(t, err, s3backend.KindNotExist); e.Code != "NoSuchBucket" || e.RequestID == "" {
		t.Errorf("error %+v", e)
	}
}

func TestRGWRefusals(t *testing.T) {
	rgw := s3test.RGW(t)
	bucket := rgw.NewBucket()
	try := func(change func(*s3backend.Config)) error {
		c := rgwClient(t, rgw, false, change).WithRetries(1)
		_, err := c.Bucket(bucket).List(t.Context(), s3backend.ListRequest{})
		return err
	}
	if err := try(nil); err != nil {
		t.Fatal(err)
	}
	e := wantKind(t, try(func(c *s3backend.Config) { c.AccessKey = "nobody" }), s3backend.KindPermission)
	if e.Code != "InvalidAccessKeyId" {
		t.Errorf("wrong key: %+v", e)
	}
	e = wantKind(t, try(func(c *s3backend.Config) { c.SecretKey = "wrong" }), s3backend.KindPermission)
	if e.Code != "SignatureDoesNotMatch" {
		t.Errorf("wrong secret: %+v", e)
	}
	wantKind(t, try(func(c *s3backend.Config) { c.NoSignRequest, c.AccessKey, c.SecretKey = true, "", "" }), s3backend.KindPermission)
	err := try(func(c *s3backend.Config) { c.Endpoint = strings.Replace(rgw.HTTPS, "https:", "http:", 1) })
	wantKind(t, err, s3backend.KindUnavailable)
	if !errors.Is(err, s3backend.ErrPlainHTTPToTLS) {
		t.Errorf("http to the TLS port: %v", err)
	}
}

func TestRGWMultiDeleteSurvives(t *testing.T) {
	rgw := s3test.RGW(t)
	c := rgwClient(t, rgw, false, nil).WithRetries(1)
	s := c.Bucket(rgw.NewBucket())
	keys := make([]string, 20)
	for i := range keys {
		keys[i] = fmt.Sprint("k", i)
	}
	for range 60 {
		if failed, err := s.DeleteMany(t.Context(), keys); err != nil || len(failed) > 0 {
			t.Fatal(failed, err)
		}
	}
}

func TestRGWBigBodies(t *testing.T) {
	overBoth(t, func(t *testing.T, rgw *s3test.RGWServer, tls bool) {
		s := rgwClient(t, rgw, tls, nil).Bucket(rgw.NewBucket())
		data := make([]byte, 11<<20)
		rand.Read(data)
		if _, err := s.Put(t.Context(), s3backend.PutRequest{Key: "big", Body: bytes.NewReader(data), Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if get(t, s, "big") != string(data) {
			t.Error("what is read is not what was written")
		}
	})
}

// BenchmarkSmallGet shows what TCP_QUICKACK is for, on a radosgw with its
// default tcp_nodelay=0; compare "plain", which is the same client without it.
func BenchmarkSmallGet(b *testing.B) {
	for _, quick := range []bool{true, false} {
		name := "quickack"
		if !quick {
			name = "plain"
		}
		b.Run(name, func(b *testing.B) {
			rgw := s3test.RGW(b)
			c := rgwClient(b, rgw, false, func(cfg *s3backend.Config) {
				if !quick {
					cfg.WrapTransport = func(http.RoundTripper) http.RoundTripper { return http.DefaultTransport }
				}
			})
			s := c.Bucket(rgw.NewBucket())
			put(b, s, "small", strings.Repeat("x", 4096))
			var took []float64
			for b.Loop() {
				took = append(took, timed(func() { get(b, s, "small") }))
			}
			b.ReportMetric(median(took), "ms-median")
		})
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}
