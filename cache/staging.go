package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"rgwfs/s3backend"
)

// newStagingFile returns an empty file in dir that has no name: whatever
// happens to the process, its space is given back.
func newStagingFile(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, localError("create the cache directory", err)
	}
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), filepath.Join(dir, "staging")), nil
	}
	// NFS and some overlays have no O_TMPFILE: a name for a moment does.
	f, err := os.CreateTemp(dir, "staging-")
	if err != nil {
		return nil, localError("create a staging file", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, localError("unlink a staging file", err)
	}
	return f, nil
}

// localError gives an error of the local disk a Kind. nil stays nil.
func localError(op string, err error) error {
	if err == nil {
		return nil
	}
	kind := s3backend.KindOther
	switch {
	case errors.Is(err, unix.ENOSPC):
		kind = s3backend.KindNoSpace
		err = fmt.Errorf("%w: free some space there, or choose another --cache-dir", err)
	case errors.Is(err, unix.EDQUOT):
		kind = s3backend.KindQuota
	case errors.Is(err, unix.EFBIG):
		kind = s3backend.KindTooLarge
	}
	return &s3backend.Error{Kind: kind, Op: "staging: " + op, Err: err}
}

// staged is a file that is changed in place: a sparse local file that holds
// what was written, over a base generation on the server that shows wherever
// nothing was. Its methods are called with the File's ioMu held, for reading
// where said.
type staged struct {
	file    stagingFile
	size    int64
	baseLen int64 // the base shows in [0, baseLen) minus present
	resized bool  // size is not the base's

	// mu guards the ranges: a read under a shared ioMu fills none, but the
	// parallel fills of one commit do.
	mu      sync.Mutex
	present ranges // valid in file; everything at or past baseLen is
	dirty   ranges // not in the base
}

// write puts p at off. A gap behind the old end becomes a hole that is present.
func (s *staged) write(p []byte, off int64) (int, error) {
	n, err := s.file.WriteAt(p, off)
	if n > 0 || err == nil {
		end := off + int64(n)
		s.mark(span{min(off, s.size), end})
		if end > s.size {
			s.size, s.resized = end, true
		}
	}
	return n, localError("write", err)
}

// mark notes that sp is in the file and not in the base.
func (s *staged) mark(sp span) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size < sp.off {
		sp.off = s.size
	}
	s.present.add(sp)
	s.dirty.add(sp)
}

// truncate sets the size. What it cuts off reads as zeros if the file grows
// again.
func (s *staged) truncate(size int64) error {
	if err := s.file.Truncate(size); err != nil {
		return localError("truncate", err)
	}
	if size < s.size {
		s.mu.Lock()
		s.present.clip(size)
		s.dirty.clip(size)
		s.mu.Unlock()
		s.baseLen = min(s.baseLen, size)
	} else {
		s.mark(span{s.size, size})
	}
	if size != s.size {
		s.size, s.resized = size, true
	}
	return nil
}

// read fills p from off, from the file and from the base. ioMu may be shared.
func (s *staged) read(ctx context.Context, base *reader, cur *cursor, p []byte, off int64) (int, error) {
	p = p[:max(0, min(int64(len(p)), s.size-off))]
	done := 0
	for done < len(p) {
		at := off + int64(done)
		s.mu.Lock()
		in, until := s.present.holds(at, off+int64(len(p)))
		s.mu.Unlock()
		part := p[done : until-off]
		if !in {
			n, err := base.readAt(ctx, cur, part, at)
			done += n
			if err == nil && n < len(part) {
				err = s3errorf(s3backend.KindOther, "read", "base of %d bytes ends at %d", base.size, at+int64(n))
			}
			if err != nil {
				return done, err
			}
			continue
		}
		n, err := s.file.ReadAt(part, at)
		done += n
		if n < len(part) {
			// A hole at the end of the file was never written to it.
			if err != nil && !isEOF(err) {
				return done, localError("read", err)
			}
			clear(part[n:])
			done += len(part) - n
		}
	}
	return done, nil
}

// fill brings what sp lacks from the base into the file.
func (s *staged) fill(ctx context.Context, base *reader, sp span) error {
	s.mu.Lock()
	missing := s.present.missing(sp)
	s.mu.Unlock()
	for _, m := range missing {
		w := &offsetWriter{f: s.file, off: m.off}
		if err := base.copyTo(ctx, w, m.off, m.len()); err != nil {
			return err
		}
		s.mu.Lock()
		s.present.add(m)
		s.mu.Unlock()
	}
	return nil
}

// extend makes the file as long as size, so that a body read from it has its
// trailing holes.
func (s *staged) extend() error {
	size, err := s.file.Size()
	if err == nil && size < s.size {
		err = s.file.Truncate(s.size)
	}
	return localError("extend", err)
}

// clean notes that the server has it all now, as a base of the same size.
func (s *staged) clean() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty, s.resized, s.baseLen = nil, false, s.size
}

// touched reports whether any byte of sp is not in the base.
func (s *staged) touched(sp span) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sp.end > s.baseLen || s.dirty.touches(sp)
}

// free gives the space back.
func (s *staged) free() { s.file.Close() } // has no name: nothing can be lost by an error here

// offsetWriter writes to a file from off on, with errors that have a Kind.
type offsetWriter struct {
	f   io.WriterAt
	off int64
}

func (w *offsetWriter) Write(p []byte) (int, error) {
	n, err := w.f.WriteAt(p, w.off)
	w.off += int64(n)
	return n, localError("write", err)
}
