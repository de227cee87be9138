package fs

import (
	"context"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"rgwfs/cache"
)

// dirHandle is one opendir(3). go-fuse calls it with one request at a time.
//
// Offsets: 0 is the start, 1 follows ".", 2 follows "..", and firstOff plus a
// cookie of cache.Dir is the entry at that cookie.
type dirHandle struct {
	d    *dirNode
	dir  *cache.Dir
	off  uint64
	last cache.DirEntry // what Readdirent returned last, for Lookup
}

const firstOff = 2

// OpendirHandle implements opendir(3). FOPEN_CACHE_DIR is not asked for: the
// kernel would serve a listing until the directory's mtime changes, which that
// of a prefix never does. A listing that is remembered here costs no request
// either, and is believed for as long as --metadata-ttl says.
func (d *dirNode) OpendirHandle(ctx context.Context, _ uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	ctx, stop := patient(ctx)
	defer stop()
	if d.vol.m.tree.isGone(&d.node) {
		return nil, 0, syscall.ENOENT
	}
	key, leave, errno := d.enter(ctx)
	if errno != 0 {
		return nil, 0, errno
	}
	defer leave()
	dir, err := d.vol.bucket.OpenDir(ctx, key.s)
	if err != nil {
		return nil, 0, d.vol.m.failNode("opendir", key, err)
	}
	return &dirHandle{d: d, dir: dir}, 0, 0
}

// Readdirent returns the entry at the handle's offset, nil at the end.
func (h *dirHandle) Readdirent(ctx context.Context) (*fuse.DirEntry, syscall.Errno) {
	t := &h.d.vol.m.tree
	switch h.off {
	case 0:
		h.off = 1
		return &fuse.DirEntry{Name: ".", Mode: syscall.S_IFDIR, Ino: h.d.StableAttr().Ino, Off: 1}, 0
	case 1:
		h.off = firstOff
		up := h.d.EmbeddedInode()
		if _, p := h.d.Parent(); p != nil {
			up = p
		}
		return &fuse.DirEntry{Name: "..", Mode: syscall.S_IFDIR, Ino: up.StableAttr().Ino, Off: firstOff}, 0
	}
	ctx, stop := patient(ctx)
	defer stop()
	e, next, ok, err := h.dir.Read(ctx, h.off-firstOff)
	if err != nil {
		return nil, h.d.vol.m.fail("readdir", t.key(&h.d.node), err)
	}
	if !ok {
		return nil, 0
	}
	h.last, h.off = e, next+firstOff
	typ := h.d.entryType(e.Name, e.Attr)
	entry := &fuse.DirEntry{Name: e.Name, Mode: typ, Ino: t.peek(h.d, e.Name, typ), Off: h.off}
	if typ == syscall.S_IFREG && e.Attr.MaybeSymlink() {
		entry.Mode = 0 // DT_UNKNOWN: who wants to know the type asks for it
	}
	return entry, 0
}

// Lookup answers READDIRPLUS from the page that was just listed.
func (h *dirHandle) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	if name != h.last.Name || h.last.Attr.MaybeSymlink() {
		// A listing that was interrupted is repeated by go-fuse from its own
		// memory.
		return h.d.Lookup(ctx, name, out)
	}
	return h.d.entry(ctx, name, h.last.Attr, out), 0
}

// Seekdir implements seekdir(3), and rewinddir(3), after which changes show.
func (h *dirHandle) Seekdir(_ context.Context, off uint64) syscall.Errno {
	if off == 0 {
		h.dir.Rewind()
	}
	h.off = off
	return 0
}

// Fsyncdir has nothing to do: names are on the server when the operations that
// make them return.
func (h *dirHandle) Fsyncdir(context.Context, uint32) syscall.Errno { return 0 }

// Releasedir implements closedir(3).
func (h *dirHandle) Releasedir(context.Context, uint32) { h.dir.Close() }
