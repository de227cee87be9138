package fs

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"rgwfs/cache"
)

// fileHandle is one open(2). It has a reference of its node.
type fileHandle struct {
	n *fileNode
	h *cache.Handle

	mu     sync.Mutex
	gen    string // the generation that reads returned last, or were opened on; guarded by mu
	writes uint64 // n.writes when gen was noted; guarded by mu
	epoch  uint64 // the file's when gen was noted; guarded by mu
	kept   bool   // the kernel may hold pages of gen from before; guarded by mu
	lost   bool   // its pages are those of another generation: reads fail; guarded by mu

	users     users
	fresh     atomic.Bool // made or truncated by its open, and not committed since
	unflushed atomic.Bool // written since the last Flush began
	released  atomic.Bool
}

// newHandle makes the kernel's handle of h and tells what it may keep: pages
// of an earlier open only if they are of the generation that this handle is
// going to read. The reference that the caller has of n passes to the handle.
func (n *fileNode) newHandle(ctx context.Context, h *cache.Handle, of cache.OpenFlags, fresh bool) (*fileHandle, uint32) {
	fh := &fileHandle{n: n, h: h}
	fh.fresh.Store(fresh)
	if of.Write {
		fh.users.note(ctx)
	}
	var flags uint32
	if !of.Write {
		flags |= fuse.FOPEN_NOFLUSH // nothing to commit: close(2) needs no request
	}
	gen, epoch, attr := h.Generation(), h.File().Epoch(), h.Attr()
	n.mu.Lock()
	fh.gen, fh.writes, fh.epoch = gen, n.writes, epoch
	if gen != "" && gen == n.pages {
		flags |= fuse.FOPEN_KEEP_CACHE
		fh.kept = true
	}
	// Without KEEP_CACHE the kernel drops all pages when it has the answer.
	n.pages, n.pinned, n.epoch = gen, &attr, epoch
	n.mu.Unlock()
	n.vol.m.track(fh)
	return fh, flags
}

// Read implements read(2), and readahead and page faults.
func (fh *fileHandle) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	ctx, stop := patient(ctx)
	defer stop()
	// Straight into go-fuse's buffer: it frees that after the reply is out.
	n, err := fh.h.ReadAt(ctx, dest, off)
	if err != nil {
		return nil, fh.n.vol.m.fail("read", fh.key(), err)
	}
	if errno := fh.checkGeneration(ctx); errno != 0 {
		return nil, errno
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// checkGeneration keeps the pages of two generations apart. All handles of an
// inode share the kernel's pages, so bytes of one generation must not be
// answered while there are pages of another.
func (fh *fileHandle) checkGeneration(ctx context.Context) syscall.Errno {
	n := fh.n
	gen, epoch := fh.h.Generation(), fh.h.File().Epoch()
	fh.mu.Lock()
	n.mu.Lock()
	moved := false
	switch {
	case fh.lost: // for good: the kernel repeats a failed readahead page by page
	case n.writes != fh.writes || epoch != fh.epoch || gen == "":
		// Changed through this mount: the kernel has changed its pages too.
		// Or copied by it, to a new name or with new attributes.
		fh.gen, fh.writes, fh.epoch, fh.kept = gen, n.writes, epoch, false
		if n.pages != "" {
			n.pages, n.epoch = gen, epoch
		}
	case n.pages != "" && n.pages != gen && n.pages != fh.gen:
		fh.lost = true // another handle was opened on a newer generation
	case gen != fh.gen && fh.kept:
		fh.lost = true // of what it reads now, the kernel has pages of before
		n.pages = ""   // the next open drops them
	case gen != fh.gen:
		// The object had been replaced before this handle read anything, and
		// the handle has gone over to the new one.
		moved = true
		attr := fh.h.Attr()
		fh.gen, n.pages, n.pinned = gen, gen, &attr
		if n.frozen != nil {
			n.frozen = n.pinned
		}
	}
	told, lost := n.told, fh.lost
	n.mu.Unlock()
	fh.mu.Unlock()
	if lost {
		n.setStale()
		return syscall.ESTALE
	}
	if !moved || told == unknownSize {
		return 0
	}
	a, err := fh.h.File().Attr(ctx)
	if err != nil {
		return n.vol.m.fail("read", fh.key(), err)
	}
	if a.Size > told {
		n.forgetSize()
	} // else see setStale
	return 0
}

// Write implements write(2), and writeback of mapped pages.
func (fh *fileHandle) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	fh.users.note(ctx)
	fh.unflushed.Store(true)
	fh.n.noteWrite()
	n, err := fh.h.WriteAt(context.WithoutCancel(ctx), data, off)
	if err != nil && n == 0 {
		return 0, fh.n.vol.m.fail("write", fh.key(), err)
	}
	return uint32(n), 0
}

// Flush implements close(2): its error is the upload's. What is not the end of
// the file for anybody who uses it commits nothing: a child that starts another
// program, and a redirection that has not written yet. Somebody's end of the
// file comes later, at the latest the handle's Release.
func (fh *fileHandle) Flush(ctx context.Context) syscall.Errno {
	untouched := fh.fresh.Load() && !fh.unflushed.Load()
	if fh.users.strange(ctx) || untouched && holds(ctx, fh.n.StableAttr().Ino) {
		return 0
	}
	fh.unflushed.Store(false)
	fh.fresh.Store(false)
	if err := fh.h.Flush(context.WithoutCancel(ctx)); err != nil {
		return fh.n.vol.m.fail("close", fh.key(), err)
	}
	return 0
}

// Fsync implements fsync(2) and fdatasync(2).
func (fh *fileHandle) Fsync(ctx context.Context, _ uint32) syscall.Errno {
	if err := fh.h.Fsync(context.WithoutCancel(ctx)); err != nil {
		return fh.n.vol.m.fail("fsync", fh.key(), err)
	}
	return 0
}

// Release is the end of the handle, some time after the last close(2) and
// munmap(2). Nobody is told its errors.
func (fh *fileHandle) Release(context.Context) syscall.Errno {
	if !fh.released.CompareAndSwap(false, true) {
		return 0
	}
	m := fh.n.vol.m
	// Pages that were mapped and changed after close(2) are written now, and
	// what was left to an end that has not come.
	if (fh.unflushed.Load() || fh.fresh.Load()) && !fh.h.File().Unlinked() {
		if err := fh.h.Flush(context.Background()); err != nil {
			m.log.Error("the last changes of a file could not be stored; it was changed through mmap after it was closed",
				slog.String("key", fh.key().String()), slog.String("error", err.Error()))
		}
	}
	fh.h.Release()
	m.untrack(fh)
	fh.n.release()
	fh.n.endStale()
	return 0
}

func (fh *fileHandle) key() Key { return Key{fh.h.File().Key()} }
