package cache

import (
	"errors"
	"fmt"
	"io"

	"rgwfs/s3backend"
)

// s3errorf returns an error of this package, in the one form that every error
// has.
func s3errorf(kind s3backend.Kind, op, format string, args ...any) *s3backend.Error {
	return &s3backend.Error{Kind: kind, Op: op, Err: fmt.Errorf(format, args...)}
}

// keyError returns an error of this package about a key.
func keyError(kind s3backend.Kind, op, bucket, key string) *s3backend.Error {
	return &s3backend.Error{Kind: kind, Op: op, Bucket: bucket, Key: key}
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
