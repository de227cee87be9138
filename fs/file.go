package fs

import (
	"context"
	"sync"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"rgwfs/cache"
	"rgwfs/s3backend"
)

// fileNode is a regular file.
type fileNode struct {
	node
	mu   sync.Mutex
	file *cache.File // set while refs > 0; guarded by mu
	refs int         // handles, and operations that use file; guarded by mu
	// pages is the generation that the kernel's page cache holds pages of, ""
	// if none may be kept; guarded by mu.
	pages  string
	pinned *cache.Attr // what pages belongs to, nil while the file is not open; guarded by mu
	epoch  uint64      // file's when pages was noted; guarded by mu
	// frozen, if set, is what the inode shows: its object was replaced by
	// another client while it was open, and the name means a new inode; guarded by mu.
	frozen *cache.Attr
	// writes counts changes through this mount: when a generation changes
	// without one, somebody else has replaced the object; guarded by mu.
	writes uint64
	// told is the size that the kernel was told last, unknownSize if it counts
	// by itself since; guarded by mu.
	told int64
	// stale says that the kernel is to forget the attributes when the file is
	// not read any more; guarded by mu.
	stale bool
}

const unknownSize = -1

// tell records a size that is about to be told to the kernel.
func (n *fileNode) tell(size int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = size
}

// setStale makes the kernel forget the attributes: at once, but while the file
// is open only at a handle's end. A read that comes to the end of an object
// which is shorter than the kernel believes corrects the size, unless a
// notification comes in between: then the kernel fills up with zeros.
func (n *fileNode) setStale() {
	n.mu.Lock()
	open := n.refs > 0
	n.stale = open
	n.mu.Unlock()
	if !open {
		n.vol.m.notify.add(notice{inode: &n.Inode})
	}
}

// endStale does what setStale has put off.
func (n *fileNode) endStale() {
	n.mu.Lock()
	stale := n.stale
	n.stale = false
	n.mu.Unlock()
	if stale {
		n.vol.m.notify.add(notice{inode: &n.Inode})
	}
}

// acquire returns the file's data, with a reference that release gives back.
// key is the node's, from its gate. A removed file has data only as long as it
// is open; its key may be another file's by now.
func (n *fileNode) acquire(key Key) (*cache.File, syscall.Errno) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refs == 0 {
		if n.vol.m.tree.isGone(&n.node) {
			return nil, syscall.ESTALE
		}
		n.file = n.vol.bucket.File(key.String())
	}
	n.refs++
	return n.file, 0
}

// opened is acquire for a file that is in use already, nil for others. It
// waits for no rename.
func (n *fileNode) opened() *cache.File {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refs == 0 {
		return nil
	}
	n.refs++
	return n.file
}

func (n *fileNode) release() {
	n.mu.Lock()
	n.refs--
	var f *cache.File
	if n.refs == 0 {
		f, n.file = n.file, nil
		n.pinned = nil
	}
	n.mu.Unlock()
	if f != nil {
		f.Release()
	}
}

// noteWrite records a change through this mount.
func (n *fileNode) noteWrite() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.writes++
	n.pages, n.told = "", unknownSize
}

// enter shares the node's key.
func (n *node) enter(ctx context.Context) (Key, func(), syscall.Errno) {
	return n.vol.gate.enter(ctx, func() Key { return n.vol.m.tree.key(n) })
}

// Getattr answers from what is written here, if the file is open, else from
// the object. The metadata is known afterwards.
func (n *fileNode) Getattr(ctx context.Context, _ gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	ctx, stop := patient(ctx)
	defer stop()
	if f := n.opened(); f != nil {
		defer n.release()
		return n.getattr(ctx, f, Key{f.Key()}, out)
	}
	key, leave, errno := n.enter(ctx)
	if errno != 0 {
		return errno
	}
	defer leave()
	f, errno := n.acquire(key)
	if errno != 0 {
		return errno
	}
	defer n.release()
	return n.getattr(ctx, f, key, out)
}

func (n *fileNode) getattr(ctx context.Context, f *cache.File, key Key, out *fuse.AttrOut) syscall.Errno {
	n.mu.Lock()
	frozen := n.frozen
	n.mu.Unlock()
	if frozen != nil {
		n.tell(frozen.Size)
		n.vol.m.attrOut(*frozen, n.typ, out)
		return 0
	}
	a, err := f.Attr(ctx)
	if err != nil {
		return n.vol.m.failNode("stat", key, err)
	}
	if typeOf(a) != n.typ {
		n.retype()
		return syscall.ESTALE
	}
	n.tell(a.Size)
	n.vol.m.attrOut(a, n.typ, out)
	if f.Unlinked() {
		out.Nlink = 0
	}
	return 0
}

// supersede reports whether the generation etag is another client's successor of
// the one that is open here. All handles of an inode share its size and pages,
// so the name then means a new inode, and this one stays as it is for those who
// have it open.
func (n *fileNode) supersede(etag string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.frozen != nil:
		return true
	case n.refs == 0, n.pinned == nil, n.pages == "", etag == "", etag == n.pages:
		return false
	case n.file.Epoch() != n.epoch:
		return false // our own successor
	}
	n.frozen = n.pinned
	return true
}

// retype makes the kernel look the name up again: it is of another type than
// the inode, which can't change its own, or of another generation. A symlink is listed as a file until
// its metadata is known.
func (n *node) retype() {
	t := &n.vol.m.tree
	t.mu.Lock()
	d, name := n.parent, n.name
	n.gone = true // not found by name any more
	t.mu.Unlock()
	if d != nil {
		n.vol.m.notify.add(notice{inode: &d.Inode, name: name})
	}
}

// openFlags translates those of open(2).
func openFlags(flags uint32) cache.OpenFlags {
	access := flags & syscall.O_ACCMODE
	return cache.OpenFlags{
		Read:     access != syscall.O_WRONLY,
		Write:    access != syscall.O_RDONLY,
		Append:   flags&syscall.O_APPEND != 0,
		Truncate: flags&syscall.O_TRUNC != 0,
		Excl:     flags&syscall.O_EXCL != 0,
	}
}

// Open implements open(2) of a file that exists.
func (n *fileNode) Open(ctx context.Context, flags uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	m := n.vol.m
	of := openFlags(flags)
	of.Excl = false // without O_CREAT it says nothing
	if of.Write || of.Truncate {
		if m.cfg.ReadOnly {
			return nil, 0, syscall.EROFS
		}
		ctx = context.WithoutCancel(ctx)
	} else {
		p, stop := patient(ctx)
		defer stop()
		ctx = p
	}
	key, leave, errno := n.enter(ctx)
	if errno != 0 {
		return nil, 0, errno
	}
	defer leave()
	return n.open(ctx, key, of)
}

// open makes a handle. The caller has the gate.
func (n *fileNode) open(ctx context.Context, key Key, of cache.OpenFlags) (gofs.FileHandle, uint32, syscall.Errno) {
	m := n.vol.m
	f, errno := n.acquire(key)
	if errno != 0 {
		return nil, 0, errno
	}
	if of.Truncate {
		n.noteWrite()
	}
	h, err := f.Open(ctx, of)
	if err != nil {
		n.release()
		return nil, 0, m.failNode("open", key, err)
	}
	if of.Read {
		if errno := n.checkType(ctx, key, f, h); errno != 0 {
			h.Release()
			n.release()
			return nil, 0, errno
		}
	}
	if n.supersede(h.Generation()) {
		// The kernel looks the name up again, and opens what it means now.
		h.Release()
		n.release()
		n.retype()
		return nil, 0, syscall.ESTALE
	}
	fh, flags := n.newHandle(ctx, h, of, of.Truncate)
	return fh, flags, 0
}

// maxTarget is the longest target of a symlink, in bytes.
const maxTarget = 4095

// checkType finds out whether what was listed as a file is a symlink, before
// its target is read as if it were contents. The metadata comes with the first
// bytes, so that this costs a request only if nothing is read afterwards; what
// is empty or too long for a target is a file, and costs none.
func (n *fileNode) checkType(ctx context.Context, key Key, f *cache.File, h *cache.Handle) syscall.Errno {
	m := n.vol.m
	if h.Generation() == "" {
		return 0 // written here, or removed: its type is no question
	}
	dir, name := key.split()
	a, err := n.vol.bucket.Lookup(ctx, dir, name)
	if err != nil {
		return m.failNode("open", key, err)
	}
	if a.Metadata == nil && a.Size > 0 && a.Size <= maxTarget {
		var b [1]byte
		if _, err := h.ReadAt(ctx, b[:], 0); err != nil && s3backend.KindOf(err) != s3backend.KindChanged {
			return m.failNode("open", key, err)
		}
		if a, err = f.Attr(ctx); err != nil {
			return m.failNode("open", key, err)
		}
	}
	if typeOf(a) != n.typ {
		n.retype()
		return syscall.ESTALE
	}
	n.mu.Lock()
	wrong := n.told != unknownSize && n.told != a.Size
	n.mu.Unlock()
	if wrong {
		n.forgetSize()
	}
	return 0
}

// forgetSize makes the kernel ask for the size before the next read(2) ends at
// the old one. It has to be done before the current request is answered, so it
// does not go through the queue; it may, since forgetting attributes takes none
// of the locks that the request holds.
func (n *fileNode) forgetSize() { notice{inode: &n.Inode}.send() }

// CopyFileRange answers ENOSYS, which the kernel remembers for the whole mount
// and copies through its page cache from then on. A server-side copy of a
// range comes with what can make use of it.
func (n *fileNode) CopyFileRange(context.Context, gofs.FileHandle, uint64, *gofs.Inode, gofs.FileHandle, uint64, uint64, uint64) (uint32, syscall.Errno) {
	return 0, syscall.ENOSYS
}
