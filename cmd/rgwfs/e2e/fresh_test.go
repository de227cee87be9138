package e2e

import (
	"path/filepath"
	"testing"

	"rgwfs/s3backend/s3test"
)

// rsync and cp read a mount that has looked at nothing yet: files and
// symbolic links come out as they went in. Modes and times may not: a listing
// does not have them, and nothing else has been asked for.
func TestReadByProgramsOnFreshMount(t *testing.T) {
	need(t, "rsync")
	s := newServer(t, s3test.RGW(t))
	local := newTree(t)
	m := newMount(t, s)
	run(t, local, "cp", "-a", "tree", m.dir)
	m.unmount()
	for name, read := range map[string]func(t *testing.T, m *mount, down string){
		"rsync": func(t *testing.T, m *mount, down string) { run(t, m.dir, "rsync", "-a", "tree", down) },
		"cp":    func(t *testing.T, m *mount, down string) { run(t, m.dir, "cp", "-a", "tree", down) },
	} {
		t.Run(name, func(t *testing.T) {
			m, down := newMount(t, s), t.TempDir()
			read(t, m, down)
			run(t, local, "diff", "-r", "--no-dereference", "tree", filepath.Join(down, "tree"))
			m.unmount()
		})
	}
}

// A second rsync finds nothing to do, also on a mount of its own.
func TestRsyncOnFreshMount(t *testing.T) {
	need(t, "rsync")
	s := newServer(t, s3test.RGW(t))
	local := newTree(t)
	m := newMount(t, s)
	args := []string{"-a", "--itemize-changes", "tree", m.dir}
	run(t, local, "rsync", args...)
	m.unmount()
	m = newMountAt(t, s, m.dir)
	if second := run(t, local, "rsync", args...); second != "" {
		t.Errorf("the second rsync transfers: %s", second)
	}
	m.unmount()
}

// A renamed tree shows the modes and times that it had, at once: all was known.
func TestRenameKeepsAttributes(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	local := newTree(t)
	m := newMount(t, s)
	run(t, local, "cp", "-a", "tree", m.dir)
	const list = `find . -type l -printf '%y %l %P\n' -o -type d -printf '%y %m %P\n' -o -printf '%y %m %s %T@ %P\n' | sort`
	want := run(t, m.path("tree"), "sh", "-c", list)
	run(t, m.dir, "mv", "tree", "renamed")
	if got := run(t, m.path("renamed"), "sh", "-c", list); got != want {
		t.Errorf("after the rename:\n%sinstead of:\n%s", got, want)
	}
	m.unmount()
}
