package fs_test

import (
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rgwfs/fs"
	"rgwfs/fs/fstest"
	"rgwfs/s3backend/s3test"
)

// TestAttributesPersist writes attributes through one mount and reads them
// through another.
func TestAttributesPersist(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, who can chown")
	}
	mem := s3test.NewMem("bucket")
	when := time.Unix(1700000000, 123456789)
	type attrs struct {
		mode     uint32
		uid, gid uint32
		mtime    int64
		size     int64
	}
	stat := func(path string) attrs {
		t.Helper()
		var st unix.Stat_t
		check(t, unix.Lstat(path, &st))
		return attrs{st.Mode, st.Uid, st.Gid, st.Mtim.Nano(), st.Size}
	}
	want := map[string]attrs{
		"file":  {syscall.S_IFREG | 0o640, 1234, 5678, when.UnixNano(), 4},
		"open":  {syscall.S_IFREG | 0o600, 7, 8, when.UnixNano(), 5},
		"dir":   {syscall.S_IFDIR | 0o1750, 1234, 5678, when.UnixNano(), 0},
		"dir/l": {syscall.S_IFLNK | 0o777, 1234, 5678, when.UnixNano(), 9},
		"setid": {syscall.S_IFREG | 0o755, 0, 0, when.UnixNano(), 0},
	}

	m := fstest.Mount(t, mem, fstest.Options{})
	check(t, os.WriteFile(m.Path("file"), []byte("data"), 0o666))
	check(t, os.Chmod(m.Path("file"), 0o640))
	check(t, os.Mkdir(m.Path("dir"), 0o755))
	check(t, unix.Chmod(m.Path("dir"), 0o1750))
	check(t, os.Symlink("../target", m.Path("dir/l")))
	check(t, os.WriteFile(m.Path("setid"), nil, 0o755))
	check(t, unix.Chmod(m.Path("setid"), 0o6755))
	for _, p := range []string{"file", "dir/l", "dir"} {
		check(t, os.Lchown(m.Path(p), 1234, 5678))
	}
	// As cp -p does: through the descriptor, before close.
	f, err := os.OpenFile(m.Path("open"), os.O_CREATE|os.O_WRONLY, 0o644)
	check(t, err)
	_, err = f.Write([]byte("bytes"))
	check(t, err)
	check(t, f.Chmod(0o600))
	check(t, f.Chown(7, 8))
	ts := []unix.Timespec{{Sec: 1, Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(when.UnixNano())}
	check(t, unix.UtimesNanoAt(unix.AT_FDCWD, m.Path("open"), ts, 0))
	check(t, f.Close())
	for _, p := range []string{"file", "setid", "dir/l", "dir"} {
		check(t, unix.UtimesNanoAt(unix.AT_FDCWD, m.Path(p), ts, unix.AT_SYMLINK_NOFOLLOW))
	}
	for p, w := range want {
		if got := stat(m.Path(p)); got != w {
			t.Errorf("%s: %+v, want %+v", p, got, w)
		}
	}
	m.Unmount()

	m = fstest.Mount(t, mem, fstest.Options{})
	for p, w := range want {
		if got := stat(m.Path(p)); got != w {
			t.Errorf("after remount, %s: %+v, want %+v", p, got, w)
		}
	}
	if target, err := os.Readlink(m.Path("dir/l")); err != nil || target != "../target" {
		t.Errorf("readlink: %q, %v", target, err)
	}
	if got := string(stored(t, mem, "dir/l")); got != "../target" {
		t.Errorf("the symlink's body is %q", got)
	}
	o, err := mem.Head(t.Context(), "dir/l")
	check(t, err)
	if o.Metadata["mode"] != "41471" {
		t.Errorf("the symlink's mode is %q, s3fs wants 41471", o.Metadata["mode"])
	}
}

// TestSymlinkListed opens a symlink that only a listing has shown: its target
// must not be read as if it were contents.
func TestSymlinkListed(t *testing.T) {
	mem := s3test.NewMem("bucket")
	put(t, mem, "d/link", "file", map[string]string{"mode": "41471"})
	put(t, mem, "d/file", "the contents", nil)
	m := fstest.Mount(t, mem, fstest.Options{})
	_ = readDir(t, m.Path("d"))
	entries, err := os.ReadDir(m.Path("d"))
	check(t, err)
	for _, e := range entries {
		_, err := e.Info() // READDIRPLUS
		check(t, err)
	}
	wantFile(t, m.Path("d/link"), []byte("the contents"))
	if fi, err := os.Lstat(m.Path("d/link")); err != nil || fi.Mode()&os.ModeSymlink == 0 {
		t.Errorf("lstat: %v, %v", fi, err)
	}
	if fi, err := os.Stat(m.Path("d/link")); err != nil || fi.Size() != int64(len("the contents")) {
		t.Errorf("stat: %v, %v", fi, err)
	}
}

// TestOwnSymlinksAreListed: on a fresh mount a listing knows the links that
// rgwfs made, so that rsync and tar copy them as such.
func TestOwnSymlinksAreListed(t *testing.T) {
	mem := s3test.NewMem("bucket")
	m := fstest.Mount(t, mem, fstest.Options{})
	check(t, os.Mkdir(m.Path("d"), 0o755))
	check(t, os.Symlink("target", m.Path("d/link")))
	check(t, os.Rename(m.Path("d"), m.Path("e")))
	check(t, os.WriteFile(m.Path("e/file"), []byte("contents"), 0o644))
	m.Unmount()
	m = fstest.Mount(t, mem, fstest.Options{})
	mem.ResetRequests()
	entries, err := os.ReadDir(m.Path("e"))
	check(t, err)
	for _, e := range entries {
		fi, err := e.Info()
		check(t, err)
		want := os.FileMode(0)
		if e.Name() == "link" {
			want = os.ModeSymlink
		}
		if fi.Mode().Type() != want || e.Type() != want {
			t.Errorf("%s: %v, %v, want %v", e.Name(), fi.Mode(), e.Type(), want)
		}
	}
	// One for "e", which is no file, one for the marker "e/", one for the link.
	if n := mem.Requests()[s3test.OpHead]; n > 3 {
		t.Errorf("%d HEADs, want 3: %v", n, mem.Log())
	}
}

// TestSmallFilesCostOneGet reads files after a listing.
func TestSmallFilesCostOneGet(t *testing.T) {
	mem := s3test.NewMem("bucket")
	files := []string{"a", "b", "c"}
	for _, f := range files {
		put(t, mem, "d/"+f, "contents of "+f, nil)
	}
	m := fstest.Mount(t, mem, fstest.Options{})
	_ = readDir(t, m.Path("d"))
	mem.ResetRequests()
	for _, f := range files {
		wantFile(t, m.Path("d/"+f), []byte("contents of "+f))
	}
	if got := mem.Requests(); got[s3test.OpGet] != 3 || got[s3test.OpHead] != 0 || got[s3test.OpList] != 0 {
		t.Errorf("requests: %v, want 3 GETs", mem.Log())
	}
}

func TestForcedOwnerAndMode(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, who can chown")
	}
	mem := s3test.NewMem("bucket")
	put(t, mem, "f", "x", map[string]string{"mode": "33279", "uid": "5", "gid": "6"})
	m := fstest.Mount(t, mem, fstest.Options{FS: func(c *fs.Config) {
		c.UID, c.ForceUID, c.FileMode, c.ForceFileMode = 77, true, 0o640, true
	}})
	var st unix.Stat_t
	check(t, unix.Stat(m.Path("f"), &st))
	if st.Uid != 77 || st.Gid != 6 || st.Mode != syscall.S_IFREG|0o640 {
		t.Errorf("uid %d gid %d mode %o", st.Uid, st.Gid, st.Mode)
	}
	wantErrno(t, "chmod", os.Chmod(m.Path("f"), 0o600), syscall.EPERM)
	wantErrno(t, "chown", os.Chown(m.Path("f"), 5, -1), syscall.EPERM)
	check(t, os.Chmod(m.Path("f"), 0o640)) // what it is
	check(t, os.Chown(m.Path("f"), 77, 8))
	check(t, os.WriteFile(m.Path("new"), nil, 0o777))
	check(t, unix.Stat(m.Path("new"), &st))
	if st.Uid != 77 || st.Mode != syscall.S_IFREG|0o640 {
		t.Errorf("created: uid %d mode %o", st.Uid, st.Mode)
	}
}

func TestTopDirectory(t *testing.T) {
	mem := s3test.NewMem("bucket")
	m := fstest.Mount(t, mem, fstest.Options{})
	when := time.Unix(1700000000, 0)
	check(t, os.Chtimes(m.Dir, when, when))
	if fi, err := os.Stat(m.Dir); err != nil || !fi.ModTime().Equal(when) {
		t.Errorf("%v, %v", fi.ModTime(), err)
	}
	check(t, os.Chmod(m.Dir, 0o755))
	wantErrno(t, "chmod of the bucket", os.Chmod(m.Dir, 0o700), syscall.EPERM)
	if n := len(readDir(t, m.Dir)); n != 0 {
		t.Errorf("%d entries", n)
	}
}
