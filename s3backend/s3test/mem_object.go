package s3test

import (
	"context"
	"io"
	"maps"
	"time"

	"rgwfs/s3backend"
)

// memObject is one generation of an object. It is immutable: a Get that is
// under way keeps its generation, whatever happens to the key.
type memObject struct {
	object s3backend.Object
	data   []byte
}

func newMemObject(key string, data []byte, etag string, a s3backend.Attributes) *memObject {
	o := &memObject{data: data, object: s3backend.Object{
		Key: key, Size: int64(len(data)), ETag: etag, LastModified: now(),
		StorageClass: a.StorageClass, ContentType: a.ContentType, Metadata: map[string]string{},
	}}
	maps.Copy(o.object.Metadata, a.Metadata)
	if o.object.StorageClass == "" {
		o.object.StorageClass = "STANDARD"
	}
	if o.object.ContentType == "" {
		o.object.ContentType = "binary/octet-stream"
	}
	return o
}

// describe returns the object with a Metadata that the caller may change.
func (o *memObject) describe() s3backend.Object {
	d := o.object
	d.Metadata = maps.Clone(d.Metadata)
	return d
}

// now has the millisecond resolution of RGW's LastModified.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// memBody delivers a range of one generation until its ctx is done.
type memBody struct {
	ctx    context.Context
	mem    *Mem
	key    string
	rest   []byte
	closed bool
}

func (b *memBody) Read(p []byte) (int, error) {
	if err := b.mem.cancelled(b.ctx, OpGet, b.key); err != nil {
		return 0, err
	}
	if b.closed {
		return 0, b.mem.fail(OpGet, b.key, s3backend.KindInvalid, 0, "")
	}
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *memBody) Close() error {
	b.closed = true
	return nil
}
