package s3backend_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// newECS puts a proxy before RGW that refuses what a Dell ECS of a cloud is
// described to refuse: version 4 for data, since it computes another hash of the
// payload, version 2 for all else, any region but fr1, and virtual hosts.
func newECS(t *testing.T, rgw *s3test.RGWServer) (endpoint string) {
	t.Helper()
	target, err := url.Parse(rgw.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }, // the host is signed
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),                     // tests cancel requests
		Transport: &http.Transport{
			DisableKeepAlives: true, // what is left open would be a leak
		},
	}
	var self string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int, code string) {
			w.WriteHeader(status)
			// A client that has gone is the test's doing.
			_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
		}
		authorization := r.Header.Get("Authorization")
		v4 := strings.HasPrefix(authorization, "AWS4-")
		_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		names := r.Method == http.MethodHead || r.Method == http.MethodGet && key == ""
		switch {
		case r.Host != self:
			refuse(http.StatusNotFound, "NoSuchKey")
		case v4 && !strings.Contains(authorization, "/fr1/s3/"):
			refuse(http.StatusBadRequest, "AuthorizationHeaderMalformed")
		case v4 && !names:
			refuse(http.StatusBadRequest, "XAmzContentSHA256Mismatch")
		case !v4 && names:
			refuse(http.StatusForbidden, "SignatureDoesNotMatch")
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	self = strings.TrimPrefix(srv.URL, "http://")
	return srv.URL
}

func TestECS(t *testing.T) {
	rgw := s3test.RGW(t)
	ecs := newECS(t, rgw)
	var log bytes.Buffer
	with := func(change func(*s3backend.Config)) *s3backend.Client {
		return rgwClient(t, rgw, false, func(cfg *s3backend.Config) {
			cfg.Endpoint, cfg.Region = ecs, "fr1"
			change(cfg)
		})
	}
	auto := with(func(cfg *s3backend.Config) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	name := rgw.NewBucket()
	put(t, auto.Bucket(name), "k", content) // is refused, and sent again
	if got := auto.Signature(); got != s3backend.SignatureHybrid {
		t.Errorf("auto has found %s", got)
	}
	if n := strings.Count(log.String(), "--signature=hybrid"); n != 1 {
		t.Errorf("the flag is told %d times: %s", n, &log)
	}
	hybrid := with(func(cfg *s3backend.Config) { cfg.Signature = s3backend.SignatureHybrid })
	for _, c := range []*s3backend.Client{auto, hybrid} {
		everything(t, c.Bucket(name))
		if got := c.Signature(); got != s3backend.SignatureHybrid {
			t.Errorf("it became %s", got)
		}
	}

	for _, c := range []struct{ signature, code string }{
		{s3backend.SignatureV4, "XAmzContentSHA256Mismatch"}, {s3backend.SignatureV2, ""},
	} {
		b := with(func(cfg *s3backend.Config) { cfg.Signature = c.signature }).Bucket(name)
		_, err := b.Put(t.Context(), s3backend.PutRequest{Key: "k", Body: strings.NewReader(content), Size: int64(len(content))})
		if c.code == "" {
			_, err = b.List(t.Context(), s3backend.ListRequest{})
			c.code = "SignatureDoesNotMatch"
		}
		if e := (*s3backend.Error)(nil); !asError(err, &e) || e.Code != c.code {
			t.Errorf("%s: %v", c.signature, err)
		}
	}
	_, err := with(func(cfg *s3backend.Config) { cfg.Region = "us-east-1" }).Bucket(name).List(t.Context(), s3backend.ListRequest{})
	if e := wantKind(t, err, s3backend.KindInvalid); e.Code != "AuthorizationHeaderMalformed" {
		t.Error(err)
	}
}

// everything does what a mount does to a bucket.
func everything(t *testing.T, b s3backend.Store) {
	t.Helper()
	put(t, b, "dir/k é", content)
	if get(t, b, "dir/k é") != content {
		t.Error("other content")
	}
	if _, err := b.Head(t.Context(), "dir/k é"); err != nil {
		t.Error(err)
	}
	if page, err := b.List(t.Context(), s3backend.ListRequest{Prefix: "dir/"}); err != nil || len(page.Objects) != 1 {
		t.Error(page, err)
	}
	if _, err := b.Copy(t.Context(), s3backend.CopyRequest{Key: "copy", SourceKey: "dir/k é"}); err != nil {
		t.Error(err)
	}
	id, err := b.CreateMultipart(t.Context(), s3backend.CreateMultipartRequest{Key: "parts"})
	if err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("0123456789abcdef", 5<<20/16)
	first, err := b.UploadPart(t.Context(), s3backend.UploadPartRequest{Key: "parts", UploadID: id, Number: 1, Body: strings.NewReader(big), Size: int64(len(big))})
	if err != nil {
		t.Fatal(err)
	}
	second, err := b.CopyPart(t.Context(), s3backend.CopyPartRequest{Key: "parts", UploadID: id, Number: 2, SourceKey: "dir/k é", Length: int64(len(content))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.CompleteMultipart(t.Context(), s3backend.CompleteMultipartRequest{Key: "parts", UploadID: id, Parts: []s3backend.Part{first, second}}); err != nil {
		t.Fatal(err)
	}
	if get(t, b, "parts") != big+content {
		t.Error("other content of a multipart upload")
	}
	if _, err := b.Usage(t.Context()); err != nil {
		t.Error(err)
	}
	if failed, err := b.DeleteMany(t.Context(), []string{"copy", "parts"}); err != nil || len(failed) > 0 {
		t.Error(failed, err)
	}
	if err := b.Delete(t.Context(), "dir/k é"); err != nil {
		t.Error(err)
	}
}

func asError(err error, e **s3backend.Error) bool {
	var ok bool
	*e, ok = err.(*s3backend.Error)
	return ok
}

// toAddress sends requests to any host of a server to its address.
type toAddress struct {
	next http.RoundTripper
	host string
}

func (a toAddress) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	if req.Host == "" {
		req.Host = req.URL.Host
	}
	req.URL.Host = a.host
	return a.next.RoundTrip(req)
}

func TestRGWVirtualHostByEachSignature(t *testing.T) {
	rgw := s3test.RGW(t)
	address := strings.TrimPrefix(rgw.HTTP, "http://")
	name := rgw.NewBucket()
	for _, mode := range s3backend.Signatures() {
		c := rgwClient(t, rgw, false, func(cfg *s3backend.Config) {
			cfg.Endpoint = "http://localhost:" + address[strings.LastIndex(address, ":")+1:] // rgw_dns_name
			cfg.VirtualHost, cfg.Signature = true, mode
			cfg.WrapTransport = func(next http.RoundTripper) http.RoundTripper { return toAddress{next, address} }
		})
		b := c.Bucket(name)
		put(t, b, "dir/k é", content)
		if get(t, b, "dir/k é") != content {
			t.Error("other content")
		}
		if _, err := b.List(t.Context(), s3backend.ListRequest{}); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		if got := c.Signature(); mode != s3backend.SignatureAuto && got != mode {
			t.Errorf("%s became %s", mode, got)
		}
	}
}

func TestRGWTenant(t *testing.T) {
	rgw := s3test.RGW(t)
	name := rgw.NewBucketName()
	tenant := strings.ReplaceAll(name, "-", "")
	rgw.Admin("user", "create", "--tenant="+tenant, "--uid=owner", "--display-name=owner", "--access-key="+tenant, "--secret=secret")
	t.Cleanup(func() { rgw.Admin("user", "rm", "--tenant="+tenant, "--uid=owner", "--purge-data") })
	owner := rgwClient(t, rgw, false, func(cfg *s3backend.Config) {
		cfg.AccessKey, cfg.SecretKey = s3backend.Secret(tenant), "secret"
	})
	if err := owner.CreateBucket(t.Context(), s3backend.NewBucket{Name: name}); err != nil {
		t.Fatal(err)
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam:::user/rgwfs"]},"Action":"s3:*","Resource":["arn:aws:s3::` + tenant + `:` + name + `","arn:aws:s3::` + tenant + `:` + name + `/*"]}]}`
	if err := owner.SetPolicy(t.Context(), name, []byte(policy)); err != nil {
		t.Fatal(err)
	}

	// Without its tenant there is no such bucket.
	_, err := rgwClient(t, rgw, false, nil).Bucket(name).List(t.Context(), s3backend.ListRequest{})
	wantKind(t, err, s3backend.KindNotExist)
	mine := rgw.NewBucket()
	for _, mode := range []string{s3backend.SignatureV4, s3backend.SignatureV2} {
		c := rgwClient(t, rgw, false, func(cfg *s3backend.Config) { cfg.Tenant, cfg.Signature = tenant, mode })
		b := c.Bucket(name)
		if b.Name() != name {
			t.Errorf("the bucket's name is %s", b.Name())
		}
		put(t, b, "k", content)
		if _, err := b.Copy(t.Context(), s3backend.CopyRequest{Key: "copy", SourceKey: "k"}); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		id, err := b.CreateMultipart(t.Context(), s3backend.CreateMultipartRequest{Key: "parts"})
		if err != nil {
			t.Fatal(err)
		}
		part, err := b.CopyPart(t.Context(), s3backend.CopyPartRequest{Key: "parts", UploadID: id, Number: 1, SourceKey: "k", Length: int64(len(content))})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.CompleteMultipart(t.Context(), s3backend.CompleteMultipartRequest{Key: "parts", UploadID: id, Parts: []s3backend.Part{part}}); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"k", "copy", "parts"} {
			if get(t, b, key) != content {
				t.Errorf("%s: other content in %s", mode, key)
			}
		}
		plain, err := c.PlainURL(name, "k", "")
		if err != nil {
			t.Fatal(err)
		}
		signed, err := c.PresignV2(t.Context(), http.MethodGet, plain, nil, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if status, body := fetchURL(t, http.MethodGet, signed, nil, ""); status != http.StatusOK || body != content {
			t.Errorf("%s: a URL: %d %s", mode, status, body)
		}
		if failed, err := b.DeleteMany(t.Context(), []string{"k", "copy", "parts"}); err != nil || len(failed) > 0 {
			t.Error(failed, err)
		}
		// The user's own buckets have no tenant's name before them.
		if buckets, err := c.ListBuckets(t.Context()); err != nil || !hasBucket(buckets, mine) {
			t.Errorf("%v, %v", buckets, err)
		}
	}
}

func hasBucket(buckets []s3backend.BucketInfo, name string) bool {
	for _, b := range buckets {
		if b.Name == name {
			return true
		}
	}
	return false
}

func TestRGWRequesterPaysAndAnonymous(t *testing.T) {
	rgw := s3test.RGW(t)
	name := rgw.NewBucket()
	if r := rgw.Do(http.MethodPut, "/"+name+"/k", "", http.Header{"X-Amz-Acl": {"public-read"}}, []byte(content)); r.Status != http.StatusOK {
		t.Fatal(r)
	}
	if r := rgw.Do(http.MethodPut, "/"+name+"/private", "", nil, []byte(content)); r.Status != http.StatusOK {
		t.Fatal(r)
	}
	anonymous := rgwClient(t, rgw, false, func(cfg *s3backend.Config) {
		cfg.AccessKey, cfg.SecretKey, cfg.NoSignRequest = "", "", true
	}).Bucket(name)
	if get(t, anonymous, "k") != content {
		t.Error("other content")
	}
	_, _, err := anonymous.Get(t.Context(), s3backend.GetRequest{Key: "private", Length: -1})
	wantKind(t, err, s3backend.KindPermission)

	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam:::user/other"]},"Action":"s3:*","Resource":["arn:aws:s3:::` + name + `","arn:aws:s3:::` + name + `/*"]}]}`
	payment := `<RequestPaymentConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Payer>Requester</Payer></RequestPaymentConfiguration>`
	for query, body := range map[string]string{"policy": policy, "requestPayment": payment} {
		if r := s3Do(t, rgw, name, query, body); r >= 300 {
			t.Fatalf("%s: %d", query, r)
		}
	}
	for _, pays := range []bool{false, true} {
		for _, mode := range []string{s3backend.SignatureV4, s3backend.SignatureV2} {
			b := rgwClient(t, rgw, false, func(cfg *s3backend.Config) {
				cfg.AccessKey, cfg.SecretKey = s3backend.Secret(rgw.OtherAccessKey), s3backend.Secret(rgw.OtherSecretKey)
				cfg.RequesterPays, cfg.Signature = pays, mode
			}).Bucket(name)
			_, body, err := b.Get(t.Context(), s3backend.GetRequest{Key: "private", Length: -1})
			if !pays {
				wantKind(t, err, s3backend.KindPermission)
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			data, err := io.ReadAll(body)
			if err != nil || string(data) != content || body.Close() != nil {
				t.Errorf("%q, %v", data, err)
			}
			put(t, b, "new", content)
		}
	}
}

// s3Do sets a subresource of a bucket by a URL of the bucket's owner.
func s3Do(t *testing.T, rgw *s3test.RGWServer, bucket, query, body string) (status int) {
	t.Helper()
	c := rgwClient(t, rgw, false, nil)
	signed, err := c.PresignV2(t.Context(), http.MethodPut, rgw.HTTP+"/"+bucket+"?"+query, nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	status, _ = fetchURL(t, http.MethodPut, signed, nil, body)
	return status
}
