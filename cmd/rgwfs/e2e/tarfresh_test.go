package e2e

import (
	"path/filepath"
	"testing"

	"rgwfs/s3backend/s3test"
)

// tar packs a mount that has looked at nothing yet, and sees nothing change
// while it reads.
func TestTarOfFreshMount(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	local := newTree(t)
	m := newMount(t, s)
	run(t, local, "cp", "-a", "tree", m.dir)
	m.unmount()
	m = newMount(t, s)
	archive := filepath.Join(local, "archive.tar")
	if r := try(t, m.dir, "tar", "cf", archive, "tree"); r.code != 0 || r.stderr != "" {
		t.Errorf("tar ends with %d: %s", r.code, r.stderr)
	}
	m.unmount()
	down := t.TempDir()
	run(t, down, "tar", "xf", archive)
	run(t, local, "diff", "-r", "--no-dereference", "tree", filepath.Join(down, "tree"))
}
