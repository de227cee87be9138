package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"rgwfs/s3backend/s3test"
)

// 1 GiB goes up and comes down unchanged, over http and over https, and the
// process keeps to its memory limit meanwhile.
func TestLargeFile(t *testing.T) {
	const (
		size        = 1 << 30
		memoryLimit = 128 << 20
		allowance   = 64 << 20 // for the program itself; README, --memory-limit
	)
	local := t.TempDir()
	writeNoise(t, filepath.Join(local, "up"), 1, size)
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			s := newServer(t, s3test.RGW(t))
			s.tls = scheme == "https"
			wantPeak := func(m *mount, doing string) {
				t.Helper()
				peak := m.peak()
				t.Logf("peak memory %s: %d MiB", doing, peak>>20)
				if peak > memoryLimit+allowance {
					t.Errorf("%s took %d MiB of memory, the limit is %d MiB and %d MiB more", doing, peak>>20, memoryLimit>>20, allowance>>20)
				}
			}

			m := newMount(t, s, "--memory-limit", "128M")
			run(t, local, "cp", "up", m.path("large"))
			wantPeak(m, "writing")
			m.unmount()
			info, err := s.store.Head(t.Context(), "large")
			if err != nil || info.Size != size {
				t.Fatalf("the object has %d bytes, %v", info.Size, err)
			}

			// A new mount has nothing in the kernel's cache.
			m = newMount(t, s, "--memory-limit", "128M")
			down := filepath.Join(local, "down")
			run(t, local, "cp", m.path("large"), down)
			wantPeak(m, "reading")
			m.unmount()
			run(t, local, "cmp", "up", "down")
			if err := os.Remove(down); err != nil {
				t.Fatal(err)
			}
			if err := s.store.Delete(t.Context(), "large"); err != nil {
				t.Fatal(err)
			}
		})
	}
}
