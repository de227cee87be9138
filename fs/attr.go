package fs

import (
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"rgwfs/cache"
)

// typeOf returns the type bits of what a describes. Directories are told by
// their key and symlinks by their metadata; everything else, also what another
// program stored as a pipe or a device, is shown as a regular file, since its
// bytes are all that there is. What a listing shows is a regular file until
// its metadata is known.
func typeOf(a cache.Attr) uint32 {
	if a.IsDir() {
		return syscall.S_IFDIR
	}
	if p := parsePosix(a.Metadata, false); p.hasMode && p.mode&syscall.S_IFMT == syscall.S_IFLNK {
		return syscall.S_IFLNK
	}
	return syscall.S_IFREG
}

// fillAttr fills out with the attributes of an inode of type typ. What is set
// by flags wins over what is stored, that over the defaults.
func (m *mount) fillAttr(a cache.Attr, typ uint32, out *fuse.Attr) {
	p := parsePosix(a.Metadata, a.IsDir())
	out.Mode = typ | m.cfg.mode(p, typ)
	out.Uid, out.Gid = m.cfg.UID, m.cfg.GID
	if p.hasUID && !m.cfg.ForceUID {
		out.Uid = p.uid
	}
	if p.hasGID && !m.cfg.ForceGID {
		out.Gid = p.gid
	}
	out.Nlink = 1
	out.Size = uint64(a.Size)
	if typ == syscall.S_IFDIR {
		// Subdirectories are not counted: that would take a listing. 2 tells
		// find(1) nothing wrong, it knows file systems that don't count.
		out.Nlink, out.Size = 2, 0
	}
	out.Blksize = blockSize
	out.Blocks = (out.Size + 511) / 512

	// ctime is when the object was stored, data or metadata: LastModified. It
	// must not change when a HEAD or GET tells more than a listing did, or
	// backup programs believe that the file changed while they read it. HEAD
	// gives whole seconds only, so these are all that is shown.
	stored := a.ModTime.Truncate(time.Second)
	if a.ModTime.IsZero() {
		// A prefix has no time. That of the mount is at least stable.
		stored = m.begun
	}
	ctime := stored
	if typ == syscall.S_IFDIR {
		// The same for directories, whose marker a listing doesn't show.
		ctime = m.begun
	}
	mtime, atime := p.mtime, p.atime
	if mtime.IsZero() {
		mtime = stored
	}
	if atime.IsZero() {
		// Reading changes no object, so the last access is not known; mtime
		// is what relatime would show of a file that nobody read since.
		atime = mtime
	}
	out.SetTimes(&atime, &mtime, &ctime)
}

// blockSize is st_blksize and the unit of statfs, in bytes.
const blockSize = 4096

// mode returns the permissions of what p describes.
func (c *Config) mode(p posix, typ uint32) uint32 {
	if typ == syscall.S_IFLNK {
		return 0o777
	}
	fallback, force := c.FileMode, c.ForceFileMode
	if typ == syscall.S_IFDIR {
		fallback, force = c.DirMode, c.ForceDirMode
	}
	switch {
	case force:
		return fallback & permMask
	case p.hasMode:
		return p.mode & permMask
	default:
		return fallback &^ c.Umask & permMask
	}
}

// newMetadata returns the metadata of what a process creates: what is stored
// is what will be shown.
func (m *mount) newMetadata(caller *fuse.Caller, typ, perm uint32) map[string]string {
	mode := typ | m.cfg.mode(posix{mode: perm, hasMode: true}, typ)
	uid, gid := m.cfg.UID, m.cfg.GID
	if caller != nil && !m.cfg.ForceUID {
		uid = caller.Uid
	}
	if caller != nil && !m.cfg.ForceGID {
		gid = caller.Gid
	}
	return newMetadata(mode, uid, gid, time.Now())
}

// attrOut answers GETATTR and SETATTR.
func (m *mount) attrOut(a cache.Attr, typ uint32, out *fuse.AttrOut) {
	m.fillAttr(a, typ, &out.Attr)
	out.SetTimeout(a.TTL)
}

// entryOut answers what hands out a name: LOOKUP, CREATE and the like.
func (m *mount) entryOut(a cache.Attr, typ uint32, out *fuse.EntryOut) {
	m.fillAttr(a, typ, &out.Attr)
	out.SetAttrTimeout(a.TTL)
	out.SetEntryTimeout(a.TTL)
}
