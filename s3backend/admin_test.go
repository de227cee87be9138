package s3backend_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// otherClient returns a Client of the rig's second user, over http.
func otherClient(t testing.TB, rgw *s3test.RGWServer) *s3backend.Client {
	t.Helper()
	return client(t, func(cfg *s3backend.Config) {
		cfg.Endpoint = rgw.HTTP
		cfg.AccessKey, cfg.SecretKey = s3backend.Secret(rgw.OtherAccessKey), s3backend.Secret(rgw.OtherSecretKey)
	})
}

// fetch sends a request without credentials of its own.
func fetch(t testing.TB, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

const oddKey = "dir/a b+c%20&=?é.txt"

func TestRGWObjectACL(t *testing.T) {
	rgw := s3test.RGW(t)
	c, other := rgwClient(t, rgw, false, nil), otherClient(t, rgw)
	bucket := rgw.NewBucket()
	put(t, c.Bucket(bucket), oddKey, "x")

	acl, err := c.ObjectACL(t.Context(), bucket, oddKey, "")
	if err != nil || acl.Canned() != "private" || acl.Public() {
		t.Errorf("a new object: %+v, %v", acl, err)
	}
	_, err = other.Bucket(bucket).Head(t.Context(), oddKey)
	wantKind(t, err, s3backend.KindPermission)

	for _, canned := range []string{"public-read", "public-read-write", "authenticated-read", "private"} {
		if err := c.SetObjectACL(t.Context(), bucket, oddKey, "", s3backend.NewACL{Canned: canned}); err != nil {
			t.Fatal(err)
		}
		acl, err := c.ObjectACL(t.Context(), bucket, oddKey, "")
		if err != nil || acl.Canned() != canned || acl.Public() != strings.HasPrefix(canned, "public") {
			t.Errorf("%s: %+v, %v", canned, acl, err)
		}
		_, err = other.Bucket(bucket).Head(t.Context(), oddKey)
		if canned == "private" {
			wantKind(t, err, s3backend.KindPermission)
		} else if err != nil {
			t.Errorf("%s: %v", canned, err)
		}
	}

	grants := []s3backend.Grant{{Grantee: "other", Permission: s3backend.PermissionRead}, {Grantee: acl.Owner, Permission: s3backend.PermissionFullControl}}
	if err := c.SetObjectACL(t.Context(), bucket, oddKey, "", s3backend.NewACL{Grants: grants}); err != nil {
		t.Fatal(err)
	}
	acl, err = c.ObjectACL(t.Context(), bucket, oddKey, "")
	if err != nil || acl.Canned() != "" || len(acl.Grants) != 2 || !slices.Contains(acl.Grants, grants[0]) || !slices.Contains(acl.Grants, grants[1]) {
		t.Errorf("grants: %+v, %v", acl, err)
	}
	if _, err := other.Bucket(bucket).Head(t.Context(), oddKey); err != nil {
		t.Errorf("granted to the other user: %v", err)
	}
	for _, bad := range []s3backend.NewACL{
		{}, {Canned: "public"}, {Canned: "private", Grants: grants},
		{Grants: []s3backend.Grant{{Grantee: `x"y`, Permission: "READ"}}}, {Grants: []s3backend.Grant{{Grantee: "other", Permission: "LOOK"}}},
	} {
		wantKind(t, c.SetObjectACL(t.Context(), bucket, oddKey, "", bad), s3backend.KindInvalid)
	}
	_, err = c.ObjectACL(t.Context(), bucket, "absent", "")
	wantKind(t, err, s3backend.KindNotExist)
}

func TestRGWBucketACL(t *testing.T) {
	rgw := s3test.RGW(t)
	c, other := rgwClient(t, rgw, false, nil), otherClient(t, rgw)
	bucket := rgw.NewBucket()
	_, err := other.Bucket(bucket).List(t.Context(), s3backend.ListRequest{})
	wantKind(t, err, s3backend.KindPermission)
	if err := c.SetBucketACL(t.Context(), bucket, s3backend.NewACL{Canned: "public-read-write"}); err != nil {
		t.Fatal(err)
	}
	acl, err := c.BucketACL(t.Context(), bucket)
	if err != nil || acl.Canned() != "public-read-write" {
		t.Errorf("%+v, %v", acl, err)
	}
	if _, err := other.Bucket(bucket).List(t.Context(), s3backend.ListRequest{}); err != nil {
		t.Error(err)
	}

	// The object belongs to who stored it, and the bucket's owner can't read
	// it unless told so.
	put(t, other.Bucket(bucket), "theirs", "x")
	_, _, err = c.Bucket(bucket).Get(t.Context(), s3backend.GetRequest{Key: "theirs", Length: -1})
	wantKind(t, err, s3backend.KindPermission)
	sharing := client(t, func(cfg *s3backend.Config) {
		cfg.Endpoint, cfg.ACL = rgw.HTTP, "bucket-owner-full-control"
		cfg.AccessKey, cfg.SecretKey = s3backend.Secret(rgw.OtherAccessKey), s3backend.Secret(rgw.OtherSecretKey)
	}).Bucket(bucket)
	put(t, sharing, "put", "x")
	if _, err := sharing.Copy(t.Context(), s3backend.CopyRequest{Key: "copied", SourceKey: "theirs"}); err != nil {
		t.Fatal(err)
	}
	id, err := sharing.CreateMultipart(t.Context(), s3backend.CreateMultipartRequest{Key: "parts"})
	if err != nil {
		t.Fatal(err)
	}
	part, err := sharing.UploadPart(t.Context(), s3backend.UploadPartRequest{Key: "parts", UploadID: id, Number: 1, Body: strings.NewReader("x"), Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sharing.CompleteMultipart(t.Context(), s3backend.CompleteMultipartRequest{Key: "parts", UploadID: id, Parts: []s3backend.Part{part}}); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"put", "copied", "parts"} {
		_, body, err := c.Bucket(bucket).Get(t.Context(), s3backend.GetRequest{Key: key, Length: -1})
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		body.Close()
	}
}

func TestRGWSignedURL(t *testing.T) {
	for version, word := range map[string]string{s3backend.SignatureV4: "X-Amz-Signature=", s3backend.SignatureV2: "&Signature="} {
		t.Run(version, func(t *testing.T) { testSignedURL(t, version, word) })
	}
}

func testSignedURL(t *testing.T, version, word string) {
	rgw := s3test.RGW(t)
	c := rgwClient(t, rgw, false, func(cfg *s3backend.Config) { cfg.Signature = version })
	bucket := rgw.NewBucket()
	sign := func(req s3backend.URLRequest) string {
		t.Helper()
		req.Bucket, req.Key = bucket, oddKey
		url, err := c.SignURL(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(url, word) {
			t.Errorf("not signed by %s: %s", version, url)
		}
		return url
	}
	if status, text := fetch(t, http.MethodPut, sign(s3backend.URLRequest{Put: true, Expires: time.Hour}), "by URL"); status != http.StatusOK {
		t.Fatalf("PUT: %d %s", status, text)
	}
	url := sign(s3backend.URLRequest{Expires: s3backend.MaxURLLifetime})
	if status, text := fetch(t, http.MethodGet, url, ""); status != http.StatusOK || text != "by URL" {
		t.Errorf("GET: %d %q", status, text)
	}
	if status, _ := fetch(t, http.MethodPut, url, "x"); status != http.StatusForbidden {
		t.Errorf("PUT by a URL for GET: %d", status)
	}
	short := sign(s3backend.URLRequest{Expires: time.Second})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		if status, _ := fetch(t, http.MethodGet, short, ""); status == http.StatusForbidden {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a URL of 1s does not expire")
		}
	}

	plain, err := c.PlainURL(bucket, oddKey, "")
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := fetch(t, http.MethodGet, plain, ""); status != http.StatusForbidden {
		t.Errorf("a private object without signature: %d", status)
	}
	if err := c.SetObjectACL(t.Context(), bucket, oddKey, "", s3backend.NewACL{Canned: "public-read"}); err != nil {
		t.Fatal(err)
	}
	if status, text := fetch(t, http.MethodGet, plain, ""); status != http.StatusOK || text != "by URL" {
		t.Errorf("a public object without signature: %d %q", status, text)
	}
	for _, bad := range []s3backend.URLRequest{
		{Bucket: bucket, Key: "k"}, {Bucket: bucket, Key: "k", Expires: s3backend.MaxURLLifetime + time.Second},
		{Bucket: bucket, Key: "k", Expires: time.Hour, Put: true, Version: "v"},
	} {
		_, err := c.SignURL(t.Context(), bad)
		wantKind(t, err, s3backend.KindInvalid)
	}
}

// The token of an LDAP user holds the password.
func TestNoTokenInURL(t *testing.T) {
	token := base64.StdEncoding.EncodeToString([]byte(`{"RGW_TOKEN":{"version":1,"type":"ldap","id":"u","key":"pw"}}`))
	c := client(t, func(cfg *s3backend.Config) {
		cfg.Endpoint, cfg.AccessKey = "https://rgw.example.org", s3backend.Secret(token)
	})
	if held, err := c.HasTokenKey(t.Context()); err != nil || !held {
		t.Errorf("the token is not seen: %v", err)
	}
	req := s3backend.URLRequest{Bucket: "bucket", Key: "key", Expires: time.Hour}
	url, err := c.SignURL(t.Context(), req)
	wantKind(t, err, s3backend.KindPermission)
	if !errors.Is(err, s3backend.ErrTokenInURL) || url != "" || strings.Contains(err.Error(), token) {
		t.Errorf("%q, %v", url, err)
	}
	req.AllowToken = true
	if url, err = c.SignURL(t.Context(), req); err != nil || !strings.Contains(url, "X-Amz-Signature=") {
		t.Errorf("%q, %v", url, err)
	}
}

func TestRGWVersions(t *testing.T) {
	rgw := s3test.RGW(t)
	c := rgwClient(t, rgw, false, nil)
	bucket := rgw.NewBucket()
	store := c.Bucket(bucket)
	put(t, store, oddKey, "before")
	if status, err := c.Versioning(t.Context(), bucket); err != nil || status != "" {
		t.Errorf("versioning %q, %v", status, err)
	}
	if err := c.SetVersioning(t.Context(), bucket, true); err != nil {
		t.Fatal(err)
	}
	if status, err := c.Versioning(t.Context(), bucket); err != nil || status != "Enabled" {
		t.Errorf("versioning %q, %v", status, err)
	}
	first := put(t, store, oddKey, "first")
	put(t, store, oddKey, "second")
	put(t, store, "control\x01", "x")
	if err := store.Delete(t.Context(), oddKey); err != nil {
		t.Fatal(err)
	}

	// Pages of two show that they are continued within a key.
	var all []s3backend.Version
	req := s3backend.VersionsRequest{Bucket: bucket, MaxKeys: 2}
	for {
		page, err := c.ListVersions(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Versions...)
		if page.NextKey == "" {
			break
		}
		req.AfterKey, req.AfterID = page.NextKey, page.NextID
	}
	if len(all) != 5 || all[0].Key != "control\x01" {
		t.Fatalf("%+v", all)
	}
	of := all[1:]
	if !of[0].DeleteMarker || !of[0].Latest || of[1].DeleteMarker || of[1].Size != 6 || of[2].ETag != first.ETag || of[3].ID != "null" {
		t.Errorf("%+v", of)
	}
	url, err := c.SignURL(t.Context(), s3backend.URLRequest{Bucket: bucket, Key: oddKey, Version: of[2].ID, Expires: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if status, text := fetch(t, http.MethodGet, url, ""); status != http.StatusOK || text != "first" {
		t.Errorf("the URL of a version: %d %q", status, text)
	}
	info, err := c.ObjectInfo(t.Context(), bucket, oddKey, of[2].ID)
	if err != nil || info.Version != of[2].ID || info.ETag != first.ETag {
		t.Errorf("%+v, %v", info, err)
	}

	if _, err := c.RestoreVersion(t.Context(), bucket, oddKey, of[2].ID); err != nil {
		t.Fatal(err)
	}
	if now, err := store.Head(t.Context(), oddKey); err != nil || now.ETag != first.ETag {
		t.Errorf("restored: %+v, %v", now, err)
	}
	_, err = c.RestoreVersion(t.Context(), bucket, oddKey, "nosuchversion")
	if err == nil {
		t.Error("a version that is not there was restored")
	}
	_, err = c.RestoreVersion(t.Context(), bucket, oddKey, "")
	wantKind(t, err, s3backend.KindInvalid)
	if err := c.DeleteVersion(t.Context(), bucket, oddKey, of[1].ID); err != nil {
		t.Fatal(err)
	}
	_, err = c.ObjectInfo(t.Context(), bucket, oddKey, of[1].ID)
	wantKind(t, err, s3backend.KindNotExist)
}

func TestRGWBucketSettings(t *testing.T) {
	rgw := s3test.RGW(t)
	c := rgwClient(t, rgw, false, nil)
	bucket := rgw.NewBucketName()
	rgw.RemoveBucketLater(bucket)
	if err := c.CreateBucket(t.Context(), s3backend.NewBucket{Name: bucket, Placement: "default:default-placement", ACL: "public-read"}); err != nil {
		t.Fatal(err)
	}
	d, err := c.BucketDetails(t.Context(), bucket)
	if err != nil || d.Owner != "rgwfs" || d.ACL.Canned() != "public-read" || d.Versioning != "" || d.Usage.Objects != 0 || len(d.Denied) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
	err = c.CreateBucket(t.Context(), s3backend.NewBucket{Name: rgw.NewBucketName(), Placement: "default:nowhere"})
	wantKind(t, err, s3backend.KindInvalid)
	_, err = c.BucketDetails(t.Context(), rgw.NewBucketName())
	wantKind(t, err, s3backend.KindNotExist)

	const policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam:::user/other"]},"Action":"s3:ListBucket","Resource":"arn:aws:s3:::BUCKET"}]}`
	const lifecycle = `{"Rules":[{"AbortIncompleteMultipartUpload":{"DaysAfterInitiation":3},"Filter":{"Prefix":"tmp/"},"ID":"clean","Status":"Enabled"}]}`
	const cors = `{"CORSRules":[{"AllowedMethods":["GET"],"AllowedOrigins":["https://example.org"],"MaxAgeSeconds":600}]}`
	for _, s := range []struct {
		name     string
		document string
		get      func() ([]byte, error)
		set      func([]byte) error
	}{
		{"policy", strings.ReplaceAll(policy, "BUCKET", bucket),
			func() ([]byte, error) { return c.Policy(t.Context(), bucket) },
			func(d []byte) error { return c.SetPolicy(t.Context(), bucket, d) }},
		{"lifecycle", lifecycle,
			func() ([]byte, error) { return c.Lifecycle(t.Context(), bucket) },
			func(d []byte) error { return c.SetLifecycle(t.Context(), bucket, d) }},
		{"cors", cors,
			func() ([]byte, error) { return c.CORS(t.Context(), bucket) },
			func(d []byte) error { return c.SetCORS(t.Context(), bucket, d) }},
	} {
		t.Run(s.name, func(t *testing.T) {
			_, err := s.get()
			wantKind(t, err, s3backend.KindNotExist)
			wantKind(t, s.set([]byte(`{"Rulez": [`)), s3backend.KindInvalid)
			if err := s.set([]byte(s.document)); err != nil {
				t.Fatal(err)
			}
			got, err := s.get()
			if err != nil || !sameJSON(t, got, s.document) {
				t.Errorf("%s, %v", got, err)
			}
			if err := s.set(nil); err != nil {
				t.Fatal(err)
			}
			_, err = s.get()
			wantKind(t, err, s3backend.KindNotExist)
		})
	}
}

// sameJSON ignores what the server adds to a rule by itself: empty values.
func sameJSON(t testing.TB, got []byte, want string) bool {
	t.Helper()
	var compact bytes.Buffer
	if err := json.Compact(&compact, got); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(compact.String(), `,"Prefix":""`, "") == want
}

func TestRGWObjectInfo(t *testing.T) {
	rgw := s3test.RGW(t)
	c := rgwClient(t, rgw, false, nil)
	bucket := rgw.NewBucket()
	r := rgw.Do(http.MethodPut, "/"+bucket+"/k", "", http.Header{
		"X-Amz-Tagging": {"colour=blue"}, "Cache-Control": {"no-store"}, "Content-Type": {"text/x-test"}, "X-Amz-Meta-A": {"b"},
	}, []byte("12345"))
	if r.Status != http.StatusOK {
		t.Fatal(r)
	}
	info, err := c.ObjectInfo(t.Context(), bucket, "k", "")
	if err != nil || info.Size != 5 || info.ContentType != "text/x-test" || info.Metadata["a"] != "b" ||
		info.Headers["cache-control"] != "no-store" || info.Headers["x-rgw-object-type"] != "Normal" || info.Headers["date"] != "" {
		t.Errorf("%+v, %v", info, err)
	}
	tags, err := c.ObjectTags(t.Context(), bucket, "k", "")
	if err != nil || len(tags) != 1 || tags["colour"] != "blue" {
		t.Errorf("%v, %v", tags, err)
	}
	_, err = c.ObjectInfo(t.Context(), bucket, "absent", "")
	wantKind(t, err, s3backend.KindNotExist)
}
