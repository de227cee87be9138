package s3backend

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// MaxURLLifetime is the longest that a URL signed by signature version 4 can
// be valid (RGW and S3 alike).
const MaxURLLifetime = 7 * 24 * time.Hour

// ErrTokenInURL says that a URL was not signed because the access key is a
// token: it would stand in the URL, and holds the user's password.
var ErrTokenInURL = errors.New("the access key is a token that holds a password, and would stand in the URL")

// URLRequest asks for a URL that works without credentials for a while.
type URLRequest struct {
	Bucket, Key string
	Put         bool   // to store the object, not to fetch it
	Version     string // "" = the current one; not with Put
	Expires     time.Duration
	// AllowToken signs with a token too, which the URL then gives away.
	AllowToken bool
}

// SignURL returns a URL that gives whoever has it this user's right to fetch or
// store one object, until it expires. It makes no request, so it can't tell
// whether there is such an object or right. Temporary credentials make it end
// with them. The signature has the version that Config.Signature
// says for data. (S3 query authentication)
func (c *Client) SignURL(ctx context.Context, req URLRequest) (string, error) {
	const op = "PresignURL"
	b := c.at(req.Bucket)
	if err := b.checkKey(op, req.Key); err != nil {
		return "", err
	}
	switch {
	case req.Expires < time.Second || req.Expires > MaxURLLifetime:
		return "", b.fail(op, req.Key, KindInvalid, fmt.Errorf("a lifetime of %v: it is 1s to %v", req.Expires, MaxURLLifetime))
	case req.Put && req.Version != "":
		return "", b.fail(op, req.Key, KindInvalid, errors.New("a version can't be stored, only fetched"))
	case c.cfg.NoSignRequest:
		return "", b.fail(op, req.Key, KindPermission, errors.New("there are no credentials to sign with"))
	}
	creds, err := c.options.Credentials.Retrieve(ctx)
	if err != nil {
		return "", b.fail(op, req.Key, KindPermission, err)
	}
	if holdsPassword(creds.AccessKeyID) && !req.AllowToken {
		return "", b.fail(op, req.Key, KindPermission, ErrTokenInURL)
	}
	plain, err := c.PlainURL(req.Bucket, req.Key, req.Version)
	if err != nil {
		return "", err
	}
	method := http.MethodGet
	if req.Put {
		method = http.MethodPut
	}
	// By the version that data goes by, and by 2 where 4 can't carry the key.
	if c.signer.scheme(classData) == schemeV2 || strings.Contains(creds.AccessKeyID, "/") {
		return c.PresignV2(ctx, method, plain, nil, req.Expires)
	}
	r, err := http.NewRequestWithContext(ctx, method, plain, nil)
	if err != nil {
		return "", b.fail(op, req.Key, KindInvalid, err)
	}
	q := r.URL.Query()
	q.Set("X-Amz-Expires", strconv.FormatInt(int64(req.Expires/time.Second), 10))
	r.URL.RawQuery = q.Encode()
	// Not by the SDK's presign client, which binds headers into the signature
	// that whoever uses the URL would have to send.
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	signed, _, err := signer.PresignHTTP(ctx, creds, r, "UNSIGNED-PAYLOAD", "s3", c.cfg.Region, time.Now())
	if err != nil {
		return "", b.fail(op, req.Key, KindOther, err)
	}
	return signed, nil
}

// PlainURL returns the URL of an object without any signature: it works for
// those objects only that everybody may read.
func (c *Client) PlainURL(bucket, key, version string) (string, error) {
	if err := c.at(bucket).checkKey("PlainURL", key); err != nil {
		return "", err
	}
	u := *c.wire.endpoint
	path := "/" + key
	if c.cfg.VirtualHost {
		u.Host = bucket + "." + u.Host
	} else {
		path = "/" + qualified(c.cfg.Tenant, bucket) + path
	}
	u.RawPath = u.EscapedPath() + escapeKey(path)
	u.Path += path
	if version != "" {
		u.RawQuery = url.Values{"versionId": {version}}.Encode()
	}
	return u.String(), nil
}

// HasTokenKey reports whether the access key is a token that holds the user's
// password.
func (c *Client) HasTokenKey(ctx context.Context) (bool, error) {
	if c.cfg.NoSignRequest {
		return false, nil
	}
	creds, err := c.options.Credentials.Retrieve(ctx)
	if err != nil {
		return false, err
	}
	return holdsPassword(creds.AccessKeyID), nil
}

// holdsPassword reports whether an access key is base64 of the JSON document
// {"RGW_TOKEN": ...}, which has user and password in clear (rgw_token.h).
func holdsPassword(accessKey string) bool {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(accessKey, "="))
	if err != nil {
		return false
	}
	var token struct {
		RGWToken json.RawMessage `json:"RGW_TOKEN"`
	}
	return json.Unmarshal(raw, &token) == nil && token.RGWToken != nil
}

// escapeKey percent-encodes all but unreserved characters and "/", as S3's
// canonical requests have it.
func escapeKey(key string) string {
	const hex = "0123456789ABCDEF"
	var s strings.Builder
	for i := 0; i < len(key); i++ {
		c := key[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~/", c) >= 0 {
			s.WriteByte(c)
			continue
		}
		s.WriteByte('%')
		s.WriteByte(hex[c>>4])
		s.WriteByte(hex[c&15])
	}
	return s.String()
}
