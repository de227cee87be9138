package s3backend

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// kindOf is the one table that turns an answer of the server into a Kind. The
// code decides where it is known; a HEAD has none, and a proxy in between may
// answer without. Codes are RGW's (rgw_common.cc, rgw_http_s3_errors) and those
// of S3 that other servers use.
func kindOf(status int, code string) Kind {
	switch code {
	case "NoSuchKey", "NoSuchBucket", "NoSuchUpload", "NoSuchVersion", "NotFound":
		return KindNotExist
	case "BucketAlreadyExists", "BucketAlreadyOwnedByYou":
		return KindExist
	case "PreconditionFailed":
		return KindChanged
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed",
		"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "AccountProblem", "AllAccessDisabled",
		"UserSuspended", "Forbidden", "Unauthorized", "InvalidSecurity", "NotSignedUp":
		return KindPermission
	case "QuotaExceeded", "TooManyBuckets", "TooManyObjects":
		return KindQuota
	case "InsufficientCapacity", "InsufficientStorage", "XMinioStorageFull":
		return KindNoSpace
	case "EntityTooLarge", "MaxMessageLengthExceeded", "MaxPostPreDataLengthExceededError":
		return KindTooLarge
	case "BucketNotEmpty":
		return KindNotEmpty
	case "InvalidObjectName", "InvalidBucketName", "XMinioInvalidObjectName":
		return KindInvalidName
	case "KeyTooLongError", "KeyTooLong":
		return KindNameTooLong
	case "InvalidArgument", "InvalidRequest", "InvalidRange", "InvalidPart", "InvalidPartOrder",
		"EntityTooSmall", "MalformedXML", "MissingContentLength", "InvalidLocationConstraint",
		"BadRequest", "MetadataTooLarge", "RequestHeaderSectionTooLarge",
		"InvalidBucketState", "InvalidObjectState", "PermanentRedirect", "TemporaryRedirect",
		"AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return KindInvalid
	case "NotImplemented", "MethodNotAllowed":
		return KindUnsupported
	case "BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody", "InvalidDigest":
		return KindCorrupt
	case "InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "OperationAborted",
		"ConcurrentModification", "ConditionalRequestConflict", "Throttling", "TooManyRequests",
		"BandwidthLimitExceeded", "RequestLimitExceeded", "ThrottlingException":
		return KindUnavailable
	}
	switch status {
	case http.StatusNotFound, http.StatusGone:
		return KindNotExist
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return KindPermission
	case http.StatusPreconditionFailed:
		return KindChanged
	case http.StatusRequestEntityTooLarge:
		return KindTooLarge
	case http.StatusInsufficientStorage:
		return KindNoSpace
	case http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return KindUnsupported
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusConflict,
		http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return KindUnavailable
	}
	switch {
	case status >= 300 && status < 500:
		return KindInvalid
	case status >= 500:
		return KindUnavailable
	}
	return KindOther
}

// translate turns what a call of the SDK returned into an *Error. ctx is the
// caller's: only that decides whether a failure is a cancellation.
func translate(ctx context.Context, info *callInfo, bucket, key string, err error) error {
	if err == nil {
		return nil
	}
	var done *Error
	if errors.As(err, &done) {
		return done
	}
	e := &Error{
		Op: info.op, Bucket: bucket, Key: key,
		Status: int(info.status.Load()), RequestID: info.id(),
	}
	if ctx.Err() != nil {
		e.Kind, e.Status, e.Err = KindCancelled, 0, context.Cause(ctx)
		return e
	}
	var exchange *ExchangeError
	if errors.As(err, &exchange) {
		// Before anything was sent; what the server answered was not to this.
		e.Kind, e.Status, e.RequestID, e.Err = KindUnavailable, 0, "", exchange
		if exchange.Refused {
			e.Kind = KindPermission
		}
		return e
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		e.Code, e.Message = api.ErrorCode(), api.ErrorMessage()
		// The SDK's words for "the server gave none".
		if e.Code == "UnknownError" {
			e.Code = ""
		}
		if e.Message == "UnknownError" || e.Message == e.Code {
			e.Message = ""
		}
		// The error as a whole holds nothing but these, at more length.
		e.Kind = kindOf(e.Status, e.Code)
		return e
	}

	e.Err = strip(err)
	var creds *CredentialsError
	switch {
	case errors.As(err, &creds) && !broken(err): // broken: their source can't be reached
		e.Kind = KindPermission
	case e.Status >= 300: // an answer that is no S3 error: a proxy's
		e.Kind = kindOf(e.Status, "")
	case e.Status == 0 && sent(err), broken(err), permanent(err):
		e.Kind = KindUnavailable
	default:
		// Built wrong here, or an answer that is not S3.
		e.Kind = KindOther
	}
	return e
}

// sent reports whether a request reached the point of being sent.
func sent(err error) bool {
	var send *smithyhttp.RequestSendError
	return errors.As(err, &send)
}

// strip removes the SDK's wrappers, whose texts repeat each other; the causes
// that callers look for with errors.As lie deeper.
func strip(err error) error {
	var (
		send   *smithyhttp.RequestSendError
		decode *smithy.DeserializationError
		op     *smithy.OperationError
	)
	switch {
	case errors.As(err, &send) && send.Err != nil:
		return send.Err
	case errors.As(err, &decode) && decode.Err != nil:
		return decode.Err
	case errors.As(err, &op) && op.Err != nil:
		return op.Err
	}
	return err
}

// Refused reports whether err is an endpoint where nothing listens, or no way
// to it.
func Refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// UnknownHost reports whether err is a name that does not resolve.
func UnknownHost(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns)
}

// shortBody is the error of a body that ends before its size is reached.
func shortBody(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
