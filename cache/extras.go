package cache

import (
	"context"
	"time"

	"rgwfs/s3backend"
)

// extras returns what the store offers beside, or KindUnsupported.
func (b *Bucket) extras(op, key string) (s3backend.Extras, error) {
	if b.extra != nil {
		return b.extra, nil
	}
	return nil, keyError(s3backend.KindUnsupported, op, b.Name(), key)
}

// Endpoint returns the URL of the server, "" if the store has none.
func (b *Bucket) Endpoint() string {
	if b.extra == nil {
		return ""
	}
	return b.extra.Endpoint()
}

// Info returns what the server knows of an object: one HEAD, nothing is
// remembered. A file that is not stored yet is KindNotExist.
func (b *Bucket) Info(ctx context.Context, key string) (s3backend.ObjectInfo, error) {
	e, err := b.extras("getxattr", key)
	if err != nil {
		return s3backend.ObjectInfo{}, err
	}
	return e.Info(ctx, key)
}

// ACL returns the ACL of an object.
func (b *Bucket) ACL(ctx context.Context, key string) (s3backend.ACL, error) {
	e, err := b.extras("getxattr", key)
	if err != nil {
		return s3backend.ACL{}, err
	}
	return e.ACL(ctx, key)
}

// SetACL replaces the ACL of an object. It stays until the object is replaced,
// which every change of the file's content or attributes does.
func (b *Bucket) SetACL(ctx context.Context, key string, acl s3backend.NewACL) error {
	const op = "setxattr"
	if b.c.cfg.ReadOnly {
		return keyError(s3backend.KindReadOnly, op, b.Name(), key)
	}
	e, err := b.extras(op, key)
	if err != nil {
		return err
	}
	return e.SetACL(context.WithoutCancel(ctx), key, acl)
}

// URL returns a URL by which others can fetch an object until it expires.
func (b *Bucket) URL(ctx context.Context, key string, expires time.Duration) (string, error) {
	e, err := b.extras("getxattr", key)
	if err != nil {
		return "", err
	}
	return e.URL(ctx, key, expires)
}
