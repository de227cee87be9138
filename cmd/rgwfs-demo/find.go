package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// findRgwfs returns the rgwfs program to show.
func findRgwfs() (string, error) {
	if named := os.Getenv("RGWFS"); named != "" {
		program, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("$RGWFS: %w", err)
		}
		return filepath.Abs(program)
	}
	candidates := []string{filepath.Join("bin", "rgwfs")}
	if self, err := os.Executable(); err == nil {
		candidates = append([]string{filepath.Join(filepath.Dir(self), "rgwfs")}, candidates...)
	}
	for _, candidate := range candidates {
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return filepath.Abs(candidate)
		}
	}
	return "", errors.New("no rgwfs program beside this one or in bin/: run `make build`, or name it by RGWFS=")
}

// findScript returns scripts/rgw-up.sh of the source tree that this program
// was built in (bin/rgwfs-demo), else of the working directory.
func findScript() (string, error) {
	name := filepath.Join("scripts", "rgw-up.sh")
	candidates := []string{name}
	if self, err := os.Executable(); err == nil {
		candidates = append([]string{filepath.Join(filepath.Dir(self), "..", name)}, candidates...)
	}
	for _, candidate := range candidates {
		if _, err := os.Stat(candidate); err == nil {
			return filepath.Abs(candidate)
		}
	}
	return "", errors.New("no scripts/rgw-up.sh: run this in the source tree")
}

// checkFuse says what to install where FUSE is missing.
func checkFuse() error {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return errors.New("/dev/fuse is missing: run `modprobe fuse` as root; in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN")
	}
	if _, err := exec.LookPath("fusermount3"); err != nil {
		return errors.New("fusermount3 is missing: install it by `apt install fuse3` (or `dnf install fuse3`)")
	}
	return nil
}
