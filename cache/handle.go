package cache

import (
	"context"
	"io"
	"sync"

	"rgwfs/s3backend"
)

// OpenFlags is how a file is opened.
type OpenFlags struct {
	Read, Write bool
	Append      bool // writes go to the end, whatever their offset
	Truncate    bool
	Excl        bool // Create only: the file must not exist
}

// Handle is one open of a file.
type Handle struct {
	f     *File
	flags OpenFlags

	mu     sync.Mutex
	gen    *genReader // the generation it reads, nil until the first read; guarded by mu
	cur    *cursor    // guarded by mu for replacement
	epoch  uint64     // File.epoch when gen was pinned; guarded by mu
	served bool       // bytes of gen have been returned; guarded by mu
	stale  error      // gen is gone, and the handle can't leave it; guarded by mu

	writing bool // counted in File.writers; guarded by File.mu
}

// Open opens the file. It makes no request if the object is known and fresh.
func (f *File) Open(ctx context.Context, flags OpenFlags) (*Handle, error) {
	if f.b.c.cfg.ReadOnly && (flags.Write || flags.Truncate) {
		return nil, keyError(s3backend.KindReadOnly, "open", f.b.Name(), f.Key())
	}
	if err := f.refresh(ctx); err != nil {
		return nil, err
	}
	h := f.newHandle(flags)
	if flags.Truncate {
		if err := h.truncate(ctx); err != nil {
			h.Release()
			return nil, err
		}
	}
	return h, nil
}

func (f *File) newHandle(flags OpenFlags) *Handle {
	f.b.retain(f)
	f.mu.Lock()
	f.handles++
	f.mu.Unlock()
	h := &Handle{f: f, flags: flags, cur: f.b.c.newCursor()}
	h.setWriting(flags.Write)
	return h
}

// setWriting says whether a close of the handle is to be waited for, that will
// commit what is changed.
func (h *Handle) setWriting(on bool) {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if on != h.writing {
		h.writing = on
		if on {
			h.f.writers++
		} else {
			h.f.writers--
		}
	}
}

func (h *Handle) truncate(ctx context.Context) error {
	done := h.f.b.tree.share(h.f)
	defer done()
	h.f.ioMu.Lock()
	defer h.f.ioMu.Unlock()
	return h.f.truncateLocked(context.WithoutCancel(ctx), 0)
}

// File returns the file that this is a handle of.
func (h *Handle) File() *File { return h.f }

// ReadAt fills p from off; it returns less only at the end of the file. What
// comes from the server is all of one generation: if that is replaced by
// somebody else, reads fail with KindChanged, unless nothing was read yet.
func (h *Handle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	f := h.f
	for {
		f.ioMu.RLock()
		n := 0
		err := h.left()
		switch {
		case err != nil:
		case f.stream != nil:
			n, err = f.stream.read(p, off)
		case f.staged != nil:
			n, err = f.staged.read(ctx, f.baseReader(), h.cursor(), p, off)
		default:
			n, err = h.readBase(ctx, p, off)
		}
		f.ioMu.RUnlock()
		if err != errOutOfOrder {
			return n, err
		}
		if err := f.makeReadable(ctx); err != nil {
			return 0, err
		}
	}
}

// left returns KindChanged if the handle has returned bytes of a generation, and
// the file has gone on to one of another client meanwhile: another handle was
// opened on that, and may have changed it. A mixture of the two would be read
// or written through this one. Called with ioMu held.
func (h *Handle) left() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	switch {
	case h.stale != nil && h.epoch == h.f.epoch:
		return h.stale
	case h.gen == nil || !h.served || h.epoch != h.f.epoch || h.f.unlinked || h.gen.etag == h.f.base.ETag:
		return nil
	case h.f.dirty || h.flags.Write:
		return keyError(s3backend.KindChanged, "read or write", h.f.b.Name(), h.f.key)
	}
	return nil
}

// makeReadable is called when a read wants bytes of a stream that have left
// for the server.
func (f *File) makeReadable(ctx context.Context) error {
	done := f.b.tree.share(f)
	defer done()
	f.ioMu.Lock()
	defer f.ioMu.Unlock()
	if f.stream == nil {
		return nil
	}
	return f.toStaged(context.WithoutCancel(ctx))
}

func (f *File) baseReader() *reader {
	if f.stagedBase == nil {
		return nil
	}
	return f.stagedBase.reader
}

func (h *Handle) cursor() *cursor {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cur
}

// maxMoves is how often one read follows an object that is replaced again and
// again before it gives up.
const maxMoves = 5

// readBase reads from the server's object. Called with ioMu shared.
func (h *Handle) readBase(ctx context.Context, p []byte, off int64) (int, error) {
	for moves := 0; ; moves++ {
		g, cur := h.pin()
		n, err := g.readAt(ctx, cur, p, off)
		ok := h.note(g, n)
		h.f.releaseReader(g)
		switch {
		case !ok:
			continue // another read of this handle has moved on meanwhile
		case err == nil || s3backend.KindOf(err) != s3backend.KindChanged:
			return n, err
		case moves == maxMoves:
			return 0, err
		}
		if err := h.move(ctx, g, err); err != nil {
			return 0, err
		}
	}
}

// pin returns the reader of the generation that this handle is to read, with a
// reference for the caller. A commit of this mount moves it on: a program sees
// its own node's writes.
func (h *Handle) pin() (*genReader, *cursor) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.f.mu.Lock()
	base, epoch := h.f.base, h.f.epoch
	h.f.mu.Unlock()
	if h.gen == nil || h.epoch != epoch {
		if h.gen != nil {
			h.f.releaseReader(h.gen)
		}
		h.gen, h.epoch, h.served, h.stale = h.f.acquireReader(base), epoch, false, nil
		h.cur = h.f.b.c.newCursor()
	}
	h.f.mu.Lock()
	h.gen.refs++
	h.f.mu.Unlock()
	return h.gen, h.cur
}

// note records that n bytes of g are about to be returned. It is false if the
// handle reads another generation by now: then they must not be, or a program
// would see a mixture.
func (h *Handle) note(g *genReader, n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gen != g {
		return false
	}
	h.served = h.served || n > 0
	return true
}

// move goes over to the newest generation, after g turned out to be gone: if
// nothing of g has been returned, nobody can tell. cause is returned if it has.
func (h *Handle) move(ctx context.Context, g *genReader, cause error) error {
	f := h.f
	key := f.Key()
	f.b.meta.drop(key)
	h.mu.Lock()
	stay := h.served && h.gen == g || f.Unlinked()
	if stay && h.gen == g {
		h.stale = cause // the next reads need not ask
	}
	h.mu.Unlock()
	defer f.b.notify(key)
	if stay {
		return cause
	}
	a, err := f.b.meta.stat(ctx, key)
	if s3backend.IsNotExist(err) {
		return cause // opened when it was there: stale, rather than absent
	}
	if err != nil {
		return err
	}
	f.rebase(a)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gen == g && !h.served {
		f.releaseReader(g)
		h.gen = nil
	}
	return nil
}

// WriteAt puts p at off, or at the end if the handle appends. It returns once
// the bytes are held here; Flush or Fsync makes them durable.
func (h *Handle) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if !h.flags.Write {
		return 0, keyError(s3backend.KindInvalid, "write to a handle opened for reading", h.f.b.Name(), h.f.Key())
	}
	done := h.f.b.tree.share(h.f)
	defer done()
	h.f.ioMu.Lock()
	defer h.f.ioMu.Unlock()
	if err := h.left(); err != nil {
		return 0, err
	}
	h.setWriting(true)
	if h.flags.Append {
		off = h.f.currentSize()
	}
	return h.f.writeLocked(context.WithoutCancel(ctx), p, off)
}

// Flush is close(2): it commits. When it returns nil, everything written is
// durable on the server, and verified. After an error the changes are kept, and
// the next Flush or Fsync tries again.
func (h *Handle) Flush(ctx context.Context) error {
	if !h.flags.Write {
		return nil
	}
	h.setWriting(false)
	return h.f.commit(ctx)
}

// Fsync makes everything written durable on the server, as Flush does, also
// through a handle that only reads (POSIX allows fsync there).
func (h *Handle) Fsync(ctx context.Context) error { return h.f.commit(ctx) }

// Generation identifies the bytes that the handle sees: pages that the kernel
// holds of another one are stale. "" means that they must not be kept. It is
// the generation that the handle is pinned to, which other handles of the file
// may have left behind, or before the first read the one that it would be.
func (h *Handle) Generation() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	switch {
	case h.f.dirty || h.f.unlinked:
		return ""
	case h.gen != nil && h.epoch == h.f.epoch:
		return h.gen.etag
	default:
		return h.f.base.ETag
	}
}

// Attr describes the generation that Generation names, or what is written here.
func (h *Handle) Attr() Attr {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	a, _ := h.f.localLocked()
	if h.gen != nil && h.epoch == h.f.epoch && !h.f.dirty && h.gen.etag != a.ETag {
		a.Size, a.ETag, a.ModTime = h.gen.size, h.gen.etag, h.gen.modTime
	}
	return a
}

// Release ends the handle. It only frees: changes that no Flush could commit
// are given up with the last handle. An unlinked file's object goes with it.
func (h *Handle) Release() {
	f := h.f
	h.mu.Lock()
	gen := h.gen
	h.gen = nil
	h.mu.Unlock()
	if gen != nil {
		f.releaseReader(gen)
	}
	h.setWriting(false)
	f.mu.Lock()
	f.handles--
	last := f.handles == 0
	f.mu.Unlock()
	if last {
		f.b.lastRelease(f)
	}
	f.b.release(f)
}

// rangeGetter opens ranges of the generation that a describes, and remembers
// the metadata that comes with the first of them.
func (f *File) rangeGetter(a Attr) rangeGetter {
	var once sync.Once
	return func(ctx context.Context, off, length int64) (io.ReadCloser, error) {
		key := f.Key()
		l := f.b.meta.begin()
		defer l.end()
		obj, body, err := f.b.store.Get(ctx, s3backend.GetRequest{Key: key, Offset: off, Length: length, IfMatch: a.ETag})
		if now := f.Key(); s3backend.IsNotExist(err) && now != key {
			// A rename came between: what was asked for is where it went.
			key = now
			obj, body, err = f.b.store.Get(ctx, s3backend.GetRequest{Key: key, Offset: off, Length: length, IfMatch: a.ETag})
		}
		if err != nil {
			if s3backend.IsNotExist(err) {
				err = &s3backend.Error{Kind: s3backend.KindChanged, Op: "GetObject", Bucket: f.b.Name(), Key: key, Err: err}
			}
			return nil, err
		}
		once.Do(func() {
			if !f.Unlinked() {
				got := attrOf(obj, f.b.c.cfg.MetadataTTL)
				l.learned(got)
				f.learnMetadata(got)
			}
		})
		return body, nil
	}
}
