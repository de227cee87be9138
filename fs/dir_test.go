package fs_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"rgwfs/fs"
	"rgwfs/fs/fstest"
	"rgwfs/s3backend/s3test"
)

type dirEntry struct {
	name string
	ino  uint64
	typ  uint32
}

// readDir lists a directory by getdents, without "." and "..".
func readDir(t *testing.T, path string) []dirEntry {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var out []dirEntry
	dots := 0
	buf := make([]byte, 8192)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		for b := buf[:n]; len(b) > 0; {
			var e fuse.DirEntry
			b = b[e.Parse(b):]
			if e.Name == "." || e.Name == ".." {
				dots++
				continue
			}
			out = append(out, dirEntry{e.Name, e.Ino, e.Mode})
		}
	}
	if dots != 2 {
		t.Errorf("%s: %d of . and .., want 2", path, dots)
	}
	return out
}

func names(entries []dirEntry) []string {
	var out []string
	for _, e := range entries {
		out = append(out, e.name)
	}
	slices.Sort(out)
	return out
}

func TestListing(t *testing.T) {
	mem := s3test.NewMem("bucket")
	for _, k := range []string{"a", "d/x", "d/y/z", "marker/", "ä b", "%2F+"} {
		put(t, mem, k, "", nil)
	}
	m := fstest.Mount(t, mem, fstest.Options{})
	got := readDir(t, m.Dir)
	if want := []string{"%2F+", "a", "d", "marker", "ä b"}; !slices.Equal(names(got), want) {
		t.Errorf("%q, want %q", names(got), want)
	}
	for _, e := range got {
		var st unix.Stat_t
		check(t, unix.Lstat(m.Path(e.name), &st))
		if st.Ino != e.ino || st.Mode&unix.S_IFMT != e.typ {
			t.Errorf("%s: listed as %d %o, is %d %o", e.name, e.ino, e.typ, st.Ino, st.Mode)
		}
	}
	if got := names(readDir(t, m.Path("d"))); !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("d: %q", got)
	}
}

func TestPrefixMount(t *testing.T) {
	mem := s3test.NewMem("bucket")
	put(t, mem, "p/q/f", "below", nil)
	put(t, mem, "p/other", "beside", nil)
	m := fstest.Mount(t, mem, fstest.Options{Prefix: "p/q"})
	if got := names(readDir(t, m.Dir)); !slices.Equal(got, []string{"f"}) {
		t.Errorf("%q", got)
	}
	wantFile(t, m.Path("f"), []byte("below"))
	check(t, os.WriteFile(m.Path("new"), []byte("x"), 0o644))
	if got := stored(t, mem, "p/q/new"); string(got) != "x" {
		t.Errorf("stored: %q", got)
	}
}

// TestListingCost is ls -l: pages of listings, and nothing else.
func TestListingCost(t *testing.T) {
	const files = 2500
	mem := s3test.NewMem("bucket")
	for i := range files {
		put(t, mem, fmt.Sprintf("d/f%04d", i), "x", nil)
	}
	m := fstest.Mount(t, mem, fstest.Options{})
	mem.ResetRequests()
	entries, err := os.ReadDir(m.Path("d"))
	check(t, err)
	if len(entries) != files {
		t.Fatalf("%d entries, want %d", len(entries), files)
	}
	for _, e := range entries {
		if fi, err := e.Info(); err != nil || fi.Size() != 1 {
			t.Fatalf("%s: %v, %v", e.Name(), fi, err)
		}
	}
	got := mem.Requests()
	// One more LIST may be the lookup of "d" itself.
	if got[s3test.OpHead] > 1 || got[s3test.OpList] > 4 || got[s3test.OpGet] != 0 {
		t.Errorf("requests: %v; want at most 4 LISTs, and a HEAD for the directory", got)
	}
}

func TestRenameDirectory(t *testing.T) {
	mem := s3test.NewMem("bucket")
	m := fstest.Mount(t, mem, fstest.Options{})
	check(t, os.MkdirAll(m.Path("d/sub"), 0o755))
	check(t, os.WriteFile(m.Path("d/sub/closed"), []byte("closed"), 0o644))
	dirty, err := os.Create(m.Path("d/sub/open"))
	check(t, err)
	_, err = dirty.Write([]byte("one "))
	check(t, err)
	inode := ino(t, m.Path("d/sub/closed"))
	cwd, err := unix.Open(m.Path("d/sub"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	check(t, err)
	defer unix.Close(cwd)

	check(t, os.Rename(m.Path("d"), m.Path("e")))

	if got := ino(t, m.Path("e/sub/closed")); got != inode {
		t.Errorf("inode %d, was %d", got, inode)
	}
	wantFile(t, m.Path("e/sub/closed"), []byte("closed"))
	_, err = dirty.Write([]byte("two"))
	check(t, err)
	check(t, dirty.Close())
	wantFile(t, m.Path("e/sub/open"), []byte("one two"))
	// Through a descriptor of a directory below.
	fd, err := unix.Openat(cwd, "made", unix.O_CREAT|unix.O_WRONLY, 0o644)
	check(t, err)
	check(t, unix.Close(fd))
	if _, err := os.Stat(m.Path("e/sub/made")); err != nil {
		t.Error(err)
	}
	// The old names are free, and are other inodes.
	check(t, os.MkdirAll(m.Path("d/sub"), 0o755))
	check(t, os.WriteFile(m.Path("d/sub/closed"), []byte("another"), 0o644))
	if got := ino(t, m.Path("d/sub/closed")); got == inode {
		t.Error("two files have one inode number")
	}
	wantFile(t, m.Path("e/sub/closed"), []byte("closed"))
	wantFile(t, m.Path("d/sub/closed"), []byte("another"))
	if got := stored(t, mem, "e/sub/open"); string(got) != "one two" {
		t.Errorf("stored: %q", got)
	}
}

func TestRenameErrors(t *testing.T) {
	mem := s3test.NewMem("bucket")
	m := fstest.Mount(t, mem, fstest.Options{})
	check(t, os.MkdirAll(m.Path("full/x"), 0o755))
	check(t, os.Mkdir(m.Path("dir"), 0o755))
	check(t, os.WriteFile(m.Path("file"), nil, 0o644))
	check(t, os.WriteFile(m.Path("file2"), nil, 0o644))
	rename := func(a, b string, flags uint) error {
		return unix.Renameat2(unix.AT_FDCWD, m.Path(a), unix.AT_FDCWD, m.Path(b), flags)
	}
	for _, c := range []struct {
		from, to string
		flags    uint
		want     syscall.Errno
	}{
		{"file", "dir", 0, syscall.EISDIR},
		{"dir", "file", 0, syscall.ENOTDIR},
		{"dir", "full", 0, syscall.ENOTEMPTY},
		{"none", "new", 0, syscall.ENOENT},
		{"full", "full/x/y", 0, syscall.EINVAL},
		{"file", "file2", unix.RENAME_NOREPLACE, syscall.EEXIST},
		{"file", "file2", unix.RENAME_EXCHANGE, syscall.EINVAL},
		{"file", strings.Repeat("n", 256), 0, syscall.ENAMETOOLONG},
		{"file", "bad\xff", 0, syscall.EILSEQ},
	} {
		wantErrno(t, fmt.Sprintf("rename %s to %.20s", c.from, c.to), rename(c.from, c.to, c.flags), c.want)
	}
	check(t, rename("file", "file", 0))
	check(t, rename("file", "new", unix.RENAME_NOREPLACE))
	check(t, rename("full", "dir", 0)) // onto an empty directory
	if got := names(readDir(t, m.Dir)); !slices.Equal(got, []string{"dir", "file2", "new"}) {
		t.Errorf("%q", got)
	}
	wantErrno(t, "rmdir", unix.Rmdir(m.Path("dir")), syscall.ENOTEMPTY)
	wantErrno(t, "unlink of a directory", unix.Unlink(m.Path("dir")), syscall.EISDIR)
	wantErrno(t, "rmdir of a file", unix.Rmdir(m.Path("new")), syscall.ENOTDIR)
	wantErrno(t, "mkdir of a file", unix.Mkdir(m.Path("new"), 0o755), syscall.EEXIST)
	wantErrno(t, "link", unix.Link(m.Path("new"), m.Path("hard")), syscall.EPERM)
	wantErrno(t, "mkfifo", unix.Mkfifo(m.Path("pipe"), 0o644), syscall.EPERM)
	wantErrno(t, "getxattr", func() error { _, err := unix.Getxattr(m.Path("new"), "user.x", nil); return err }(), syscall.ENOTSUP)
	wantErrno(t, "long name", os.WriteFile(m.Path(strings.Repeat("n", 256)), nil, 0o644), syscall.ENAMETOOLONG)
	wantErrno(t, "invalid UTF-8", os.WriteFile(m.Path("bad\xff"), nil, 0o644), syscall.EILSEQ)
	check(t, os.RemoveAll(m.Path("dir")))
}

// TestParallelLookups has many lookups and listings of one directory at once:
// they must agree on inode numbers.
func TestParallelLookups(t *testing.T) {
	mem := s3test.NewMem("bucket")
	for i := range 50 {
		put(t, mem, fmt.Sprintf("d/f%02d", i), "x", nil)
	}
	m := fstest.Mount(t, mem, fstest.Options{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]uint64{}
	for range 4 {
		wg.Go(func() {
			for i := range 50 {
				name := fmt.Sprintf("f%02d", i)
				var st unix.Stat_t
				if err := unix.Lstat(m.Path("d", name), &st); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if old, ok := seen[name]; ok && old != st.Ino {
					t.Errorf("%s has inodes %d and %d", name, old, st.Ino)
				}
				seen[name] = st.Ino
				mu.Unlock()
			}
		})
		wg.Go(func() {
			if _, err := os.ReadDir(m.Path("d")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestReadOnly(t *testing.T) {
	mem := s3test.NewMem("bucket")
	put(t, mem, "d/f", "x", nil)
	m := fstest.Mount(t, mem, fstest.Options{FS: func(c *fs.Config) { c.ReadOnly = true }})
	wantFile(t, m.Path("d/f"), []byte("x"))
	for what, err := range map[string]error{
		"create": os.WriteFile(m.Path("new"), nil, 0o644), "write": os.WriteFile(m.Path("d/f"), nil, 0o644),
		"mkdir": os.Mkdir(m.Path("x"), 0o755), "unlink": os.Remove(m.Path("d/f")),
		"rename": os.Rename(m.Path("d"), m.Path("e")), "chmod": os.Chmod(m.Path("d/f"), 0o600),
		"symlink": os.Symlink("a", m.Path("l")), "truncate": os.Truncate(m.Path("d/f"), 0),
	} {
		wantErrno(t, what, err, syscall.EROFS)
	}
}

func TestStatfs(t *testing.T) {
	mem := s3test.NewMem("bucket")
	mem.SetQuota(1<<30, 1000)
	put(t, mem, "f", string(pattern(1<<20)), nil)
	m := fstest.Mount(t, mem, fstest.Options{})
	var st unix.Statfs_t
	check(t, unix.Statfs(m.Dir, &st))
	if st.Bsize != 4096 || st.Blocks != 1<<18 || st.Bavail != 1<<18-1<<8 || st.Files != 1000 || st.Ffree != 999 || st.Namelen != 255 {
		t.Errorf("%+v", st)
	}
}

func TestAccount(t *testing.T) {
	svc := s3test.NewMemService("one", "two")
	put(t, svc.Bucket("one"), "f", "content", nil)
	m := fstest.MountAccount(t, svc, fstest.Options{})
	buckets, err := svc.ListBuckets(t.Context())
	check(t, err)
	entries := readDir(t, m.Dir)
	if got := names(entries); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("%q", got)
	}
	for i, e := range entries {
		fi, err := os.Stat(m.Path(e.name))
		check(t, err)
		if !fi.IsDir() || !fi.ModTime().Equal(buckets[i].Created) || ino(t, m.Path(e.name)) != e.ino {
			t.Errorf("%s: %v %v, created %v", e.name, fi.Mode(), fi.ModTime(), buckets[i].Created)
		}
	}
	wantFile(t, m.Path("one/f"), []byte("content"))
	check(t, os.WriteFile(m.Path("two/g"), []byte("x"), 0o644))
	wantErrno(t, "rename to another bucket", os.Rename(m.Path("two/g"), m.Path("one/g")), syscall.EXDEV)
	wantErrno(t, "create", os.WriteFile(m.Path("f"), nil, 0o644), syscall.EPERM)
	wantErrno(t, "rename of a bucket", os.Rename(m.Path("two"), m.Path("three")), syscall.EPERM)
	if _, err := os.Stat(m.Path("none")); !os.IsNotExist(err) {
		t.Errorf("stat of no bucket: %v", err)
	}
}
