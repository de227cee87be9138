package s3backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// Get implements Store.
func (b *bucket) Get(ctx context.Context, req GetRequest) (Object, io.ReadCloser, error) {
	const op = "GetObject"
	if err := b.checkKey(op, req.Key); err != nil {
		return Object{}, nil, err
	}
	if req.Offset < 0 {
		return Object{}, nil, b.fail(op, req.Key, KindInvalid, fmt.Errorf("offset %d", req.Offset))
	}
	// A range past the end is 416, without what we need to know of the object.
	// Between that answer and the HEAD the object may have grown: ask again.
	for range 3 {
		if req.Length != 0 {
			obj, body, err := b.get(ctx, req.Key, req.Offset, req.Length, req.IfMatch)
			var e *Error
			if !errors.As(err, &e) || e.Status != http.StatusRequestedRangeNotSatisfiable {
				return obj, body, err
			}
		}
		obj, err := b.head(ctx, req.Key, req.IfMatch)
		if err != nil {
			return Object{}, nil, err
		}
		if req.Length == 0 || req.Offset >= obj.Size {
			return obj, http.NoBody, nil
		}
	}
	return Object{}, nil, b.fail(op, req.Key, KindChanged, errors.New("its size keeps changing"))
}

// get opens a range, length < 0 being to the end. Its errors keep the status.
func (b *bucket) get(ctx context.Context, key string, offset, length int64, ifMatch string) (Object, *body, error) {
	const op = "GetObject"
	in := &s3.GetObjectInput{Bucket: &b.name, Key: &key, IfMatch: quoted(ifMatch)}
	if offset > 0 || length >= 0 {
		r := "bytes=" + strconv.FormatInt(offset, 10) + "-"
		if length >= 0 {
			r += strconv.FormatInt(offset+length-1, 10)
		}
		in.Range = &r
	}
	var obj Object
	var rd *body
	_, err := b.call(ctx, op, key, func(ctx context.Context) error {
		out, err := b.c.s3.GetObject(ctx, in)
		if err != nil {
			return err
		}
		size := aws.ToInt64(out.ContentLength)
		first, n := int64(0), size
		if out.ContentRange != nil {
			first, n, size, err = parseContentRange(*out.ContentRange)
		}
		want := size - offset
		if length >= 0 {
			want = min(want, length)
		}
		// A server that does not know ranges sends the whole: good enough if
		// what is wanted is at its beginning.
		if err == nil && (first != offset || n < want || n > want && out.ContentRange != nil) {
			err = fmt.Errorf("asked for %d bytes at %d, the answer has %d at %d", want, offset, n, first)
		}
		if err != nil {
			_ = out.Body.Close() // the answer is not used
			return b.fail(op, key, KindCorrupt, err)
		}
		obj = Object{
			Key: key, Size: size, ETag: unquote(aws.ToString(out.ETag)),
			LastModified: aws.ToTime(out.LastModified), StorageClass: string(out.StorageClass),
			ContentType: aws.ToString(out.ContentType), Metadata: known(out.Metadata),
		}
		rd = &body{b: b, ctx: ctx, key: key, etag: obj.ETag, rc: out.Body, next: offset, left: want}
		return nil
	})
	if err != nil {
		return Object{}, nil, err
	}
	rd.ctx = ctx
	return obj, rd, nil
}

// parseContentRange parses "bytes first-last/size" into the first offset, the
// number of bytes, and the object's size.
func parseContentRange(s string) (first, n, size int64, err error) {
	bad := fmt.Errorf("Content-Range %q", s)
	rest, ok := strings.CutPrefix(s, "bytes ")
	if !ok {
		return 0, 0, 0, bad
	}
	span, total, ok := strings.Cut(rest, "/")
	if !ok {
		return 0, 0, 0, bad
	}
	a, z, ok := strings.Cut(span, "-")
	if !ok {
		return 0, 0, 0, bad
	}
	first, err1 := strconv.ParseInt(a, 10, 64)
	last, err2 := strconv.ParseInt(z, 10, 64)
	size, err3 := strconv.ParseInt(total, 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || first < 0 || last < first || last >= size {
		return 0, 0, 0, bad
	}
	return first, last - first + 1, size, nil
}

// body is a range of one generation. A connection that breaks is replaced: the
// rest is asked for by Range and If-Match.
type body struct {
	b    *bucket
	ctx  context.Context // the caller's; a body lives no longer
	key  string
	etag string

	rc    io.ReadCloser // nil between connections
	next  int64         // offset of the next byte
	left  int64         // bytes to come
	idle  int           // attempts since the last byte
	err   error         // once it has failed for good
	close bool
}

func (r *body) Read(p []byte) (int, error) {
	if r.close {
		return 0, r.fail(KindInvalid, errors.New("the body is closed"))
	}
	if r.err != nil {
		return 0, r.err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	for {
		if r.rc == nil {
			if r.err = r.reopen(); r.err != nil {
				return 0, r.err
			}
		}
		n, err := r.rc.Read(p)
		if n > 0 {
			r.next += int64(n)
			r.left -= int64(n)
			r.idle = 0
		}
		if r.left == 0 {
			// All is here: an error, such as the EOF, tells nothing more.
			return n, io.EOF
		}
		if err != nil {
			_ = r.rc.Close() // it is broken
			r.rc = nil
			if r.err = r.resumable(shortBody(err)); r.err != nil {
				return n, r.err
			}
		}
		if n > 0 {
			return n, nil
		}
	}
}

// resumable returns nil if the body may be continued after err.
func (r *body) resumable(err error) error {
	if r.ctx.Err() != nil {
		return r.fail(KindCancelled, context.Cause(r.ctx))
	}
	r.idle++
	if r.idle >= r.b.c.cfg.MaxAttempts {
		return r.fail(KindUnavailable, err)
	}
	if r.etag == "" {
		return r.fail(KindUnavailable, fmt.Errorf("cannot continue without an etag: %w", err))
	}
	return nil
}

func (r *body) reopen() error {
	if r.idle > 1 {
		// The first break is resumed at once: most often only the connection is
		// gone. After that as between retries.
		if !pause(r.ctx, backoff(r.idle-1, r.b.c.cfg.MinBackoff, r.b.c.cfg.MaxBackoff)) {
			return r.fail(KindCancelled, context.Cause(r.ctx))
		}
	}
	r.b.c.counters.resumes.Add(1)
	obj, rest, err := r.b.get(r.ctx, r.key, r.next, r.left, r.etag)
	var e *Error
	switch {
	case errors.As(err, &e) && (e.Kind == KindNotExist || e.Status == http.StatusRequestedRangeNotSatisfiable):
		return r.fail(KindChanged, err)
	case err != nil:
		return err
	case obj.ETag != r.etag || rest.left != r.left:
		_ = rest.Close() // another generation's
		return r.fail(KindChanged, fmt.Errorf("the etag is %s now, was %s", obj.ETag, r.etag))
	}
	r.rc = rest.rc
	return nil
}

func (r *body) fail(kind Kind, err error) error {
	return r.b.fail("GetObject", r.key, kind, err)
}

// Close ends the body. A connection with bytes still on it is dropped.
func (r *body) Close() error {
	r.close = true
	if r.rc != nil {
		_ = r.rc.Close() // what was wanted of it has been read
		r.rc = nil
	}
	return nil
}
