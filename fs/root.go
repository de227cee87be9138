package fs

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"rgwfs/cache"
	"rgwfs/s3backend"
)

// Root is what is mounted.
type Root struct {
	bucket  *cache.Bucket
	prefix  Key
	account *cache.Account
}

// BucketRoot mounts what a bucket has below prefix ("" = all). The Bucket's
// notifier is set; only one mount can have it.
func BucketRoot(b *cache.Bucket, prefix string) (Root, error) {
	k, err := ParsePrefix(prefix)
	return Root{bucket: b, prefix: k}, err
}

// AccountRoot mounts all buckets of a user, each as a directory.
func AccountRoot(a *cache.Account) Root { return Root{account: a} }

// volume is a bucket, or a part of it, within a mount.
type volume struct {
	m       *mount
	bucket  *cache.Bucket
	top     Key
	root    *dirNode
	gate    gate
	topAttr topAttr
}

// newVolume makes the volume and its top directory, which the caller gives to
// go-fuse.
func newVolume(m *mount, b *cache.Bucket, top Key) *volume {
	v := &volume{m: m, bucket: b, top: top}
	v.root = &dirNode{node: node{vol: v, typ: syscall.S_IFDIR}}
	b.SetNotifier(bucketNotifier{v})
	return v
}

func (v *volume) bucketName() string { return v.bucket.Name() }

// find returns the inode of a key, nil if the kernel does not know it.
func (v *volume) find(key string) *gofs.Inode {
	rest, ok := strings.CutPrefix(key, v.top.s)
	if !ok {
		return nil
	}
	in := v.root.EmbeddedInode()
	rest = strings.TrimSuffix(rest, "/")
	if rest == "" {
		return in
	}
	for name := range strings.SplitSeq(rest, "/") {
		if in = in.GetChild(name); in == nil {
			return nil
		}
	}
	return in
}

// accountNode is the root of a mount of all buckets. mkdir makes one, rmdir
// removes an empty one. They can't be renamed: EPERM, not EXDEV, at which mv
// would copy all of a bucket's data through this machine.
type accountNode struct {
	gofs.Inode
	m       *mount
	account *cache.Account
	mu      sync.Mutex
	volumes map[string]*volume // those looked up so far, by bucket; guarded by mu
	gen     uint64             // of the last volume; guarded by mu
}

// Lookup implements the lookup of a bucket.
func (n *accountNode) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	pctx, stop := patient(ctx)
	defer stop()
	v, errno := n.volume(ctx, pctx, name)
	if errno != 0 {
		return nil, errno
	}
	a, err := v.stat(pctx, v.top)
	if err != nil {
		return nil, n.m.fail("lookup", Key{name}, err)
	}
	n.m.entryOut(a, syscall.S_IFDIR, out)
	return v.root.EmbeddedInode(), 0
}

func (n *accountNode) volume(ctx, pctx context.Context, name string) (*volume, syscall.Errno) {
	if checkName(name) != 0 {
		return nil, syscall.ENOENT
	}
	b, err := n.account.Bucket(pctx, name)
	if err != nil {
		return nil, n.m.fail("lookup", Key{name}, err)
	}
	created := n.created(pctx, name)
	n.mu.Lock()
	defer n.mu.Unlock()
	if v := n.volumes[name]; v != nil && v.bucket == b {
		return v, 0
	}
	v := newVolume(n.m, b, Key{})
	if !created.IsZero() {
		v.topAttr.md = map[string]string{metaMtime: cache.FormatTime(created)}
	}
	// Persistent: there are few, and their volumes outlive what the kernel
	// remembers. A bucket made anew is another inode.
	n.gen++
	n.NewPersistentInode(ctx, v.root, gofs.StableAttr{
		Mode: syscall.S_IFDIR, Ino: inodeNumber(name, Key{}, 0), Gen: n.gen,
	})
	n.volumes[name] = v
	return v, 0
}

// created returns when a bucket was made, zero if that is not known: it may be
// somebody else's.
func (n *accountNode) created(ctx context.Context, name string) time.Time {
	buckets, err := n.account.Buckets(ctx)
	if err != nil {
		_ = n.m.fail("list buckets", Key{}, err) // for its line in the log
		return time.Time{}
	}
	i := slices.IndexFunc(buckets, func(b s3backend.BucketInfo) bool { return b.Name == name })
	if i < 0 {
		return time.Time{}
	}
	return buckets[i].Created
}

// Getattr implements stat(2) of the root.
func (n *accountNode) Getattr(_ context.Context, _ gofs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.m.attrOut(cache.Attr{Key: "", TTL: time.Minute}, syscall.S_IFDIR, out)
	return 0
}

// Statfs has no numbers: each bucket has its own.
func (n *accountNode) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	fillStatfs(s3backend.Usage{BucketBytes: -1, BucketCount: -1, UserBytes: -1, UserCount: -1}, out)
	return 0
}

// Unlink has nothing to remove: there are only buckets.
func (n *accountNode) Unlink(context.Context, string) syscall.Errno { return syscall.EPERM }

// Rename would rename a bucket, or make one.
func (n *accountNode) Rename(context.Context, string, gofs.InodeEmbedder, string, uint32) syscall.Errno {
	return syscall.EPERM
}

// Create would make a file that is in no bucket.
func (n *accountNode) Create(context.Context, string, uint32, uint32, *fuse.EntryOut) (*gofs.Inode, gofs.FileHandle, uint32, syscall.Errno) {
	return nil, nil, 0, syscall.EPERM
}

// Symlink would make a symlink that is in no bucket.
func (n *accountNode) Symlink(context.Context, string, string, *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	return nil, syscall.EPERM
}

// Setattr has nowhere to store anything.
func (n *accountNode) Setattr(context.Context, gofs.FileHandle, *fuse.SetAttrIn, *fuse.AttrOut) syscall.Errno {
	return syscall.EPERM
}

// OpendirHandle implements opendir(3) of the root.
func (n *accountNode) OpendirHandle(context.Context, uint32) (gofs.FileHandle, uint32, syscall.Errno) {
	return &accountHandle{n: n}, 0, 0
}

// accountHandle lists the buckets as they are at the first read after opendir
// or rewinddir.
type accountHandle struct {
	n       *accountNode
	entries []fuse.DirEntry // nil = not listed yet
	off     uint64
}

// Readdirent returns the entry at the handle's offset, nil at the end.
func (h *accountHandle) Readdirent(ctx context.Context) (*fuse.DirEntry, syscall.Errno) {
	if h.entries == nil {
		ctx, stop := patient(ctx)
		defer stop()
		buckets, err := h.n.account.Buckets(ctx)
		if err != nil {
			return nil, h.n.m.fail("readdir", Key{}, err)
		}
		buckets = slices.SortedFunc(slices.Values(buckets), func(a, b s3backend.BucketInfo) int { return cmp.Compare(a.Name, b.Name) })
		h.entries = []fuse.DirEntry{
			{Name: ".", Mode: syscall.S_IFDIR, Ino: rootIno, Off: 1},
			{Name: "..", Mode: syscall.S_IFDIR, Ino: rootIno, Off: 2},
		}
		for _, b := range buckets {
			if checkName(b.Name) == 0 {
				h.entries = append(h.entries, fuse.DirEntry{
					Name: b.Name, Mode: syscall.S_IFDIR,
					Ino: inodeNumber(b.Name, Key{}, 0), Off: uint64(len(h.entries)) + 1,
				})
			}
		}
	}
	if h.off >= uint64(len(h.entries)) {
		return nil, 0
	}
	e := h.entries[h.off]
	h.off++
	return &e, 0
}

// Seekdir implements seekdir(3).
func (h *accountHandle) Seekdir(_ context.Context, off uint64) syscall.Errno {
	if off == 0 {
		h.entries = nil
	}
	h.off = off
	return 0
}

// Fsyncdir has nothing to do.
func (h *accountHandle) Fsyncdir(context.Context, uint32) syscall.Errno { return 0 }
