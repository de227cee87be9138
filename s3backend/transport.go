package s3backend

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
)

// ErrPlainHTTPToTLS says that http:// was spoken to a port that wants TLS.
// radosgw closes such a connection without an answer.
var ErrPlainHTTPToTLS = errors.New("the endpoint speaks TLS: use https://")

// newTransport returns the connection pool of a Client.
func newTransport(cfg *Config, roots *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{
		Timeout: cfg.DialTimeout,
		// Finds peers that died while a connection idles or a server works.
		KeepAlive: 15 * time.Second,
	}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		// TLS is laid over this connection too, so QUICKACK holds for both.
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			if cfg.slowAck {
				return conn, nil
			}
			return quickAck(conn), nil
		},
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: cfg.DialTimeout,
		MaxConnsPerHost:     cfg.Connections,
		MaxIdleConnsPerHost: cfg.Connections,
		// Below the 65 s after which radosgw closes an idle connection
		// (request_timeout_ms), so that no request meets one that is closing.
		IdleConnTimeout: 45 * time.Second,
		// RGW answers Expect: 100-continue at once; it spares sending a body
		// that a quota refuses.
		ExpectContinueTimeout: time.Second,
		// An object stored with Content-Encoding: gzip is still those bytes.
		DisableCompression: true,
		// One connection a stream: HTTP/2 would put all on one TCP connection,
		// and radosgw has none. A non-nil map turns it off.
		TLSNextProto:    map[string]func(string, *tls.Conn) http.RoundTripper{},
		ReadBufferSize:  64 << 10, // a listing page comes in few reads
		WriteBufferSize: 64 << 10,
	}
}

// rootCAs returns the system's certificates with those of the SDK's CA bundle
// and of file, or nil (the system's) if there are none. The SDK can't be left
// to do it: it refuses AWS_CA_BUNDLE together with a transport of one's own.
func rootCAs(ctx context.Context, cfg *Config) (*x509.CertPool, error) {
	env, err := awsconfig.NewEnvConfig()
	if err != nil {
		return nil, fmt.Errorf("the AWS environment variables: %w", err)
	}
	bundle, from := env.CustomCABundle, "AWS_CA_BUNDLE"
	if bundle == "" {
		shared, name, err := loadProfile(ctx, env, cfg.Profile)
		if err != nil {
			return nil, err
		}
		bundle, from = shared.CustomCABundle, "ca_bundle of profile "+name
	}
	files := []struct{ path, from string }{{bundle, from}, {cfg.CAFile, "CA file"}}
	var pool *x509.CertPool
	for _, f := range files {
		if f.path == "" {
			continue
		}
		pem, err := os.ReadFile(f.path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.from, err)
		}
		if pool == nil {
			if pool, err = x509.SystemCertPool(); err != nil {
				// No system certificates: the given ones are all there are.
				pool = x509.NewCertPool()
			}
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s %s holds no certificate in PEM form", f.from, f.path)
		}
	}
	return pool, nil
}

// speaksTLS finds out whether the port of an http:// endpoint wants TLS, by a
// handshake. What certificate it shows does not matter: nothing is sent.
func speaksTLS(ctx context.Context, endpoint *url.URL, timeout time.Duration) bool {
	if endpoint.Scheme != "http" {
		return false
	}
	port := endpoint.Port()
	if port == "" {
		port = "80"
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(endpoint.Hostname(), port))
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was written that could be lost
	return true
}
