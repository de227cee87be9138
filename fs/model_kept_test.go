package fs_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	rdwr  = unix.O_RDWR
	creat = unix.O_RDWR | unix.O_CREAT
)

// TestModelKept runs sequences that once failed, each by its mechanism.
func TestModelKept(t *testing.T) {
	for name, list := range map[string][]step{
		// A new file that is renamed before it was ever stored leaves the
		// target's object on the server until its own commit. Who then removes
		// or renames it must not let that object show again.
		"removed after it took the name of an object": {
			{Op: "pwrite", Path: "b", Flags: creat, Mode: 0o644, Len: 10, Seed: 1}, {Op: "close"},
			{Op: "pwrite", Path: "a", Flags: creat, Mode: 0o644, Len: 20, Seed: 2},
			{Op: "rename", Path: "a", To: "b", Check: true}, {Op: "unlink", Path: "b", Check: true},
			{Op: "close"}, {Op: "remount", Check: true},
		},
		"renamed on after it took the name of an object": {
			{Op: "pwrite", Path: "b", Flags: creat, Mode: 0o644, Len: 10, Seed: 1}, {Op: "close"},
			{Op: "pwrite", Path: "a", Flags: creat, Mode: 0o644, Len: 20, Seed: 2},
			{Op: "rename", Path: "a", To: "b", Check: true}, {Op: "rename", Path: "b", To: "a", Check: true},
			{Op: "close"}, {Op: "remount", Check: true},
		},
		"its directory removed after it took the name of an object": {
			{Op: "mkdir", Path: "d", Mode: 0o755},
			{Op: "pwrite", Path: "d/b", Flags: creat, Mode: 0o644, Len: 10, Seed: 1}, {Op: "close"},
			{Op: "pwrite", Path: "d/a", Flags: creat, Mode: 0o644, Len: 20, Seed: 2},
			{Op: "rename", Path: "d/a", To: "d/b", Check: true}, {Op: "unlink", Path: "d/b", Check: true},
			{Op: "rmdir", Path: "d", Check: true}, {Op: "close"}, {Op: "remount", Check: true},
		},
		// A copy of a multipart object has another ETag on some servers; what
		// is read through the changes of an open file must follow.
		"renamed while changed in place": {
			{Op: "pwrite", Path: "a", Flags: creat, Mode: 0o644, Len: 3 * memPart, Seed: 1}, {Op: "close"},
			{Op: "pwrite", Path: "a", Flags: rdwr, Off: memPart, Len: 10, Seed: 2}, {Op: "rename", Path: "a", To: "b", Check: true},
			{Op: "pwrite", Off: 10, Len: 5, Seed: 3}, {Op: "pread", Off: 2 * memPart, Len: 100}, {Op: "fsync", Check: true},
			{Op: "chmod", Path: "b", Mode: 0o700, Check: true}, {Op: "pwrite", Off: 20, Len: 5, Seed: 3}, {Op: "fsync", Check: true},
		},
		"its directory renamed while changed in place": {
			{Op: "mkdir", Path: "d", Mode: 0o755},
			{Op: "pwrite", Path: "d/a", Flags: creat, Mode: 0o644, Len: 3 * memPart, Seed: 1}, {Op: "close"},
			{Op: "pwrite", Path: "d/a", Flags: rdwr, Off: memPart, Len: 10, Seed: 2}, {Op: "rename", Path: "d", To: "e", Check: true},
			{Op: "pwrite", Off: 10, Len: 5, Seed: 3}, {Op: "pread", Off: 2 * memPart, Len: 100}, {Op: "fsync", Check: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModel(t, t, newSmallMem(), smallParts(memPart, time.Minute), t.TempDir())
			defer m.release()
			m.run(list)
		})
	}
}
