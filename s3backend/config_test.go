package s3backend_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rgwfs/s3backend"
)

// cleanEnv removes what the SDK would read of this machine.
func cleanEnv(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, kv := range os.Environ() {
		if k, _, _ := strings.Cut(kv, "="); strings.HasPrefix(k, "AWS_") {
			t.Setenv(k, "")
			os.Unsetenv(k)
		}
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "credentials"))
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSecretsShowNowhere(t *testing.T) {
	cfg := s3backend.DefaultConfig()
	cfg.AccessKey, cfg.SecretKey, cfg.SessionToken = "hush-one", "hush-two", "hush-three"
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", cfg)
		fmt.Fprintf(&out, verb+"\n", &cfg)
		fmt.Fprintf(&out, verb+"\n", cfg.SecretKey)
	}
	cfg.Logger, cfg.WrapTransport = nil, nil
	j, err := json.Marshal(map[string]any{"a": cfg.AccessKey, "s": cfg.SecretKey, "t": cfg.SessionToken})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("config", "secret", cfg.SecretKey, "key", cfg.AccessKey, "all", []s3backend.Secret{cfg.SessionToken})
	}
	for _, hidden := range []string{"hush", fmt.Sprintf("%x", "hush")} {
		if strings.Contains(out.String(), hidden) {
			t.Errorf("%q shows in %s", hidden, out.String())
		}
	}
	if s := fmt.Sprintf("[%v]", s3backend.Secret("")); s != "[]" {
		t.Errorf("an empty secret shows as %s", s)
	}
}

func TestValidate(t *testing.T) {
	good := func() s3backend.Config {
		c := s3backend.DefaultConfig()
		c.Endpoint = "https://rgw.example.org:8443/"
		return c
	}
	if c := good(); c.Validate() != nil {
		t.Fatal(c.Validate())
	}
	for mend, change := range map[string]func(*s3backend.Config){
		"--endpoint":   func(c *s3backend.Config) { c.Endpoint = "" },
		"http://":      func(c *s3backend.Config) { c.Endpoint = "rgw.example.org" },
		"no host":      func(c *s3backend.Config) { c.Endpoint = "https://" },
		"environment":  func(c *s3backend.Config) { c.Endpoint = "https://user:hush@rgw.example.org" },
		"query":        func(c *s3backend.Config) { c.Endpoint = "https://rgw.example.org/?a=b" },
		"no URL":       func(c *s3backend.Config) { c.Endpoint = "https://user:hush@%zz" },
		"region":       func(c *s3backend.Config) { c.Region = "" },
		"MaxAttempts":  func(c *s3backend.Config) { c.MaxAttempts = 0 },
		"Connections":  func(c *s3backend.Config) { c.Connections = 0 },
		"StallTimeout": func(c *s3backend.Config) { c.StallTimeout = 0 },
		"MinBackoff":   func(c *s3backend.Config) { c.MinBackoff = time.Hour },
		"access key":   func(c *s3backend.Config) { c.SecretKey = "x" },
		"profile":      func(c *s3backend.Config) { c.NoSignRequest, c.Profile = true, "p" },
	} {
		c := good()
		change(&c)
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), mend) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", mend, err)
		}
	}
}

func TestResolveEndpoint(t *testing.T) {
	dir := cleanEnv(t)
	resolve := func(explicit, profile, want, source string) {
		t.Helper()
		got, from, err := s3backend.ResolveEndpoint(t.Context(), explicit, profile)
		if err != nil || got != want || from != source {
			t.Errorf("%q from %q, %v; want %q from %q", got, from, err, want, source)
		}
	}
	resolve("", "", "", "")
	write(t, filepath.Join(dir, "config"), "[default]\nendpoint_url = http://default\n[profile p]\nservices = s\nendpoint_url = http://p\n"+
		"[services s]\ns3 =\n  endpoint_url = http://p-s3\n")
	resolve("", "", "http://default", "profile default")
	resolve("", "p", "http://p-s3", "profile p")
	t.Setenv("AWS_PROFILE", "p")
	resolve("", "", "http://p-s3", "profile p")
	t.Setenv("AWS_ENDPOINT_URL", "http://env")
	resolve("", "", "http://env", "AWS_ENDPOINT_URL")
	t.Setenv("AWS_ENDPOINT_URL_S3", "http://env-s3")
	resolve("", "", "http://env-s3", "AWS_ENDPOINT_URL_S3")
	resolve("http://flag", "", "http://flag", "given")
	t.Setenv("AWS_ENDPOINT_URL", "")
	t.Setenv("AWS_ENDPOINT_URL_S3", "")
	if _, _, err := s3backend.ResolveEndpoint(t.Context(), "", "absent"); err == nil {
		t.Error("no error for a profile that does not exist")
	}
}

// signedBy lists with a client of cfg and returns the access key of the request.
func signedBy(t *testing.T, change func(*s3backend.Config)) (string, error) {
	t.Helper()
	var key string
	srv := newServer(t, func(w *answer) {
		_, rest, _ := strings.Cut(w.req.Header.Get("Authorization"), "Credential=")
		key, _, _ = strings.Cut(rest, "/")
		w.body("<ListBucketResult></ListBucketResult>")
	})
	cfg := s3backend.DefaultConfig()
	cfg.Endpoint = srv
	change(&cfg)
	c, err := s3backend.New(t.Context(), cfg)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_, err = c.Bucket("b").List(t.Context(), s3backend.ListRequest{})
	return key, err
}

func TestCredentials(t *testing.T) {
	dir := cleanEnv(t)
	none := func(*s3backend.Config) {}
	expect := func(want string, change func(*s3backend.Config)) {
		t.Helper()
		if got, err := signedBy(t, change); err != nil || got != want {
			t.Errorf("signed by %q, %v; want %q", got, err, want)
		}
	}
	_, err := signedBy(t, none)
	if creds := (*s3backend.CredentialsError)(nil); !errors.As(err, &creds) {
		t.Errorf("without any credentials: %v", err)
	}
	expect("", func(c *s3backend.Config) { c.NoSignRequest = true })
	write(t, filepath.Join(dir, "credentials"), "[default]\naws_access_key_id = file\naws_secret_access_key = s\n"+
		"[token]\naws_access_key_id = token\naws_secret_access_key =\n[bare]\naws_access_key_id=bare\naws_secret_access_key=\n")
	write(t, filepath.Join(dir, "config"), "[profile inconfig]\naws_access_key_id = inconfig\naws_secret_access_key = \n")
	expect("file", none)
	expect("token", func(c *s3backend.Config) { c.Profile = "token" })
	expect("bare", func(c *s3backend.Config) { c.Profile = "bare" })
	expect("inconfig", func(c *s3backend.Config) { c.Profile = "inconfig" })
	t.Setenv("AWS_ACCESS_KEY_ID", "env")
	expect("env", none) // an access key with an empty secret
	t.Setenv("AWS_SECRET_ACCESS_KEY", "s")
	expect("env", none)
	expect("token", func(c *s3backend.Config) { c.Profile = "token" })
	expect("mine", func(c *s3backend.Config) { c.AccessKey = "mine" })
	t.Setenv("AWS_CA_BUNDLE", filepath.Join(dir, "absent.pem"))
	if _, err := signedBy(t, none); err == nil || !strings.Contains(err.Error(), "AWS_CA_BUNDLE") {
		t.Errorf("an absent CA bundle: %v", err)
	}
}
