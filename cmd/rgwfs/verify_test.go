package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// noCredentials takes away whatever credentials and settings the machine that
// runs the tests has.
func noCredentials(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
		"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy",
	} {
		t.Setenv(name, "") // so that it is restored
		os.Unsetenv(name)
	}
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
}

func useCredentials(t *testing.T, key, secret string) {
	t.Helper()
	noCredentials(t)
	t.Setenv("AWS_ACCESS_KEY_ID", key)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
}

// verifyAt verifies as a mount of from at the endpoint would. change may be
// nil.
func verifyAt(t *testing.T, endpoint, from string, change func(*settings)) error {
	t.Helper()
	s := mustParse(t, testInvocation(), "--endpoint", endpoint, from, "/mnt/x")
	s.backend.MinBackoff, s.backend.MaxBackoff = time.Millisecond, time.Millisecond
	if change != nil {
		change(s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return verify(ctx, s)
}

// wantLine fails the test unless err is one line for a user that has each of
// the words.
func wantLine(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", words)
	}
	if exitCode(err) == 0 {
		t.Errorf("exit code 0 for: %v", err)
	}
	if text := err.Error(); oneLine(text) != text {
		t.Errorf("not one line: %q", text)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in: %v", word, err)
		}
	}
}

// quietServer starts a server whose complaints about the faults under test
// don't fill the test's output.
func quietServer(t *testing.T, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(server.Close)
	return server
}

func s3Error(status int, code string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/xml")
		w.Header().Set("X-Amz-Request-Id", "tx0001-test")
		w.WriteHeader(status)
		fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><RequestId>tx0001-test</RequestId></Error>`, code)
	})
}

var emptyListing = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, `<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>data</Name><MaxKeys>1</MaxKeys><IsTruncated>false</IsTruncated></ListBucketResult>`)
})

// certificate returns a certificate that signs itself, and a file with it.
func certificate(t *testing.T, change func(*x509.Certificate)) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the test's authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func tlsServer(t *testing.T, certificate tls.Certificate) string {
	t.Helper()
	server := quietServer(t, emptyListing)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	return server.URL
}

func TestVerifyAccepts(t *testing.T) {
	useCredentials(t, "key", "secret")
	server := quietServer(t, emptyListing)
	server.Start()
	if err := verifyAt(t, server.URL, "data/a", nil); err != nil {
		t.Error(err)
	}
	good, file := certificate(t, nil)
	endpoint := tlsServer(t, good)
	if err := verifyAt(t, endpoint, "data", func(s *settings) { s.backend.CAFile = file }); err != nil {
		t.Error("--ca-file:", err)
	}
	t.Setenv("AWS_CA_BUNDLE", file)
	if err := verifyAt(t, endpoint, "data", nil); err != nil {
		t.Error("AWS_CA_BUNDLE:", err)
	}
}

func TestVerifyTransport(t *testing.T) {
	useCredentials(t, "key", "secret")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := closed.Addr().String()
	closed.Close()

	plain := quietServer(t, emptyListing)
	plain.Start()

	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts by its backlog, never answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })

	hangup, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangup.Close() })
	go func() {
		for {
			conn, err := hangup.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()

	stranger := quietServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "<html>It works!</html>")
	}))
	stranger.Start()

	unknown, _ := certificate(t, nil)
	otherName, otherNameFile := certificate(t, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"rgw.example.org"} })
	expired, expiredFile := certificate(t, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)
	})
	early, earlyFile := certificate(t, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(24*time.Hour), time.Now().Add(48*time.Hour)
	})
	trust := func(file string) func(*settings) { return func(s *settings) { s.backend.CAFile = file } }

	for _, c := range []struct {
		name, endpoint string // a name with an empty part is refused without asking any DNS
		change         func(*settings)
		words          []string
	}{
		{"refused", "http://" + refusing, nil, []string{"http://" + refusing, "refuses the connection", "--endpoint"}},
		{"name unresolved", "http://rgw..nowhere:8000", nil, []string{"no address for the name rgw..nowhere", "--endpoint"}},
		{"certificate unknown", tlsServer(t, unknown), nil, []string{"the test's authority", "--ca-file", "AWS_CA_BUNDLE"}},
		{"certificate for another name", tlsServer(t, otherName), trust(otherNameFile), []string{"rgw.example.org", "127.0.0.1", "--endpoint"}},
		{"certificate expired", tlsServer(t, expired), trust(expiredFile), []string{"has expired on", "clock"}},
		{"certificate not valid yet", tlsServer(t, early), trust(earlyFile), []string{"valid only from", "clock"}},
		{"http to a TLS port", strings.Replace(tlsServer(t, unknown), "https:", "http:", 1), nil, []string{"https://127.0.0.1"}},
		{"https to a plain port", strings.Replace(plain.URL, "http:", "https:", 1), nil, []string{"plain http", plain.URL}},
		{"closed without answer", "http://" + hangup.Addr().String(), nil, []string{"closes the connection", "--endpoint"}},
		{"not S3", stranger.URL, nil, []string{"not as an S3 server", "--endpoint"}},
		{"not S3, 404", notFound(t), nil, []string{"--endpoint"}},
		{"CA file missing", plain.URL, trust("/nonexistent/ca.pem"), []string{"/nonexistent/ca.pem"}},
		{"CA file without certificates", plain.URL, trust(os.DevNull), []string{os.DevNull, "PEM"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantLine(t, verifyAt(t, c.endpoint, "data", c.change), c.words...)
		})
	}
}

func notFound(t *testing.T) string {
	server := quietServer(t, http.NotFoundHandler())
	server.Start()
	return server.URL
}

func TestVerifyAnswers(t *testing.T) {
	useCredentials(t, "key", "secret")
	for _, c := range []struct {
		code   string
		status int
		words  []string
	}{
		{"InvalidAccessKeyId", 403, []string{"access key", "AWS_ACCESS_KEY_ID"}},
		{"SignatureDoesNotMatch", 403, []string{"secret key", "AWS_SECRET_ACCESS_KEY"}},
		{"AccessDenied", 403, []string{"no right to list bucket data", "s3:ListBucket"}},
		{"RequestTimeTooSkewed", 403, []string{"clock", "15m0s", "timedatectl"}},
		{"NoSuchBucket", 404, []string{"no bucket data on", "check its name"}},
		{"ExpiredToken", 400, []string{"token", "new temporary credentials"}},
		{"PermanentRedirect", 301, []string{"--endpoint", "--region"}},
		{"AuthorizationHeaderMalformed", 400, []string{"--region"}},
		{"InvalidBucketName", 400, []string{`"data"`, "SOURCE"}},
		{"SlowDown", 503, []string{"503", "later"}},
		{"MethodNotAllowed", 405, []string{"MethodNotAllowed"}},
	} {
		t.Run(c.code, func(t *testing.T) {
			server := quietServer(t, s3Error(c.status, c.code))
			server.Start()
			wantLine(t, verifyAt(t, server.URL, "data", nil), append(c.words, "tx0001-test")...)
		})
	}
	t.Run("AccessDenied to the public", func(t *testing.T) {
		server := quietServer(t, s3Error(403, "AccessDenied"))
		server.Start()
		err := verifyAt(t, server.URL, "data", func(s *settings) { s.backend.NoSignRequest = true })
		wantLine(t, err, "public", "--no-sign-request")
	})
	t.Run("AccessDenied to all buckets", func(t *testing.T) {
		server := quietServer(t, s3Error(403, "AccessDenied"))
		server.Start()
		wantLine(t, verifyAt(t, server.URL, "s3://", nil), "no right to list your buckets")
	})
}

func TestVerifyClock(t *testing.T) {
	useCredentials(t, "key", "secret")
	for _, c := range []struct {
		ahead time.Duration
		words []string
	}{
		{20*time.Minute + 30*time.Second, []string{"clock is 20m", "behind", "timedatectl"}},
		{-20*time.Minute - 30*time.Second, []string{"clock is 20m", "ahead of", "timedatectl"}},
		{10 * time.Minute, nil},
	} {
		server := quietServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(c.ahead).UTC().Format(http.TimeFormat))
			emptyListing(w, r)
		}))
		server.Start()
		err := verifyAt(t, server.URL, "data", nil)
		if c.words == nil {
			if err != nil {
				t.Errorf("%v: %v", c.ahead, err)
			}
			continue
		}
		wantLine(t, err, c.words...)
		if err := verifyAt(t, server.URL, "data", func(s *settings) { s.backend.NoSignRequest = true }); err != nil {
			t.Errorf("%v without a signature, which is all that the clock matters for: %v", c.ahead, err)
		}
	}
}

func TestVerifyWithoutCredentials(t *testing.T) {
	noCredentials(t)
	server := quietServer(t, emptyListing)
	server.Start()
	wantLine(t, verifyAt(t, server.URL, "data", nil), "no credentials", "AWS_ACCESS_KEY_ID", "--profile", "--no-sign-request")
	wantLine(t, verifyAt(t, server.URL, "data", func(s *settings) { s.backend.Profile = "absent" }), "absent", "--profile")
}

func TestVerifyInterrupted(t *testing.T) {
	useCredentials(t, "key", "secret")
	began := make(chan struct{}, 1)
	endpoint := silentServer(t, began)
	s := mustParse(t, testInvocation(), "--endpoint", endpoint, "data", "/mnt/x")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	wantLine(t, verify(ctx, s), "interrupted", endpoint)
}

// On a real gateway: what it answers, not what we believe it does.
func TestVerifyRGW(t *testing.T) {
	rgw := s3test.RGW(t)
	bucket := rgw.NewBucket()
	useCredentials(t, rgw.AccessKey, rgw.SecretKey)
	for _, from := range []string{bucket, bucket + "/not/there/yet", "s3://"} {
		if err := verifyAt(t, rgw.HTTP, from, nil); err != nil {
			t.Errorf("%s: %v", from, err)
		}
	}
	if err := verifyAt(t, rgw.HTTPS, bucket, func(s *settings) { s.backend.CAFile = rgw.CAFile }); err != nil {
		t.Error(err)
	}
	wantLine(t, verifyAt(t, rgw.HTTPS, bucket, nil), "--ca-file")
	wantLine(t, verifyAt(t, strings.Replace(rgw.HTTPS, "https:", "http:", 1), bucket, nil), rgw.HTTPS)
	wantLine(t, verifyAt(t, strings.Replace(rgw.HTTP, "http:", "https:", 1), bucket, nil), rgw.HTTP)
	wantLine(t, verifyAt(t, rgw.HTTP, bucket+"x", nil), "no bucket "+bucket+"x", "did you mean "+bucket+"?")
	wantLine(t, verifyAt(t, rgw.HTTP, bucket, func(s *settings) { s.backend.NoSignRequest = true }), "--no-sign-request")

	useCredentials(t, "nobody-s-key", rgw.SecretKey)
	wantLine(t, verifyAt(t, rgw.HTTP, bucket, nil), "access key", "AWS_ACCESS_KEY_ID")
	useCredentials(t, rgw.AccessKey, "wrong")
	wantLine(t, verifyAt(t, rgw.HTTP, bucket, nil), "secret key", "AWS_SECRET_ACCESS_KEY")
	useCredentials(t, rgw.OtherAccessKey, rgw.OtherSecretKey)
	wantLine(t, verifyAt(t, rgw.HTTP, bucket, nil), "no right to list bucket "+bucket)
}

// A gateway whose clock shows 20 minutes more: its answers pass through a
// proxy that sets their Date, and signatures arrive as RGW refuses them.
func TestVerifyRGWClock(t *testing.T) {
	rgw := s3test.RGW(t)
	bucket := rgw.NewBucket()
	useCredentials(t, rgw.AccessKey, rgw.SecretKey)
	target, err := url.Parse(rgw.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	pool := &http.Transport{}
	t.Cleanup(pool.CloseIdleConnections)
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Transport: pool,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			// The signature's time moves, as seen from a server whose clock is
			// ahead: RGW judges it before the signature itself.
			r.Out.Header.Set("X-Amz-Date", time.Now().Add(-20*time.Minute).UTC().Format("20060102T150405Z"))
		},
		ModifyResponse: func(r *http.Response) error {
			if r.StatusCode != http.StatusForbidden {
				t.Errorf("RGW answers %s to a signature of 20 minutes ago", r.Status)
			}
			r.Header.Set("Date", time.Now().Add(20*time.Minute+30*time.Second).UTC().Format(http.TimeFormat))
			return nil
		},
	})
	t.Cleanup(proxy.Close)
	wantLine(t, verifyAt(t, proxy.URL, bucket, nil), "clock is 20m", "behind")

	// Without a Date the code alone tells.
	err = explain(mustParse(t, testInvocation(), "--endpoint", rgw.HTTP, bucket, "/mnt/x"), &s3backend.Error{Kind: s3backend.KindPermission, Status: 403, Code: codeClock})
	wantLine(t, err, "clock", "timedatectl")
}

// silentServer takes requests, says so, and never answers.
func silentServer(t *testing.T, began chan<- struct{}) string {
	t.Helper()
	server := quietServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case began <- struct{}{}:
		default:
		}
		<-r.Context().Done()
	}))
	server.Start()
	return server.URL
}
