package s3test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Response is RGW's answer to Do.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

func (r Response) String() string {
	return fmt.Sprintf("status %d: %s", r.Status, r.Body)
}

// Do sends one request to the gateway as the user "rgwfs", over http, without
// retries and past all of s3backend: to set a scene behind the back of the code
// under test, and to see what is really there; from cleanups, too. path is "/bucket" or
// "/bucket/key", not escaped; query is escaped, without its "?".
func (s *RGWServer) Do(method, path, query string, header http.Header, body []byte) Response {
	s.t.Helper()
	target, err := url.Parse(s.HTTP)
	if err != nil {
		s.t.Fatal(err)
	}
	target.Path, target.RawPath = path, escapePath(path)
	target.RawQuery = query
	req, err := http.NewRequest(method, target.String(), bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for k, v := range header {
		req.Header[http.CanonicalHeaderKey(k)] = v
	}
	req.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	signV2(req, s.AccessKey, s.SecretKey)
	return s.send(req)
}

func (s *RGWServer) send(req *http.Request) Response {
	s.t.Helper()
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return Response{Status: resp.StatusCode, Header: resp.Header, Body: data}
}

// escapePath escapes all but unreserved characters and "/", as RGW wants it
// for any key.
func escapePath(path string) string {
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~/", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// signV2 signs by AWS signature version 2, which RGW takes for everything and
// which leaves the body alone:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
func signV2(req *http.Request, accessKey, secretKey string) {
	var amz []string
	for k, v := range req.Header {
		if name := strings.ToLower(k); strings.HasPrefix(name, "x-amz-") {
			amz = append(amz, name+":"+strings.Join(v, ",")+"\n")
		}
	}
	slices.Sort(amz)
	resource := req.URL.EscapedPath()
	separator := "?"
	parameters := strings.Split(req.URL.RawQuery, "&")
	slices.Sort(parameters)
	for _, p := range parameters {
		name, _, _ := strings.Cut(p, "=")
		if slices.Contains(subresources, name) {
			resource += separator + p
			separator = "&"
		}
	}
	text := req.Method + "\n" + req.Header.Get("Content-Md5") + "\n" + req.Header.Get("Content-Type") + "\n" +
		req.Header.Get("Date") + "\n" + strings.Join(amz, "") + resource
	mac := hmac.New(sha1.New, []byte(secretKey))
	mac.Write([]byte(text))
	req.Header.Set("Authorization", "AWS "+accessKey+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// The query parameters that are part of what is signed. Not append and
// position: RGW leaves them out.
var subresources = []string{
	"acl", "cors", "delete", "lifecycle", "location", "notification", "partNumber", "policy", "tagging",
	"uploadId", "uploads", "versionId", "versioning", "versions",
}
