package s3backend

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyauth "github.com/aws/smithy-go/auth"
	smithyendpoints "github.com/aws/smithy-go/endpoints"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Client is an S3 account on one server, with a pool of connections to it.
type Client struct {
	cfg      Config
	s3       *s3.Client
	options  s3.Options
	wire     *wire
	pool     *http.Transport
	signer   *signer
	counters *counters
	log      *slog.Logger
	ring     *keyring
}

var _ Service = (*Client)(nil)

// New returns a Client. It reads certificates and credentials, and fails if
// there are none. It sends nothing to the endpoint, unless that is where the
// credentials are to be had (a web identity).
func New(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	endpoint, err := parseEndpoint(cfg.Endpoint)
	if err != nil {
		return nil, err
	}
	roots, err := rootCAs(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, counters: newCounters(), log: cfg.Logger}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.pool = newTransport(&cfg, roots)
	var base http.RoundTripper = c.pool
	if cfg.WrapTransport != nil {
		base = cfg.WrapTransport(base)
	}
	c.wire = &wire{base: base, endpoint: endpoint, stall: cfg.StallTimeout, counters: c.counters}
	provider, err := c.provider(ctx)
	if err != nil {
		c.pool.CloseIdleConnections() // to an STS
		return nil, err
	}
	c.signer = newSigner(&c.cfg, endpoint, c.log)
	c.options = s3.Options{
		Region:             cfg.Region,
		HTTPSignerV4:       c.signer,
		Credentials:        provider,
		HTTPClient:         c.wire,
		EndpointResolverV2: staticEndpoint{endpoint, cfg.VirtualHost, cfg.Region, cfg.Tenant},
		UsePathStyle:       !cfg.VirtualHost,
		// The SDK's own checksums come as trailers or headers that RGW before 20
		// refuses, stores into Content-Encoding, or ignores. Content-MD5 is
		// verified by every RGW: see md5.go.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		Retryer:                    retryer{cfg.MaxAttempts, cfg.MinBackoff, cfg.MaxBackoff},
		// A clock that is wrong gives files wrong times too: say so
		// (RequestTimeTooSkewed) rather than sign with the server's.
		DisableClockSkewCorrection:  true,
		DisableS3ExpressSessionAuth: aws.Bool(true),
		APIOptions: []func(*middleware.Stack) error{
			smithyhttp.AddHeaderValue("User-Agent", userAgent(cfg.Version)),
			addSSE,
			func(stack *middleware.Stack) error { return stack.Finalize.Insert(c.signer, "Retry", middleware.After) },
		},
	}
	if cfg.RequesterPays {
		c.options.APIOptions = append(c.options.APIOptions, smithyhttp.AddHeaderValue("X-Amz-Request-Payer", "requester"))
	}
	c.s3 = s3.New(c.options)
	c.ring, err = newKeyring(&cfg)
	return c, err
}

func userAgent(version string) string {
	if version == "" {
		return "rgwfs"
	}
	return "rgwfs/" + version
}

// WithRetries returns a Client that shares c's connections and counters and
// makes at most n attempts (at least one) of each request. With 1 a wrong
// endpoint fails at once, as verification before a mount wants it.
func (c *Client) WithRetries(n int) *Client {
	d := *c
	d.cfg.MaxAttempts = max(n, 1)
	d.options.Retryer = retryer{d.cfg.MaxAttempts, c.cfg.MinBackoff, c.cfg.MaxBackoff}
	d.s3 = s3.New(d.options)
	return &d
}

// Close closes idle connections; those in use close when their request ends.
// The Client, and those that share its connections, must not be used after.
func (c *Client) Close() { c.pool.CloseIdleConnections() }

// Stats returns what has been counted so far.
func (c *Client) Stats() Stats { return c.counters.snapshot() }

// Endpoint returns the endpoint as configured.
func (c *Client) Endpoint() string { return c.cfg.Endpoint }

// Bucket returns the Store of a bucket. It makes no request. A bucket of a
// tenant other than Config.Tenant is "tenant:bucket" (path-style only).
func (c *Client) Bucket(name string) Store { return &encrypted{&bucket{c: c, name: name}, c.ring} }

// bucket is a Store on RGW.
type bucket struct {
	c    *Client
	name string
}

var _ Store = (*bucket)(nil)

func (b *bucket) Name() string { return b.name }

// call runs one operation: f sends it with the context given.
func (c *Client) call(ctx context.Context, op, bucket, key string, f func(context.Context) error) (*callInfo, error) {
	info := &callInfo{op: op, limit: c.cfg.StallTimeout}
	switch op {
	case "CopyObject", "UploadPartCopy", "CompleteMultipartUpload", "DeleteObjects":
		info.limit = c.cfg.ServerTimeout
	}
	start := time.Now()
	err := translate(ctx, info, bucket, key, f(context.WithValue(ctx, callKey{}, info)))
	if c.log.Enabled(ctx, slog.LevelDebug) {
		attrs := []slog.Attr{
			slog.String("op", op), slog.String("bucket", bucket), slog.String("key", key),
			slog.Int("status", int(info.status.Load())), slog.String("request_id", info.id()),
			slog.Duration("duration", time.Since(start)), slog.Int("attempts", int(info.attempts.Load())),
		}
		if err != nil {
			attrs = append(attrs, slog.String("error", err.Error()))
		}
		c.log.LogAttrs(ctx, slog.LevelDebug, "s3", attrs...)
	}
	return info, err
}

func (b *bucket) call(ctx context.Context, op, key string, f func(context.Context) error) (*callInfo, error) {
	return b.c.call(ctx, op, b.name, key, f)
}

// staticEndpoint replaces the SDK's endpoint rules, which for a region that AWS
// does not have compile their regular expressions anew on every request.
type staticEndpoint struct {
	url         *url.URL
	virtualHost bool
	region      string
	tenant      string
}

func (s staticEndpoint) ResolveEndpoint(_ context.Context, p s3.EndpointParameters) (smithyendpoints.Endpoint, error) {
	u := *s.url
	if p.Bucket != nil {
		if s.virtualHost {
			u.Host = *p.Bucket + "." + u.Host
		} else {
			// RGW verifies version 4 over the path as it would escape it itself:
			// with %3A for the colon after a tenant.
			u.RawPath = u.EscapedPath() + "/" + escapeKey(qualified(s.tenant, *p.Bucket))
			u.Path += "/" + qualified(s.tenant, *p.Bucket)
		}
	}
	// S3 signs the path as it is sent; other services of AWS encode it twice.
	var signer, all smithy.Properties
	smithyhttp.SetSigV4SigningName(&signer, "s3")
	smithyhttp.SetSigV4SigningRegion(&signer, s.region)
	smithyhttp.SetDisableDoubleEncoding(&signer, true)
	smithyauth.SetAuthOptions(&all, []*smithyauth.Option{
		{SchemeID: smithyauth.SchemeIDSigV4, SignerProperties: signer},
	})
	return smithyendpoints.Endpoint{URI: u, Properties: all}, nil
}

// qualified returns the name of a bucket as it goes over the wire: with its
// tenant, if it is in another than that of the user.
func qualified(tenant, bucket string) string {
	if tenant == "" || strings.Contains(bucket, ":") {
		return bucket
	}
	return tenant + ":" + bucket
}

// unsignedPayload leaves the body's SHA-256 out of the signature. The SDK does
// so on https by itself. On http too the Content-MD5 that we send is signed, so
// the body is bound to the signature all the same; hashing it twice would halve
// the speed of writes.
func unsignedPayload(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
}

// withQuery adds to the query of a request, before it is signed.
func withQuery(name, value string) func(*s3.Options) {
	return func(o *s3.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Build.Add(middleware.BuildMiddlewareFunc("rgwfs:query:"+name,
				func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
					req, ok := in.Request.(*smithyhttp.Request)
					if !ok {
						return middleware.BuildOutput{}, middleware.Metadata{}, fmt.Errorf("unknown transport type %T", in.Request)
					}
					q := req.URL.Query()
					q.Set(name, value)
					req.URL.RawQuery = q.Encode()
					return next.HandleBuild(ctx, in)
				}), middleware.After)
		})
	}
}
