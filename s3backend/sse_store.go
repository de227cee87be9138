package s3backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// encrypted is a bucket whose objects may be encrypted by SSE-C, with any of
// several keys or with none, and that encrypts what is written if the Client
// says so. Where it answers without an error, nothing was stored unencrypted.
type encrypted struct {
	*bucket
	ring *keyring
}

var _ Store = (*encrypted)(nil)

func (e *encrypted) object(key string) string { return e.name + "/" + key }

// open calls f with one key after the other until one opens the object. f runs
// with a context that makes its requests carry the key.
func (e *encrypted) open(ctx context.Context, op, key string, f func(context.Context) error) (*sseRequest, error) {
	var first error
	for _, i := range e.ring.order(e.object(key)) {
		r := &sseRequest{key: e.ring.key(i)}
		err := f(r.in(ctx))
		if err == nil {
			if !r.encrypted {
				i = plain
			}
			e.ring.learn(e.object(key), i)
			return r, nil
		}
		if !maybeWrongKey(op, err) {
			return r, err
		}
		if first == nil {
			first = err
		}
	}
	return nil, e.unreadable(ctx, op, key, first)
}

// maybeWrongKey reports whether a read was refused as RGW refuses a wrong key
// or a missing one: 400 InvalidArgument, InvalidRequest on plain http, and
// without a code where the answer has no body.
func maybeWrongKey(op string, err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Status != http.StatusBadRequest || e.Op != op && e.Op != "HeadObject" {
		return false
	}
	return e.Code == "" || e.Code == "BadRequest" || e.Code == "InvalidArgument" || e.Code == "InvalidRequest"
}

// unreadable returns the error of an object that no key opens.
func (e *encrypted) unreadable(ctx context.Context, op, key string, err error) error {
	var answer *Error
	if !errors.As(err, &answer) {
		return err
	}
	if answer.Code == "" || answer.Code == "BadRequest" {
		// A HEAD's refusal does not say why. A GET's does; of an object without
		// bytes it is that there is no such range.
		_, body, gerr := e.get(ctx, key, 0, 1, "")
		var why *Error
		switch {
		case gerr == nil:
			return errors.Join(err, body.Close())
		case !errors.As(gerr, &why):
			return err
		case why.Status != http.StatusRequestedRangeNotSatisfiable && !maybeWrongKey("GetObject", gerr):
			return err
		}
	}
	reason := "it is encrypted by SSE-C, and none of the keys given is its key: add the right one by --sse-c-key-file"
	if len(e.ring.keys) == 0 {
		reason = "it is encrypted by SSE-C: give its key by --sse-c-key-file"
	}
	denied := *answer
	denied.Kind, denied.Op, denied.Message, denied.Err = KindPermission, op, reason, nil
	return &denied
}

// Head implements Store.
func (e *encrypted) Head(ctx context.Context, key string) (Object, error) {
	obj, _, err := e.headWith(ctx, key)
	return obj, err
}

// headWith is Head that tells with which key the object opens.
func (e *encrypted) headWith(ctx context.Context, key string) (obj Object, r *sseRequest, err error) {
	r, err = e.open(ctx, "HeadObject", key, func(ctx context.Context) error {
		obj, err = e.bucket.Head(ctx, key)
		return err
	})
	return obj, r, err
}

// Get implements Store.
func (e *encrypted) Get(ctx context.Context, req GetRequest) (obj Object, body io.ReadCloser, err error) {
	_, err = e.open(ctx, "GetObject", req.Key, func(ctx context.Context) error {
		obj, body, err = e.bucket.Get(ctx, req)
		return err
	})
	if err != nil {
		return Object{}, nil, err
	}
	return obj, body, nil
}

// write calls f, whose requests encrypt. If the bucket's policy refuses them,
// they are made once more with both kinds of header, which satisfies a policy
// that asks for s3:x-amz-server-side-encryption; RGW 16 takes both, 18 and 20
// refuse them (measured).
func (e *encrypted) write(ctx context.Context, r *sseRequest, body io.Seeker, f func(context.Context) error) error {
	r.sse = e.ring.sse
	if r.key.IsZero() {
		return f(r.in(ctx))
	}
	r.also = e.c.cfg.SSEHeaderAlso || e.ring.flag(e.ring.also, e.name)
	var start int64
	if body != nil {
		var err error
		if start, err = body.Seek(0, io.SeekCurrent); err != nil {
			return e.fail("PutObject", "", KindInvalid, err)
		}
	}
	err := f(r.in(ctx))
	var answer *Error
	if r.also || !errors.As(err, &answer) || answer.Code != "AccessDenied" {
		return err
	}
	if body != nil {
		if _, serr := body.Seek(start, io.SeekStart); serr != nil {
			return err
		}
	}
	r.also = true
	if f(r.in(ctx)) != nil {
		return err
	}
	e.ring.mark(e.ring.also, e.name)
	return nil
}

// Put implements Store.
func (e *encrypted) Put(ctx context.Context, req PutRequest) (Object, error) {
	return e.put(ctx, req, nil)
}

// put is Put with further headers for the object.
func (e *encrypted) put(ctx context.Context, req PutRequest, extra http.Header) (obj Object, err error) {
	if !e.ring.encrypts() {
		obj, err = e.bucket.Put((&sseRequest{extra: extra}).in(ctx), req)
		return obj, e.explainDenied(ctx, err)
	}
	if err := e.prove(ctx, req.Key); err != nil {
		return Object{}, err
	}
	r := &sseRequest{key: e.ring.writes(), extra: extra}
	err = e.write(ctx, r, req.Body, func(ctx context.Context) error {
		obj, err = e.bucket.Put(ctx, req)
		return err
	})
	if errors.Is(err, errNotEncrypted) {
		return Object{}, e.remove(ctx, "PutObject", req.Key, r.header)
	}
	if err != nil {
		return Object{}, e.explainDenied(ctx, err)
	}
	e.ring.learn(e.object(req.Key), 0)
	return obj, nil
}

// prove makes sure, once for each bucket, that the server knows encryption,
// before anything is sent to it: it begins an upload, which has no data and
// which nobody sees. So a server that ignores the headers gets no plain data,
// and an object that is there is not replaced by one.
func (e *encrypted) prove(ctx context.Context, key string) error {
	if e.ring.flag(e.ring.proven, e.name) {
		return nil
	}
	id, err := e.CreateMultipart(ctx, CreateMultipartRequest{Key: key})
	var answer *Error
	if errors.As(err, &answer) && answer.Kind == KindPermission {
		// Policies may allow PutObject alone, whose own answer is looked at.
		return nil
	}
	if err != nil {
		return err
	}
	return e.AbortMultipart(ctx, key, id)
}

// CheckEncryption finds out whether the server encrypts as the Client is
// configured. It leaves nothing behind. Where the credentials may not write,
// it can't know, and returns nil.
func (c *Client) CheckEncryption(ctx context.Context, name, prefix string) error {
	if !c.ring.encrypts() {
		return nil
	}
	e := &encrypted{&bucket{c: c, name: name}, c.ring}
	return e.prove(ctx, prefix+".rgwfs-check")
}

// remove takes away what the server has stored without encrypting it.
func (e *encrypted) remove(ctx context.Context, op, key string, h http.Header) error {
	err := errNotEncrypted
	ctx = context.WithoutCancel(ctx)
	var derr error
	if version := h.Get("X-Amz-Version-Id"); version != "" {
		derr = e.c.DeleteVersion(ctx, e.name, key, version)
	} else {
		derr = e.Delete(ctx, key)
	}
	if derr != nil {
		err = errors.Join(err, fmt.Errorf("and the object could not be removed again: %w", derr))
	}
	return e.fail(op, key, KindCorrupt, err)
}

// CreateMultipart implements Store.
func (e *encrypted) CreateMultipart(ctx context.Context, req CreateMultipartRequest) (id string, err error) {
	return e.create(ctx, req, nil)
}

func (e *encrypted) create(ctx context.Context, req CreateMultipartRequest, extra http.Header) (id string, err error) {
	if !e.ring.encrypts() {
		id, err = e.bucket.CreateMultipart((&sseRequest{extra: extra}).in(ctx), req)
		return id, e.explainDenied(ctx, err)
	}
	r := &sseRequest{key: e.ring.writes(), extra: extra}
	err = e.write(ctx, r, nil, func(ctx context.Context) error {
		id, err = e.bucket.CreateMultipart(ctx, req)
		return err
	})
	if errors.Is(err, errNotEncrypted) {
		if id != "" {
			err = errors.Join(err, e.AbortMultipart(context.WithoutCancel(ctx), req.Key, id))
		}
		err = e.fail("CreateMultipartUpload", req.Key, KindUnsupported, err)
	}
	if err != nil {
		return "", e.explainDenied(ctx, err)
	}
	e.ring.mark(e.ring.proven, e.name)
	return id, nil
}

// UploadPart implements Store.
func (e *encrypted) UploadPart(ctx context.Context, req UploadPartRequest) (part Part, err error) {
	if !e.ring.encrypts() {
		return e.bucket.UploadPart(ctx, req)
	}
	r := &sseRequest{key: e.ring.writes()}
	err = e.write(ctx, r, req.Body, func(ctx context.Context) error {
		part, err = e.bucket.UploadPart(ctx, req)
		return err
	})
	if errors.Is(err, errNotEncrypted) {
		err = e.fail("UploadPart", req.Key, KindCorrupt, err)
	}
	if err != nil {
		return Part{}, err
	}
	return part, nil
}

// CompleteMultipart implements Store. What the answer does not say (that of
// RGW 16 names no encryption) a Head does.
func (e *encrypted) CompleteMultipart(ctx context.Context, req CompleteMultipartRequest) (Object, error) {
	if !e.ring.encrypts() {
		return e.bucket.CompleteMultipart(ctx, req)
	}
	r := &sseRequest{key: e.ring.writes(), sse: e.ring.sse}
	obj, err := e.bucket.CompleteMultipart(r.in(ctx), req)
	if err != nil {
		return Object{}, err
	}
	if !r.encrypted {
		h := r.header
		now, err := e.bucket.Head(r.in(ctx), req.Key)
		switch {
		case IsNotExist(err): // somebody else has removed it already
		case err != nil:
			return Object{}, err
		case now.ETag == obj.ETag && !r.encrypted:
			return Object{}, e.remove(ctx, "CompleteMultipartUpload", req.Key, h)
		}
	}
	e.ring.learn(e.object(req.Key), 0)
	return obj, nil
}
