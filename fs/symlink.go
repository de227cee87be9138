package fs

import (
	"context"
	"strings"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// linkNode is a symlink: an object whose metadata says so and whose body is
// the target, as s3fs stores it.
type linkNode struct{ node }

// Symlink implements symlink(2).
func (d *dirNode) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	m := d.vol.m
	if len(target) > maxTarget {
		return nil, syscall.ENAMETOOLONG
	}
	caller, ctx, dir, leave, errno := d.beginCreate(ctx, name, false)
	if errno != 0 {
		return nil, errno
	}
	defer leave()
	a, err := d.vol.bucket.Symlink(ctx, dir.s, name, target, m.newMetadata(caller, syscall.S_IFLNK, 0o777))
	if err != nil {
		d.doubt(name, err)
		return nil, m.fail("symlink", Key{dir.s + name}, err)
	}
	return d.entry(ctx, name, a, out), 0
}

// Readlink implements readlink(2). s3fs ends some targets with a newline.
func (l *linkNode) Readlink(ctx context.Context) ([]byte, syscall.Errno) {
	ctx, stop := patient(ctx)
	defer stop()
	m := l.vol.m
	key, leave, errno := l.enter(ctx)
	if errno != 0 {
		return nil, errno
	}
	defer leave()
	if m.tree.isGone(&l.node) {
		return nil, syscall.ESTALE
	}
	target, err := l.vol.bucket.Readlink(ctx, key.s)
	if err != nil {
		return nil, m.failNode("readlink", key, err)
	}
	target = strings.TrimRight(target, "\n")
	if target == "" || len(target) > maxTarget || strings.Contains(target, "\x00") {
		return nil, syscall.EIO // nothing that can be a target
	}
	return []byte(target), 0
}

// Getattr answers from the object.
func (l *linkNode) Getattr(ctx context.Context, _ gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	ctx, stop := patient(ctx)
	defer stop()
	key, leave, errno := l.enter(ctx)
	if errno != 0 {
		return errno
	}
	defer leave()
	m := l.vol.m
	if m.tree.isGone(&l.node) {
		return syscall.ESTALE
	}
	a, err := l.vol.stat(ctx, key)
	if err != nil {
		return m.failNode("stat", key, err)
	}
	if typeOf(a) != l.typ {
		l.retype()
		return syscall.ESTALE
	}
	m.attrOut(a, l.typ, out)
	return 0
}
