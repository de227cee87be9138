package fs

import (
	"context"
	"errors"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"golang.org/x/sys/unix"

	"rgwfs/cache"
	"rgwfs/s3backend"
)

// Rename implements renameat2(2), of flags only RENAME_NOREPLACE: two keys
// can't be exchanged without a moment in which one of them is missing. The
// kernel holds both directories locked.
func (d *dirNode) Rename(ctx context.Context, name string, newParent gofs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	m := d.vol.m
	if m.cfg.ReadOnly {
		return syscall.EROFS
	}
	if flags&^unix.RENAME_NOREPLACE != 0 {
		return syscall.EINVAL
	}
	to, ok := newParent.(*dirNode)
	if !ok || to.vol != d.vol {
		return syscall.EXDEV // another bucket: mv(1) copies
	}
	if errno := d.checkChild(name, false); errno != 0 {
		return syscall.ENOENT
	}
	if m.tree.isGone(&to.node) {
		return syscall.ENOENT
	}
	ctx = context.WithoutCancel(ctx)
	isDir, errno := d.isDir(ctx, name)
	if errno != 0 {
		return errno
	}
	if errno := to.checkChild(newName, isDir); errno != 0 {
		return errno
	}
	var from, dest Key
	keys, leave, errno := d.vol.gate.enterAlone(ctx, func() []Key {
		m.tree.mu.RLock()
		defer m.tree.mu.RUnlock()
		var src, dst Key
		from, src = d.childKeyLocked(name)
		dest, dst = to.childKeyLocked(newName)
		return []Key{src, dst}
	})
	if errno != 0 {
		return errno
	}
	defer leave()
	if keys[0] == keys[1] {
		return 0
	}
	noReplace := flags&unix.RENAME_NOREPLACE != 0
	err := d.vol.bucket.Rename(ctx, from.s, name, dest.s, newName, noReplace)
	if err != nil {
		if s3backend.KindOf(err) == s3backend.KindExist && !noReplace {
			// The types differ. The kernel checks that too, where it knows
			// the new name.
			if isDir {
				return syscall.ENOTDIR
			}
			return syscall.EISDIR
		}
		if errors.Is(err, cache.ErrSourceLeft) {
			m.tree.move(d, name, to, newName)
		}
		d.doubt(name, err)
		to.doubt(newName, err)
		return m.fail("rename", keys[0], err)
	}
	m.tree.move(d, name, to, newName)
	return 0
}

// isDir reports whether name is a directory.
func (d *dirNode) isDir(ctx context.Context, name string) (bool, syscall.Errno) {
	if b := childOf(d, name); b != nil {
		return b.base().typ == syscall.S_IFDIR, 0
	}
	dir, leave, errno := d.enterName(ctx, name, false)
	if errno != 0 {
		return false, errno
	}
	defer leave()
	a, err := d.vol.bucket.Lookup(ctx, dir.s, name)
	if err != nil {
		return false, d.vol.m.fail("rename", Key{dir.s + name}, err)
	}
	return a.IsDir(), 0
}
