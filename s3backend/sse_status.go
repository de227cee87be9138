package s3backend

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// How an object can be encrypted.
const (
	NotEncrypted = "none"
	SSEC         = "SSE-C"
	SSES3        = "SSE-S3"
	SSEKMS       = "SSE-KMS"
)

// ObjectEncryption says how an object is encrypted.
type ObjectEncryption struct {
	Method string // one of the constants above
	// Key is the name of the key that opens the object, with SSE-KMS its id; ""
	// if there is none, or none of the Client's does.
	Key string
	// Current: it is encrypted as the Client encrypts what it writes.
	Current bool
	Size    int64 // of the object, in bytes; 0 if no key opens it
}

// EncryptionOf finds out how an object is encrypted, by one HEAD where the key
// is known or the object is plain.
func (c *Client) EncryptionOf(ctx context.Context, bucket, key string) (ObjectEncryption, error) {
	e := &encrypted{c.at(bucket), c.ring}
	obj, r, err := e.headWith(ctx, key)
	var answer *Error
	if errors.As(err, &answer) && answer.Kind == KindPermission && answer.Status == http.StatusBadRequest {
		return ObjectEncryption{Method: SSEC}, nil
	}
	if err != nil {
		return ObjectEncryption{}, err
	}
	enc := ObjectEncryption{Method: NotEncrypted, Size: obj.Size}
	switch algorithm := r.header.Get(sseHeader); {
	case r.encrypted && !r.key.IsZero():
		enc.Method, enc.Key, enc.Current = SSEC, r.key.Name(), r.key.Equal(e.ring.writes())
	case algorithm == sseAES256:
		enc.Method, enc.Current = SSES3, e.ring.sse.Algorithm == algorithm
	case algorithm != "":
		enc.Method, enc.Key = SSEKMS, r.header.Get(sseKMSKeyHeader)
		enc.Current = e.ring.sse.Algorithm == algorithm && (e.ring.sse.KMSKeyID == "" || e.ring.sse.KMSKeyID == enc.Key)
	default:
		enc.Current = !e.ring.encrypts()
	}
	return enc, nil
}

// Rekey encrypts an object as the Client encrypts what it writes, unless it is
// so already: it is copied onto itself, through this client where the key is
// another. Metadata and ACL stay; LastModified is stored as the time of the
// bytes if no other is. A generation that somebody else stores meanwhile is
// not replaced (KindChanged).
func (c *Client) Rekey(ctx context.Context, bucket, key string) (was ObjectEncryption, changed bool, err error) {
	e := &encrypted{c.at(bucket), c.ring}
	if !e.ring.encrypts() {
		return was, false, e.fail("rekey", key, KindInvalid, errors.New("there is no key to encrypt with"))
	}
	was, err = c.EncryptionOf(ctx, bucket, key)
	if err != nil || was.Current {
		return was, false, err
	}
	if was.Method == SSEC && was.Key == "" {
		return was, false, e.fail("rekey", key, KindPermission, errors.New("none of the keys given opens it: add the right one by --sse-c-key-file"))
	}
	acl, err := c.ObjectACL(ctx, bucket, key, "")
	if err != nil {
		return was, false, err
	}
	cp := &sseCopy{to: e, from: e, req: CopyRequest{Key: key, SourceKey: key}, guard: true}
	if _, err := cp.run(ctx); err != nil {
		return was, false, err
	}
	if canned := acl.Canned(); canned != "private" && canned != c.cfg.ACL {
		if err := c.SetObjectACL(context.WithoutCancel(ctx), bucket, key, "", NewACL{Grants: acl.Grants}); err != nil {
			return was, true, fmt.Errorf("it is encrypted, but its ACL could not be set again: %w", err)
		}
	}
	return was, true, nil
}
