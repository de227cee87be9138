package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"rgwfs/s3backend"
)

// Limits of the doctor's patience.
const (
	addressDial = 3 * time.Second
	mostDials   = 8 // addresses that are tried
)

// From when on things that will fail soon are told.
const (
	certificateSoon = 21 * 24 * time.Hour
	clockOff        = 2 * time.Minute
)

// server does the checks that talk to the server, from the outside inwards.
func (d *doctor) server(ctx context.Context) {
	t := d.t
	endpoint, from, err := s3backend.ResolveEndpoint(ctx, t.backend.Endpoint, t.backend.Profile)
	if err != nil {
		d.failure("endpoint", "it can't be found out: %v", err)
		return
	}
	t.backend.Endpoint, t.backend.Version = endpoint, version
	t.backend.CredentialsBucket = d.source.bucket
	if err := t.backend.Validate(); err != nil {
		d.failure("endpoint", "%v", err)
		return
	}
	if from == "given" {
		from = "by flag or environment"
	}
	d.ok("endpoint", "%s (%s)", endpoint, from)
	if !d.network(ctx) {
		return
	}
	watch := d.request(ctx)
	if watch == nil || ctx.Err() != nil {
		return
	}
	if d.source.bucket == "" {
		d.buckets(ctx)
		return
	}
	d.bucket(ctx)
}

// network resolves the server's name and connects to each address.
func (d *doctor) network(ctx context.Context) bool {
	u, err := url.Parse(d.t.backend.Endpoint)
	if err != nil {
		d.failure("endpoint", "it is no URL: give it as https://host[:port]")
		return false
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	if err != nil {
		d.failure("proxy", "HTTP_PROXY or HTTPS_PROXY is no URL: mend it")
		return false
	}
	if proxy != nil {
		// Its URL may hold a password.
		d.ok("proxy", "requests go through %s, which finds the server", proxy.Host)
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, verifyDial+addressDial)
	defer cancel()
	host := u.Hostname()
	if d.t.backend.VirtualHost && d.source.bucket != "" {
		host = d.source.bucket + "." + host
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		d.failure("name", "%v", explain(d.settings(), err))
		return false
	}
	d.ok("name", "%s is %s", host, some(addresses))
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return d.dial(ctx, addresses, port)
}

// some joins the first of a list.
func some(list []string) string {
	const most = 4
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}

func (d *doctor) dial(ctx context.Context, addresses []string, port string) bool {
	dialer := net.Dialer{Timeout: addressDial}
	var deaf []string
	var fault error
	best := time.Duration(0)
	tried := min(len(addresses), mostDials)
	for _, address := range addresses[:tried] {
		began := time.Now()
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(address, port))
		if err != nil {
			deaf, fault = append(deaf, address), err
			continue
		}
		took := time.Since(began)
		if best == 0 || took < best {
			best = took
		}
		_ = conn.Close() // nothing was written
	}
	switch {
	case len(deaf) == tried:
		d.failure("TCP", "%v", explain(d.settings(), fault))
		return false
	case len(deaf) > 0:
		d.warning("TCP", "%d of %d addresses don't answer (%s): tell the server's administrator", len(deaf), tried, some(deaf))
	default:
		d.ok("TCP", "port %s answers in %s", port, briefly(best))
	}
	return true
}

// briefly is a duration with two or three digits.
func briefly(t time.Duration) string {
	switch {
	case t >= 10*time.Millisecond:
		return t.Round(time.Millisecond).String()
	case t >= time.Millisecond:
		return t.Round(100 * time.Microsecond).String()
	}
	return t.Round(10 * time.Microsecond).String()
}

// request makes the first request and tells TLS, clock and credentials by its
// answer. It returns nil if it is of no use to go on.
func (d *doctor) request(ctx context.Context) *witness {
	client, watch, err := newVerifier(ctx, d.t.backend)
	if err != nil {
		d.failure("credentials", "%v", explainClient(err))
		return nil
	}
	d.t.client = client // which closes it
	err = probe(ctx, client, d.source)
	if ctx.Err() != nil {
		return nil
	}
	if !d.secure(watch, err) {
		return nil
	}
	ahead, known := watch.clock()
	switch {
	case !known:
	case ahead.Abs() >= maxClockSkew:
		d.failure("clock", "%v", clockError(ahead))
		return nil
	case ahead.Abs() >= clockOff:
		d.warning("clock", "it is %v off the server's, which refuses %v: set the clock (`timedatectl set-ntp true`)", ahead.Abs().Round(time.Second), maxClockSkew)
	default:
		d.ok("clock", "within %v of the server's", max(ahead.Abs(), time.Second).Round(time.Second))
	}
	if !d.answer(ctx, err) {
		return nil
	}
	d.identity(ctx)
	return watch
}

// secure tells the certificate, or why there is no connection.
func (d *doctor) secure(watch *witness, err error) bool {
	connection, answered := watch.connection()
	if !answered {
		check := "TCP"
		if explainTLS(d.settings(), err) != "" {
			check = "TLS"
		}
		if explainCredentials(err) != "" {
			check = "credentials"
		}
		d.failure(check, "%v", explain(d.settings(), err))
		return false
	}
	if connection == nil {
		d.warning("TLS", "none: others on the way can read the data, and SSE-C can't be used: use an https endpoint, if there is one")
		return true
	}
	first := soonest(connection)
	left := time.Until(first.NotAfter)
	text := fmt.Sprintf("%s, certificate for %s by %q, chain valid for %d days", tls.VersionName(connection.Version),
		certificateNames(connection.PeerCertificates[0]), connection.PeerCertificates[0].Issuer.CommonName, int(left.Hours()/24))
	if left < certificateSoon {
		d.warning("TLS", "%s: have its administrator renew that of %q", text, first.Subject.String())
		return true
	}
	d.ok("TLS", "%s", text)
	return true
}

// soonest returns the certificate of the verified chain that ends first.
func soonest(c *tls.ConnectionState) *x509.Certificate {
	chain := c.PeerCertificates
	if len(c.VerifiedChains) > 0 {
		chain = c.VerifiedChains[0]
	}
	first := chain[0]
	for _, cert := range chain[1:] {
		if cert.NotAfter.Before(first.NotAfter) {
			first = cert
		}
	}
	return first
}

// answer tells what the first answer says of credentials and bucket. Who may
// not list may perhaps do other things.
func (d *doctor) answer(ctx context.Context, err error) bool {
	if err == nil {
		return true
	}
	explained := explain(d.settings(), err)
	var answer *s3backend.Error
	if !errors.As(err, &answer) {
		d.failure("server", "%v", explained)
		return false
	}
	switch answer.Code {
	case codeUnknownKey, codeBadSignature, codeExpiredToken, codeInvalidToken:
		d.failure("credentials", "%v", explained)
		return false
	case codeClock:
		d.failure("clock", "%v", explained)
		return false
	case codeNoSuchBucket:
		d.failure("bucket", "%v", suggestBucket(ctx, d.t.client, d.source.bucket, explained))
		return false
	case codeRedirect, codeRegion, codeBucketNameRule:
		d.failure("bucket", "%v", explained)
		return false
	}
	if answer.Kind == s3backend.KindPermission {
		return true
	}
	d.failure("server", "%v", explained)
	return false
}

func (d *doctor) identity(ctx context.Context) {
	id, err := d.t.client.Identity(ctx)
	if err != nil {
		d.failure("credentials", "%v", explain(d.settings(), err))
		return
	}
	text := id.Kind
	if id.Shown != "" {
		text += ", access key " + id.Shown + "..."
	}
	if !id.Expires.IsZero() {
		text += fmt.Sprintf(", valid for %v", time.Until(id.Expires).Round(time.Minute))
	}
	switch {
	case id.Kind == s3backend.IdentityLDAP && strings.HasPrefix(d.t.backend.Endpoint, "http:"):
		d.warning("credentials", "%s: it holds your password, and goes over http in the clear: use an https endpoint", text)
	case id.Slash:
		d.ok("credentials", "%s, with a slash: signature version 4 can't carry it", text)
	default:
		d.ok("credentials", "%s", text)
	}
}

func (d *doctor) buckets(ctx context.Context) {
	list, err := d.t.client.ListBuckets(ctx)
	if err != nil {
		d.refused(ctx, stateFailure, "buckets", "s3:ListAllMyBuckets", err)
		return
	}
	d.ok("buckets", "%d of your own; give one as SOURCE to see what you may do there", len(list))
}
