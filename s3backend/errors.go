package s3backend

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says what an error means to a caller. It is the whole of what packages
// above decide on; they never look at HTTP statuses or S3 codes.
type Kind uint8

// The kinds. fs/errno.go maps each one to an errno and has no default case.
const (
	KindOther       Kind = iota // a fault of the server or of ours that fits nothing below
	KindNotExist                // no such key, upload or bucket
	KindExist                   // an exclusive create met an object
	KindChanged                 // the object is another generation than the one asked for
	KindPermission              // the credentials don't allow it
	KindQuota                   // a quota of the user or the bucket is full
	KindNoSpace                 // the cluster or the local disk is full
	KindTooLarge                // larger than the server takes
	KindNotEmpty                // a directory that has entries, a bucket that has objects
	KindInvalidName             // a key that the server can't hold
	KindNameTooLong             // a key over MaxKeyLength, a name over 255 bytes
	KindInvalid                 // a request that makes no sense (a bug, or a wrong argument)
	KindUnsupported             // the server or rgwfs can't do it
	KindReadOnly                // a write on a read-only mount or bucket
	KindCorrupt                 // what arrived is not what was sent (checksum, size)
	KindUnavailable             // the server can't be reached, or failed after retries
	KindCancelled               // the caller's context is done
)

var kindNames = [...]string{
	KindOther: "other", KindNotExist: "not exist", KindExist: "exists",
	KindChanged: "changed", KindPermission: "permission", KindQuota: "quota",
	KindNoSpace: "no space", KindTooLarge: "too large", KindNotEmpty: "not empty",
	KindInvalidName: "invalid name", KindNameTooLong: "name too long",
	KindInvalid: "invalid", KindUnsupported: "unsupported",
	KindReadOnly: "read-only", KindCorrupt: "corrupt",
	KindUnavailable: "unavailable", KindCancelled: "cancelled",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Error is every error of this package.
type Error struct {
	Kind      Kind
	Op        string // the S3 operation, such as "GetObject"
	Bucket    string
	Key       string
	Status    int    // HTTP status, 0 if there was no answer
	Code      string // S3 error code, "" if there was none
	Message   string // the server's message, often empty on RGW
	RequestID string // the server's x-amz-request-id, for its administrator
	Err       error  // the cause, may be nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Bucket != "" {
		b.WriteByte(' ')
		b.WriteString(e.Bucket)
		if e.Key != "" {
			fmt.Fprintf(&b, "/%q", e.Key)
		}
	}
	b.WriteString(": ")
	b.WriteString(e.Kind.String())
	if e.Status != 0 {
		fmt.Fprintf(&b, " (%d", e.Status)
		if e.Code != "" {
			b.WriteByte(' ')
			b.WriteString(e.Code)
		}
		b.WriteByte(')')
	}
	if e.Message != "" {
		b.WriteString(": ")
		b.WriteString(e.Message)
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	if e.RequestID != "" {
		b.WriteString(" [request ")
		b.WriteString(e.RequestID)
		b.WriteByte(']')
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the Kind of err: that of the *Error in its chain, else
// KindOther. It must not be called with nil.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindOther
}

// IsNotExist reports whether err says that a key is absent.
func IsNotExist(err error) bool { return err != nil && KindOf(err) == KindNotExist }
