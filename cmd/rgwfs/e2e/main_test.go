package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// program is the binary under test, built once by TestMain.
var program string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rgwfs-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "rgwfs")
	// As make build does it, and never under the race detector: memory is
	// measured here.
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "rgwfs/cmd/rgwfs")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building rgwfs: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}
