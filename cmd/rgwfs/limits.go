package main

import (
	"fmt"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// runtimeAllowance is what the Go heap may have beyond --memory-limit, in
// bytes: connections' buffers, goroutines' stacks, inodes. With it and the
// program's own text and data the whole process stays below the limit plus
// 64 MiB.
const runtimeAllowance = 40 << 20

// limitMemory makes the garbage collector work harder before the heap would
// pass the limit that the user gave. Data blocks lie off the heap and the
// runtime does not see them, so this is a bound for the heap alone; what keeps
// the sum is the cache's own budget. A GOMEMLIMIT of the user's goes before.
func limitMemory(inv *invocation, limit int64) {
	if inv.getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit + runtimeAllowance)
	}
}

// enoughFiles is how many descriptors a mount can need: connections, staging
// files of files being written, FUSE's own.
const enoughFiles = 16384

// raiseFileLimit lifts the soft limit on open files towards the hard one. The
// Go runtime has done so already at the start; where it could not, or where
// the hard limit is low, the user is told what may fail. It returns a warning
// or "".
func raiseFileLimit() (string, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return "", fmt.Errorf("getrlimit: %w", err)
	}
	if limit.Cur < limit.Max && limit.Cur < enoughFiles {
		limit.Cur = min(limit.Max, enoughFiles)
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return "", fmt.Errorf("setrlimit: %w", err)
		}
	}
	const few = 1024
	if limit.Cur < few {
		return fmt.Sprintf("only %d files may be open at once: raise the hard limit by `ulimit -Hn %d`", limit.Cur, enoughFiles), nil
	}
	return "", nil
}

// forbidCore keeps the process out of core dumps, which would hold keys,
// passwords and users' data. systemd-coredump heeds this limit too.
func forbidCore() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return fmt.Errorf("getrlimit: %w", err)
	}
	limit.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &limit); err != nil {
		return fmt.Errorf("setrlimit: %w", err)
	}
	return nil
}
