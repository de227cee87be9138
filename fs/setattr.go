package fs

import (
	"context"
	"sync"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"rgwfs/cache"
	"rgwfs/s3backend"
)

// metadataChange returns what chmod, chown and utimens do to the metadata, nil
// if nothing. It fails with EPERM where flags of the mount say that
// everything has another owner or mode: that could be stored, but it would not
// be shown.
func (c *Config) metadataChange(in *fuse.SetAttrIn, typ uint32) (func(md map[string]string), syscall.Errno) {
	mode, setsMode := in.GetMode()
	uid, setsUID := in.GetUID()
	gid, setsGID := in.GetGID()
	mode &= permMask
	forced := c.ForceFileMode && typ == syscall.S_IFREG || c.ForceDirMode && typ == syscall.S_IFDIR
	switch {
	case setsMode && forced && mode != c.mode(posix{}, typ),
		setsUID && c.ForceUID && uid != c.UID,
		setsGID && c.ForceGID && gid != c.GID:
		return nil, syscall.EPERM
	}
	setsMode = setsMode && !forced
	setsUID = setsUID && !c.ForceUID
	setsGID = setsGID && !c.ForceGID
	atime, setsAtime := in.GetATime()
	mtime, setsMtime := in.GetMTime()
	if _, truncates := in.GetSize(); truncates && in.Valid&fuse.FATTR_MTIME_NOW != 0 {
		setsMtime = false // truncate(2): the data's own time says it already
	}
	if !setsMode && !setsUID && !setsGID && !setsAtime && !setsMtime {
		return nil, 0
	}
	now := time.Now()
	return func(md map[string]string) {
		stored := parsePosix(md, typ == syscall.S_IFDIR)
		switch {
		case setsMode:
			setMode(md, typ|mode)
		case stored.hasMode && (setsUID || setsGID):
			setMode(md, typ|stored.mode) // without set-id bits that others stored
		}
		if setsUID {
			setID(md, metaUID, uid)
		}
		if setsGID {
			setID(md, metaGID, gid)
		}
		if setsAtime {
			md[metaAtime] = cache.FormatTime(atime)
		}
		if setsMtime {
			md[metaMtime] = cache.FormatTime(mtime)
		}
		md[metaCtime] = cache.FormatTime(now)
	}, 0
}

// Setattr implements chmod, chown, utimens and truncate of files.
func (n *fileNode) Setattr(ctx context.Context, _ gofs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	m := n.vol.m
	if m.cfg.ReadOnly {
		return syscall.EROFS
	}
	change, errno := m.cfg.metadataChange(in, n.typ)
	if errno != 0 {
		return errno
	}
	ctx = context.WithoutCancel(ctx)
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
	if size, ok := in.GetSize(); ok {
		if size > 1<<63-1 {
			return syscall.EFBIG
		}
		n.noteWrite()
		if err := f.Truncate(ctx, int64(size)); err != nil {
			return m.failNode("truncate", key, err)
		}
	}
	if change != nil {
		if err := f.SetMetadata(ctx, change); err != nil {
			return m.failNode("setattr", key, err)
		}
	}
	return n.getattr(ctx, f, key, out)
}

// Setattr implements chmod, chown and utimens of directories.
func (d *dirNode) Setattr(ctx context.Context, _ gofs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return d.setMetadata(ctx, in, out)
}

// Setattr implements chown and utimens of symlinks.
func (l *linkNode) Setattr(ctx context.Context, _ gofs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return l.setMetadata(ctx, in, out)
}

func (n *node) setMetadata(ctx context.Context, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	m := n.vol.m
	if m.cfg.ReadOnly {
		return syscall.EROFS
	}
	if _, ok := in.GetSize(); ok {
		return syscall.EISDIR
	}
	change, errno := m.cfg.metadataChange(in, n.typ)
	if errno != 0 {
		return errno
	}
	ctx = context.WithoutCancel(ctx)
	key, leave, errno := n.enter(ctx)
	if errno != 0 {
		return errno
	}
	defer leave()
	if n.vol.m.tree.isGone(n) {
		return syscall.ESTALE
	}
	switch {
	case change == nil:
	case key == Key{}:
		if errno := n.vol.setTopAttr(ctx, in, change); errno != 0 {
			return errno
		}
	default:
		a, err := n.vol.bucket.SetMetadata(ctx, key.String(), change)
		if err != nil {
			return m.failNode("setattr", key, err)
		}
		m.attrOut(a, n.typ, out)
		return 0
	}
	a, err := n.vol.stat(ctx, key)
	if err != nil {
		return m.failNode("setattr", key, err)
	}
	m.attrOut(a, n.typ, out)
	return 0
}

// topAttr remembers the times of a bucket's top directory, which has no object
// that could carry them, for as long as it is mounted. Without it rsync -a and
// tar end with an error when they restore the times of "." there.
type topAttr struct {
	mu sync.Mutex
	md map[string]string // guarded by mu
}

// setTopAttr changes the times of the bucket's top. Owner and mode, which
// somebody may rely on, can't be changed: EPERM, unless they are so already.
func (v *volume) setTopAttr(ctx context.Context, in *fuse.SetAttrIn, change func(map[string]string)) syscall.Errno {
	a, err := v.stat(ctx, Key{})
	if err != nil {
		return v.m.fail("setattr", Key{}, err)
	}
	var now fuse.Attr
	v.m.fillAttr(a, syscall.S_IFDIR, &now)
	mode, setsMode := in.GetMode()
	uid, setsUID := in.GetUID()
	gid, setsGID := in.GetGID()
	if setsMode && mode&permMask != now.Mode&permMask || setsUID && uid != now.Uid || setsGID && gid != now.Gid {
		return syscall.EPERM
	}
	v.topAttr.mu.Lock()
	defer v.topAttr.mu.Unlock()
	md := map[string]string{}
	for k, s := range v.topAttr.md {
		md[k] = s
	}
	change(md)
	for k := range md {
		if k != metaMtime && k != metaAtime && k != metaCtime {
			delete(md, k)
		}
	}
	v.topAttr.md = md
	return 0
}

// stat is cache.Bucket.Stat, with what is remembered of the top.
func (v *volume) stat(ctx context.Context, key Key) (cache.Attr, error) {
	a, err := v.bucket.Stat(ctx, key.String())
	if key == v.top && s3backend.IsNotExist(err) {
		// A prefix that nothing has yet: it comes into being with the first
		// file.
		a, err = cache.Attr{Key: key.String()}, nil
	}
	if err != nil || key != (Key{}) {
		return a, err
	}
	v.topAttr.mu.Lock()
	defer v.topAttr.mu.Unlock()
	if v.topAttr.md != nil {
		a.Metadata = v.topAttr.md
	}
	return a, nil
}
