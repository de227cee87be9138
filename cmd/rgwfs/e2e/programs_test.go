package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rgwfs/s3backend/s3test"
)

// newTree makes a directory "tree" with files of several sizes, directories,
// one of them empty, links, modes and times, and returns where it is.
func newTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	at := time.Date(2001, 2, 3, 4, 5, 6, 789_000_000, time.UTC)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.MkdirAll(filepath.Join(tree, "sub/deep/er"), 0o755))
	check(os.Mkdir(filepath.Join(tree, "empty"), 0o700))
	for i, f := range []struct {
		name string
		size int
		mode os.FileMode
	}{
		{"none", 0, 0o644}, {"small", 17, 0o600}, {"program", 5000, 0o755}, {"read only", 100, 0o444},
		{"sub/page", 4096, 0o640}, {"sub/ümläut ☃", 333, 0o644}, {"sub/deep/large", 20*mib + 1, 0o644},
		{"sub/deep/er/odd %41+&=?#'\"\\", 3, 0o644}, {"-dash", 1, 0o644}, {".hidden", 1, 0o644},
	} {
		name := filepath.Join(tree, f.name)
		writeFile(t, name, content(t, uint64(i), f.size))
		check(os.Chmod(name, f.mode))
		check(os.Chtimes(name, at, at.Add(time.Duration(i)*time.Hour)))
	}
	check(os.Symlink("small", filepath.Join(tree, "link")))
	check(os.Symlink("../nowhere/ümläut", filepath.Join(tree, "sub/dangling")))
	check(os.Symlink("deep", filepath.Join(tree, "sub/link to directory")))
	for i, d := range []string{"sub/deep/er", "sub/deep", "sub", "empty", "."} {
		check(os.Chtimes(filepath.Join(tree, d), at, at.Add(-time.Duration(i)*time.Hour)))
	}
	return dir
}

// rsync copies a tree, the second time nothing, and finds it the same also by
// content.
func TestRsync(t *testing.T) {
	need(t, "rsync")
	s := newServer(t, s3test.RGW(t))
	local := newTree(t)
	m := newMount(t, s)
	args := []string{"-a", "--itemize-changes", "tree", m.dir}
	if first := run(t, local, "rsync", args...); !strings.Contains(first, "tree/sub/deep/large") {
		t.Errorf("rsync says that it has transferred: %s", first)
	}
	if second := run(t, local, "rsync", args...); second != "" {
		t.Errorf("the second rsync transfers: %s", second)
	}
	writeFile(t, filepath.Join(local, "tree/sub/page"), content(t, 99, 5000))
	if err := os.Remove(filepath.Join(local, "tree/small")); err != nil {
		t.Fatal(err)
	}
	run(t, local, "rsync", append(args, "--delete")...)
	if again := run(t, local, "rsync", append(args, "--delete", "--checksum")...); again != "" {
		t.Errorf("rsync finds different, after it has transferred changes: %s", again)
	}
	m.unmount()
}

// git clones into the mount, has nothing to say about the clone, commits, and
// finds its files whole, also on a fresh mount.
func TestGit(t *testing.T) {
	need(t, "git")
	s := newServer(t, s3test.RGW(t))
	local := newTree(t)
	origin := filepath.Join(local, "tree")
	run(t, origin, "git", "init", "-q", "-b", "main")
	for i := range 5 {
		writeFile(t, filepath.Join(origin, "changing"), fmt.Appendf(nil, "version %d\n", i))
		run(t, origin, "git", "add", "-A")
		run(t, origin, "git", "commit", "-q", "-m", fmt.Sprint("commit ", i))
	}
	m := newMount(t, s)
	run(t, m.dir, "git", "clone", "-q", origin, "clone")
	clone := m.path("clone")
	wantClean := func() {
		t.Helper()
		if status := run(t, clone, "git", "status", "--porcelain"); status != "" {
			t.Errorf("git status: %s", status)
		}
		if problems := run(t, clone, "git", "fsck", "--strict"); problems != "" {
			t.Errorf("git fsck: %s", problems)
		}
	}
	wantClean()
	writeFile(t, filepath.Join(clone, "changing"), []byte("changed in the clone\n"))
	writeFile(t, filepath.Join(clone, "added"), []byte("added in the clone\n"))
	if status := run(t, clone, "git", "status", "--porcelain"); status != " M changing\n?? added\n" {
		t.Errorf("git status of a changed clone: %q", status)
	}
	run(t, clone, "git", "checkout", "-q", "-b", "topic")
	run(t, clone, "git", "add", "-A")
	run(t, clone, "git", "commit", "-q", "-m", "in the clone")
	run(t, clone, "git", "checkout", "-q", "main")
	run(t, clone, "git", "merge", "-q", "--no-ff", "-m", "merged", "topic")
	run(t, clone, "git", "gc", "-q")
	wantClean()
	m.unmount()

	m = newMount(t, s)
	clone = m.path("clone")
	wantClean()
	if log := run(t, clone, "git", "log", "--format=%s"); strings.Count(log, "\n") != 7 || !strings.HasPrefix(log, "merged\n") {
		t.Errorf("git log: %s", log)
	}
	if err := os.RemoveAll(clone); err != nil {
		t.Error(err)
	}
	m.unmount()
	if keys := s.keys(t); len(keys) > 0 {
		t.Errorf("left in the bucket: %q", keys)
	}
}

// tar unpacks into the mount and finds no difference, neither then nor on a
// fresh mount; nor does another tar that packs from there.
func TestTar(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	local := newTree(t)
	archive := filepath.Join(local, "archive.tar")
	run(t, local, "tar", "cf", archive, "--format=posix", "tree")
	m := newMount(t, s)
	run(t, m.dir, "tar", "xpf", archive)
	if differences := run(t, m.dir, "tar", "df", archive); differences != "" {
		t.Errorf("tar finds different: %s", differences)
	}
	m.unmount()
	m = newMount(t, s)
	if r := try(t, m.dir, "tar", "df", archive); r.code != 0 || r.stdout != "" {
		t.Errorf("tar finds different on a fresh mount: %s%s", r.stdout, r.stderr)
	}
	m.unmount()
}

// cp -a, mv, du, find and rm -r do what they are for; in the end the bucket is
// empty.
func TestTree(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	local := newTree(t)
	tree := filepath.Join(local, "tree")
	m := newMount(t, s)
	run(t, local, "cp", "-a", "tree", m.dir)
	wantSame := func(at string) {
		t.Helper()
		run(t, local, "diff", "-r", "--no-dereference", "tree", at)
		find := func(dir string) string {
			// A directory's own size is its filesystem's business.
			return run(t, dir, "sh", "-c", `find . -type d -printf '%y %P\n' -o -printf '%y %m %s %l %P\n' | sort`)
		}
		if want, got := find(tree), find(at); want != got {
			t.Errorf("find in %s:\n%sinstead of:\n%s", at, got, want)
		}
	}
	wantSame(m.path("tree"))
	apparent := func(dir string) string {
		fields := strings.Fields(run(t, dir, "sh", "-c", "find . -type f -print0 | du --apparent-size -b --files0-from=- -c | tail -n 1"))
		return fields[0]
	}
	if want, got := apparent(tree), apparent(m.path("tree")); want != got {
		t.Errorf("du counts %s bytes, want %s", got, want)
	}

	// Within the mount: copied, renamed, moved between directories, merged.
	run(t, m.dir, "cp", "-a", "tree", "copy")
	wantSame(m.path("copy"))
	run(t, m.dir, "mv", "copy", "renamed")
	wantSame(m.path("renamed"))
	run(t, m.dir, "mkdir", "-p", "a/b/c")
	run(t, m.dir, "mv", "renamed", "a/b/c/moved")
	wantSame(m.path("a/b/c/moved"))
	run(t, m.dir, "mv", "a/b/c/moved/sub/deep/large", "a/large")
	run(t, m.dir, "mv", "a/large", "a/b/c/moved/sub/deep/large")
	wantSame(m.path("a/b/c/moved"))
	m.unmount()

	m = newMount(t, s)
	for _, at := range []string{"tree", "a/b/c/moved"} {
		run(t, local, "diff", "-r", "tree/sub/deep", m.path(at, "sub/deep"))
		if got, err := os.Readlink(m.path(at, "link")); err != nil || got != "small" {
			t.Errorf("%s/link leads to %q, %v", at, got, err)
		}
	}
	if r := try(t, m.dir, "rmdir", "a"); r.code == 0 {
		t.Error("rmdir removes a directory that is not empty")
	}
	run(t, m.dir, "rm", "-r", "a")
	run(t, m.dir, "sh", "-c", "rm -rf tree")
	if left := run(t, m.dir, "ls", "-A"); left != "" {
		t.Errorf("ls shows after rm -r: %s", left)
	}
	m.unmount()
	if keys := s.keys(t); len(keys) > 0 {
		t.Errorf("left in the bucket: %q", keys)
	}
}

// rm -r of what others have put there, with directories that are only
// prefixes, leaves nothing either.
func TestRemoveForeignTree(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	for i := range 120 {
		s.put(t, fmt.Sprintf("top/d%d/e%d/f%d", i%3, i%7, i), []byte("x"))
	}
	s.put(t, "top/marked/", nil)
	m := newMount(t, s)
	if n := strings.Count(run(t, m.dir, "find", "top", "-type", "f"), "\n"); n != 120 {
		t.Errorf("find sees %d files, want 120", n)
	}
	run(t, m.dir, "rm", "-r", "top")
	if left := run(t, m.dir, "ls", "-A"); left != "" {
		t.Errorf("ls shows after rm -r: %s", left)
	}
	m.unmount()
	if keys := s.keys(t); len(keys) > 0 {
		t.Errorf("left in the bucket: %q", keys)
	}
}

// Editors save in several ways; each leaves the new text, under the same name,
// and nothing else.
func TestEditorsSave(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	m := newMount(t, s)
	text := func(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "line of version %d\n", i), 1000) }
	name := m.path("text")
	writeFile(t, name, text(0))
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	save := func(file string, data []byte, flags int) {
		t.Helper()
		f, err := os.OpenFile(file, flags, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write(data)
		check(err)
		check(f.Sync())
		check(f.Close())
	}
	for i, way := range []struct {
		name string
		save func(data []byte)
	}{
		{"a temporary file renamed over it", func(data []byte) {
			save(m.path(".text.tmp"), data, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
			check(os.Rename(m.path(".text.tmp"), name))
		}},
		{"a backup by rename, then a new file", func(data []byte) {
			save(m.path("4913"), nil, os.O_WRONLY|os.O_CREATE|os.O_EXCL) // vim tries whether it may
			check(os.Remove(m.path("4913")))
			check(os.Rename(name, m.path("text~")))
			save(name, data, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
			check(os.Remove(m.path("text~")))
		}},
		{"a backup by copy, then in place", func(data []byte) {
			before, err := os.ReadFile(name)
			check(err)
			save(m.path("text~"), before, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
			save(name, data, os.O_WRONLY|os.O_TRUNC)
			check(os.Remove(m.path("text~")))
		}},
		{"in place, then cut", func(data []byte) {
			f, err := os.OpenFile(name, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteAt(data, 0)
			check(err)
			check(f.Truncate(int64(len(data))))
			check(f.Close())
		}},
		{"sed -i", func(data []byte) {
			run(t, m.dir, "sed", "-i", `s/version [0-9]*/version 5/`, "text")
		}},
	} {
		data := text(i + 1)
		way.save(data)
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes that are not what was saved, %v", way.name, len(got), err)
		}
		s.wantObject(t, "text", data)
		if info, err := os.Stat(name); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v", way.name, info.Mode(), err)
		}
		if keys := s.keys(t); len(keys) != 1 {
			t.Errorf("%s: left in the bucket: %q", way.name, keys)
		}
	}
	m.unmount()
}

// A renamed directory keeps its own mode and those of all below.
func TestRenameKeepsModes(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	m := newMount(t, s)
	run(t, m.dir, "mkdir", "-p", "dir/sub")
	run(t, m.dir, "chmod", "700", "dir", "dir/sub")
	run(t, m.dir, "mv", "dir", "renamed")
	const list = `stat -c '%a %n' renamed renamed/sub`
	if got := run(t, m.dir, "sh", "-c", list); got != "700 renamed\n700 renamed/sub\n" {
		t.Errorf("modes after the rename: %q", got)
	}
	m.unmount()
	m = newMount(t, s)
	if got := run(t, m.dir, "sh", "-c", list); got != "700 renamed\n700 renamed/sub\n" {
		t.Errorf("modes after the rename, on a fresh mount: %q", got)
	}
	m.unmount()
}
