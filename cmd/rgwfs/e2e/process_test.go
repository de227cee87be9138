package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// processesOf returns the processes that run this very file.
func processesOf(t *testing.T, file string) []int {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, link := range links {
		// Those of others can't be read, and some end meanwhile.
		if target, err := os.Readlink(link); err == nil && target == file {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link)))
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// waitGone waits for the end of a process that is no child of ours.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		if target, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe")); err != nil || target != program {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("rgwfs %d does not end", pid)
		}
	}
}
