package cache

import (
	"context"

	"rgwfs/s3backend"
)

// newStream begins the file anew, empty. Called with ioMu held.
func (f *File) newStream() *stream {
	s := &stream{up: f.b.store, mem: f.b.c.mem, uploads: f.b.c.uploads, partBase: f.b.c.cfg.PartSize,
		newFile: f.b.c.newStagingFile, key: f.Key()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.cur = s.newPart(1, 0)
	return s
}

// openWriter makes sure that there is something to write to. Called with ioMu
// held.
func (f *File) openWriter() error {
	if f.stream != nil || f.staged != nil {
		return nil
	}
	f.mu.Lock()
	base := f.base
	f.mu.Unlock()
	if base.ETag == "" || base.Size == 0 {
		f.stream = f.newStream()
		return nil
	}
	file, err := f.b.c.newStagingFile()
	if err != nil {
		return err
	}
	f.staged = &staged{file: file, size: base.Size, baseLen: base.Size}
	f.stagedBase = f.acquireReader(base)
	return nil
}

// toStaged turns a stream into a staged file, for what a stream can't do. What
// is still in memory moves to the disk. If parts are on the server already,
// the upload is completed as it stands, and is the base of what follows: the
// object becomes visible, as an fsync would make it, and none of its bytes
// travels again. Called with ioMu held.
func (f *File) toStaged(ctx context.Context) error {
	if f.stream == nil {
		return f.openWriter()
	}
	if f.stream.uploadID != "" {
		if err := f.commitLocked(ctx); err != nil {
			return err
		}
		return f.openWriter()
	}
	file, err := f.b.c.newStagingFile()
	if err != nil {
		return err
	}
	s := f.stream
	d := &s.cur.data
	if err := copyData(file, d); err != nil {
		file.Close()
		return err
	}
	st := &staged{file: file, size: s.size}
	st.present.add(span{0, s.size})
	f.mu.Lock()
	dirty := f.dirty
	f.mu.Unlock()
	if dirty {
		st.dirty.add(span{0, s.size})
		st.resized = true
	} else {
		st.baseLen = s.size
	}
	s.free()
	f.stream, f.staged = nil, st
	if !dirty {
		f.mu.Lock()
		base := f.base
		f.mu.Unlock()
		f.stagedBase = f.acquireReader(base)
	}
	return nil
}

// writeLocked puts p at off. Called with ioMu held exclusively.
func (f *File) writeLocked(ctx context.Context, p []byte, off int64) (int, error) {
	if off+int64(len(p)) > s3backend.MaxObjectSize {
		return 0, keyError(s3backend.KindTooLarge, "write", f.b.Name(), f.Key())
	}
	if err := f.openWriter(); err != nil {
		return 0, err
	}
	if f.stream != nil && f.Unlinked() {
		// Nothing of it may go to the server any more.
		if err := f.toStaged(ctx); err != nil {
			return 0, err
		}
	}
	if f.stream != nil {
		n, err := f.stream.write(ctx, p, off, f.streamAttributes())
		if n > 0 || err == nil {
			f.noteWrite(f.stream.size)
		}
		if err != errOutOfOrder {
			f.noteGap(off, n, len(p), err)
			return n, err
		}
		if err := f.toStaged(ctx); err != nil {
			f.noteGap(off, 0, len(p), err)
			return 0, err
		}
	}
	n, err := f.staged.write(p, off)
	if n > 0 || err == nil {
		f.noteWrite(f.staged.size)
	}
	return n, err
}

// noteGap remembers that a write of a new file failed after n bytes at off. As
// long as those bytes are missing nothing is committed: a file with a gap must
// not replace the whole one that may be there.
func (f *File) noteGap(off int64, n, want int, err error) {
	end := off + int64(n)
	switch {
	case err != nil && f.gapErr == nil:
		f.gap, f.gapEnd, f.gapErr = end, off+int64(want), err
	case err != nil:
		f.gap, f.gapEnd, f.gapErr = min(f.gap, end), max(f.gapEnd, off+int64(want)), err
	case f.gapErr != nil && off <= f.gap && f.gap < end:
		if f.gap = end; f.gap >= f.gapEnd {
			f.gapErr = nil
		}
	}
}

// Truncate sets the size. A file that is open for writing is committed at its
// close; any other at once, also one whose close has come but whose handle the
// kernel has not released yet.
func (f *File) Truncate(ctx context.Context, size int64) error {
	if f.b.c.cfg.ReadOnly {
		return keyError(s3backend.KindReadOnly, "truncate", f.b.Name(), f.Key())
	}
	if size > s3backend.MaxObjectSize {
		return keyError(s3backend.KindTooLarge, "truncate", f.b.Name(), f.Key())
	}
	ctx = context.WithoutCancel(ctx)
	done := f.b.tree.share(f)
	defer done()
	f.ioMu.Lock()
	defer f.ioMu.Unlock()
	if err := f.refresh(ctx); err != nil {
		return err
	}
	if err := f.truncateLocked(ctx, size); err != nil {
		return err
	}
	f.mu.Lock()
	open := f.writers > 0
	f.mu.Unlock()
	if open {
		return nil
	}
	if err := f.commitLocked(ctx); err != nil {
		f.discardLocked(ctx, err)
		return err
	}
	f.idleLocked()
	return nil
}

// truncateLocked sets the size. Called with ioMu held.
func (f *File) truncateLocked(ctx context.Context, size int64) error {
	if size <= f.gap {
		f.gapErr = nil
	}
	if f.currentSize() == size {
		return nil
	}
	if size == 0 {
		f.dropDataLocked(ctx)
		f.stream, f.gapErr = f.newStream(), nil
		f.noteWrite(0)
		return nil
	}
	if err := f.openWriter(); err != nil {
		return err
	}
	if f.stream != nil {
		err := f.stream.truncate(size)
		if err == nil {
			f.noteWrite(size)
		}
		if err != errOutOfOrder {
			return err
		}
		if err := f.toStaged(ctx); err != nil {
			return err
		}
	}
	if err := f.staged.truncate(size); err != nil {
		return err
	}
	f.noteWrite(size)
	return nil
}

func (f *File) currentSize() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dirty {
		return f.size
	}
	return f.base.Size
}
