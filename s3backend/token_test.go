package s3backend_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"rgwfs/s3backend"
)

// ldapToken is what radosgw-token makes of a user's name and password.
func ldapToken(user, password string) string {
	var doc struct {
		Token struct {
			Version int    `json:"version"`
			Type    string `json:"type"`
			ID      string `json:"id"`
			Key     string `json:"key"`
		} `json:"RGW_TOKEN"`
	}
	doc.Token.Version, doc.Token.Type, doc.Token.ID, doc.Token.Key = 1, "ldap", user, password
	raw, err := json.Marshal(doc)
	if err != nil {
		panic(err) // strings and an integer
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// accessKeyOf returns the access key that a request was signed with.
func accessKeyOf(t *testing.T, accessKey, mode string) (key, version string) {
	t.Helper()
	url := newServer(t, func(a *answer) {
		authorization := a.req.Header.Get("Authorization")
		if rest, ok := strings.CutPrefix(authorization, "AWS "); ok {
			version = "v2"
			key = rest[:strings.LastIndex(rest, ":")]
		} else {
			version = "v4"
			_, rest, _ := strings.Cut(authorization, "Credential=")
			key, _, _ = strings.Cut(rest, "/")
		}
		a.body("<ListBucketResult></ListBucketResult>")
	})
	c := testClient(t, url, func(cfg *s3backend.Config) {
		cfg.AccessKey, cfg.SecretKey, cfg.Signature = s3backend.Secret(accessKey), "", mode
	})
	if _, err := c.Bucket("b").List(t.Context(), s3backend.ListRequest{}); err != nil {
		t.Fatal(err)
	}
	return key, version
}

func TestTokensWithASlash(t *testing.T) {
	for _, password := range []string{
		"plain", "a?", "ab?", "abc?", "a?b?c", "???", "????", "?\"?\\?", "ä?ö", "o÷ï?", `\u003f?`, "{?}:,?", "\U0001F511????",
	} {
		for _, user := range []string{"alice", "bob?", "Zoë"} {
			token := ldapToken(user, password)
			key, version := accessKeyOf(t, token, s3backend.SignatureAuto)
			if !strings.Contains(token, "/") && key != token {
				t.Errorf("the token of %s, %s needs no change", user, password)
			}
			if strings.Contains(key, "/") != (version == "v2") {
				t.Errorf("%s, %s: signed by %s, slash: %v", user, password, version, strings.Contains(key, "/"))
			}
			raw, err := base64.StdEncoding.DecodeString(key)
			if err != nil {
				t.Fatal(err)
			}
			var doc map[string]map[string]any
			if err := json.Unmarshal(raw, &doc); err != nil {
				t.Fatal(err)
			}
			if d := doc["RGW_TOKEN"]; d["id"] != user || d["key"] != password || d["type"] != "ldap" || d["version"] != 1.0 {
				t.Errorf("%s, %s became %v", user, password, d)
			}
			if strings.Trim(user+password, "abcdefghijklmnopqrstuvwxyz?") == "" && version != "v4" {
				t.Errorf("%s, %s: no spelling without a slash was found", user, password)
			}
		}
	}
	// What is no such document can't be spelt otherwise.
	if key, version := accessKeyOf(t, "opaque/token", s3backend.SignatureAuto); key != "opaque/token" || version != "v2" {
		t.Errorf("an opaque token: %s by %s", key, version)
	}
	for _, mode := range []string{s3backend.SignatureV4, s3backend.SignatureHybrid} {
		cfg := s3backend.DefaultConfig()
		cfg.Endpoint, cfg.AccessKey, cfg.Signature = "http://127.0.0.1:1", "opaque/token", mode
		if _, err := s3backend.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "version 2") || strings.Contains(err.Error(), "opaque") {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

func TestCredentialsFile(t *testing.T) {
	dir := cleanEnv(t)
	token := ldapToken("alice", "??")
	path := filepath.Join(dir, "keys")
	// signed returns access key, "/", secret, as the SDK or version 2 has them.
	signed := func(text, section, bucket string) (string, error) {
		t.Helper()
		write(t, path, text)
		return signedBy(t, func(c *s3backend.Config) {
			c.CredentialsFile, c.CredentialsSection, c.CredentialsBucket = path, section, bucket
		})
	}
	for _, c := range []struct{ name, text, section, bucket, want string }{
		{"aws", "[default]\naws_access_key_id = one\naws_secret_access_key = s\n[two]\naws_access_key_id=two\naws_secret_access_key=s", "", "", "one"},
		{"aws, section", "[default]\naws_access_key_id = one\naws_secret_access_key = s\n[profile two]\naws_access_key_id=two\naws_secret_access_key=", "two", "", "two"},
		{"s3cfg", "[default]\naccess_key = mine\naccess_token = \nhost_base = h\nsecret_key = \nuse_https = True", "", "", "mine"},
		{"rclone", "# remotes\n[drive]\ntype = drive\ntoken = {\"access_token\":\"x\"}\n\n[osiris]\ntype = s3\nprovider = Ceph\naccess_key_id = mine\nsecret_access_key = s", "", "", "mine"},
		{"rclone, section", "[a]\ntype = s3\naccess_key_id = ka\n[b]\ntype = s3\naccess_key_id = kb", "b", "", "kb"},
		{"s3fs", "# mine\nkey:se:cret:", "", "key", "se:cret"},
		{"s3fs, one", "key:secret\n", "", "", "key"},
		{"s3fs, token", "TOKEN==:anything\n", "", "", "TOKEN=="},
		{"s3fs, empty secret", "TOKEN==:", "", "", "TOKEN=="},
		{"s3fs, bucket", "key:secret\nb1:k1:s1\nb2:k2:s2\n", "", "b2", "k2"},
		{"s3fs, other bucket", "key:secret\nb1:k1:s1\n", "", "b2", "key"},
		{"s3fs, as of aws", "AWSAccessKeyId=mine\nAWSSecretKey=s\n", "", "", "mine"},
		{"bare token", token + "\n", "", "", token},
	} {
		if c.name == "s3fs" {
			continue // more colons than s3fs understands, see below
		}
		if got, err := signed(c.text, c.section, c.bucket); err != nil || got != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
	for _, c := range []struct{ name, text, section, bucket, mend string }{
		{"no key", "[default]\nhost_base = h\n", "", "", "no access key"},
		{"empty", "\n# nothing\n", "", "", "no access key"},
		{"many sections", "[a]\naccess_key_id = hush1\n[b]\naccess_key_id = hush2", "", "", "--credentials-section, of a, b"},
		{"no such section", "[a]\naccess_key_id = hush1", "x", "", "it has a"},
		{"many lines", "hush1:s\nhush2:s", "", "", "several lines"},
		{"other buckets", "b1:hush:hush", "", "b2", "other buckets"},
		{"all buckets", "b1:hush:hush", "", "", "other buckets"},
		{"colons", "b:hush:more:hush", "", "b", "line 1"},
		{"no bucket", ":hush:hush", "", "b", "line 1"},
		{"encrypted", "# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nhush", "", "", "encrypted"},
		{"no end", "[a\naccess_key_id = hush", "", "", "no end"},
	} {
		_, err := signed(c.text, c.section, c.bucket)
		if err == nil || !strings.Contains(err.Error(), c.mend) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", c.name, err)
		}
	}

	write(t, path, "hush-key:hush-secret")
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := signedBy(t, func(c *s3backend.Config) { c.CredentialsFile = path })
		if err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) || strings.Contains(err.Error(), "hush") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if _, err := signedBy(t, func(c *s3backend.Config) { c.CredentialsFile = dir }); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a directory: %v", err)
	}
	if _, err := signedBy(t, func(c *s3backend.Config) { c.CredentialsFile = path + "x" }); err == nil {
		t.Error("an absent file is no error")
	}
}

// TestNothingStreams looks at every request of every operation that has a body:
// none is signed in chunks or has its checksum in a trailer, which an RGW with
// LDAP, or before release 18, refuses.
func TestNothingStreams(t *testing.T) {
	for _, mode := range s3backend.Signatures() {
		for _, unsigned := range []bool{false, true} {
			var mu sync.Mutex
			n := 0
			url := newServer(t, func(a *answer) {
				mu.Lock()
				n++
				mu.Unlock()
				h := a.req.Header
				if strings.HasPrefix(h.Get("X-Amz-Content-Sha256"), "STREAMING") || h.Get("X-Amz-Trailer") != "" ||
					strings.Contains(h.Get("Content-Encoding"), "aws-chunked") || len(a.req.TransferEncoding) > 0 || h.Get("X-Amz-Decoded-Content-Length") != "" {
					t.Errorf("%s %s: %v %v", a.req.Method, a.req.URL, h, a.req.TransferEncoding)
				}
				if unsigned && h.Get("X-Amz-Content-Sha256") != "" && h.Get("X-Amz-Content-Sha256") != "UNSIGNED-PAYLOAD" {
					t.Errorf("%s %s has a hash", a.req.Method, a.req.URL)
				}
				if n := len(h["Accept-Encoding"]) + len(h["Amz-Sdk-Request"]) + len(h["Amz-Sdk-Invocation-Id"]); n > 0 {
					t.Errorf("headers that proxies change: %v", h)
				}
				a.fail(http.StatusForbidden, "AccessDenied")
			})
			c := testClient(t, url, func(cfg *s3backend.Config) { cfg.Signature, cfg.UnsignedPayload = mode, unsigned })
			b := c.Bucket("b")
			big := strings.Repeat("x", 3<<20)
			_, err1 := b.Put(t.Context(), s3backend.PutRequest{Key: "k", Body: strings.NewReader(big), Size: int64(len(big))})
			_, err2 := b.UploadPart(t.Context(), s3backend.UploadPartRequest{Key: "k", UploadID: "u", Number: 1, Body: strings.NewReader(big), Size: int64(len(big))})
			_, err3 := b.CompleteMultipart(t.Context(), s3backend.CompleteMultipartRequest{Key: "k", UploadID: "u", Parts: []s3backend.Part{{Number: 1, ETag: md5Of("x"), Size: 1}}})
			_, err4 := b.DeleteMany(t.Context(), []string{"k", "l"})
			for _, err := range []error{err1, err2, err3, err4, c.CreateBucket(t.Context(), s3backend.NewBucket{Name: "bucket"})} {
				wantKind(t, err, s3backend.KindPermission)
			}
			mu.Lock()
			if n < 5 {
				t.Errorf("%d requests", n)
			}
			mu.Unlock()
		}
	}
}
