package s3backend_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// newKey returns a random key.
func newKey(t testing.TB) s3backend.Key {
	t.Helper()
	b := make([]byte, s3backend.KeySize)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return testKey(t, b)
}

// sseClient returns a Client over TLS with keys.
func sseClient(t testing.TB, rgw *s3test.RGWServer, keys ...s3backend.Key) *s3backend.Client {
	t.Helper()
	return rgwClient(t, rgw, true, func(cfg *s3backend.Config) { cfg.SSEKeys = keys })
}

func TestRGWSuiteEncrypted(t *testing.T) {
	rgw := s3test.RGW(t)
	c := sseClient(t, rgw, newKey(t), newKey(t))
	store, other := c.Bucket(rgw.NewBucket()), c.Bucket(rgw.NewBucket())
	opts := []s3test.Option{
		s3test.OtherBucket(func(*testing.T) s3backend.Store { return other }),
		s3test.CopiesHaveOwnETags(),
		s3test.Cannot("Multipart/CopyPartOddKeys", "RGW decodes the source of UploadPartCopy twice"),
	}
	if ignoresSourceIfMatch(t, rgwClient(t, rgw, false, nil).Bucket(rgw.NewBucket())) {
		opts = append(opts, s3test.Cannot("Multipart/CopyPartSourceIfMatch", "this RGW ignores x-amz-copy-source-if-match, as 16.2 does"))
	}
	s3test.Suite(t, func(*testing.T) s3backend.Store { return store }, opts...)
}

// refusedPlain reports whether RGW refuses an object to a client without a key.
func refusedPlain(t testing.TB, rgw *s3test.RGWServer, bucket, key string) bool {
	t.Helper()
	// RGW looks at the range before the key: of an empty object only a HEAD tells.
	head := rgw.Do(http.MethodHead, "/"+bucket+"/"+key, "", nil, nil)
	get := rgw.Do(http.MethodGet, "/"+bucket+"/"+key, "", nil, nil)
	return head.Status == http.StatusBadRequest && get.Status == http.StatusBadRequest
}

func TestRGWEncryptedCopies(t *testing.T) {
	rgw := s3test.RGW(t)
	k1, k2 := newKey(t), newKey(t)
	bucket := rgw.NewBucket()
	clear := rgwClient(t, rgw, true, nil).Bucket(bucket)
	second := sseClient(t, rgw, k2).Bucket(bucket)
	both := sseClient(t, rgw, k1, k2).Bucket(bucket)
	only := sseClient(t, rgw, k1).Bucket(bucket)
	// Above what is carried by one GET and one PUT, and above one of the parts
	// in which the rest is carried.
	large := randomText(t, 9<<20)
	attrs := s3backend.Attributes{Metadata: map[string]string{"mode": "33188", "x": "a b"}, ContentType: "text/x-test"}
	for from, s := range map[string]s3backend.Store{"plain": clear, "k2": second, "k1": only} {
		for name, data := range map[string]string{"large": large, "small": "few bytes", "empty": ""} {
			t.Run(from+" "+name, func(t *testing.T) {
				key := from + "/" + name
				src, err := s.Put(t.Context(), s3backend.PutRequest{Key: key, Body: strings.NewReader(data), Size: int64(len(data)), Attributes: attrs})
				if err != nil {
					t.Fatal(err)
				}
				copied, err := both.Copy(t.Context(), s3backend.CopyRequest{Key: "copy", SourceKey: key, SourceIfMatch: src.ETag})
				if err != nil {
					t.Fatal(err)
				}
				if got := get(t, only, "copy"); got != data {
					t.Fatalf("the copy has %d bytes, want %d, or others", len(got), len(data))
				}
				now, err := only.Head(t.Context(), "copy")
				if err != nil {
					t.Fatal(err)
				}
				if now.ETag != copied.ETag || copied.LastModified.IsZero() {
					t.Errorf("Copy gave %+v, Head %+v", copied, now)
				}
				if now.Metadata["mode"] != "33188" || now.Metadata["x"] != "a b" || now.ContentType != "text/x-test" {
					t.Errorf("the copy has %+v", now)
				}
				if !refusedPlain(t, rgw, bucket, "copy") {
					t.Error("the copy is stored in the clear")
				}
				// Onto itself, with other attributes: what chmod does.
				again, err := both.Copy(t.Context(), s3backend.CopyRequest{Key: key, SourceKey: key, SourceIfMatch: src.ETag,
					Replace: &s3backend.Attributes{Metadata: map[string]string{"mode": "33024"}}})
				if err != nil {
					t.Fatal(err)
				}
				if now, err = only.Head(t.Context(), key); err != nil || now.ETag != again.ETag || len(now.Metadata) != 1 || now.Metadata["mode"] != "33024" {
					t.Errorf("%+v, %v", now, err)
				}
				if got := get(t, only, key); got != data {
					t.Error("the bytes have changed")
				}
				_, err = both.Copy(t.Context(), s3backend.CopyRequest{Key: "copy2", SourceKey: key, SourceIfMatch: "00000000000000000000000000000000"})
				wantKind(t, err, s3backend.KindChanged)
			})
		}
	}
	uploads, err := both.ListMultiparts(t.Context(), "")
	if err != nil || len(uploads) > 0 {
		t.Errorf("uploads left: %v, %v", uploads, err)
	}
}

func TestRGWCopyKeepsHeaders(t *testing.T) {
	rgw := s3test.RGW(t)
	bucket, key := rgw.NewBucket(), newKey(t)
	var last http.Header
	s := rgwClient(t, rgw, true, func(cfg *s3backend.Config) {
		cfg.SSEKeys = []s3backend.Key{key}
		cfg.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err == nil {
					last = resp.Header
				}
				return resp, err
			})
		}
	}).Bucket(bucket)
	for name, size := range map[string]int{"small": 5, "large": 300 << 10} {
		header := http.Header{"Content-Disposition": {"attachment"}, "Cache-Control": {"no-cache"}}
		if r := rgw.Do(http.MethodPut, "/"+bucket+"/"+name, "", header, bytes.Repeat([]byte("d"), size)); r.Status != http.StatusOK {
			t.Fatal(r)
		}
		if _, err := s.Copy(t.Context(), s3backend.CopyRequest{Key: name + "2", SourceKey: name}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Head(t.Context(), name+"2"); err != nil {
			t.Fatal(err)
		}
		if last.Get("Content-Disposition") != "attachment" || last.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: the copy has %v", name, last)
		}
	}
}

// A version that is restored is encrypted as all that is written.
func TestRGWRestoreEncrypted(t *testing.T) {
	rgw := s3test.RGW(t)
	k1, k2 := newKey(t), newKey(t)
	bucket := rgw.NewBucket()
	c := sseClient(t, rgw, k1, k2)
	if err := c.SetVersioning(t.Context(), bucket, true); err != nil {
		t.Fatal(err)
	}
	contents := []string{"plain data", randomText(t, 9<<20), "", "newest"}
	put(t, rgwClient(t, rgw, true, nil).Bucket(bucket), "k", contents[0])
	put(t, sseClient(t, rgw, k2).Bucket(bucket), "k", contents[1])
	put(t, c.Bucket(bucket), "k", contents[2])
	put(t, c.Bucket(bucket), "k", contents[3])
	page, err := c.ListVersions(t.Context(), s3backend.VersionsRequest{Bucket: bucket, Prefix: "k"})
	if err != nil || len(page.Versions) != 4 {
		t.Fatal(page, err)
	}
	for i, want := range contents {
		if _, err := c.RestoreVersion(t.Context(), bucket, "k", page.Versions[3-i].ID); err != nil {
			t.Fatal(err)
		}
		o, err := c.Bucket(bucket).Head(t.Context(), "k")
		if err != nil || o.Size != int64(len(want)) {
			t.Fatal(o, err)
		}
		if want != "" && get(t, c.Bucket(bucket), "k") != want {
			t.Errorf("version %d: another content", i)
		}
		if r := rgw.Do(http.MethodHead, "/"+bucket+"/k", "", nil, nil); r.Status != http.StatusBadRequest {
			t.Errorf("version %d is restored in the clear", i)
		}
	}
}

func TestRGWSeveralKeys(t *testing.T) {
	rgw := s3test.RGW(t)
	k1, k2 := newKey(t), newKey(t)
	bucket := rgw.NewBucket()
	put(t, sseClient(t, rgw, k1).Bucket(bucket), "first", "data of first")
	put(t, sseClient(t, rgw, k2).Bucket(bucket), "second", "data of second")
	put(t, sseClient(t, rgw, k2).Bucket(bucket), "empty", "")
	put(t, rgwClient(t, rgw, true, nil).Bucket(bucket), "plain", "data of plain")

	c := sseClient(t, rgw, k1, k2)
	s := c.Bucket(bucket)
	for range 2 {
		before := c.Stats().Requests["GetObject"]
		for _, key := range []string{"second", "first", "plain", "second"} {
			if got := get(t, s, key); got != "data of "+key {
				t.Errorf("%s: %q", key, got)
			}
		}
		if n := c.Stats().Requests["GetObject"] - before; n > 7 {
			t.Errorf("%d GETs of 4 objects", n)
		}
		if o, err := s.Head(t.Context(), "empty"); err != nil || o.Size != 0 {
			t.Errorf("%+v, %v", o, err)
		}
	}
	before := c.Stats().Requests["GetObject"]
	for _, key := range []string{"first", "second", "plain", "first"} {
		get(t, s, key)
	}
	if n := c.Stats().Requests["GetObject"] - before; n != 4 {
		t.Errorf("%d GETs of 4 objects whose keys are known", n)
	}

	// Replaced under another key meanwhile: what is remembered is no longer so.
	put(t, sseClient(t, rgw, k1).Bucket(bucket), "second", "data of second")
	put(t, sseClient(t, rgw, k2).Bucket(bucket), "plain", "data of plain")
	for _, key := range []string{"second", "plain"} {
		if got := get(t, s, key); got != "data of "+key {
			t.Errorf("%s: %q", key, got)
		}
	}
}

func TestRGWWrongKeyIsPermission(t *testing.T) {
	rgw := s3test.RGW(t)
	bucket := rgw.NewBucket()
	right := sseClient(t, rgw, newKey(t)).Bucket(bucket)
	put(t, right, "k", "secret data")
	put(t, right, "empty", "")
	wrong := newKey(t)
	for name, c := range map[string]func(*s3backend.Config){
		"wrong key": func(cfg *s3backend.Config) { cfg.SSEKeys = []s3backend.Key{wrong, newKey(t)} },
		"no key":    func(*s3backend.Config) {},
	} {
		for _, tls := range []bool{true, false} {
			if !tls && name == "wrong key" {
				continue
			}
			s := rgwClient(t, rgw, tls, c).Bucket(bucket)
			for range 3 {
				for _, key := range []string{"k", "empty"} {
					_, err := s.Head(t.Context(), key)
					wantKind(t, err, s3backend.KindPermission)
					if !strings.Contains(err.Error(), "--sse-c-key-file") {
						t.Errorf("%s: the message has no mend: %v", name, err)
					}
				}
				_, _, err := s.Get(t.Context(), s3backend.GetRequest{Key: "k", Length: -1})
				wantKind(t, err, s3backend.KindPermission)
			}
			page, err := s.List(t.Context(), s3backend.ListRequest{})
			if err != nil || len(page.Objects) != 2 || page.Objects[1].Size != 11 {
				t.Errorf("%+v, %v", page, err)
			}
			_, err = s.Head(t.Context(), "absent")
			wantKind(t, err, s3backend.KindNotExist)
		}
	}
}

// Servers that don't know SSE-C ignore its headers, and RGW does so in places:
// whatever is not confirmed must not stay, and what can be known before must
// not be sent.
func TestUnconfirmedEncryption(t *testing.T) {
	rgw := s3test.RGW(t)
	const whole, create, rest = "PutObject", "CreateMultipartUpload", "the others"
	kindOf := func(r *http.Request) string {
		switch {
		case r.Method == http.MethodPut && !r.URL.Query().Has("uploadId"):
			return whole
		case r.Method == http.MethodPost && r.URL.Query().Has("uploads"):
			return create
		}
		return rest
	}
	silent := func(bucket string, kinds ...string) *s3backend.Client {
		return rgwClient(t, rgw, true, func(cfg *s3backend.Config) {
			cfg.SSEKeys = []s3backend.Key{newKey(t)}
			cfg.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(r *http.Request) (*http.Response, error) {
					resp, err := next.RoundTrip(r)
					if err == nil && slices.Contains(kinds, kindOf(r)) {
						for name := range resp.Header {
							if strings.HasPrefix(name, "X-Amz-Server-Side") {
								resp.Header.Del(name)
							}
						}
					}
					return resp, err
				})
			}
		})
	}
	request := func() s3backend.PutRequest {
		return s3backend.PutRequest{Key: "k", Body: strings.NewReader("secret"), Size: 6}
	}

	t.Run("no answer confirms", func(t *testing.T) {
		bucket := rgw.NewBucket()
		clear := rgwClient(t, rgw, true, nil).Bucket(bucket)
		put(t, clear, "k", "what was there")
		c := silent(bucket, whole, create, rest)
		_, err := c.Bucket(bucket).Put(t.Context(), request())
		wantKind(t, err, s3backend.KindUnsupported)
		if n := c.Stats().Requests[whole]; n > 0 {
			t.Errorf("%d PUTs to a server that does not encrypt", n)
		}
		if got := get(t, clear, "k"); got != "what was there" {
			t.Errorf("the object is %q now", got)
		}
		_, err = c.Bucket(bucket).CreateMultipart(t.Context(), s3backend.CreateMultipartRequest{Key: "m"})
		wantKind(t, err, s3backend.KindUnsupported)
		wantKind(t, c.CheckEncryption(t.Context(), bucket, ""), s3backend.KindUnsupported)
		if uploads, err := clear.ListMultiparts(t.Context(), ""); err != nil || len(uploads) > 0 {
			t.Errorf("uploads left: %v, %v", uploads, err)
		}
	})
	t.Run("PutObject does not", func(t *testing.T) {
		bucket := rgw.NewBucket()
		_, err := silent(bucket, whole).Bucket(bucket).Put(t.Context(), request())
		wantKind(t, err, s3backend.KindCorrupt)
		if r := rgw.Do(http.MethodHead, "/"+bucket+"/k", "", nil, nil); r.Status != http.StatusNotFound {
			t.Errorf("the object is still there: %d", r.Status)
		}
	})
	t.Run("the finished upload is not", func(t *testing.T) {
		bucket := rgw.NewBucket()
		s := silent(bucket, rest).Bucket(bucket)
		id, err := s.CreateMultipart(t.Context(), s3backend.CreateMultipartRequest{Key: "k"})
		if err != nil {
			t.Fatal(err)
		}
		part := s3backend.UploadPartRequest{Key: "k", UploadID: id, Number: 1, Body: strings.NewReader("secret"), Size: 6}
		_, err = s.UploadPart(t.Context(), part)
		wantKind(t, err, s3backend.KindCorrupt)
		_, err = s.CompleteMultipart(t.Context(), s3backend.CompleteMultipartRequest{Key: "k", UploadID: id,
			Parts: []s3backend.Part{{Number: 1, ETag: md5Of("secret"), Size: 6}}})
		wantKind(t, err, s3backend.KindCorrupt)
		if r := rgw.Do(http.MethodHead, "/"+bucket+"/k", "", nil, nil); r.Status != http.StatusNotFound {
			t.Errorf("the object is still there: %d", r.Status)
		}
	})
}

// The policy of OSiRIS's pages asks for s3:x-amz-server-side-encryption, which
// RGW 16 takes beside the headers of SSE-C; those after it refuse both together.
func TestRGWPolicyOfBothHeaders(t *testing.T) {
	rgw := s3test.RGW(t)
	bucket := rgw.NewBucket()
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::` + bucket + `/*",
		"Condition":{"Null":{"s3:x-amz-server-side-encryption":"true"}}}]}`
	if r := rgw.Do(http.MethodPut, "/"+bucket, "policy", nil, []byte(policy)); r.Status >= 300 {
		t.Fatal(r)
	}
	_, err := rgwClient(t, rgw, true, nil).Bucket(bucket).Put(t.Context(), s3backend.PutRequest{Key: "k", Body: strings.NewReader("x"), Size: 1})
	wantKind(t, err, s3backend.KindPermission)

	key := newKey(t)
	c := sseClient(t, rgw, key)
	s := c.Bucket(bucket)
	_, err = s.Put(t.Context(), s3backend.PutRequest{Key: "k", Body: strings.NewReader("data"), Size: 4})
	if err != nil {
		var answer *s3backend.Error
		if r := bothHeaders(t, rgw); r.Status == http.StatusBadRequest && errors.As(err, &answer) && answer.Code == "AccessDenied" {
			t.Skip("this RGW refuses both headers together, as 18 and 20 do")
		}
		t.Fatal(err)
	}
	if got := get(t, s, "k"); got != "data" || !refusedPlain(t, rgw, bucket, "k") {
		t.Errorf("stored in the clear, or as %q", got)
	}
	before := c.Stats().Requests["PutObject"]
	put(t, s, "k2", "data")
	if n := c.Stats().Requests["PutObject"] - before; n != 1 {
		t.Errorf("%d PUTs where it is known that both headers are wanted", n)
	}
	forced := rgwClient(t, rgw, true, func(cfg *s3backend.Config) {
		cfg.SSEKeys, cfg.SSEHeaderAlso = []s3backend.Key{key}, true
	})
	put(t, forced.Bucket(bucket), "k3", "data")
	if n := forced.Stats().Requests["PutObject"]; n != 1 {
		t.Errorf("%d PUTs with SSEHeaderAlso", n)
	}
}

// bothHeaders sends a PUT with both kinds of header.
func bothHeaders(t testing.TB, rgw *s3test.RGWServer) s3test.Response {
	return rgw.Do(http.MethodPut, "/"+rgw.NewBucket()+"/k", "", http.Header{
		"X-Amz-Server-Side-Encryption":                    {"AES256"},
		"X-Amz-Server-Side-Encryption-Customer-Algorithm": {"AES256"},
	}, nil)
}

func randomText(t testing.TB, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
