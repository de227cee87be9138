package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"rgwfs/s3backend"
)

// explainTransport explains why a server could not be talked to, in one line
// with the mend; "" if err is not of that sort.
func explainTransport(s *settings, err error) string {
	endpoint := s.backend.Endpoint
	if text := explainTLS(s, err); text != "" {
		return text
	}
	var opErr *net.OpError
	if errors.As(err, &opErr) && opErr.Op == "proxyconnect" {
		return fmt.Sprintf("the proxy that HTTP_PROXY or HTTPS_PROXY names can't be used for %s: %v; mend it, or put the server into NO_PROXY", endpoint, opErr.Err)
	}
	var dnsErr *net.DNSError
	if errors.As(err, &dnsErr) {
		if dnsErr.IsNotFound {
			hint := "check --endpoint for a slip"
			if s.backend.VirtualHost {
				hint += ", or drop --virtual-host: it needs a name for each bucket"
			}
			return fmt.Sprintf("no address for the name %s (of %s): %s", dnsErr.Name, endpoint, hint)
		}
		return fmt.Sprintf("the name %s (of %s) can't be resolved now (%s): check the network and its DNS", dnsErr.Name, endpoint, dnsErr.Err)
	}
	var addrErr *net.AddrError
	switch {
	case errors.As(err, &addrErr):
		return fmt.Sprintf("no usable address for %s (of %s): check --endpoint", addrErr.Addr, endpoint)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("%s refuses the connection: nothing serves at that address and port; check --endpoint, or start the server", endpoint)
	case errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH):
		return fmt.Sprintf("there is no way to %s through the network: check the network, a VPN or firewall, or --endpoint", endpoint)
	case isTimeout(err):
		return fmt.Sprintf("%s does not answer: check --endpoint, the network and its firewalls", endpoint)
	case isBroken(err), strings.Contains(err.Error(), "server closed idle connection"): // net/http exports no error for the latter
		return fmt.Sprintf("%s closes the connection without an answer: check --endpoint, its scheme (https or http) and port", endpoint)
	}
	if text := err.Error(); strings.Contains(text, "malformed HTTP") {
		return fmt.Sprintf("%s does not speak HTTP: check the port of --endpoint", endpoint)
	}
	return ""
}

// explainTLS explains what is wrong with encryption.
func explainTLS(s *settings, err error) string {
	endpoint := s.backend.Endpoint
	if errors.Is(err, s3backend.ErrPlainHTTPToTLS) {
		return fmt.Sprintf("%s is plain http, but that port speaks TLS: use --endpoint %s", endpoint, withScheme(endpoint, "https"))
	}
	var record tls.RecordHeaderError
	if errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &record) {
		return fmt.Sprintf("%s is https, but that port speaks plain http: use --endpoint %s, or the server's TLS port", endpoint, withScheme(endpoint, "http"))
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return fmt.Sprintf("the certificate of %s is signed by an authority this machine does not know (%s): give that authority's certificate by --ca-file or AWS_CA_BUNDLE", endpoint, issuer(unknown.Cert))
	}
	var name x509.HostnameError
	if errors.As(err, &name) {
		return fmt.Sprintf("the certificate of %s is for another name (%s, not %s): use a name that it has in --endpoint", endpoint, certificateNames(name.Certificate), name.Host)
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		if invalid.Reason == x509.Expired {
			return explainExpired(endpoint, invalid)
		}
		return fmt.Sprintf("the certificate of %s is not valid (%v): tell its administrator", endpoint, invalid)
	}
	var verification *tls.CertificateVerificationError
	var alert tls.AlertError
	if errors.As(err, &verification) || errors.As(err, &alert) {
		return fmt.Sprintf("no TLS connection to %s: %v", endpoint, rootCause(err))
	}
	return ""
}

// explainExpired tells a certificate that is over from a clock that is wrong.
// Go gives one reason for both.
func explainExpired(endpoint string, invalid x509.CertificateInvalidError) string {
	now := time.Now()
	if invalid.Cert != nil && now.Before(invalid.Cert.NotBefore) {
		return fmt.Sprintf("the certificate of %s is valid only from %s on: set this machine's clock (`timedatectl set-ntp true`), which says %s",
			endpoint, invalid.Cert.NotBefore.UTC().Format(time.DateTime), now.UTC().Format(time.DateTime))
	}
	when := ""
	if invalid.Cert != nil {
		when = " on " + invalid.Cert.NotAfter.UTC().Format(time.DateTime)
	}
	return fmt.Sprintf("the certificate of %s has expired%s: have its administrator renew it, if this machine's clock (%s) is right",
		endpoint, when, now.UTC().Format(time.DateTime))
}

func issuer(cert *x509.Certificate) string {
	if cert == nil {
		return "no certificate"
	}
	if name := cert.Issuer.String(); name != "" {
		return "issuer " + name
	}
	return "no issuer's name"
}

func certificateNames(cert *x509.Certificate) string {
	if cert == nil {
		return "no certificate"
	}
	names := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "it has no names"
	}
	const most = 4
	if len(names) > most {
		names = append(names[:most], "...")
	}
	return strings.Join(names, ", ")
}

// withScheme is endpoint with another scheme.
func withScheme(endpoint, scheme string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return scheme + "://..."
	}
	u.Scheme = scheme
	return u.String()
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, s3backend.ErrStalled) || errors.As(err, &timeout) && timeout.Timeout()
}

func isBroken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// rootCause is the innermost error of a chain.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
