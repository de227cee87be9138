package s3backend_test

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// TestLDAP signs in with tokens on a real RGW with a real slapd behind it.
func TestLDAP(t *testing.T) {
	dir := cleanEnv(t)
	passwords := map[string]string{"alice": "hush?a?b", "bob": "hush????", "carol": "hush", "dave": "hush\u00ff\u00ff?\u00f7"}
	ldap := s3test.StartLDAP(t, passwords)
	rgw := s3test.StartRGW(t, append(ldap.Options(), "rgw_s3_auth_use_sts=true", "rgw_sts_key=0123456789abcdef")...)
	var log bytes.Buffer
	signedIn := func(t *testing.T, token string, tls bool, change func(*s3backend.Config)) *s3backend.Client {
		t.Helper()
		return rgwClient(t, rgw, tls, func(cfg *s3backend.Config) {
			cfg.AccessKey, cfg.SecretKey = s3backend.Secret(token), ""
			cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			if change != nil {
				change(cfg)
			}
		})
	}

	slashes := 0
	for user, password := range passwords {
		token := ldapToken(user, password)
		if strings.Contains(token, "/") {
			slashes++
		}
		for _, mode := range []string{s3backend.SignatureAuto, s3backend.SignatureV2} {
			t.Run(user+" "+mode, func(t *testing.T) {
				c := signedIn(t, token, mode == s3backend.SignatureV2, func(cfg *s3backend.Config) { cfg.Signature = mode })
				name := rgw.NewBucketName()
				if err := c.CreateBucket(t.Context(), s3backend.NewBucket{Name: name}); err != nil {
					t.Fatal(err)
				}
				rgw.RemoveBucketLater(name)
				b := c.Bucket(name)
				put(t, b, "dir/k", content)
				big := strings.Repeat("0123456789abcdef", 3<<20/16)
				put(t, b, "big", big)
				if get(t, b, "dir/k") != content || get(t, b, "big") != big {
					t.Error("other content")
				}
				if _, err := b.List(t.Context(), s3backend.ListRequest{}); err != nil {
					t.Error(err)
				}
				if _, err := b.Copy(t.Context(), s3backend.CopyRequest{Key: "c", SourceKey: "dir/k"}); err != nil {
					t.Error(err)
				}
				if failed, err := b.DeleteMany(t.Context(), []string{"c", "big"}); err != nil || len(failed) > 0 {
					t.Error(failed, err)
				}
			})
		}
	}
	if slashes < 2 {
		t.Errorf("%d tokens with a slash: not what this test is for", slashes)
	}

	t.Run("wrong password", func(t *testing.T) {
		_, err := signedIn(t, ldapToken("alice", "hush-wrong"), false, nil).ListBuckets(t.Context())
		wantKind(t, err, s3backend.KindPermission)
	})

	t.Run("files", func(t *testing.T) {
		token := ldapToken("carol", passwords["carol"])
		path := filepath.Join(dir, "file")
		for _, text := range []string{
			token + ":anything\n", token, "[default]\naws_access_key_id = " + token + "\naws_secret_access_key =\n",
			"[default]\naccess_key = " + token + "\nsecret_key = \n", "[osiris]\ntype = s3\naccess_key_id = " + token + "\nsecret_access_key = x\n",
		} {
			write(t, path, text)
			c := rgwClient(t, rgw, true, func(cfg *s3backend.Config) {
				cfg.AccessKey, cfg.SecretKey, cfg.CredentialsFile = "", "", path
			})
			if _, err := c.ListBuckets(t.Context()); err != nil {
				t.Error(err)
			}
		}
		t.Setenv("AWS_ACCESS_KEY_ID", token)
		c := rgwClient(t, rgw, true, func(cfg *s3backend.Config) { cfg.AccessKey, cfg.SecretKey = "", "" })
		if _, err := c.ListBuckets(t.Context()); err != nil {
			t.Error(err)
		}
	})

	t.Run("exchange", func(t *testing.T) {
		token := ldapToken("alice", passwords["alice"])
		exchanging := func(cfg *s3backend.Config) { cfg.ExchangeToken = true }
		_, err := signedIn(t, token, false, exchanging).ListBuckets(t.Context())
		wantKind(t, err, s3backend.KindPermission)
		if x := (*s3backend.ExchangeError)(nil); !errors.As(err, &x) || !x.Refused {
			t.Errorf("without a policy: %v", err)
		}
		allowSessions(t, rgw, "alice")
		for _, mode := range []string{s3backend.SignatureV4, s3backend.SignatureV2} {
			c := signedIn(t, token, mode == s3backend.SignatureV4, func(cfg *s3backend.Config) { cfg.ExchangeToken, cfg.Signature = true, mode })
			before := ldap.Lookups("alice")
			name := rgw.NewBucketName()
			if err := c.CreateBucket(t.Context(), s3backend.NewBucket{Name: name}); err != nil {
				t.Fatal(err)
			}
			rgw.RemoveBucketLater(name)
			b := c.Bucket(name)
			for range 5 {
				put(t, b, "k", content)
				if get(t, b, "k") != content {
					t.Error("other content")
				}
			}
			if n := ldap.Lookups("alice") - before; n != 1 {
				t.Errorf("%s: LDAP was asked %d times", mode, n)
			}
			plain, err := c.PlainURL(name, "k", "")
			if err != nil {
				t.Fatal(err)
			}
			u, err := c.PresignV2(t.Context(), http.MethodGet, plain, nil, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(u, "http:") { // fetchURL does not know the certificate
				if status, body := fetchURL(t, http.MethodGet, u, nil, ""); status != http.StatusOK || body != content {
					t.Errorf("a URL by temporary keys: %d %s", status, body)
				}
			}
		}
	})

	t.Run("web identity", func(t *testing.T) { webIdentity(t, rgw, dir) })

	for _, hidden := range []string{"hush", ldapToken("carol", "hush"), "Signature=", "Credential=", "0123456789abcdef"} {
		if strings.Contains(log.String(), hidden) {
			t.Errorf("%q is in the log", hidden)
		}
	}
	if log.Len() == 0 {
		t.Error("there is no log")
	}
}

// allowSessions lets a user call GetSessionToken. (doc/radosgw/STSLite.rst)
func allowSessions(t *testing.T, rgw *s3test.RGWServer, user string) {
	t.Helper()
	rgw.Admin("caps", "add", "--uid=rgwfs", "--caps=user-policy=*")
	iam(t, rgw, url.Values{
		"Action": {"PutUserPolicy"}, "UserName": {user}, "PolicyName": {"sessions"},
		"PolicyDocument": {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:GetSessionToken","Resource":"*"}]}`},
	})
}

// iam makes a request to RGW's IAM as its first user.
func iam(t *testing.T, rgw *s3test.RGWServer, form url.Values) s3test.Response {
	t.Helper()
	r := rgw.Do(http.MethodPost, "/", "", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(form.Encode()))
	if r.Status != http.StatusOK {
		t.Fatalf("%s: %s", form.Get("Action"), r)
	}
	return r
}
