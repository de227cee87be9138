package fs

import (
	"context"
	"log/slog"
	"syscall"
	"testing"

	gofs "github.com/hanwen/go-fuse/v2/fs"

	"rgwfs/cache"
	"rgwfs/s3backend/s3test"
)

// newTestTree returns the top of a volume without a kernel.
func newTestTree(t *testing.T, prefix string) *dirNode {
	t.Helper()
	cfg := cache.DefaultConfig()
	cfg.Dir = t.TempDir()
	c, err := cache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	b := c.Bucket(s3test.NewMem("bucket"))
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	top, err := ParsePrefix(prefix)
	if err != nil {
		t.Fatal(err)
	}
	m := &mount{cfg: DefaultConfig(), log: slog.New(slog.DiscardHandler), tree: tree{live: map[uint64]*node{}}}
	v := newVolume(m, b, top)
	gofs.NewNodeFS(v.root, &gofs.Options{RootStableAttr: &gofs.StableAttr{Ino: rootIno}})
	return v.root
}

// add does what a lookup and go-fuse do.
func add(t *testing.T, d *dirNode, name string, typ uint32) based {
	t.Helper()
	b := d.vol.m.tree.child(context.Background(), d, name, typ)
	if !d.AddChild(name, b.EmbeddedInode(), true) {
		t.Fatal(name)
	}
	return b
}

func TestTreeKeysFollowRenames(t *testing.T) {
	top := newTestTree(t, "p/q")
	tr := &top.vol.m.tree
	d := add(t, top, "d", syscall.S_IFDIR).(*dirNode)
	sub := add(t, d, "sub", syscall.S_IFDIR).(*dirNode)
	file := add(t, sub, "f", syscall.S_IFREG)
	// One that a lookup has made but not handed over yet.
	late := tr.child(context.Background(), sub, "late", syscall.S_IFREG)
	if k := tr.key(file.base()); k.s != "p/q/d/sub/f" {
		t.Errorf("key %q", k)
	}
	tr.move(top, "d", top, "e")
	top.MvChild("d", top.EmbeddedInode(), "e", true)
	for b, want := range map[based]string{d: "p/q/e/", sub: "p/q/e/sub/", file: "p/q/e/sub/f", late: "p/q/e/sub/late"} {
		if k := tr.key(b.base()); k.s != want {
			t.Errorf("key %q, want %q", k, want)
		}
	}
	if in := top.vol.find("p/q/e/sub/f"); in != file.EmbeddedInode() {
		t.Error("find does not find it by its new key")
	}
	if in := top.vol.find("p/q/d/sub/f"); in != nil {
		t.Error("find finds it by its old key")
	}
}

func TestTreeNumbersAreUnique(t *testing.T) {
	top := newTestTree(t, "")
	tr := &top.vol.m.tree
	number := func(b based) uint64 { return b.EmbeddedInode().StableAttr().Ino }
	d := add(t, top, "d", syscall.S_IFDIR).(*dirNode)
	x := add(t, d, "x", syscall.S_IFREG)
	if again := tr.child(context.Background(), d, "x", syscall.S_IFREG); again != x {
		t.Error("a second lookup makes a second inode")
	}
	if got, want := number(x), inodeNumber("bucket", Key{"d/x"}, 0); got != want {
		t.Errorf("inode %d, want the hash of its key, %d", got, want)
	}
	// Two lookups at once, neither handed over yet.
	if a, b := tr.child(context.Background(), d, "y", syscall.S_IFREG), tr.child(context.Background(), d, "y", syscall.S_IFREG); a != b {
		t.Error("two lookups at once make two inodes")
	}
	// Of another type.
	l := tr.child(context.Background(), d, "x", syscall.S_IFLNK)
	if number(l) == number(x) {
		t.Error("a file and a symlink have one number")
	}

	tr.move(top, "d", top, "e")
	top.MvChild("d", top.EmbeddedInode(), "e", true)
	d2 := add(t, top, "d", syscall.S_IFDIR).(*dirNode)
	x2 := add(t, d2, "x", syscall.S_IFREG)
	if number(d2) == number(d) || number(x2) == number(x) {
		t.Error("what is below the old name of a renamed directory has the numbers of what was renamed")
	}
	if got := tr.peek(d2, "x", syscall.S_IFREG); got != number(x2) {
		t.Errorf("listed as %d, is %d", got, number(x2))
	}
	if got := tr.peek(d, "x", syscall.S_IFREG); got != number(x) {
		t.Errorf("the renamed one is listed as %d, is %d", got, number(x))
	}

	tr.remove(d2, "x")
	d2.RmChild("x")
	x3 := add(t, d2, "x", syscall.S_IFREG)
	if x3 == x2 || number(x3) == number(x2) {
		t.Error("a new file is the unlinked one")
	}
	if !tr.isGone(x2.base()) || tr.isGone(x3.base()) {
		t.Error("gone is wrong")
	}

	before := len(tr.live)
	d2.RmChild("x")
	x3.base().OnForget()
	if len(tr.live) != before-1 {
		t.Errorf("%d numbers in use after a FORGET, want %d", len(tr.live), before-1)
	}
}

func TestInodeNumber(t *testing.T) {
	// Backups and NFS clients rely on the numbers staying what they are.
	if got, want := inodeNumber("bucket", Key{"dir/file"}, 0), uint64(2744706026729986751); got != want {
		t.Errorf("%d, want %d", got, want)
	}
	seen := map[uint64]string{}
	for _, bucket := range []string{"a", "ab"} {
		for _, key := range []string{"", "b", "b/", "bc"} {
			for salt := range uint64(3) {
				ino := inodeNumber(bucket, Key{key}, salt)
				id := bucket + " " + key
				if other, ok := seen[ino]; ok || ino <= rootIno || ino == ^uint64(0) {
					t.Errorf("%s salt %d: %d, as %s", id, salt, ino, other)
				}
				seen[ino] = id
			}
		}
	}
}
