package s3backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// The values of Config.Signature.
const (
	// SignatureAuto signs by version 4, but by 2 what version 4 can't carry; what
	// a server refuses to verify is sent once more by the other version, and if
	// that works it stays so.
	SignatureAuto = "auto"
	SignatureV4   = "v4"
	SignatureV2   = "v2"
	// SignatureHybrid signs listings and HEAD by version 4, all else by 2: there
	// are servers that compute another hash of the payload than version 4 has
	// signed, as Dell ECS behind some proxies does, and want version 4 otherwise.
	SignatureHybrid = "hybrid"
)

// Signatures returns the values of Config.Signature.
func Signatures() []string {
	return []string{SignatureAuto, SignatureV4, SignatureV2, SignatureHybrid}
}

// ErrSlashInKey says that a request was not signed: version 4 ends the access
// key at its first slash (rgw_auth_s3.cc, parse_v4_auth_header), so that no
// server could read it.
var ErrSlashInKey = errors.New("signature version 4 can't carry an access key with a slash: use signature version 2")

// scheme is a version of signatures.
type scheme uint32

const (
	schemeV4 scheme = iota
	schemeV2
)

func (s scheme) other() scheme { return 1 - s }

func (s scheme) String() string {
	if s == schemeV2 {
		return SignatureV2
	}
	return SignatureV4
}

// class is what operations have in common as to signatures.
type class int

const (
	classNames class = iota // listings and HEAD
	classData               // all else
	classes
)

func classOf(operation string) class {
	if strings.HasPrefix(operation, "List") || strings.HasPrefix(operation, "Head") {
		return classNames
	}
	return classData
}

// signer signs the requests of a Client, and finds out by which version.
type signer struct {
	mode     string
	cfg      *Config
	endpoint *url.URL
	v4       *v4.Signer
	log      *slog.Logger
	learned  [classes]learned
}

// learned is what SignatureAuto knows of a class.
type learned struct {
	scheme  atomic.Uint32 // a scheme
	settled atomic.Bool   // the other one has been tried, with an answer
	works   atomic.Bool   // a signature by scheme was accepted
}

func newSigner(cfg *Config, endpoint *url.URL, log *slog.Logger) *signer {
	s := &signer{mode: cfg.Signature, cfg: cfg, endpoint: endpoint, log: log}
	// S3 signs the path as it is sent; other services of AWS encode it twice.
	s.v4 = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	begin := s.mode
	if begin == SignatureAuto {
		begin = cfg.SignatureHint
	}
	switch begin {
	case SignatureV2:
		s.learned[classNames].scheme.Store(uint32(schemeV2))
		fallthrough
	case SignatureHybrid:
		s.learned[classData].scheme.Store(uint32(schemeV2))
	}
	return s
}

func (s *signer) scheme(c class) scheme { return scheme(s.learned[c].scheme.Load()) }

// inUse returns the value of Config.Signature that says what is done now.
func (s *signer) inUse() string {
	switch {
	case s.scheme(classNames) == schemeV2:
		return SignatureV2
	case s.scheme(classData) == schemeV2:
		return SignatureHybrid
	}
	return SignatureV4
}

// Signature returns what Config.Signature should be for this server, as far as
// its answers have told yet: SignatureV4, SignatureV2 or SignatureHybrid.
func (c *Client) Signature() string { return c.signer.inUse() }

type schemeKey struct{}

// unsigned stands in the place of the payload's hash.
const unsigned = "UNSIGNED-PAYLOAD"

var _ s3.HTTPSignerV4 = (*signer)(nil)

// SignHTTP implements s3.HTTPSignerV4, for version 2 too.
func (s *signer) SignHTTP(ctx context.Context, creds aws.Credentials, req *http.Request, payloadHash, service, region string, now time.Time, opts ...func(*v4.SignerOptions)) error {
	if strings.HasPrefix(payloadHash, "STREAMING-") || req.Header.Get("X-Amz-Trailer") != "" {
		// RGW before 18 refuses them, 18 stores their encoding, and none takes
		// them with an LDAP token.
		return fmt.Errorf("a payload of the kind %s: RGW can't take it", payloadHash)
	}
	// Proxies rewrite or drop these, which breaks a signature that has them; the
	// server needs none of them.
	for _, name := range []string{"Amz-Sdk-Invocation-Id", "Amz-Sdk-Request", "Accept-Encoding"} {
		req.Header.Del(name)
	}
	version, ok := ctx.Value(schemeKey{}).(scheme)
	if !ok {
		version = s.scheme(classOf(awsmiddleware.GetOperationName(ctx)))
	}
	if version == schemeV4 && strings.Contains(creds.AccessKeyID, "/") {
		if s.mode != SignatureAuto {
			return ErrSlashInKey
		}
		for i := range s.learned {
			s.learned[i].scheme.Store(uint32(schemeV2))
		}
		version = schemeV2
	}
	if version == schemeV2 {
		signV2(creds, req, hostBucket(s.cfg, s.endpoint, req.URL), now)
		return nil
	}
	if s.cfg.UnsignedPayload {
		payloadHash = unsigned
		req.Header.Set("X-Amz-Content-Sha256", unsigned)
	}
	return s.v4.SignHTTP(ctx, creds, req, payloadHash, service, region, now, opts...)
}

// ID implements middleware.FinalizeMiddleware.
func (*signer) ID() string { return "rgwfs:signature" }

// HandleFinalize stands round each attempt, within the SDK's retries: it sends
// what the server could not verify a second time, signed by the other version.
func (s *signer) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	middleware.FinalizeOutput, middleware.Metadata, error,
) {
	operation := awsmiddleware.GetOperationName(ctx)
	l := &s.learned[classOf(operation)]
	used := scheme(l.scheme.Load())
	send := func(version scheme) (middleware.FinalizeOutput, middleware.Metadata, error) {
		return next.HandleFinalize(context.WithValue(ctx, schemeKey{}, version), in)
	}
	if s.mode != SignatureAuto {
		return send(used)
	}
	original, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("unknown transport type %T", in.Request)
	}
	in.Request = original.Clone()
	out, md, err := send(used)
	if err == nil {
		l.works.Store(true)
		return out, md, nil
	}
	doubtful := strings.HasPrefix(operation, "Head") && !l.works.Load()
	if !unverified(err, doubtful) {
		return out, md, err
	}
	another := used.other()
	if l.settled.Load() && scheme(l.scheme.Load()) == used {
		return out, md, err // the other way has been tried: it is no better
	}
	again := original.Clone()
	if rewind := again.RewindStream(); rewind != nil {
		return out, md, err
	}
	in.Request = again
	out2, md2, err2 := send(another)
	switch {
	case accepted(err2):
		l.works.Store(true)
		if l.scheme.CompareAndSwap(uint32(used), uint32(another)) {
			s.tell(operation, used, err)
		}
		l.settled.Store(true)
		return out2, md2, err2
	case unverified(err2, doubtful):
		l.settled.Store(true)
	}
	return out, md, err
}

// tell says which setting spares the request that was refused.
func (s *signer) tell(operation string, used scheme, refused error) {
	code := ""
	var api smithy.APIError
	if errors.As(refused, &api) {
		code = api.ErrorCode()
	}
	s.log.Warn(fmt.Sprintf("the server refuses signature %s for this operation but takes %s: set --signature, which spares asking twice", used, used.other()),
		slog.String("op", operation), slog.String("code", code), slog.String("mend", "--signature="+s.inUse()))
}

// unverified reports whether the server could not verify a signature. The
// answer to a HEAD has no code to tell so: with doubtful its status is enough.
func unverified(err error, doubtful bool) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "XAmzContentSHA256Mismatch", "SignatureDoesNotMatch":
		return true
	}
	var resp *smithyhttp.ResponseError
	if !doubtful || !errors.As(err, &resp) {
		return false
	}
	return resp.HTTPStatusCode() == http.StatusForbidden || resp.HTTPStatusCode() == http.StatusBadRequest
}

// accepted reports whether an answer tells that the signature was verified: what
// it says of the object it says to nobody else.
func accepted(err error) bool {
	if err == nil {
		return true
	}
	var resp *smithyhttp.ResponseError
	if !errors.As(err, &resp) || resp.Response == nil || resp.Response.Response == nil {
		return false
	}
	switch resp.HTTPStatusCode() {
	case http.StatusNotModified, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable:
		return true
	}
	return false
}
