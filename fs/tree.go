package fs

import (
	"context"
	"sync"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
)

// node is what files, directories and symlinks have in common. An inode knows
// its name and its parent, not its key: renaming a directory moves all that is
// below it, also inodes which a lookup is about to hand to the kernel.
type node struct {
	gofs.Inode
	vol *volume
	typ uint32 // S_IFREG, S_IFDIR or S_IFLNK; never changes

	parent *dirNode // nil for the top of a volume; guarded by tree.mu
	name   string   // guarded by tree.mu
	gone   bool     // removed or replaced by this mount; guarded by tree.mu
}

func (n *node) base() *node { return n }

// OnForget is called when the kernel has forgotten the inode.
func (n *node) OnForget() { n.vol.m.tree.forget(n) }

// based is every inode of this package but the root of an account.
type based interface {
	gofs.InodeEmbedder
	base() *node
}

// tree knows every inode that the kernel knows, by number. Two live inodes
// never have one number, though numbers come from keys: one that was renamed
// or unlinked keeps the number of the key that it had, and who has that key
// next gets another.
type tree struct {
	// mu also guards the place of every node. go-fuse's locks may be taken
	// under it; go-fuse calls OnForget with none held.
	mu   sync.RWMutex
	live map[uint64]*node
	gen  uint64
}

// keyLocked returns the key that n's place in the tree spells.
func (t *tree) keyLocked(n *node) Key {
	length := 0
	for p := n; ; p = &p.parent.node {
		if p.parent == nil {
			length += len(p.vol.top.s)
			break
		}
		length += len(p.name)
		if p.typ == syscall.S_IFDIR {
			length++
		}
	}
	b := make([]byte, length)
	end := length
	for p := n; ; p = &p.parent.node {
		if p.parent == nil {
			copy(b, p.vol.top.s)
			return Key{string(b)}
		}
		if p.typ == syscall.S_IFDIR {
			end--
			b[end] = '/'
		}
		end -= len(p.name)
		copy(b[end:], p.name)
	}
}

// key returns the key that n has now.
func (t *tree) key(n *node) Key {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.keyLocked(n)
}

func (t *tree) isGone(n *node) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return n.gone
}

// isAt reports, with tree.mu held, whether n is what (d, name) means when it is a typ.
func (n *node) isAt(d *dirNode, name string, typ uint32) bool {
	return n.typ == typ && !n.gone && n.parent == d && n.name == name
}

// child returns the inode of name in d: the one that the kernel may know
// already, else a new one. It is the last step of every operation that hands
// an inode to the kernel, and can't fail: name is valid.
func (t *tree) child(ctx context.Context, d *dirNode, name string, typ uint32) based {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, ino := t.findLocked(d, name, typ)
	if b != nil {
		t.live[ino] = b.base()
		return b
	}
	b = newNode(d, name, typ)
	t.gen++
	// No number is in go-fuse's tables twice, so it finds no older inode to
	// take in place of this one; Gen makes that certain.
	d.NewInode(ctx, b, gofs.StableAttr{Mode: typ, Ino: ino, Gen: t.gen})
	t.live[ino] = b.base()
	return b
}

// findLocked returns the live inode of (d, name, typ), if there is one, and
// the inode number that it has or would get.
func (t *tree) findLocked(d *dirNode, name string, typ uint32) (based, uint64) {
	// A renamed inode is found by its name only, for its number is that of
	// another key.
	if in := d.GetChild(name); in != nil {
		if b, ok := in.Operations().(based); ok && b.base().isAt(d, name, typ) {
			return b, in.StableAttr().Ino
		}
	}
	key := Key{t.keyLocked(&d.node).s + name}
	if typ == syscall.S_IFDIR {
		key.s += "/"
	}
	for salt := uint64(0); ; salt++ {
		ino := inodeNumber(d.vol.bucketName(), key, salt)
		n := t.live[ino]
		if n == nil {
			return nil, ino
		}
		// A lookup of the same name that runs beside this one has made the
		// inode but not handed it to the kernel yet.
		if n.isAt(d, name, typ) {
			return n.Operations().(based), ino
		}
	}
}

// peek is child for a listing without attributes: what number and type the
// name has, or would have.
func (t *tree) peek(d *dirNode, name string, typ uint32) uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	_, ino := t.findLocked(d, name, typ)
	return ino
}

// move records a rename. The kernel holds both directories locked.
func (t *tree) move(from *dirNode, name string, to *dirNode, newName string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	src, dst := childOf(from, name), childOf(to, newName)
	if src == dst {
		return
	}
	t.markGoneLocked(dst)
	if src != nil {
		n := src.base()
		n.parent, n.name = to, newName
		t.live[n.StableAttr().Ino] = n
	}
}

// remove records that name was removed from d.
func (t *tree) remove(d *dirNode, name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.markGoneLocked(childOf(d, name))
}

// leave records that n is not found by its name any more.
func (t *tree) leave(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n.gone = true
}

func (t *tree) markGoneLocked(b based) {
	if b == nil {
		return
	}
	n := b.base()
	n.gone = true
	t.live[n.StableAttr().Ino] = n
}

// forget frees n's number, unless a lookup has brought n back to life in the
// meantime.
func (t *tree) forget(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ino := n.StableAttr().Ino
	//lint:ignore SA1019 OnForget, which replaces it, is what calls this: by now a lookup may have found n again
	if t.live[ino] == n && n.Forgotten() {
		delete(t.live, ino)
	}
}

// childOf returns the inode that go-fuse has under name, nil if none.
func childOf(d *dirNode, name string) based {
	in := d.GetChild(name)
	if in == nil {
		return nil
	}
	b, ok := in.Operations().(based)
	if !ok {
		return nil
	}
	return b
}

// newNode makes the inode of a type; the caller registers it.
func newNode(d *dirNode, name string, typ uint32) based {
	var b based
	switch typ {
	case syscall.S_IFDIR:
		b = &dirNode{}
	case syscall.S_IFLNK:
		b = &linkNode{}
	default:
		b = &fileNode{told: unknownSize}
	}
	n := b.base()
	n.vol, n.typ, n.parent, n.name = d.vol, typ, d, name
	return b
}
