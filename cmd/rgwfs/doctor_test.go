package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// doctored is what a run of rgwfs doctor --json found.
type doctored struct {
	result
	findings map[string]finding
	profiles string // XDG_CACHE_HOME
}

// doctor runs rgwfs doctor. Whatever it finds, it tells no secret and leaves
// nothing in the bucket.
func (s *server) doctor(t *testing.T, args ...string) doctored {
	t.Helper()
	d := doctored{findings: map[string]finding{}, profiles: t.TempDir()}
	args = append([]string{"doctor", "--json"}, args...)
	d.result = runCLI(t, cli(t, append(s.env(), "XDG_CACHE_HOME="+d.profiles), args...))
	for line := range strings.Lines(d.stdout) {
		var f finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if _, twice := d.findings[f.Check]; twice {
			t.Errorf("two lines on %s:\n%s", f.Check, d.stdout)
		}
		d.findings[f.Check] = f
	}
	for _, secret := range []string{s.key, s.secret} {
		if secret != "" && (strings.Contains(d.stdout, secret) || strings.Contains(d.stderr, secret)) {
			t.Errorf("it gives %q away", secret)
		}
	}
	return d
}

func (d *doctored) want(t *testing.T, check string, s state, words ...string) {
	t.Helper()
	f, ok := d.findings[check]
	if !ok || f.State != s {
		t.Errorf("%s: %q, want %q:\n%s%s", check, f.State, s, d.stdout, d.stderr)
	}
	for _, word := range words {
		if !strings.Contains(f.Text, word) {
			t.Errorf("%s does not have %q: %s", check, word, f.Text)
		}
	}
}

// wantFailures fails the test unless these checks failed, and no others.
func (d *doctored) wantFailures(t *testing.T, checks ...string) {
	t.Helper()
	failed := 0
	for _, f := range d.findings {
		if f.State == stateFailure {
			failed++
		}
	}
	if failed != len(checks) {
		t.Errorf("%d checks failed, want %q:\n%s", failed, checks, d.stdout)
	}
	for _, check := range checks {
		d.want(t, check, stateFailure)
	}
	switch {
	case len(checks) == 0 && (d.code != 0 || d.stderr != ""):
		t.Errorf("exit code %d: %s", d.code, d.stderr)
	case len(checks) > 0 && (d.code != exitFailure || strings.Count(d.stderr, "\n") != 1):
		t.Errorf("exit code %d: %s", d.code, d.stderr)
	}
}

// wantBucket fails the test unless a bucket has these objects alone, and no
// unfinished upload.
func wantBucket(t *testing.T, rgw *s3test.RGWServer, bucket string, keys ...string) {
	t.Helper()
	r := rgw.Do(http.MethodGet, "/"+bucket, "", nil, nil)
	if n := strings.Count(string(r.Body), "<Key>"); r.Status != http.StatusOK || n != len(keys) {
		t.Errorf("%d objects, want %q: %s", n, keys, r)
	}
	r = rgw.Do(http.MethodGet, "/"+bucket, "uploads", nil, nil)
	if r.Status != http.StatusOK || strings.Contains(string(r.Body), "<UploadId>") {
		t.Errorf("uploads: %s", r)
	}
}

func TestDoctorFindsAllFine(t *testing.T) {
	rgw := s3test.RGW(t)
	bucket := rgw.NewBucket()
	for scheme, endpoint := range map[string]string{"http": rgw.HTTP, "https": rgw.HTTPS} {
		t.Run(scheme, func(t *testing.T) {
			s := &server{endpoint: endpoint, key: rgw.AccessKey, secret: rgw.SecretKey, bucket: bucket}
			d := s.doctor(t, "--ca-file", rgw.CAFile, bucket+"/some/dir")
			d.wantFailures(t)
			for check, word := range map[string]string{
				"endpoint": endpoint, "name": "127.0.0.1", "TCP": "answers", "clock": "within", "credentials": rgw.AccessKey[:4] + "...",
				"signature": "version 4 works, version 2 works", "payload": "signed", "rights": "list, get, put, delete, multipart",
				"quota": "none", "conditions": "exclusive create", "page size": "000 keys", "latency": "small answer", "throughput": "/s down",
				"release": "Ceph", "profile": d.profiles, "FUSE": "/dev/fuse", "open files": "at once", "memory": "up to", "cache dir": "free",
			} {
				d.want(t, check, stateOK, word)
			}
			if scheme == "https" {
				d.want(t, "TLS", stateOK, "TLS 1.3", "days")
				d.want(t, "SSE-C", stateOK, "works")
			} else {
				d.want(t, "TLS", stateWarning, "https")
			}
			wantBucket(t, rgw, bucket)
			files, err := filepath.Glob(filepath.Join(d.profiles, "rgwfs", "*"))
			if err != nil || len(files) != 1 {
				t.Fatalf("profiles: %q, %v", files, err)
			}
			info, err := os.Stat(files[0])
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
			data, err := os.ReadFile(files[0])
			if err != nil || strings.Contains(string(data), rgw.AccessKey) || strings.Contains(string(data), rgw.SecretKey) {
				t.Errorf("%s, %v", data, err)
			}
		})
	}
}

func TestDoctorWritesNothingReadOnly(t *testing.T) {
	rgw := s3test.RGW(t)
	s := &server{endpoint: rgw.HTTP, key: rgw.AccessKey, secret: rgw.SecretKey, bucket: rgw.NewBucket()}
	d := s.doctor(t, "--read-only", "s3://"+s.bucket)
	d.wantFailures(t)
	d.want(t, "rights", stateOK, "list; unknown", "put (nothing is written)")
	for _, check := range []string{"conditions", "throughput", "profile"} {
		if f, ok := d.findings[check]; ok {
			t.Errorf("%+v", f)
		}
	}
	for i, r := range rgw.Requests(s.bucket) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead && i > 0 { // the first made the bucket
			t.Errorf("%+v", r)
		}
	}
}

func TestDoctorFailures(t *testing.T) {
	rgw := s3test.RGW(t)
	good := server{endpoint: rgw.HTTP, key: rgw.AccessKey, secret: rgw.SecretKey, bucket: rgw.NewBucket()}
	object := "/" + good.bucket + "/one"
	if r := rgw.Do(http.MethodPut, object, "", nil, []byte("one")); r.Status != http.StatusOK {
		t.Fatal(r)
	}
	t.Run("endpoint", func(t *testing.T) {
		s := good
		s.endpoint = "http://127.0.0.1:1"
		d := s.doctor(t, s.bucket)
		d.wantFailures(t, "TCP")
		d.want(t, "TCP", stateFailure, "refuses the connection", "--endpoint")
		if _, ok := d.findings["signature"]; ok {
			t.Errorf("it went on:\n%s", d.stdout)
		}
		d.want(t, "FUSE", stateOK) // of this machine all is told
	})
	t.Run("no endpoint", func(t *testing.T) {
		s := good
		s.endpoint = ""
		d := s.doctor(t, s.bucket)
		d.wantFailures(t, "endpoint")
		d.want(t, "endpoint", stateFailure, "--endpoint URL")
	})
	t.Run("scheme", func(t *testing.T) {
		s := good
		s.endpoint = strings.Replace(rgw.HTTPS, "https:", "http:", 1)
		d := s.doctor(t, s.bucket)
		d.wantFailures(t, "TLS")
		d.want(t, "TLS", stateFailure, rgw.HTTPS)
	})
	t.Run("certificate", func(t *testing.T) {
		s := good
		s.endpoint = rgw.HTTPS
		d := s.doctor(t, s.bucket)
		d.wantFailures(t, "TLS")
		d.want(t, "TLS", stateFailure, "--ca-file")
	})
	t.Run("secret", func(t *testing.T) {
		s := good
		s.secret = "not-the-right-secret"
		d := s.doctor(t, s.bucket)
		d.wantFailures(t, "credentials")
		d.want(t, "credentials", stateFailure, "AWS_SECRET_ACCESS_KEY")
	})
	t.Run("token", func(t *testing.T) {
		s := good
		s.key, s.secret = "eyJSR1dfVE9LRU4iOnsidmVyc2lvbiI6MSwidHlwZSI6ImxkYXAiLCJpZCI6InUiLCJrZXkiOiJwYXNzd29yZCJ9fQ==", ""
		d := s.doctor(t, s.bucket)
		d.wantFailures(t, "credentials") // this gateway has no LDAP
		if strings.Contains(d.stdout, "eyJS") {
			t.Errorf("a part of the token is shown:\n%s", d.stdout)
		}
	})
	t.Run("bucket", func(t *testing.T) {
		d := good.doctor(t, good.bucket+"x")
		d.wantFailures(t, "bucket")
		d.want(t, "bucket", stateFailure, "did you mean "+good.bucket)
	})
	t.Run("read-only user", func(t *testing.T) {
		policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam:::user/other"]},` +
			`"Action":["s3:ListBucket","s3:GetObject"],"Resource":["arn:aws:s3:::BUCKET","arn:aws:s3:::BUCKET/*"]}]}`
		if r := rgw.Do(http.MethodPut, "/"+good.bucket, "policy", nil, []byte(strings.ReplaceAll(policy, "BUCKET", good.bucket))); r.Status >= 300 {
			t.Fatal(r)
		}
		d := good.other(rgw).doctor(t, good.bucket)
		d.wantFailures(t, "put")
		d.want(t, "put", stateFailure, "s3:PutObject", "--read-only")
		d.want(t, "rights", stateOK, "list, get; unknown: delete")
	})
	t.Run("no right to remove", func(t *testing.T) {
		s := *good.other(rgw)
		s.bucket = rgw.NewBucket()
		policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam:::user/other"]},` +
			`"Action":["s3:ListBucket","s3:GetObject","s3:PutObject"],"Resource":["arn:aws:s3:::BUCKET","arn:aws:s3:::BUCKET/*"]}]}`
		if r := rgw.Do(http.MethodPut, "/"+s.bucket, "policy", nil, []byte(strings.ReplaceAll(policy, "BUCKET", s.bucket))); r.Status >= 300 {
			t.Fatal(r)
		}
		d := s.doctor(t, s.bucket)
		d.wantFailures(t, "delete")
		d.want(t, "delete", stateFailure, "s3:DeleteObject", ".rgwfs-doctor-")
		d.want(t, "rights", stateOK, "list, get, put; unknown: multipart")
		d.want(t, "cleanup", stateWarning, "rgwfs rm -r s3://"+s.bucket+"/.rgwfs-doctor-")
		wantBucket(t, rgw, s.bucket, "the first")
	})
	t.Run("no right at all", func(t *testing.T) {
		s := *good.other(rgw)
		s.bucket = rgw.NewBucket()
		d := s.doctor(t, s.bucket)
		d.wantFailures(t, "list", "put")
		wantBucket(t, rgw, s.bucket)
	})
	wantBucket(t, rgw, good.bucket, "one")
}

func TestDoctorSeesFullQuota(t *testing.T) {
	rgw := s3test.RGW(t)
	// A quota of this bucket alone.
	s := newServer(t, rgw.HTTP, rgw.AccessKey, rgw.SecretKey, rgw.NewBucket())
	s.put(t, "large", strings.Repeat("x", 1<<20))
	rgw.Admin("quota", "set", "--quota-scope=bucket", "--bucket="+s.bucket, "--max-size=1048576")
	rgw.Admin("quota", "enable", "--quota-scope=bucket", "--bucket="+s.bucket)
	for range 50 { // until the gateway has felt it
		d := s.doctor(t, s.bucket)
		if _, full := d.findings["put"]; !full {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		d.wantFailures(t, "put", "quota")
		d.want(t, "put", stateFailure, "quota is full", "remove")
		d.want(t, "quota", stateFailure, "1.0 MiB of 1.0 MiB", "full")
		wantBucket(t, rgw, s.bucket, "large")
		return
	}
	t.Error("the quota was never felt")
}

// A mount asks for pages of the size that the profile knows, and a directory in
// it does for the doctor, without the mount's settings.
func TestProfileAndDoctorOfAMount(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	rgw := s3test.RGW(t)
	s := newServer(t, rgw.HTTP, rgw.AccessKey, rgw.SecretKey, rgw.NewBucket())
	s.put(t, "d/f", "content")
	if _, err := saveProfile(&s3backend.Profile{Endpoint: s.endpoint, Probed: time.Now(), PageSize: 4000}); err != nil {
		t.Fatal(err)
	}
	m := foreground(t, s)
	if entries, err := os.ReadDir(m.dir); err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	asked := false
	for _, r := range rgw.Requests(s.bucket) {
		asked = asked || r.Query.Get("max-keys") == "4000"
	}
	if !asked {
		t.Error("no page of 4000 keys was asked for")
	}
	bare := *s
	bare.endpoint = "" // the mount tells it
	d := bare.doctor(t, "--read-only", filepath.Join(m.dir, "d"))
	d.wantFailures(t)
	d.want(t, "endpoint", stateOK, s.endpoint)
	d.want(t, "rights", stateOK, "list, get; unknown")
}

// Where a program reads the report line by line, the text for people is the
// same.
func TestDoctorText(t *testing.T) {
	s := embeddedServer(t)
	r := runCLI(t, cli(t, append(s.env(), "XDG_CACHE_HOME="+t.TempDir()), "doctor"))
	if r.code != 0 || !strings.Contains(r.stdout, "\nok       buckets      1 of your own") {
		t.Errorf("%d: %s%s", r.code, r.stdout, r.stderr)
	}
	for line := range strings.Lines(r.stdout) {
		if word := strings.Fields(line)[0]; word != "ok" && word != "warning" {
			t.Error(line)
		}
	}
	s.toolFails(t, exitUsage, "3 to 255", "doctor", "x")
}

// What stands in the way on this machine.
func TestDoctorOfTheMachine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	inv := testInvocation(variable("memory-limit") + "=1M")
	inv.stdout = &out
	none := func(string) (string, error) { return "", errors.New("not there") }
	d := &doctor{
		t: &tool{inv: inv}, cacheDir: filepath.Join(file, "below"),
		host: host{euid: 1000, fuse: "/nowhere/fuse", fuseConf: "/nowhere/fuse.conf", lookPath: none},
	}
	d.machine()
	for _, want := range []string{"FAILURE  FUSE         /nowhere/fuse is missing: load", "FAILURE  memory ", "FAILURE  cache dir "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if d.failures != 3 {
		t.Errorf("%d failures", d.failures)
	}
}

func TestProfileOfMount(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	const endpoint = "https://rgw.example.org"
	hints := func(endpoint string) (int, string) {
		s := &settings{backend: s3backend.Config{Endpoint: endpoint}}
		useProfile(s)
		return s.backend.PageSize, s.backend.SignatureHint
	}
	want := func(what string, size int, signature string) {
		t.Helper()
		if n, s := hints(endpoint); n != size || s != signature {
			t.Errorf("%s: page size %d, signature %q", what, n, s)
		}
	}
	want("none", 0, "")
	p := &s3backend.Profile{Endpoint: endpoint, Probed: time.Now(), PageSize: 5000, V4Names: s3backend.Yes, V4Data: s3backend.No, V2Data: s3backend.Yes}
	path, err := saveProfile(p)
	if err != nil {
		t.Fatal(err)
	}
	want("kept", 5000, s3backend.SignatureHybrid)
	if n, s := hints(endpoint + ":8443"); n != 0 || s != "" {
		t.Errorf("another endpoint: %d, %q", n, s)
	}
	p.PageSize = 1 << 30
	if _, err := saveProfile(p); err != nil {
		t.Fatal(err)
	}
	want("nonsense", 5000, s3backend.SignatureHybrid)
	p.Probed = time.Now().Add(-2 * profileAge)
	if _, err := saveProfile(p); err != nil {
		t.Fatal(err)
	}
	want("old", 0, "")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("broken", 0, "")
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
}

// A run that is interrupted removes what it wrote.
func TestDoctorInterrupted(t *testing.T) {
	rgw := s3test.RGW(t)
	s := &server{endpoint: rgw.HTTP, key: rgw.AccessKey, secret: rgw.SecretKey, bucket: rgw.NewBucket()}
	useCredentials(t, s.key, s.secret)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	inv := testInvocation()
	inv.stdout = &out
	tl, _ := newTool(inv, doctorSpec())
	tl.backend.Endpoint = s.endpoint
	tl.backend.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/condition") {
				cancel() // as a signal does
			}
			return resp, err
		})
	}
	d := &doctor{t: tl, write: true, host: thisHost(), cacheDir: t.TempDir(), source: source{bucket: s.bucket}}
	err := d.run(ctx)
	tl.client.Close()
	wantLine(t, err, "interrupted")
	if strings.Contains(out.String(), "FAILURE") || strings.Contains(out.String(), "cleanup") {
		t.Error(out.String())
	}
	wantBucket(t, rgw, s.bucket)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
