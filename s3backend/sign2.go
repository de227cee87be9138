package s3backend

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Signature version 2 of S3, which the SDK does not have. Unlike version 4 it
// knows no region and leaves the body alone, but for Content-MD5; and it is the
// only one that can carry an access key with a slash in it.
// (docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html; RGW:
// rgw_auth_s3.cc, rgw_create_s3_canonical_header)

// subresources2 are the query parameters that version 2 signs, in the order of
// RGW's own list (rgw_auth_s3.cc, signed_subresources), which is the order that
// S3 wants: sorted by bytes. RGW leaves out append, position and whatever else
// is not here. encryption and object-lock are signed by newer releases only, and
// not by 16.2.
var subresources2 = []string{
	"acl", "cors", "delete", "lifecycle", "location", "logging", "notification",
	"partNumber", "policy", "policyStatus", "publicAccessBlock", "requestPayment",
	"response-cache-control", "response-content-disposition", "response-content-encoding",
	"response-content-language", "response-content-type", "response-expires",
	"tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website",
}

// signV2 signs a request in its Authorization header. bucket is that of a
// virtual host, "" if the path has it.
func signV2(creds aws.Credentials, req *http.Request, bucket string, now time.Time) {
	h := req.Header
	// What version 4 wants; signed here as well, it would only be in the way of
	// servers that check it.
	h.Del("X-Amz-Content-Sha256")
	h.Del("X-Amz-Date")
	h.Set("Date", now.UTC().Format(http.TimeFormat))
	if creds.SessionToken != "" {
		h.Set("X-Amz-Security-Token", creds.SessionToken)
	}
	text := canonical2(req.Method, h, req.URL, bucket, h.Get("Date"))
	h.Set("Authorization", "AWS "+creds.AccessKeyID+":"+mac2(creds, text))
}

// presignV2 returns the URL of req with a signature in its query. Whoever uses
// it must send the headers that req has.
func presignV2(creds aws.Credentials, req *http.Request, bucket string, expires time.Time) string {
	u, h := *req.URL, req.Header.Clone()
	if h == nil {
		h = http.Header{}
	}
	q := u.Query()
	if creds.SessionToken != "" {
		// Signed as if it were a header (rgw_auth_s3.cc, qs_map).
		h.Set("X-Amz-Security-Token", creds.SessionToken)
		q.Set("x-amz-security-token", creds.SessionToken)
	}
	date := strconv.FormatInt(expires.Unix(), 10)
	text := canonical2(req.Method, h, &u, bucket, date)
	q.Set("AWSAccessKeyId", creds.AccessKeyID)
	q.Set("Expires", date)
	q.Set("Signature", mac2(creds, text))
	u.RawQuery = q.Encode()
	return u.String()
}

func mac2(creds aws.Credentials, text string) string {
	mac := hmac.New(sha1.New, []byte(creds.SecretAccessKey))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// canonical2 returns the string to sign: date is that of the header, or the
// second at which a URL expires.
func canonical2(method string, h http.Header, u *url.URL, bucket, date string) string {
	amz := map[string]string{}
	for name, values := range h {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") {
			trimmed := make([]string, len(values))
			for i, v := range values {
				trimmed[i] = strings.TrimSpace(v)
			}
			amz[lower] = strings.Join(trimmed, ",")
		}
	}
	headers := ""
	// By name alone: with its colon, x-amz-copy-source would come after
	// x-amz-copy-source-if-match.
	for _, name := range slices.Sorted(maps.Keys(amz)) {
		headers += name + ":" + amz[name] + "\n"
	}

	resource := u.EscapedPath()
	if resource == "" {
		resource = "/"
	}
	if bucket != "" {
		resource = "/" + bucket + resource
	}
	query, separator := u.Query(), "?"
	for _, name := range subresources2 {
		values, ok := query[name]
		if !ok {
			continue
		}
		resource += separator + name
		separator = "&"
		if len(values) > 0 && values[0] != "" {
			resource += "=" + values[0]
		}
	}
	return method + "\n" + h.Get("Content-Md5") + "\n" + h.Get("Content-Type") + "\n" + date + "\n" +
		headers + resource
}

// PresignV2 returns a URL, signed by version 2, for one request until expires
// has passed: rawURL is that of the object without a signature (PlainURL), with
// the query that the request shall have. header is what its sender must send
// with it beside; nil is none. It makes no request. The URL holds the access
// key, and with it the password if that is a token: see HasTokenKey.
func (c *Client) PresignV2(ctx context.Context, method, rawURL string, header http.Header, expires time.Duration) (string, error) {
	fail := func(kind Kind, err error) error { return &Error{Kind: kind, Op: "PresignURL", Err: err} }
	if c.cfg.NoSignRequest {
		return "", fail(KindPermission, errors.New("there are no credentials to sign with"))
	}
	if expires < time.Second {
		return "", fail(KindInvalid, fmt.Errorf("a lifetime of %v: it must be 1s or more", expires))
	}
	creds, err := c.options.Credentials.Retrieve(ctx)
	if err != nil {
		return "", fail(KindPermission, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, rawURL, nil)
	if err != nil {
		return "", fail(KindInvalid, err)
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	return presignV2(creds, req, hostBucket(&c.cfg, c.wire.endpoint, req.URL), time.Now().Add(expires)), nil
}

// hostBucket returns the bucket that a virtual host names, "" if it names none.
func hostBucket(cfg *Config, endpoint, u *url.URL) string {
	if !cfg.VirtualHost {
		return ""
	}
	bucket, ok := strings.CutSuffix(u.Host, "."+endpoint.Host)
	if !ok {
		return ""
	}
	return bucket
}
