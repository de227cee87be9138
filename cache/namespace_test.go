package cache

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// keys returns every key on the server.
func (f *fixture) keys() []string {
	f.t.Helper()
	objs, err := f.listAll(f.ctx, "")
	if err != nil {
		f.t.Fatal(err)
	}
	var out []string
	for _, o := range objs {
		out = append(out, o.Key)
	}
	return out
}

func (f *fixture) wantKeys(want ...string) {
	f.t.Helper()
	if got := f.keys(); !slices.Equal(got, want) {
		f.t.Fatalf("keys %q, want %q", got, want)
	}
}

func (f *fixture) mkdir(dir, name string) {
	f.t.Helper()
	if _, err := f.Mkdir(f.ctx, dir, name, nil); err != nil {
		f.t.Fatal(err)
	}
}

// names returns what a reader of dir sees.
func (f *fixture) names(dir string) []string {
	f.t.Helper()
	d, err := f.OpenDir(f.ctx, dir)
	if err != nil {
		f.t.Fatal(err)
	}
	defer d.Close()
	var out []string
	for at := uint64(0); ; {
		e, next, ok, err := d.Read(f.ctx, at)
		if err != nil {
			f.t.Fatal(err)
		}
		if !ok {
			slices.Sort(out)
			return out
		}
		out, at = append(out, e.Name), next
	}
}

func TestUnlinkedOpenFile(t *testing.T) {
	for _, size := range []int{0, 10, testPart, 5 * testPart} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			f, _ := newFixture(t)
			data := noise(1, size)
			f.put("a", data)
			h := f.open("a", OpenFlags{Read: true})
			if err := f.Unlink(f.ctx, "", "a"); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Lookup(f.ctx, "", "a"); !s3backend.IsNotExist(err) {
				t.Errorf("lookup of an unlinked file: %v", err)
			}
			if names := f.names(""); len(names) != 0 {
				t.Errorf("still listed: %q", names)
			}
			// Another file of the same name lives beside it.
			next := noise(2, size+1)
			h2, err := f.Create(f.ctx, "", "a", nil, OpenFlags{Write: true, Excl: true})
			if err != nil {
				t.Fatal(err)
			}
			f.write(h2, next, 0)
			f.flush(h2)
			h2.Release()
			wantBytes(t, "the old file", f.read(h, 0, size+1), data)
			f.flush(h)
			h.Release()
			wantBytes(t, "the new object", f.object("a"), next)
		})
	}
}

func TestUnlinkedOpenFileGoesWithItsLastHandle(t *testing.T) {
	f, _ := newFixture(t)
	f.put("a", noise(1, 100))
	h1, h2 := f.open("a", OpenFlags{Read: true, Write: true}), f.open("a", OpenFlags{Read: true})
	if err := f.Unlink(f.ctx, "", "a"); err != nil {
		t.Fatal(err)
	}
	f.write(h1, []byte("more"), 100)
	wantBytes(t, "read", f.read(h2, 100, 10), []byte("more"))
	f.flush(h1)
	h1.Release()
	f.wantKeys("a")
	h2.Release()
	f.wantKeys()
}

func TestUnlinkedWhileItsPartsAreUploaded(t *testing.T) {
	f, _ := newFixture(t)
	h := f.create("a")
	data := noise(1, 5*testPart/2)
	f.write(h, data, 0)
	if err := f.Unlink(f.ctx, "", "a"); err != nil {
		t.Fatal(err)
	}
	f.write(h, data, int64(len(data)))
	wantBytes(t, "read", f.read(h, 0, 10*testPart), append(slices.Clone(data), data...))
	f.flush(h)
	h.Release()
	f.wantKeys()
}

func TestRenameFile(t *testing.T) {
	for _, size := range []int{0, 100, 3 * testPart} {
		f, _ := newFixture(t)
		data := noise(1, size)
		f.put("a", data)
		f.put("b", []byte("old b"))
		reader := f.open("a", OpenFlags{Read: true})
		replaced := f.open("b", OpenFlags{Read: true})
		if err := f.Rename(f.ctx, "", "a", "", "b", true); s3backend.KindOf(err) != s3backend.KindExist {
			t.Errorf("noreplace: %v", err)
		}
		if err := f.Rename(f.ctx, "", "a", "", "b", false); err != nil {
			t.Fatal(err)
		}
		f.wantKeys("b")
		wantBytes(t, "object", f.object("b"), data)
		wantBytes(t, "the moved file", f.read(reader, 0, size+1), data)
		wantBytes(t, "the replaced file", f.read(replaced, 0, 100), []byte("old b"))
		if names := f.names(""); !slices.Equal(names, []string{"b"}) {
			t.Errorf("names: %q", names)
		}
		reader.Release()
		replaced.Release()
		f.wantKeys("b")
	}
}

func TestRenameOfAFileNotUploadedYetIsFree(t *testing.T) {
	f, _ := newFixture(t)
	h := f.create("a")
	f.write(h, []byte("data"), 0)
	f.put("b", []byte("old"))
	if _, err := f.Lookup(f.ctx, "", "b"); err != nil {
		t.Fatal(err)
	}
	f.mem.ResetRequests()
	if err := f.Rename(f.ctx, "", "a", "", "b", false); err != nil {
		t.Fatal(err)
	}
	if got := f.mem.Requests(); len(got) != 0 {
		t.Errorf("requests: %v", got)
	}
	f.write(h, []byte(" more"), 4)
	f.flush(h)
	h.Release()
	f.wantKeys("b")
	wantBytes(t, "object", f.object("b"), []byte("data more"))
	// And the old name is free for another file.
	h = f.create("a")
	f.write(h, []byte("other"), 0)
	f.flush(h)
	h.Release()
	wantBytes(t, "object", f.object("a"), []byte("other"))
}

func TestRenameKeepsTheTimeOfForeignObjects(t *testing.T) {
	f, _ := newFixture(t)
	f.put("a", []byte("x"))
	was, err := f.Stat(f.ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Rename(f.ctx, "", "a", "", "b", false); err != nil {
		t.Fatal(err)
	}
	is, err := f.Stat(f.ctx, "b")
	if err != nil {
		t.Fatal(err)
	}
	if is.Metadata["mtime"] != FormatTime(was.ModTime) {
		t.Errorf("mtime %q, want %q", is.Metadata["mtime"], FormatTime(was.ModTime))
	}
}

func TestRenameDirectory(t *testing.T) {
	f, _ := newFixture(t)
	for i := range 40 {
		f.put(fmt.Sprintf("old/f%02d", i), noise(uint64(i), 100))
	}
	f.put("old/sub/deep", []byte("deep"))
	f.put("old/odd//key", []byte("not shown"))
	if names := f.names(""); !slices.Equal(names, []string{"old"}) {
		t.Errorf("names before: %q", names)
	}
	open := f.open2("old/", "f07", OpenFlags{Read: true})
	dirty, err := f.Create(f.ctx, "old/", "dirty", nil, OpenFlags{Write: true})
	if err != nil {
		t.Fatal(err)
	}
	f.write(dirty, []byte("fresh"), 0)
	if err := f.Rename(f.ctx, "", "old", "", "new", false); err != nil {
		t.Fatal(err)
	}
	for _, k := range f.keys() {
		if !strings.HasPrefix(k, "new/") {
			t.Errorf("left behind: %q", k)
		}
	}
	wantBytes(t, "moved", f.object("new/f39"), noise(39, 100))
	wantBytes(t, "deep", f.object("new/sub/deep"), []byte("deep"))
	wantBytes(t, "hidden", f.object("new/odd//key"), []byte("not shown"))
	wantBytes(t, "open file", f.read(open, 0, 200), noise(7, 100))
	f.write(dirty, []byte("er"), 5)
	f.flush(dirty)
	wantBytes(t, "written", f.object("new/dirty"), []byte("fresher"))
	open.Release()
	dirty.Release()
	if _, err := f.Lookup(f.ctx, "", "old"); !s3backend.IsNotExist(err) {
		t.Errorf("old name: %v", err)
	}
	if names := f.names(""); !slices.Equal(names, []string{"new"}) {
		t.Errorf("names after: %q", names)
	}
	if n := len(f.names("new/")); n != 43 {
		t.Errorf("%d names, want 43: %q", n, f.names("new/"))
	}
}

func (f *fixture) open2(dir, name string, flags OpenFlags) *Handle {
	f.t.Helper()
	file := f.File(dir + name)
	defer file.Release()
	h, err := file.Open(f.ctx, flags)
	if err != nil {
		f.t.Fatal(err)
	}
	return h
}

func TestFailedRenameOfADirectoryLeavesIt(t *testing.T) {
	f, _ := newFixture(t, s3test.Rule{Op: s3test.OpCopy, Key: "new/f3", Do: []s3test.Effect{s3test.Fail(s3backend.KindUnavailable)}})
	want := []string{}
	for i := range 6 {
		key := fmt.Sprint("old/f", i)
		f.put(key, noise(uint64(i), 10))
		want = append(want, key)
	}
	wantKind(t, f.Rename(f.ctx, "", "old", "", "new", false), s3backend.KindUnavailable)
	f.wantKeys(want...)
	if names := f.names("old/"); len(names) != 6 {
		t.Errorf("names: %q", names)
	}
}

func TestRenameOntoDirectories(t *testing.T) {
	f, _ := newFixture(t)
	f.put("full/x", nil)
	f.mkdir("", "empty")
	f.mkdir("", "d")
	f.put("file", nil)
	wantKind(t, f.Rename(f.ctx, "", "d", "", "full", false), s3backend.KindNotEmpty)
	wantKind(t, f.Rename(f.ctx, "", "file", "", "d", false), s3backend.KindExist)
	wantKind(t, f.Rename(f.ctx, "", "d", "d/", "sub", false), s3backend.KindInvalid)
	if err := f.Rename(f.ctx, "", "d", "", "empty", false); err != nil {
		t.Fatal(err)
	}
	f.wantKeys("empty/", "file", "full/x")
	// With a marker, seen in a listing that was remembered.
	if err := f.Rename(f.ctx, "", "empty", "", "moved", false); err != nil {
		t.Fatal(err)
	}
	if names := f.names(""); !slices.Equal(names, []string{"file", "full", "moved"}) {
		t.Errorf("names: %q", names)
	}
}

func TestRmdir(t *testing.T) {
	f, _ := newFixture(t)
	f.put("implicit/a", nil)
	f.put("odd/./b", nil)
	f.mkdir("", "d")
	h, err := f.Create(f.ctx, "d/", "new", nil, OpenFlags{Write: true})
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, f.Rmdir(f.ctx, "", "d"), s3backend.KindNotEmpty) // not uploaded yet, but there
	f.flush(h)
	h.Release()
	wantKind(t, f.Rmdir(f.ctx, "", "d"), s3backend.KindNotEmpty)
	wantKind(t, f.Rmdir(f.ctx, "", "implicit"), s3backend.KindNotEmpty)
	wantKind(t, f.Rmdir(f.ctx, "", "odd"), s3backend.KindNotEmpty) // a key that no name can show
	for _, dir := range []string{"d/", "implicit/"} {
		for _, name := range f.names(dir) {
			if err := f.Unlink(f.ctx, dir, name); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Rmdir(f.ctx, "", strings.TrimSuffix(dir, "/")); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
	f.wantKeys("odd/./b")
}

func TestRmdirWithAnUnlinkedOpenFile(t *testing.T) {
	f, _ := newFixture(t)
	f.put("d/a", []byte("data"))
	h := f.open2("d/", "a", OpenFlags{Read: true})
	if err := f.Unlink(f.ctx, "d/", "a"); err != nil {
		t.Fatal(err)
	}
	if err := f.Rmdir(f.ctx, "", "d"); err != nil {
		t.Fatal(err)
	}
	f.wantKeys()
	wantBytes(t, "read", f.read(h, 0, 10), []byte("data"))
	h.Release()
}

func TestMkdirTwice(t *testing.T) {
	f, _ := newFixture(t)
	f.mkdir("", "d")
	_, err := f.Mkdir(f.ctx, "", "d", nil)
	wantKind(t, err, s3backend.KindExist)
}

func TestSetMetadata(t *testing.T) {
	f, _ := newFixture(t)
	set := func(md map[string]string) { md["mode"] = "33188" }
	// A clean file: at once, and its bytes' time is kept.
	f.put("a", []byte("x"))
	before, err := f.Stat(f.ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.SetMetadata(f.ctx, "a", set); err != nil {
		t.Fatal(err)
	}
	obj, err := f.mem.Head(f.ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]string{"mode": "33188", "mtime": FormatTime(before.ModTime)}; !maps.Equal(obj.Metadata, want) {
		t.Errorf("metadata %v, want %v", obj.Metadata, want)
	}
	// A file with changes: together with them.
	h := f.create("b")
	f.write(h, []byte("x"), 0)
	f.mem.ResetRequests()
	if err := h.File().SetMetadata(f.ctx, func(md map[string]string) { md["mtime"] = "1.000000000" }); err != nil {
		t.Fatal(err)
	}
	f.flush(h)
	h.Release()
	if got := f.mem.Requests(); !maps.Equal(got, map[string]int{s3test.OpPut: 1}) {
		t.Errorf("requests: %v", got)
	}
	if obj, err = f.mem.Head(f.ctx, "b"); err != nil || obj.Metadata["mtime"] != "1.000000000" {
		t.Errorf("metadata %v, %v", obj.Metadata, err)
	}
	// One whose parts are on their way: after them.
	h = f.create("c")
	f.write(h, noise(1, 3*testPart), 0)
	if err := h.File().SetMetadata(f.ctx, func(md map[string]string) { md["mtime"] = "2.000000000" }); err != nil {
		t.Fatal(err)
	}
	f.flush(h)
	h.Release()
	if obj, err = f.mem.Head(f.ctx, "c"); err != nil || obj.Metadata["mtime"] != "2.000000000" {
		t.Errorf("metadata %v, %v", obj.Metadata, err)
	}
	// A directory without marker gets one.
	f.put("d/x", nil)
	if _, err := f.SetMetadata(f.ctx, "d/", set); err != nil {
		t.Fatal(err)
	}
	if obj, err = f.mem.Head(f.ctx, "d/"); err != nil || obj.Metadata["mode"] != "33188" {
		t.Errorf("metadata %v, %v", obj.Metadata, err)
	}
}

func TestReadOnly(t *testing.T) {
	f, _ := newFixture(t)
	f.put("d/a", []byte("x"))
	f.c.cfg.ReadOnly = true
	_, err := f.Create(f.ctx, "", "b", nil, OpenFlags{Write: true})
	wantKind(t, err, s3backend.KindReadOnly)
	_, err = f.Mkdir(f.ctx, "", "e", nil)
	wantKind(t, err, s3backend.KindReadOnly)
	_, err = f.Symlink(f.ctx, "", "l", "t", nil)
	wantKind(t, err, s3backend.KindReadOnly)
	wantKind(t, f.Unlink(f.ctx, "d/", "a"), s3backend.KindReadOnly)
	wantKind(t, f.Rmdir(f.ctx, "", "d"), s3backend.KindReadOnly)
	wantKind(t, f.Rename(f.ctx, "", "d", "", "e", false), s3backend.KindReadOnly)
	_, err = f.SetMetadata(f.ctx, "d/a", func(map[string]string) {})
	wantKind(t, err, s3backend.KindReadOnly)
	file := f.File("d/a")
	defer file.Release()
	wantKind(t, file.Truncate(f.ctx, 0), s3backend.KindReadOnly)
	_, err = file.Open(f.ctx, OpenFlags{Write: true})
	wantKind(t, err, s3backend.KindReadOnly)
}

func TestSymlink(t *testing.T) {
	f, _ := newFixture(t)
	if _, err := f.Symlink(f.ctx, "", "l", "some/where", map[string]string{"mode": "41471"}); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Readlink(f.ctx, "l"); err != nil || got != "some/where" {
		t.Errorf("%q, %v", got, err)
	}
	_, err := f.Symlink(f.ctx, "", "l", "again", nil)
	wantKind(t, err, s3backend.KindExist)
	if ups, err := f.mem.ListMultiparts(f.ctx, ""); err != nil || len(ups) != 0 {
		t.Errorf("unfinished uploads: %v, %v", ups, err)
	}
	// A listing tells it from a file.
	f.put("file", []byte("some/where"))
	f.meta.forget("")
	for name, want := range map[string]bool{"l": true, "file": false} {
		f.names("")
		if a, err := f.Lookup(f.ctx, "", name); err != nil || a.MaybeSymlink() != want {
			t.Errorf("%s: may be a symlink: %v, %v", name, a.MaybeSymlink(), err)
		}
	}
}

func TestCloseReportsWhatCouldNotBeCommitted(t *testing.T) {
	f, faulty := newFixture(t)
	h := f.create("a")
	f.write(h, []byte("x"), 0)
	faulty.Add(s3test.Rule{Op: s3test.OpPut, Do: []s3test.Effect{s3test.Fail(s3backend.KindUnavailable)}})
	wantKind(t, f.Sync(f.ctx), s3backend.KindUnavailable)
	faulty.Clear()
	if err := f.Sync(f.ctx); err != nil {
		t.Fatal(err)
	}
	f.wantKeys("a")
	h.Release()
}

// TestRenameOfAReplacedFile: what another client has put there since it was
// looked at is what is moved, on gateways that check the source and on 16.2.
func TestRenameOfAReplacedFile(t *testing.T) {
	for _, pacific := range []bool{false, true} {
		f, _ := newFixture(t)
		f.mem.SetPacific(pacific)
		f.put("a", []byte("old"))
		if _, err := f.Stat(f.ctx, "a"); err != nil {
			t.Fatal(err)
		}
		f.put("a", []byte("newer"))
		if err := f.Rename(f.ctx, "", "a", "", "b", false); err != nil {
			t.Fatal(err)
		}
		f.wantKeys("b")
		wantBytes(t, "object", f.object("b"), []byte("newer"))
		if a, err := f.Stat(f.ctx, "b"); err != nil || a.Size != 5 {
			t.Errorf("size %d, %v", a.Size, err)
		}
	}
}

// TestRenameDirectoryKeepsWhatIsKnown: after a rename, modes and times show as
// before, and without a request.
func TestRenameDirectoryKeepsWhatIsKnown(t *testing.T) {
	f, _ := newFixture(t)
	md := map[string]string{"mode": "33152", "mtime": "5.000000000"}
	f.mkdir("", "old")
	if _, err := f.Mkdir(f.ctx, "old/", "sub", map[string]string{"mode": "16832"}); err != nil {
		t.Fatal(err)
	}
	h, err := f.Create(f.ctx, "old/", "a", md, OpenFlags{Write: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.File().SetMetadata(f.ctx, func(m map[string]string) { maps.Copy(m, md) }); err != nil {
		t.Fatal(err)
	}
	f.flush(h)
	h.Release()
	if err := f.Rename(f.ctx, "", "old", "", "new", false); err != nil {
		t.Fatal(err)
	}
	f.mem.ResetRequests()
	if n := len(f.names("new/")); n != 2 {
		t.Errorf("%d names", n)
	}
	a, err := f.Stat(f.ctx, "new/a")
	if err != nil || a.Metadata["mtime"] != "5.000000000" || a.Metadata["mode"] != "33152" {
		t.Errorf("file: %v, %v", a.Metadata, err)
	}
	a, err = f.Stat(f.ctx, "new/sub/")
	if err != nil || a.Metadata["mode"] != "16832" {
		t.Errorf("directory: %v, %v", a.Metadata, err)
	}
	if n := f.mem.Requests()[s3test.OpHead]; n != 0 {
		t.Errorf("%d HEADs", n)
	}
}

// TestCopyInParts renames an object that is too large for one copy, on a
// gateway that can copy its parts and on one that can't.
func TestCopyInParts(t *testing.T) {
	for _, can := range []bool{true, false} {
		f, faulty := newFixture(t)
		f.c.maxCopy, f.c.copyPart = 2*testPart, testPart
		if !can {
			faulty.Add(s3test.Rule{Op: s3test.OpCopyPart, Do: []s3test.Effect{s3test.Fail(s3backend.KindUnsupported)}})
		}
		data := noise(1, 5*testPart+9)
		f.put("a", data)
		h := f.open("a", OpenFlags{Read: true})
		wantBytes(t, "before", f.read(h, 0, 100), data[:100])
		if err := f.Rename(f.ctx, "", "a", "", "b", false); err != nil {
			t.Fatal(err)
		}
		f.wantKeys("b")
		wantBytes(t, "object", f.object("b"), data)
		wantBytes(t, "the open file", f.read(h, 0, len(data)), data)
		h.Release()
		if ups, err := f.mem.ListMultiparts(f.ctx, ""); err != nil || len(ups) != 0 {
			t.Errorf("unfinished uploads: %v, %v", ups, err)
		}
		// A change in the middle too.
		h = f.open("b", OpenFlags{Write: true})
		f.write(h, []byte("new"), 3*testPart)
		copy(data[3*testPart:], "new")
		f.flush(h)
		h.Release()
		wantBytes(t, "changed", f.object("b"), data)
	}
}
