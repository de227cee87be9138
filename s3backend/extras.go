package s3backend

import (
	"context"
	"time"
)

var _ Extras = (*encrypted)(nil)

// Endpoint implements Extras.
func (b *bucket) Endpoint() string { return b.c.Endpoint() }

// Info implements Extras.
func (b *bucket) Info(ctx context.Context, key string) (ObjectInfo, error) {
	return b.c.ObjectInfo(ctx, b.name, key, "")
}

// ACL implements Extras.
func (b *bucket) ACL(ctx context.Context, key string) (ACL, error) {
	return b.c.ObjectACL(ctx, b.name, key, "")
}

// SetACL implements Extras.
func (b *bucket) SetACL(ctx context.Context, key string, acl NewACL) error {
	return b.c.SetObjectACL(ctx, b.name, key, "", acl)
}

// URL implements Extras.
func (b *bucket) URL(ctx context.Context, key string, expires time.Duration) (string, error) {
	return b.c.SignURL(ctx, URLRequest{Bucket: b.name, Key: key, Expires: expires})
}
