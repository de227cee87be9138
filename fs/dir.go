package fs

import (
	"context"
	"errors"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"rgwfs/cache"
	"rgwfs/s3backend"
)

// dirNode is a directory: a common prefix, a marker object, or both.
type dirNode struct{ node }

// childKeyLocked returns the key of name in d, and d's own. name is valid.
func (d *dirNode) childKeyLocked(name string) (dir, child Key) {
	dir = d.vol.m.tree.keyLocked(&d.node)
	return dir, Key{dir.s + name}
}

// enterName shares the key of name in d. It returns d's key, or the errno of a name
// that can't be one; isDir says that a directory is to have it.
func (d *dirNode) enterName(ctx context.Context, name string, isDir bool) (Key, func(), syscall.Errno) {
	if errno := d.checkChild(name, isDir); errno != 0 {
		return Key{}, nil, errno
	}
	t := &d.vol.m.tree
	var dir Key
	_, leave, errno := d.vol.gate.enter(ctx, func() (child Key) {
		t.mu.RLock()
		defer t.mu.RUnlock()
		dir, child = d.childKeyLocked(name)
		return child
	})
	return dir, leave, errno
}

// checkChild returns 0 if d can have an entry of that name.
func (d *dirNode) checkChild(name string, isDir bool) syscall.Errno {
	_, errno := d.vol.m.tree.key(&d.node).child(name, isDir)
	return errno
}

// Lookup implements the lookup of a name.
func (d *dirNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	pctx, stop := patient(ctx)
	defer stop()
	dir, leave, errno := d.enterName(pctx, name, false)
	switch errno {
	case 0:
	case syscall.EILSEQ, syscall.EINVAL:
		return nil, syscall.ENOENT // creating it tells why it can't be
	default:
		return nil, errno
	}
	defer leave()
	a, err := d.vol.bucket.Lookup(pctx, dir.s, name)
	if err != nil {
		return nil, d.vol.m.fail("lookup", Key{dir.s + name}, err)
	}
	if a.MaybeSymlink() {
		if a, err = d.vol.bucket.Stat(pctx, dir.s+name); err != nil {
			return nil, d.vol.m.fail("lookup", Key{dir.s + name}, err)
		}
	}
	in := d.entry(ctx, name, a, out)
	if a.IsDir() && a.Metadata == nil {
		// Whether there is a marker, with an owner and a mode, is not known
		// yet. Who may pass depends on it, so the kernel asks before it uses
		// them. (A listing shows the defaults: see doc.go.)
		out.SetAttrTimeout(0)
	}
	return in, 0
}

// entry answers with the inode of a name. It is the last step of an operation.
func (d *dirNode) entry(ctx context.Context, name string, a cache.Attr, out *fuse.EntryOut) *gofs.Inode {
	typ := d.entryType(name, a)
	if f, ok := childOf(d, name).(*fileNode); ok && typ == syscall.S_IFREG && f.supersede(a.ETag) {
		d.vol.m.tree.leave(&f.node)
	}
	b := d.vol.m.tree.child(ctx, d, name, typ)
	n := b.base()
	if f, ok := b.(*fileNode); ok {
		f.tell(a.Size)
	}
	d.vol.m.entryOut(a, n.typ, out)
	return &n.Inode
}

// entryType is typeOf, which without metadata can't tell a symlink from a
// file: then it is what it was last.
func (d *dirNode) entryType(name string, a cache.Attr) uint32 {
	typ := typeOf(a)
	if typ != syscall.S_IFREG || a.Metadata != nil {
		return typ
	}
	t := &d.vol.m.tree
	t.mu.RLock()
	defer t.mu.RUnlock()
	if b := childOf(d, name); b != nil && b.base().isAt(d, name, syscall.S_IFLNK) {
		return syscall.S_IFLNK
	}
	return typ
}

// Getattr answers from the marker, if there is one.
func (d *dirNode) Getattr(ctx context.Context, _ gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	ctx, stop := patient(ctx)
	defer stop()
	m := d.vol.m
	if m.tree.isGone(&d.node) {
		// Somebody's working directory, or a directory that is still open.
		m.attrOut(cache.Attr{Key: "/"}, d.typ, out)
		out.Nlink = 0
		return 0
	}
	key, leave, errno := d.enter(ctx)
	if errno != 0 {
		return errno
	}
	defer leave()
	a, err := d.vol.stat(ctx, key)
	if err != nil {
		return m.failNode("stat", key, err)
	}
	m.attrOut(a, d.typ, out)
	return 0
}

// Mkdir implements mkdir(2): it writes a marker.
func (d *dirNode) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	m := d.vol.m
	caller, ctx, dir, leave, errno := d.beginCreate(ctx, name, true)
	if errno != 0 {
		return nil, errno
	}
	defer leave()
	a, err := d.vol.bucket.Mkdir(ctx, dir.s, name, m.newMetadata(caller, syscall.S_IFDIR, mode))
	if err != nil {
		d.doubt(name, err)
		return nil, m.fail("mkdir", Key{dir.s + name}, err)
	}
	return d.entry(ctx, name, a, out), 0
}

// beginCreate is the beginning of what makes a new name: from here on it runs
// to its end, whatever signals arrive. caller is who will own it.
func (d *dirNode) beginCreate(ctx context.Context, name string, isDir bool) (caller *fuse.Caller, detached context.Context, dir Key, leave func(), errno syscall.Errno) {
	if d.vol.m.cfg.ReadOnly {
		return nil, nil, Key{}, nil, syscall.EROFS
	}
	if d.vol.m.tree.isGone(&d.node) {
		return nil, nil, Key{}, nil, syscall.ENOENT
	}
	if c, ok := fuse.FromContext(ctx); ok {
		caller = c
	}
	detached = context.WithoutCancel(ctx)
	dir, leave, errno = d.enterName(detached, name, isDir)
	return caller, detached, dir, leave, errno
}

// Create implements open(2) with O_CREAT of a name that the kernel believes is
// absent.
func (d *dirNode) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*gofs.Inode, gofs.FileHandle, uint32, syscall.Errno) {
	m := d.vol.m
	caller, ctx, dir, leave, errno := d.beginCreate(ctx, name, false)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	defer leave()
	key := Key{dir.s + name}
	of := openFlags(flags)
	if !of.Excl && !of.Truncate {
		// Somebody else may have made it since: then it is opened, not made
		// anew. An absence that is remembered costs no request.
		switch a, err := d.vol.bucket.Lookup(ctx, dir.s, name); {
		case err == nil:
			return d.openExisting(ctx, name, key, a, of, out)
		case !s3backend.IsNotExist(err):
			return nil, nil, 0, m.fail("create", key, err)
		}
	}
	h, err := d.vol.bucket.Create(ctx, dir.s, name, m.newMetadata(caller, syscall.S_IFREG, mode), of)
	if err != nil {
		return nil, nil, 0, m.fail("create", key, err)
	}
	a, err := h.File().Attr(ctx)
	if err != nil {
		h.Release()
		return nil, nil, 0, m.fail("create", key, err)
	}
	n, ok := m.tree.child(ctx, d, name, syscall.S_IFREG).(*fileNode)
	if !ok {
		h.Release()
		return nil, nil, 0, syscall.EIO
	}
	if _, errno := n.acquire(key); errno != 0 {
		h.Release()
		return nil, nil, 0, errno
	}
	n.noteWrite()
	m.entryOut(a, n.typ, out)
	fh, fuseFlags := n.newHandle(ctx, h, of, true)
	return &n.Inode, fh, fuseFlags, 0
}

func (d *dirNode) openExisting(ctx context.Context, name string, key Key, a cache.Attr, of cache.OpenFlags, out *fuse.EntryOut) (*gofs.Inode, gofs.FileHandle, uint32, syscall.Errno) {
	n, ok := d.vol.m.tree.child(ctx, d, name, d.entryType(name, a)).(*fileNode)
	if !ok {
		return nil, nil, 0, syscall.ESTALE // a directory or symlink: looked up again
	}
	fh, flags, errno := n.open(ctx, key, of)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	d.vol.m.entryOut(a, n.typ, out)
	return &n.Inode, fh, flags, 0
}

// Mknod implements mknod(2) of regular files, which NFS servers use. There are
// no pipes, sockets and devices in a bucket: EPERM.
func (d *dirNode) Mknod(ctx context.Context, name string, mode, _ uint32, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	if typ := mode & syscall.S_IFMT; typ != syscall.S_IFREG && typ != 0 {
		return nil, syscall.EPERM
	}
	flags := uint32(syscall.O_WRONLY | syscall.O_CREAT | syscall.O_EXCL)
	in, fh, _, errno := d.Create(ctx, name, flags, mode, out)
	if errno != 0 {
		return nil, errno
	}
	h := fh.(*fileHandle)
	errno = h.Flush(ctx)
	h.Release(ctx)
	if errno != 0 {
		d.vol.m.tree.remove(d, name)
		return nil, errno
	}
	return in, 0
}

// Link implements link(2), with the errno that it has for file systems without
// hard links. An object has one key.
func (d *dirNode) Link(context.Context, gofs.InodeEmbedder, string, *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	return nil, syscall.EPERM
}

// Unlink implements unlink(2). A file that is open lives on without its name.
func (d *dirNode) Unlink(ctx context.Context, name string) syscall.Errno {
	return d.removeEntry(ctx, name, "unlink", d.vol.bucket.Unlink)
}

// Rmdir implements rmdir(2).
func (d *dirNode) Rmdir(ctx context.Context, name string) syscall.Errno {
	return d.removeEntry(ctx, name, "rmdir", d.vol.bucket.Rmdir)
}

func (d *dirNode) removeEntry(ctx context.Context, name, op string, remove func(ctx context.Context, dir, name string) error) syscall.Errno {
	m := d.vol.m
	if m.cfg.ReadOnly {
		return syscall.EROFS
	}
	if errno := d.checkChild(name, false); errno != 0 {
		return syscall.ENOENT
	}
	ctx = context.WithoutCancel(ctx)
	t := &m.tree
	var dir Key
	keys, leave, errno := d.vol.gate.enterAlone(ctx, func() []Key {
		t.mu.RLock()
		defer t.mu.RUnlock()
		var child Key
		dir, child = d.childKeyLocked(name)
		return []Key{child}
	})
	if errno != 0 {
		return errno
	}
	defer leave()
	if err := remove(ctx, dir.s, name); err != nil {
		d.doubt(name, err)
		return m.fail(op, keys[0], err)
	}
	t.remove(d, name)
	return 0
}

// doubt makes the kernel look name up again after an operation on it has failed
// in a way that does not exclude that it has taken effect.
func (d *dirNode) doubt(name string, err error) {
	if doubtful(s3backend.KindOf(err)) || errors.Is(err, cache.ErrSourceLeft) {
		d.vol.m.notify.add(notice{inode: &d.Inode, name: name})
	}
}
