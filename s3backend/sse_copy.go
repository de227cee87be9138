package s3backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Limits of copies through this client, in bytes.
const (
	// carrySmall: up to here, to read an object and write it again are two
	// requests and soon done; a copy by parts is three or four.
	carrySmall = 256 << 10
	// carryPart is how much of a large object is in memory at a time, and
	// maxCarries how many such objects are under way at once.
	carryPart  = 8 << 20
	maxCarries = 2
)

// Copy implements Store. RGW before 20.2 can't copy encrypted objects by
// CopyObject (501), and stores a copy of a plain one unencrypted whatever was
// asked for (measured on 16.2 and 18.2). Copying parts works on all where
// source and target have one key, and from a plain source; a source with
// another key comes through this client. The attributes are those that
// CopyObject keeps, but tags. The copy of a large object has another ETag.
func (e *encrypted) Copy(ctx context.Context, req CopyRequest) (Object, error) {
	const op = "CopyObject"
	if !e.ring.encrypts() {
		obj, err := e.bucket.Copy(ctx, req)
		return obj, e.explainDenied(ctx, err)
	}
	if err := e.checkSource(op, req.Key, req.SourceKey); err != nil {
		return Object{}, err
	}
	if req.Replace == nil && req.Key == req.SourceKey && (req.SourceBucket == "" || req.SourceBucket == e.name) {
		return Object{}, e.fail(op, req.Key, KindInvalid, errors.New("a copy to itself has to replace the attributes"))
	}
	from := e
	if req.SourceBucket != "" && req.SourceBucket != e.name {
		from = &encrypted{&bucket{c: e.c, name: req.SourceBucket}, e.ring}
	}
	c := &sseCopy{to: e, from: from, req: req}
	return c.run(ctx)
}

// sseCopy is one copy between objects of which the target is encrypted.
type sseCopy struct {
	to, from *encrypted
	req      CopyRequest
	src      Object
	srcKey   Key // zero if the source is plain
	attrs    Attributes
	extra    http.Header
	// guard: the target is the source, and must not be replaced if it is
	// another generation by then.
	guard bool
	// version of the source, "" = the current one. from has addVersion then.
	version string
}

// source returns the context of requests that read the source.
func (c *sseCopy) source(ctx context.Context) context.Context {
	if c.version == "" {
		return ctx
	}
	return context.WithValue(ctx, versionKey{}, c.version)
}

func (c *sseCopy) run(ctx context.Context) (Object, error) {
	src, opened, err := c.from.headWith(c.source(ctx), c.req.SourceKey)
	if err != nil {
		return Object{}, err
	}
	if c.req.SourceIfMatch != "" && c.req.SourceIfMatch != src.ETag {
		return Object{}, c.changed(src.ETag)
	}
	if src.Size > MaxCopySize && !c.guard {
		return Object{}, c.to.fail("CopyObject", c.req.Key, KindTooLarge, fmt.Errorf("%d bytes in one copy, the limit is %d", src.Size, int64(MaxCopySize)))
	}
	c.src = src
	if opened.encrypted {
		c.srcKey = opened.key
	}
	if c.req.Replace != nil {
		c.attrs = *c.req.Replace
	} else {
		c.attrs = Attributes{Metadata: src.Metadata, ContentType: src.ContentType, StorageClass: src.StorageClass}
		c.extra = keptHeaders(opened.header)
		if c.guard {
			c.attrs.Metadata = withTime(src)
		}
	}
	if src.Size <= carrySmall {
		return c.carry(ctx)
	}
	return c.byParts(ctx)
}

// withTime returns an object's metadata with the time of its bytes, which
// otherwise is LastModified and gone with it. The names are those of s3fs and
// rclone, AWS DataSync and FSx, and gcsfuse.
func withTime(o Object) map[string]string {
	md := known(o.Metadata)
	for _, name := range []string{"mtime", "file-mtime", "goog-reserved-file-mtime"} {
		if _, ok := md[name]; ok {
			return md
		}
	}
	md["mtime"] = fmt.Sprintf("%d.%09d", o.LastModified.Unix(), o.LastModified.Nanosecond())
	return md
}

// keptHeaders returns the headers that a copy takes along, beside those of
// Attributes.
func keptHeaders(h http.Header) http.Header {
	kept := http.Header{}
	for _, name := range []string{"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires", "X-Amz-Website-Redirect-Location"} {
		if v := h.Values(name); len(v) > 0 {
			kept[name] = v
		}
	}
	return kept
}

func (c *sseCopy) changed(now string) error {
	return c.to.fail("CopyObject", c.req.Key, KindChanged, fmt.Errorf("the source %q has etag %s now", c.req.SourceKey, now))
}

// carry copies a small object through this client.
func (c *sseCopy) carry(ctx context.Context) (Object, error) {
	data := make([]byte, c.src.Size)
	if err := c.read(ctx, data, 0); err != nil {
		return Object{}, err
	}
	return c.to.put(ctx, PutRequest{Key: c.req.Key, Body: bytes.NewReader(data), Size: c.src.Size,
		Attributes: c.attrs, Conditions: c.conditions()}, c.extra)
}

func (c *sseCopy) conditions() Conditions {
	if c.guard {
		return Conditions{IfMatch: c.src.ETag}
	}
	return Conditions{}
}

// read fills p from the source.
func (c *sseCopy) read(ctx context.Context, p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	_, body, err := c.from.Get(c.source(ctx), GetRequest{Key: c.req.SourceKey, Offset: off, Length: int64(len(p)), IfMatch: c.src.ETag})
	if err != nil {
		return err
	}
	_, err = io.ReadFull(body, p)
	return errors.Join(err, body.Close())
}

func (c *sseCopy) byParts(ctx context.Context) (Object, error) {
	id, err := c.to.create(ctx, CreateMultipartRequest{Key: c.req.Key, Attributes: c.attrs}, c.extra)
	if err != nil {
		return Object{}, err
	}
	obj, err := c.parts(ctx, id)
	if err != nil {
		if aerr := c.to.AbortMultipart(context.WithoutCancel(ctx), c.req.Key, id); aerr != nil {
			err = fmt.Errorf("%w (and its upload %s could not be aborted: %v)", err, id, aerr)
		}
		return Object{}, err
	}
	return obj, nil
}

func (c *sseCopy) parts(ctx context.Context, id string) (Object, error) {
	parts, err := c.copyParts(ctx, id)
	if err != nil && KindOf(err) == KindUnsupported {
		parts, err = c.carryParts(ctx, id)
	}
	if err != nil {
		return Object{}, err
	}
	if c.version == "" && (c.guard || len(parts) > 1 || parts[0].ETag != c.src.ETag) {
		// RGW 16 ignores x-amz-copy-source-if-match. A part's ETag is the MD5 of
		// its bytes, and the source's too if it was stored by one PUT; else it
		// has to be looked at again.
		now, err := c.from.Head(ctx, c.req.SourceKey)
		if err != nil {
			return Object{}, err
		}
		if now.ETag != c.src.ETag {
			return Object{}, c.changed(now.ETag)
		}
	}
	return c.to.CompleteMultipart(ctx, CompleteMultipartRequest{Key: c.req.Key, UploadID: id, Parts: parts, Conditions: c.conditions()})
}

// copyParts copies on the server, a large object in one part if it can be.
func (c *sseCopy) copyParts(ctx context.Context, id string) ([]Part, error) {
	if c.version != "" {
		return nil, c.to.fail("UploadPartCopy", c.req.Key, KindUnsupported, errors.New("versions come through the client"))
	}
	var parts []Part
	for off := int64(0); off < c.src.Size; {
		n := min(c.src.Size-off, MaxCopySize)
		part, err := c.to.copyPart(ctx, CopyPartRequest{Key: c.req.Key, UploadID: id, Number: len(parts) + 1,
			SourceBucket: c.req.SourceBucket, SourceKey: c.req.SourceKey, SourceIfMatch: c.src.ETag, Offset: off, Length: n}, c.srcKey)
		if err != nil {
			return nil, err
		}
		parts, off = append(parts, part), off+n
	}
	return parts, nil
}

// carryParts copies a large object through this client.
func (c *sseCopy) carryParts(ctx context.Context, id string) ([]Part, error) {
	if err := c.to.ring.carries.Acquire(ctx, 1); err != nil {
		return nil, c.to.fail("CopyObject", c.req.Key, KindCancelled, err)
	}
	defer c.to.ring.carries.Release(1)
	// 10,000 parts have to do; from 80 GB on they are larger.
	size := max(carryPart, (c.src.Size/MaxParts/MinPartSize+1)*MinPartSize)
	buf := make([]byte, min(size, c.src.Size))
	var parts []Part
	for off := int64(0); off < c.src.Size; off += size {
		p := buf[:min(size, c.src.Size-off)]
		if err := c.read(ctx, p, off); err != nil {
			return nil, err
		}
		part, err := c.to.UploadPart(ctx, UploadPartRequest{Key: c.req.Key, UploadID: id, Number: len(parts) + 1,
			Body: bytes.NewReader(p), Size: int64(len(p))})
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// CopyPart implements Store. KindUnsupported also where the server can't go
// from the source's key to the target's.
func (e *encrypted) CopyPart(ctx context.Context, req CopyPartRequest) (Part, error) {
	if !e.ring.encrypts() {
		return e.bucket.CopyPart(ctx, req)
	}
	if err := e.checkSource("UploadPartCopy", req.Key, req.SourceKey); err != nil {
		return Part{}, err
	}
	from := e
	if req.SourceBucket != "" && req.SourceBucket != e.name {
		from = &encrypted{&bucket{c: e.c, name: req.SourceBucket}, e.ring}
	}
	i, ok := e.ring.known(from.object(req.SourceKey))
	if len(e.ring.keys) == 0 {
		i, ok = plain, true // a server that keeps the keys needs none
	}
	if !ok {
		_, r, err := from.headWith(ctx, req.SourceKey)
		if err != nil {
			return Part{}, err
		}
		i = plain
		if r.encrypted && !r.key.IsZero() {
			i, _ = e.ring.known(from.object(req.SourceKey))
		}
	}
	return e.copyPart(ctx, req, e.ring.key(i))
}

func (e *encrypted) copyPart(ctx context.Context, req CopyPartRequest, source Key) (part Part, err error) {
	r := &sseRequest{key: e.ring.writes(), source: source}
	err = e.write(ctx, r, nil, func(ctx context.Context) error {
		part, err = e.bucket.CopyPart(ctx, req)
		return err
	})
	var answer *Error
	if errors.As(err, &answer) && answer.Status == http.StatusBadRequest && maybeWrongKey("UploadPartCopy", err) &&
		(!source.IsZero() || !r.key.IsZero()) && !strings.Contains(answer.Message, "range") {
		unsupported := *answer
		unsupported.Kind = KindUnsupported
		return Part{}, &unsupported
	}
	if err != nil {
		return Part{}, err
	}
	return part, nil
}

// restoreEncrypted is RestoreVersion of a Client that encrypts.
func (c *Client) restoreEncrypted(ctx context.Context, bucket, key, version string) (Object, error) {
	reader := *c
	reader.options.APIOptions = append(slices.Clip(reader.options.APIOptions), addVersion)
	reader.s3 = s3.New(reader.options)
	cp := &sseCopy{
		to: &encrypted{c.at(bucket), c.ring}, from: &encrypted{reader.at(bucket), c.ring},
		req: CopyRequest{Key: key, SourceKey: key}, version: version,
	}
	return cp.run(ctx)
}
