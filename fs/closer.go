package fs

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// users are the processes that use a handle: the one that opened it and those
// that wrote to it. The kernel sends FLUSH for the end of every descriptor of
// the handle, also of a copy that a child lost by exec(2) and of the one that a
// shell leaves after dup2(2). Such an end is not that of the file.
type users struct {
	mu      sync.Mutex
	threads []uint32 // noted last, at most maxThreads; guarded by mu
	pids    []uint32 // processes; guarded by mu
	unknown bool     // there is one that can't be told; guarded by mu
}

// maxThreads is how many threads of a writer are remembered, so that /proc is
// read once for each and not for each write.
const maxThreads = 16

// note records the caller of an operation.
func (u *users) note(ctx context.Context) {
	thread := callerOf(ctx)
	u.mu.Lock()
	defer u.mu.Unlock()
	if slices.Contains(u.threads, thread) {
		return
	}
	if len(u.threads) == maxThreads {
		u.threads = u.threads[:0]
	}
	u.threads = append(u.threads, thread)
	pid, ok := processOf(thread)
	switch {
	case !ok:
		u.unknown = true
	case !slices.Contains(u.pids, pid):
		u.pids = append(u.pids, pid)
	}
}

// strange reports whether the caller is certainly none of the users.
func (u *users) strange(ctx context.Context) bool {
	pid, ok := processOf(callerOf(ctx))
	u.mu.Lock()
	defer u.mu.Unlock()
	return ok && !u.unknown && !slices.Contains(u.pids, pid)
}

// callerOf returns the thread that makes a request, 0 if it is not known (of
// another PID namespace, or the kernel itself).
func callerOf(ctx context.Context) uint32 {
	if c, ok := fuse.FromContext(ctx); ok {
		return c.Pid
	}
	return 0
}

// processOf returns the process of a thread. It is false if that can't be
// found out: with /proc mounted hidepid, or for a thread that is gone.
func processOf(thread uint32) (uint32, bool) {
	if thread == 0 {
		return 0, false
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", thread))
	if err != nil {
		return 0, false
	}
	pid, ok := field(status, "Tgid:")
	return uint32(pid), ok
}

// holds reports whether the process of the caller certainly has another
// descriptor of the inode. The one that is being closed is not in its table any
// more. Nothing here asks the mount itself: links of /proc name a file without
// looking it up.
func holds(ctx context.Context, ino uint64) bool {
	pid, ok := processOf(callerOf(ctx))
	if !ok {
		return false
	}
	dir := fmt.Sprintf("/proc/%d/fdinfo", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		info, err := os.ReadFile(dir + "/" + e.Name())
		if err != nil {
			continue // closed meanwhile
		}
		// Inode numbers are hashes of 64 bits: no other file system's is the
		// same by chance. (In fdinfo since Linux 5.14.)
		if n, ok := field(info, "ino:"); ok && n == ino {
			return true
		}
	}
	return false
}

// field returns the number behind a name in a file of /proc.
func field(text []byte, name string) (uint64, bool) {
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), name); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(rest), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
