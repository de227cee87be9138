package s3test

import (
	"context"
	"errors"
	"io"

	"rgwfs/s3backend"
)

// Faulty is a Store in which things go wrong as its rules say.
type Faulty struct {
	inner    s3backend.Store
	rules    rules
	recorder recorder
}

var _ s3backend.Store = (*Faulty)(nil)

// Fault wraps store. Rules are tried in order on each call, and all that match
// apply.
func Fault(store s3backend.Store, list ...Rule) *Faulty {
	f := &Faulty{inner: store, rules: rules{level: onStore}}
	f.rules.add(list)
	return f
}

// Add adds rules, which count calls from now on.
func (f *Faulty) Add(list ...Rule) { f.rules.add(list) }

// Clear removes all rules; calls that a Gate holds stay there.
func (f *Faulty) Clear() { f.rules.clear() }

// Requests returns how many calls of each operation were made since the last
// ResetRequests, injected failures included.
func (f *Faulty) Requests() map[string]int { return f.recorder.counts() }

// Log returns the calls since the last ResetRequests, in order.
func (f *Faulty) Log() []Request { return f.recorder.log() }

// ResetRequests forgets the calls made so far.
func (f *Faulty) ResetRequests() { f.recorder.reset() }

// before does what comes before the call.
func (f *Faulty) before(ctx context.Context, op, key string) (plan, error) {
	f.recorder.add(op, key)
	p := f.rules.match(op, key)
	if err := p.wait(ctx); err != nil {
		return p, f.cancelled(ctx, op, key, err)
	}
	if p.fail != nil {
		return p, f.name(*p.fail, op, key)
	}
	return p, nil
}

// after does what comes after a call that returned err.
func (f *Faulty) after(p plan, op, key string, err error) error {
	if err == nil && p.lose != nil {
		return f.name(*p.lose, op, key)
	}
	return err
}

func (f *Faulty) name(e s3backend.Error, op, key string) *s3backend.Error {
	e.Op, e.Bucket, e.Key = op, f.inner.Name(), key
	return &e
}

func (f *Faulty) cancelled(ctx context.Context, op, key string, err error) *s3backend.Error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return f.name(s3backend.Error{Kind: s3backend.KindCancelled, Err: err}, op, key)
}

// call runs a call that returns a value and an error.
func call[T any](ctx context.Context, f *Faulty, op, key string, do func() (T, error)) (T, error) {
	var zero T
	p, err := f.before(ctx, op, key)
	if err != nil {
		return zero, err
	}
	v, err := do()
	if err := f.after(p, op, key, err); err != nil {
		return zero, err
	}
	return v, nil
}

// Name implements s3backend.Store.
func (f *Faulty) Name() string { return f.inner.Name() }

// Head implements s3backend.Store.
func (f *Faulty) Head(ctx context.Context, key string) (s3backend.Object, error) {
	return call(ctx, f, OpHead, key, func() (s3backend.Object, error) { return f.inner.Head(ctx, key) })
}

// List implements s3backend.Store.
func (f *Faulty) List(ctx context.Context, req s3backend.ListRequest) (s3backend.Page, error) {
	return call(ctx, f, OpList, req.Prefix, func() (s3backend.Page, error) { return f.inner.List(ctx, req) })
}

// Get implements s3backend.Store.
func (f *Faulty) Get(ctx context.Context, req s3backend.GetRequest) (s3backend.Object, io.ReadCloser, error) {
	p, err := f.before(ctx, OpGet, req.Key)
	if err != nil {
		return s3backend.Object{}, nil, err
	}
	o, body, err := f.inner.Get(ctx, req)
	if err != nil {
		return o, body, err
	}
	if p.lose != nil {
		lost := f.after(p, OpGet, req.Key, nil)
		if err := body.Close(); err != nil {
			return s3backend.Object{}, nil, errors.Join(lost, err)
		}
		return s3backend.Object{}, nil, lost
	}
	if p.body.untouched() {
		return o, body, nil
	}
	var e *s3backend.Error
	if errors.As(p.body.breakErr, &e) {
		p.body.breakErr = f.name(*e, OpGet, req.Key)
	}
	return o, newFaultyBody(ctx, body, p.body, func(err error) error {
		return f.cancelled(ctx, OpGet, req.Key, err)
	}), nil
}

// Put implements s3backend.Store.
func (f *Faulty) Put(ctx context.Context, req s3backend.PutRequest) (s3backend.Object, error) {
	return call(ctx, f, OpPut, req.Key, func() (s3backend.Object, error) { return f.inner.Put(ctx, req) })
}

// Copy implements s3backend.Store.
func (f *Faulty) Copy(ctx context.Context, req s3backend.CopyRequest) (s3backend.Object, error) {
	return call(ctx, f, OpCopy, req.Key, func() (s3backend.Object, error) { return f.inner.Copy(ctx, req) })
}

// Delete implements s3backend.Store.
func (f *Faulty) Delete(ctx context.Context, key string) error {
	_, err := call(ctx, f, OpDelete, key, func() (struct{}, error) { return struct{}{}, f.inner.Delete(ctx, key) })
	return err
}

// DeleteMany implements s3backend.Store. A rule with a Key that fails takes
// that key out of the request and reports it; the others are deleted.
func (f *Faulty) DeleteMany(ctx context.Context, keys []string) ([]*s3backend.Error, error) {
	p, err := f.before(ctx, OpDeleteMany, "")
	if err != nil {
		return nil, err
	}
	var kept []string
	var failed []*s3backend.Error
	for _, key := range keys {
		if kp := f.rules.matchKey(OpDeleteMany, key); kp.fail != nil {
			failed = append(failed, f.name(*kp.fail, OpDeleteMany, key))
		} else {
			kept = append(kept, key)
		}
	}
	more, err := f.inner.DeleteMany(ctx, kept)
	return append(failed, more...), f.after(p, OpDeleteMany, "", err)
}

// CreateMultipart implements s3backend.Store.
func (f *Faulty) CreateMultipart(ctx context.Context, req s3backend.CreateMultipartRequest) (string, error) {
	return call(ctx, f, OpCreateMultipart, req.Key, func() (string, error) { return f.inner.CreateMultipart(ctx, req) })
}

// UploadPart implements s3backend.Store.
func (f *Faulty) UploadPart(ctx context.Context, req s3backend.UploadPartRequest) (s3backend.Part, error) {
	return call(ctx, f, OpUploadPart, req.Key, func() (s3backend.Part, error) { return f.inner.UploadPart(ctx, req) })
}

// CopyPart implements s3backend.Store.
func (f *Faulty) CopyPart(ctx context.Context, req s3backend.CopyPartRequest) (s3backend.Part, error) {
	return call(ctx, f, OpCopyPart, req.Key, func() (s3backend.Part, error) { return f.inner.CopyPart(ctx, req) })
}

// CompleteMultipart implements s3backend.Store.
func (f *Faulty) CompleteMultipart(ctx context.Context, req s3backend.CompleteMultipartRequest) (s3backend.Object, error) {
	return call(ctx, f, OpComplete, req.Key, func() (s3backend.Object, error) { return f.inner.CompleteMultipart(ctx, req) })
}

// AbortMultipart implements s3backend.Store.
func (f *Faulty) AbortMultipart(ctx context.Context, key, uploadID string) error {
	_, err := call(ctx, f, OpAbort, key, func() (struct{}, error) { return struct{}{}, f.inner.AbortMultipart(ctx, key, uploadID) })
	return err
}

// ListMultiparts implements s3backend.Store.
func (f *Faulty) ListMultiparts(ctx context.Context, prefix string) ([]s3backend.Upload, error) {
	return call(ctx, f, OpListMultiparts, prefix, func() ([]s3backend.Upload, error) { return f.inner.ListMultiparts(ctx, prefix) })
}

// Usage implements s3backend.Store.
func (f *Faulty) Usage(ctx context.Context) (s3backend.Usage, error) {
	return call(ctx, f, OpUsage, "", func() (s3backend.Usage, error) { return f.inner.Usage(ctx) })
}
