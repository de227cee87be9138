package fs_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rgwfs/cache"
	"rgwfs/fs/fstest"
	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

func pattern(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

// stored returns the bytes of an object as the server has them.
func stored(t *testing.T, s s3backend.Store, key string) []byte {
	t.Helper()
	_, body, err := s.Get(t.Context(), s3backend.GetRequest{Key: key, Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t *testing.T, s s3backend.Store, key, content string, md map[string]string) {
	t.Helper()
	_, err := s.Put(t.Context(), s3backend.PutRequest{Key: key, Body: bytes.NewReader([]byte(content)), Size: int64(len(content)),
		Attributes: s3backend.Attributes{Metadata: md}})
	if err != nil {
		t.Fatal(err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErrno(t *testing.T, what string, err error, want syscall.Errno) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func wantFile(t *testing.T, path string, want []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes (%.40q), want %d (%.40q)", path, len(got), got, len(want), want)
	}
}

func ino(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestCloseStores(t *testing.T) {
	mem := s3test.NewMem("bucket")
	m := fstest.Mount(t, mem, fstest.Options{})
	for _, size := range []int{0, 1, 4096, 1<<20 + 1, 40 << 20} {
		data := pattern(size)
		check(t, os.WriteFile(m.Path("f"), data, 0o644))
		if got := stored(t, mem, "f"); !bytes.Equal(got, data) {
			t.Errorf("%d bytes: the server has %d, or other ones", size, len(got))
		}
		wantFile(t, m.Path("f"), data)
	}
}

func TestCloseReportsTheUpload(t *testing.T) {
	mem := s3test.Fault(s3test.NewMem("bucket"), s3test.Rule{Op: s3test.OpPut, Key: "f", Do: []s3test.Effect{s3test.Fail(s3backend.KindQuota)}})
	m := fstest.Mount(t, mem, fstest.Options{})
	f, err := os.Create(m.Path("f"))
	check(t, err)
	_, err = f.Write([]byte("data"))
	check(t, err)
	wantErrno(t, "fsync", f.Sync(), syscall.EDQUOT)
	wantErrno(t, "close", f.Close(), syscall.EDQUOT)
}

func TestAppend(t *testing.T) {
	mem := s3test.NewMem("bucket")
	put(t, mem, "f", "one", nil)
	m := fstest.Mount(t, mem, fstest.Options{})
	f, err := os.OpenFile(m.Path("f"), os.O_WRONLY|os.O_APPEND, 0)
	check(t, err)
	for _, s := range []string{" two", " three"} {
		_, err := f.Write([]byte(s))
		check(t, err)
	}
	check(t, f.Close())
	wantFile(t, m.Path("f"), []byte("one two three"))
	if got := stored(t, mem, "f"); string(got) != "one two three" {
		t.Errorf("stored: %q", got)
	}
}

func TestTruncateAndHoles(t *testing.T) {
	mem := s3test.NewMem("bucket")
	m := fstest.Mount(t, mem, fstest.Options{})
	p := m.Path("f")
	check(t, os.WriteFile(p, []byte("0123456789"), 0o644))
	check(t, os.Truncate(p, 4))
	wantFile(t, p, []byte("0123"))
	check(t, os.Truncate(p, 8))
	wantFile(t, p, []byte("0123\x00\x00\x00\x00"))
	if got := stored(t, mem, "f"); string(got) != "0123\x00\x00\x00\x00" {
		t.Errorf("stored: %q", got)
	}

	f, err := os.OpenFile(p, os.O_RDWR, 0)
	check(t, err)
	_, err = f.WriteAt([]byte("end"), 1<<20)
	check(t, err)
	_, err = f.WriteAt([]byte("X"), 1)
	check(t, err)
	var b [4]byte
	_, err = f.ReadAt(b[:], 0)
	check(t, err)
	if string(b[:]) != "0X23" {
		t.Errorf("read what was written: %q", b)
	}
	check(t, f.Truncate(1<<20+2))
	check(t, f.Close())
	want := make([]byte, 1<<20+2)
	copy(want, "0X23")
	copy(want[1<<20:], "en")
	wantFile(t, p, want)
	if got := stored(t, mem, "f"); !bytes.Equal(got, want) {
		t.Errorf("stored: %d bytes, or other ones", len(got))
	}
}

func TestMmapWrite(t *testing.T) {
	mem := s3test.NewMem("bucket")
	put(t, mem, "f", string(pattern(3*4096)), nil)
	m := fstest.Mount(t, mem, fstest.Options{})
	f, err := os.OpenFile(m.Path("f"), os.O_RDWR, 0)
	check(t, err)
	b, err := unix.Mmap(int(f.Fd()), 0, 3*4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	copy(b[4096:], "before close")
	check(t, f.Close())
	want := pattern(3 * 4096)
	copy(want[4096:], "before close")
	if got := stored(t, mem, "f"); !bytes.Equal(got, want) {
		t.Error("close does not store what was written to the mapping")
	}
	copy(b[8192:], "after close")
	check(t, unix.Munmap(b))
	m.Unmount() // the kernel releases the file some time after munmap
	copy(want[8192:], "after close")
	if got := stored(t, mem, "f"); !bytes.Equal(got, want) {
		t.Error("what was written to the mapping after close is lost")
	}
}

func TestUnlinkOpen(t *testing.T) {
	mem := s3test.NewMem("bucket")
	put(t, mem, "f", "old", nil)
	m := fstest.Mount(t, mem, fstest.Options{})
	old, err := os.OpenFile(m.Path("f"), os.O_RDWR, 0)
	check(t, err)
	oldIno := ino(t, m.Path("f"))
	check(t, os.Remove(m.Path("f")))
	if _, err := os.Stat(m.Path("f")); !os.IsNotExist(err) {
		t.Errorf("stat after unlink: %v", err)
	}
	check(t, os.WriteFile(m.Path("f"), []byte("new file"), 0o644))
	if got := ino(t, m.Path("f")); got == oldIno {
		t.Error("the new file has the inode number of the one that is open")
	}
	b, err := io.ReadAll(old)
	check(t, err)
	if string(b) != "old" {
		t.Errorf("the unlinked file reads %q", b)
	}
	_, err = old.WriteAt([]byte("OLD"), 0)
	check(t, err)
	check(t, old.Close())
	wantFile(t, m.Path("f"), []byte("new file"))
	if got := stored(t, mem, "f"); string(got) != "new file" {
		t.Errorf("stored: %q", got)
	}
}

func TestRenameThenCreate(t *testing.T) {
	mem := s3test.NewMem("bucket")
	m := fstest.Mount(t, mem, fstest.Options{})
	check(t, os.WriteFile(m.Path("a"), []byte("first"), 0o644))
	first := ino(t, m.Path("a"))
	check(t, os.Rename(m.Path("a"), m.Path("b")))
	if got := ino(t, m.Path("b")); got != first {
		t.Errorf("renamed: inode %d, was %d", got, first)
	}
	check(t, os.WriteFile(m.Path("a"), []byte("second"), 0o644))
	if got := ino(t, m.Path("a")); got == first {
		t.Error("two files have one inode number")
	}
	wantFile(t, m.Path("a"), []byte("second"))
	wantFile(t, m.Path("b"), []byte("first"))
	for _, e := range readDir(t, m.Dir) {
		if got := ino(t, m.Path(e.name)); got != e.ino {
			t.Errorf("%s: d_ino %d, st_ino %d", e.name, e.ino, got)
		}
	}
}

func TestRenameOpenDirty(t *testing.T) {
	mem := s3test.NewMem("bucket")
	m := fstest.Mount(t, mem, fstest.Options{})
	f, err := os.Create(m.Path("a"))
	check(t, err)
	_, err = f.Write([]byte("one "))
	check(t, err)
	check(t, os.Rename(m.Path("a"), m.Path("b")))
	_, err = f.Write([]byte("two"))
	check(t, err)
	check(t, f.Close())
	wantFile(t, m.Path("b"), []byte("one two"))
	if _, err := os.Stat(m.Path("a")); !os.IsNotExist(err) {
		t.Errorf("stat of the old name: %v", err)
	}
	m.Unmount()
	if got := stored(t, mem, "b"); string(got) != "one two" {
		t.Errorf("stored: %q", got)
	}
	if _, err := mem.Head(t.Context(), "a"); !s3backend.IsNotExist(err) {
		t.Errorf("the old key: %v", err)
	}
}

// TestEditorSave is what vim and many others do.
func TestEditorSave(t *testing.T) {
	mem := s3test.NewMem("bucket")
	put(t, mem, "doc", "version 1", map[string]string{"mode": "33152"}) // 0600
	m := fstest.Mount(t, mem, fstest.Options{})
	reader, err := os.Open(m.Path("doc"))
	check(t, err)
	defer reader.Close()
	check(t, os.WriteFile(m.Path("doc.tmp"), []byte("version 2"), 0o600))
	check(t, os.Rename(m.Path("doc"), m.Path("doc~")))
	check(t, os.Rename(m.Path("doc.tmp"), m.Path("doc")))
	wantFile(t, m.Path("doc"), []byte("version 2"))
	wantFile(t, m.Path("doc~"), []byte("version 1"))
	b, err := io.ReadAll(reader)
	check(t, err)
	if string(b) != "version 1" {
		t.Errorf("who had it open reads %q", b)
	}
	if fi, err := os.Stat(m.Path("doc")); err != nil || fi.Mode() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
}

func TestExclusiveCreate(t *testing.T) {
	mem := s3test.NewMem("bucket")
	m := fstest.Mount(t, mem, fstest.Options{})
	f, err := os.OpenFile(m.Path("lock"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	check(t, err)
	_, err = os.OpenFile(m.Path("lock"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	wantErrno(t, "second O_EXCL", err, syscall.EEXIST)
	check(t, f.Close())
	// One that somebody else made, and this mount has not seen.
	if _, err := os.Stat(m.Path("other")); !os.IsNotExist(err) {
		t.Fatal(err)
	}
	put(t, mem, "other", "theirs", nil)
	f, err = os.OpenFile(m.Path("other"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.Write([]byte("ours"))
		check(t, err)
		err = f.Close()
	}
	wantErrno(t, "O_EXCL of another's file", err, syscall.EEXIST)
	if got := stored(t, mem, "other"); string(got) != "theirs" {
		t.Errorf("stored: %q", got)
	}
}

// TestKeepCache counts the GETs of files that the kernel has in its page
// cache.
func TestKeepCache(t *testing.T) {
	mem := s3test.NewMem("bucket")
	put(t, mem, "f", "first content", nil)
	m := fstest.Mount(t, mem, fstest.Options{Cache: func(c *cache.Config) { c.MetadataTTL = 50 * time.Millisecond }})
	wantFile(t, m.Path("f"), []byte("first content"))
	mem.ResetRequests()
	for range 3 {
		wantFile(t, m.Path("f"), []byte("first content"))
	}
	if n := mem.Requests()[s3test.OpGet]; n != 0 {
		t.Errorf("%d GETs of an unchanged file, want 0", n)
	}
	put(t, mem, "f", "and another, which is longer", nil)
	deadline := time.Now().Add(10 * time.Second)
	for {
		b, err := os.ReadFile(m.Path("f"))
		check(t, err)
		if string(b) == "and another, which is longer" {
			break
		}
		if string(b) != "first content" {
			t.Fatalf("a mixture: %q", b)
		}
		if time.Now().After(deadline) {
			t.Fatal("the new content does not show")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestReplacedBeforeFirstRead is a file that somebody else replaces while this
// mount believes that it knows it.
func TestReplacedBeforeFirstRead(t *testing.T) {
	for name, c := range map[string]struct{ old, new string }{
		"longer":  {"short", string(pattern(3 << 20))},
		"shorter": {string(pattern(3 << 20)), "short"},
		"as long": {"first!", "second"},
	} {
		t.Run(name, func(t *testing.T) {
			mem := s3test.NewMem("bucket")
			put(t, mem, "f", c.old, nil)
			m := fstest.Mount(t, mem, fstest.Options{})
			if fi, err := os.Stat(m.Path("f")); err != nil || fi.Size() != int64(len(c.old)) {
				t.Fatal(fi, err)
			}
			put(t, mem, "f", c.new, nil)
			wantFile(t, m.Path("f"), []byte(c.new))
		})
	}
}

// TestReplacedWhileReading reads old bytes or ESTALE, never a mixture.
func TestReplacedWhileReading(t *testing.T) {
	const size = 24 << 20
	mem := s3test.NewMem("bucket")
	put(t, mem, "f", string(bytes.Repeat([]byte("a"), size)), nil)
	m := fstest.Mount(t, mem, fstest.Options{})
	f, err := os.Open(m.Path("f"))
	check(t, err)
	defer f.Close()
	b := make([]byte, 1<<20)
	_, err = io.ReadFull(f, b)
	check(t, err)
	put(t, mem, "f", string(bytes.Repeat([]byte("b"), size)), nil)
	for err == nil {
		var n int
		n, err = f.Read(b)
		if bytes.Count(b[:n], []byte("a")) != n {
			t.Fatal("new bytes after old ones")
		}
	}
	if err != io.EOF {
		wantErrno(t, "read", err, syscall.ESTALE)
	}
}

// TestTwoGenerationsOpen has one handle on an old generation, of which bytes
// are held in memory, and one on the new. They share the kernel's pages.
func TestTwoGenerationsOpen(t *testing.T) {
	const size = 512 << 10
	mem := s3test.NewMem("bucket")
	put(t, mem, "f", string(bytes.Repeat([]byte("a"), size)), nil)
	m := fstest.Mount(t, mem, fstest.Options{Cache: func(c *cache.Config) { c.MetadataTTL = time.Millisecond }})
	old, err := os.Open(m.Path("f"))
	check(t, err)
	defer old.Close()
	b := make([]byte, 4096)
	_, err = old.ReadAt(b, 0)
	check(t, err)
	const shorter = size / 2
	put(t, mem, "f", string(bytes.Repeat([]byte("b"), shorter)), nil)
	time.Sleep(5 * time.Millisecond) // past the TTL
	young, err := os.Open(m.Path("f"))
	check(t, err)
	defer young.Close()
	check(t, unix.Fadvise(int(young.Fd()), 0, 0, unix.FADV_RANDOM)) // no pages but those asked for
	_, err = young.ReadAt(b, 0)
	check(t, err)
	if bytes.Count(b, []byte("b")) != len(b) {
		t.Fatalf("the file opened after the change reads %q...", b[:10])
	}
	if st, err := old.Stat(); err != nil || st.Size() != size {
		t.Errorf("the old handle's size: %v, %v", st.Size(), err)
	}
	for off := int64(0); off < size; off += 64 << 10 {
		n, err := old.ReadAt(b, off)
		if err != nil {
			wantErrno(t, "read of the old handle", err, syscall.ESTALE)
		} else if bytes.Count(b[:n], []byte("a")) != n {
			t.Fatalf("the old handle reads %q... at %d", b[:10], off)
		}
	}
	wantFile(t, m.Path("f"), bytes.Repeat([]byte("b"), shorter))
	for off := int64(0); off < shorter; off += 4096 {
		_, err := young.ReadAt(b, off)
		check(t, err)
		if bytes.Count(b, []byte("b")) != len(b) {
			t.Fatalf("old bytes at %d", off)
		}
	}
}
