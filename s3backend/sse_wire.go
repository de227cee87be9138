package s3backend

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// The headers of server-side encryption
// (https://docs.ceph.com/en/latest/radosgw/encryption/).
const (
	sseHeader       = "X-Amz-Server-Side-Encryption"
	sseKMSKeyHeader = "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"
	sseCustomer     = "X-Amz-Server-Side-Encryption-Customer-"
	sseSource       = "X-Amz-Copy-Source-Server-Side-Encryption-Customer-"
	sseAES256       = "AES256"
)

// errNotEncrypted: RGW answers 200 to some writes that it stores unencrypted,
// and servers without encryption ignore its headers.
var errNotEncrypted = errors.New("the server does not confirm that it has encrypted the data")

// sseRequest is what the requests of one call of the Store say of encryption.
// It travels in the context; requests of one call never overlap.
type sseRequest struct {
	key    Key        // encrypts what is written, decrypts what is read; zero = none
	source Key        // decrypts the source of a copy; zero = none
	sse    Encryption // who encrypts what is written if there is no key
	also   bool       // writes have x-amz-server-side-encryption beside the key
	extra  http.Header

	// Of the last answer that was no error.
	header http.Header
	// encrypted: it said that the object is encrypted as asked for.
	encrypted bool
}

type sseContextKey struct{}

func (r *sseRequest) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, sseContextKey{}, r)
}

// addSSE adds the middleware that a sseRequest in the context drives.
func addSSE(stack *middleware.Stack) error {
	err := stack.Build.Add(middleware.BuildMiddlewareFunc("rgwfs:sse",
		func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
			if r, ok := ctx.Value(sseContextKey{}).(*sseRequest); ok {
				req, ok := in.Request.(*smithyhttp.Request)
				if !ok {
					return middleware.BuildOutput{}, middleware.Metadata{}, fmt.Errorf("unknown transport type %T", in.Request)
				}
				r.send(awsmiddleware.GetOperationName(ctx), req.Header)
			}
			return next.HandleBuild(ctx, in)
		}), middleware.After)
	if err != nil {
		return err
	}
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("rgwfs:sse-confirmed",
		func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
			out, md, err := next.HandleDeserialize(ctx, in)
			r, ok := ctx.Value(sseContextKey{}).(*sseRequest)
			if resp, isHTTP := out.RawResponse.(*smithyhttp.Response); ok && err == nil && isHTTP {
				err = r.receive(awsmiddleware.GetOperationName(ctx), resp.Header)
			}
			return out, md, err
		}), middleware.Before)
}

// send sets the headers of a request.
func (r *sseRequest) send(op string, h http.Header) {
	write := false
	switch op {
	case "PutObject", "CreateMultipartUpload", "CopyObject":
		write = true
	case "UploadPart", "UploadPartCopy":
		write = r.also // of SSE-S3 and KMS, parts say nothing
	case "GetObject", "HeadObject", "CompleteMultipartUpload":
		// RGW 20 wants the key with CompleteMultipartUpload, too; the others
		// don't mind.
	default:
		return
	}
	if !r.key.IsZero() {
		setKey(h, sseCustomer, r.key)
	}
	if write {
		switch {
		case r.also:
			h.Set(sseHeader, sseAES256)
		case r.key.IsZero() && r.sse.Algorithm != "":
			h.Set(sseHeader, r.sse.Algorithm)
			if r.sse.KMSKeyID != "" {
				h.Set(sseKMSKeyHeader, r.sse.KMSKeyID)
			}
		}
	}
	if (op == "UploadPartCopy" || op == "CopyObject") && !r.source.IsZero() {
		setKey(h, sseSource, r.source)
	}
	if op == "PutObject" || op == "CreateMultipartUpload" {
		for name, values := range r.extra {
			h[name] = values
		}
	}
}

func setKey(h http.Header, prefix string, k Key) {
	key, sum := k.header()
	h.Set(prefix+"Algorithm", sseAES256)
	h.Set(prefix+"Key", key)
	h.Set(prefix+"Key-Md5", sum)
}

// receive looks into an answer that is no error. The answers to
// UploadPartCopy never name the encryption, nor those of RGW 16 to
// CompleteMultipartUpload: see encrypted.CompleteMultipart.
func (r *sseRequest) receive(op string, h http.Header) error {
	r.header = h
	r.encrypted = r.confirmedBy(h)
	switch op {
	case "PutObject", "CreateMultipartUpload", "CopyObject":
	case "UploadPart":
		if r.key.IsZero() {
			return nil
		}
	default:
		return nil
	}
	if !r.encrypted && (!r.key.IsZero() || r.sse.Algorithm != "") {
		return errNotEncrypted
	}
	return nil
}

func (r *sseRequest) confirmedBy(h http.Header) bool {
	if r.key.IsZero() {
		return r.sse.Algorithm != "" && h.Get(sseHeader) == r.sse.Algorithm
	}
	_, sum := r.key.header()
	return h.Get(sseCustomer+"Algorithm") == sseAES256 && h.Get(sseCustomer+"Key-Md5") == sum
}
