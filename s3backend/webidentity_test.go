package s3backend_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// webIdentity signs in by a token of an OpenID Connect provider, which a server
// of the test plays, in exchange for which RGW's own STS gives keys of a role.
// (doc/radosgw/STS.rst)
func webIdentity(t *testing.T, rgw *s3test.RGWServer, dir string) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	var issuer string
	issuer = newServer(t, func(a *answer) {
		document := map[string]any{"issuer": issuer, "jwks_uri": issuer + "/certs"}
		if a.req.URL.Path == "/certs" {
			document = map[string]any{"keys": []any{map[string]any{
				"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "x5c": []string{base64.StdEncoding.EncodeToString(certificate)},
			}}}
		}
		a.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(a).Encode(document); err != nil {
			t.Error(err)
		}
	})
	host := strings.TrimPrefix(issuer, "http://")

	rgw.Admin("caps", "add", "--uid=rgwfs", "--caps=oidc-provider=*")
	iam(t, rgw, url.Values{
		"Action": {"CreateOpenIDConnectProvider"}, "Url": {issuer}, "ClientIDList.member.1": {"rgwfs"},
		"ThumbprintList.member.1": {fmt.Sprintf("%X", sha1.Sum(certificate))},
	})
	rgw.Admin("role", "create", "--role-name=web", `--assume-role-policy-doc={"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":["arn:aws:iam:::oidc-provider/`+host+`"]},"Action":["sts:AssumeRoleWithWebIdentity"],"Condition":{"StringEquals":{"`+host+`:app_id":"rgwfs"}}}]}`)
	rgw.Admin("role-policy", "put", "--role-name=web", "--policy-name=all", `--policy-doc={"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":"arn:aws:s3:::*"}]}`)

	encode := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	text := encode(map[string]any{"alg": "RS256", "typ": "JWT", "kid": "1"}) + "." + encode(map[string]any{
		"iss": issuer, "sub": "alice", "aud": "rgwfs", "client_id": "rgwfs", "azp": "rgwfs",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(),
	})
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "token")
	write(t, path, text+"."+base64.RawURLEncoding.EncodeToString(signature))
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", path)
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam:::role/web")
	t.Setenv("AWS_ROLE_SESSION_NAME", "test")
	for _, tls := range []bool{false, true} {
		for _, mode := range []string{s3backend.SignatureV4, s3backend.SignatureV2} {
			c := rgwClient(t, rgw, tls, func(cfg *s3backend.Config) { cfg.AccessKey, cfg.SecretKey, cfg.Signature = "", "", mode })
			name := rgw.NewBucketName()
			if err := c.CreateBucket(t.Context(), s3backend.NewBucket{Name: name}); err != nil {
				t.Fatal(err)
			}
			rgw.RemoveBucketLater(name)
			put(t, c.Bucket(name), "k", content)
			if get(t, c.Bucket(name), "k") != content {
				t.Error("other content")
			}
		}
	}
	write(t, path, "no token")
	_, err = s3backend.New(t.Context(), func() s3backend.Config {
		cfg := s3backend.DefaultConfig()
		cfg.Endpoint = rgw.HTTP
		return cfg
	}())
	if err == nil || strings.Contains(err.Error(), "no token") {
		t.Errorf("a bad token: %v", err)
	}
}
