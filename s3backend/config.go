package s3backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
)

// Config is what a Client is made of. Start from DefaultConfig.
type Config struct {
	// Endpoint is the server's URL, such as https://rgw.example.org or
	// http://127.0.0.1:8000. See ResolveEndpoint.
	Endpoint string
	// Region is what requests are signed for. RGW accepts any name.
	Region string
	// VirtualHost addresses buckets as bucket.host instead of host/bucket. The
	// server must be set up for it (rgw_dns_name and a wildcard DNS record).
	VirtualHost bool

	// Profile names a profile of the shared AWS configuration; "" leaves the
	// choice to the SDK (AWS_PROFILE, else "default").
	Profile string
	// NoSignRequest sends requests without credentials (public buckets).
	NoSignRequest bool
	// AccessKey, SecretKey and SessionToken replace the SDK's chain of
	// credential sources when AccessKey is not empty. SecretKey may be empty:
	// RGW with LDAP takes a token as access key and ignores the signature. The
	// access key is a Secret since such a token holds the user's password.
	AccessKey, SecretKey, SessionToken Secret
	// CredentialsFile holds keys in the form of the AWS tools, s3cmd, rclone or
	// s3fs, and replaces the chain too. CredentialsSection names a section of it,
	// CredentialsBucket the bucket whose line of an s3fs file to take.
	CredentialsFile, CredentialsSection, CredentialsBucket string
	// ExchangeToken fetches temporary keys for the credentials (GetSessionToken)
	// and signs with these.
	ExchangeToken bool

	// Signature is how requests are signed, one of Signatures.
	Signature string
	// UnsignedPayload leaves the hash of the body out of every signature, not of
	// those of writes only.
	UnsignedPayload bool
	// Tenant is that of the buckets, if it is another than the user's own.
	// Path-style only.
	Tenant string
	// RequesterPays consents to pay for requests to buckets whose owner does not
	// (x-amz-request-payer).
	RequesterPays bool

	// CAFile is a PEM file of certificates to trust beside the system's and
	// those of AWS_CA_BUNDLE (or the profile's ca_bundle).
	CAFile string

	// ACL is the canned ACL of everything that is stored here (x-amz-acl), ""
	// the server's default, private. It goes with a copy too, as copies don't
	// take their source's ACL with them.
	ACL string

	// SSEKeys are the keys of SSE-C: the first encrypts what is written, all
	// decrypt what is read. Only with https.
	SSEKeys []Key
	// SSE has the server encrypt what is written, by keys of its own. It
	// excludes SSEKeys.
	SSE Encryption
	// SSEHeaderAlso sends x-amz-server-side-encryption beside the SSE-C headers
	// of writes, for bucket policies that ask for it. RGW 18 and 20 refuse it.
	// Without, it is tried where a write is denied.
	SSEHeaderAlso bool

	// DialTimeout bounds the TCP connect and, again, the TLS handshake.
	DialTimeout time.Duration
	// StallTimeout ends an attempt that makes no progress in either direction.
	// It is no limit on the whole of a transfer.
	StallTimeout time.Duration
	// ServerTimeout takes the place of StallTimeout where the server works
	// without sending anything: CopyObject, UploadPartCopy,
	// CompleteMultipartUpload and DeleteObjects.
	ServerTimeout time.Duration

	// MaxAttempts is how often a request is sent before its failure is
	// returned, 1 = no retries. It also bounds the resumptions of a GET body
	// that bring nothing new.
	MaxAttempts int
	// MinBackoff and MaxBackoff bound the pause before a retry; it doubles from
	// one to the other and is jittered.
	MinBackoff, MaxBackoff time.Duration

	// PageSize is how many keys are asked for where a listing wants as many as
	// the server gives, 0 = the server's own default. See Profile.
	PageSize int
	// SignatureHint is the version that SignatureAuto begins with, "" = 4. It is
	// changed as if it had been found out. See Profile.
	SignatureHint string

	// Connections is how many connections to the server may be open at a time;
	// further requests wait.
	Connections int

	// Version is rgwfs's version for the User-Agent.
	Version string
	// Logger gets a debug record of every call; nil discards them.
	Logger *slog.Logger
	// slowAck leaves TCP_QUICKACK out: to measure what it gains.
	slowAck bool
	// WrapTransport, if set, wraps the HTTP transport below stall detection and
	// retries. Tests inject faults and count requests here.
	WrapTransport func(http.RoundTripper) http.RoundTripper
}

// DefaultConfig returns the Config that suits RGW. Endpoint is left empty.
func DefaultConfig() Config {
	return Config{
		Region: "us-east-1", // the name that every S3 server accepts

		Signature: SignatureAuto, // needs no knowledge of the server, and costs nothing on RGW

		// Longer than a SYN and two retransmissions (1+2+4 s) need.
		DialTimeout: 10 * time.Second,
		// An RGW whose OSDs are peering pauses for 20 s and more and then goes
		// on; a server silent for longer is better asked again.
		StallTimeout: 30 * time.Second,
		// Copying 5 GiB between pools at 20 MB/s takes about four minutes.
		ServerTimeout: 5 * time.Minute,

		// With the backoff below ten attempts span about 15 s of an endpoint
		// that refuses: a restart of radosgw passes unseen.
		MaxAttempts: 10,
		MinBackoff:  100 * time.Millisecond,
		// The SDK's 20 s would leave a client idle long after the server is back.
		MaxBackoff: 3 * time.Second,

		// A mount saturates 25 GbE with about 16 streams; the rest is room for
		// metadata requests beside them. RGW serves 512 at a time by default.
		Connections: 64,
	}
}

// Validate reports the first setting that cannot work, and how to mend it.
func (c *Config) Validate() error {
	if c.Endpoint == "" {
		return errors.New("no endpoint: give --endpoint URL, set AWS_ENDPOINT_URL_S3, or set endpoint_url in the AWS profile")
	}
	if _, err := parseEndpoint(c.Endpoint); err != nil {
		return err
	}
	if c.ACL != "" && !slices.Contains(CannedACLs(), c.ACL) {
		return fmt.Errorf("no canned ACL %q: one of %s", c.ACL, strings.Join(CannedACLs(), ", "))
	}
	if c.NoSignRequest && (c.Profile != "" || c.AccessKey != "" || c.CredentialsFile != "" || c.ExchangeToken) {
		return errors.New("no-sign-request sends no credentials: drop it, or drop the profile, credentials-file and exchange-token")
	}
	if c.CredentialsSection != "" && c.CredentialsFile == "" {
		return errors.New("a credentials-section without a credentials-file: give both, or a profile")
	}
	if !slices.Contains(Signatures(), c.Signature) {
		return fmt.Errorf("no signature %q: one of %s", c.Signature, strings.Join(Signatures(), ", "))
	}
	if strings.ContainsAny(c.Tenant, ":/") {
		return fmt.Errorf("tenant %q: a name without \":\" and \"/\"", c.Tenant)
	}
	if c.Tenant != "" && c.VirtualHost {
		return errors.New("a bucket of a tenant has no name in DNS: drop virtual-host, or the tenant")
	}
	if err := c.checkEncryption(); err != nil {
		return err
	}
	if c.AccessKey == "" && (c.SecretKey != "" || c.SessionToken != "") {
		return errors.New("a secret key without an access key: set both")
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"DialTimeout", c.DialTimeout}, {"StallTimeout", c.StallTimeout}, {"ServerTimeout", c.ServerTimeout},
		{"MinBackoff", c.MinBackoff}, {"MaxBackoff", c.MaxBackoff},
	} {
		if d.d <= 0 {
			return fmt.Errorf("%s is %v: it must be above 0", d.name, d.d)
		}
	}
	if c.MinBackoff > c.MaxBackoff {
		return fmt.Errorf("MinBackoff %v is above MaxBackoff %v: lower it", c.MinBackoff, c.MaxBackoff)
	}
	if c.MaxAttempts < 1 {
		return fmt.Errorf("MaxAttempts is %d: it must be at least 1", c.MaxAttempts)
	}
	if c.Connections < 1 {
		return fmt.Errorf("the limit Connections is %d: it must be at least 1", c.Connections)
	}
	if c.Region == "" {
		return errors.New("no region: any name does for RGW, such as us-east-1")
	}
	return nil
}

// parseEndpoint checks an endpoint URL. Its path, if any, comes without a
// slash at the end.
func parseEndpoint(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		// url.Error quotes the whole text, which may hold a password.
		return nil, errors.New("the endpoint is no URL: give it as https://host[:port]")
	}
	switch {
	case u.User != nil:
		return nil, errors.New("the endpoint holds a user name or password: give credentials by the environment or a profile")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("endpoint %q does not begin with http:// or https://", s)
	case u.Hostname() == "":
		return nil, fmt.Errorf("endpoint %q names no host", s)
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return nil, fmt.Errorf("endpoint %q has a query or fragment: drop it", s)
	}
	for len(u.Path) > 0 && u.Path[len(u.Path)-1] == '/' {
		u.Path = u.Path[:len(u.Path)-1]
	}
	u.RawPath = ""
	return u, nil
}

// ResolveEndpoint returns the endpoint to use and where it came from: explicit
// if it is not empty, else what the SDK's own sources say: AWS_ENDPOINT_URL_S3,
// AWS_ENDPOINT_URL, then the profile's (services section, then endpoint_url).
// "" means that nothing names one.
func ResolveEndpoint(ctx context.Context, explicit, profile string) (endpoint, source string, err error) {
	if explicit != "" {
		return explicit, "given", nil
	}
	env, err := awsconfig.NewEnvConfig()
	if err != nil {
		return "", "", fmt.Errorf("the AWS environment variables: %w", err)
	}
	if env.IgnoreConfiguredEndpoints != nil && *env.IgnoreConfiguredEndpoints {
		return "", "", nil
	}
	if s, ok, err := env.GetServiceBaseEndpoint(ctx, "S3"); err != nil {
		return "", "", fmt.Errorf("AWS_ENDPOINT_URL_S3: %w", err)
	} else if ok {
		return s, "AWS_ENDPOINT_URL_S3", nil
	}
	if env.BaseEndpoint != "" {
		return env.BaseEndpoint, "AWS_ENDPOINT_URL", nil
	}
	shared, name, err := loadProfile(ctx, env, profile)
	if err != nil {
		return "", "", err
	}
	if shared.IgnoreConfiguredEndpoints != nil && *shared.IgnoreConfiguredEndpoints {
		return "", "", nil
	}
	source = "profile " + name
	if s, ok, err := shared.GetServiceBaseEndpoint(ctx, "S3"); err != nil {
		return "", "", fmt.Errorf("%s: %w", source, err)
	} else if ok {
		return s, source, nil
	}
	if shared.BaseEndpoint != "" {
		return shared.BaseEndpoint, source, nil
	}
	return "", "", nil
}

// loadProfile reads the shared AWS configuration. A profile that was not asked
// for by name need not exist.
func loadProfile(ctx context.Context, env awsconfig.EnvConfig, profile string) (awsconfig.SharedConfig, string, error) {
	name := profile
	if name == "" {
		name = env.SharedConfigProfile
	}
	asked := name != ""
	if !asked {
		name = awsconfig.DefaultSharedConfigProfile
	}
	shared, err := awsconfig.LoadSharedConfigProfile(ctx, name, func(o *awsconfig.LoadSharedConfigOptions) {
		if env.SharedConfigFile != "" {
			o.ConfigFiles = []string{env.SharedConfigFile}
		}
		if env.SharedCredentialsFile != "" {
			o.CredentialsFiles = []string{env.SharedCredentialsFile}
		}
	})
	var absent awsconfig.SharedConfigProfileNotExistError
	if errors.As(err, &absent) && !asked {
		return awsconfig.SharedConfig{}, name, nil
	}
	if err != nil {
		return awsconfig.SharedConfig{}, name, fmt.Errorf("profile %q: %w", name, err)
	}
	return shared, name, nil
}
