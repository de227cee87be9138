package fs_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// steps returns how many steps a random test makes, about: RGWFS_TEST_STEPS, or
// what fits CI.
func steps(t *testing.T, usual int) int {
	s := os.Getenv("RGWFS_TEST_STEPS")
	if s == "" {
		return usual
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("RGWFS_TEST_STEPS=%s is no number of steps", s)
	}
	return n
}

// paths are the names of a model run: few, so that they meet.
var paths = []string{"a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "e", "e/a"}

// targets are those of symlinks.
var targets = []string{"a", "b", "d", "../a", "absent"}

// generator draws steps for files whose parts have the given size.
func generator(part int64, client bool) *rapid.Generator[step] {
	ops := []string{
		"nop", // what a step becomes that a failure does not need
		"open", "open", "open", "open", "open", "close", "close", "pwrite", "pwrite", "pwrite", "write", "write",
		"pread", "pread", "ftruncate", "ftruncate", "fsync", "truncate", "rename", "rename", "rename", "unlink", "unlink",
		"mkdir", "mkdir", "rmdir", "symlink", "readlink", "chmod", "utimens", "stat", "readdir", "read", "remount",
	}
	if client {
		ops = append(ops, "put", "put", "delete")
	}
	sizes := []int64{0, 1, 4095, 4096, 4097, part - 1, part, part + 1, 2*part - 1, 2 * part, 2*part + 1, 3*part + 100}
	size := rapid.OneOf(rapid.SampledFrom(sizes), rapid.Int64Range(0, 4*part))
	path := rapid.SampledFrom(paths)
	mode := rapid.SampledFrom([]uint32{0o600, 0o644, 0o750, 0o777})
	open := rapid.Custom(func(t *rapid.T) int {
		flags := rapid.SampledFrom([]int{unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR, unix.O_RDWR, unix.O_RDWR | unix.O_CREAT, unix.O_RDWR | unix.O_CREAT}).Draw(t, "access")
		for _, f := range []int{unix.O_CREAT, unix.O_TRUNC, unix.O_APPEND, unix.O_EXCL} {
			if rapid.IntRange(0, 2).Draw(t, "flag") == 1 {
				flags |= f
			}
		}
		if flags&unix.O_CREAT == 0 {
			flags &^= unix.O_EXCL // says nothing then
		}
		return flags
	})
	return rapid.Custom(func(t *rapid.T) step {
		st := step{Op: rapid.SampledFrom(ops).Draw(t, "op")}
		st.Check = rapid.IntRange(0, 3).Draw(t, "check") == 1
		switch st.Op {
		case "open", "close", "pwrite", "write", "pread", "ftruncate", "fsync":
			st.Slot = rapid.IntRange(0, slots-1).Draw(t, "slot")
		}
		st.Path = path.Draw(t, "path")
		switch st.Op {
		case "open", "pwrite", "write", "pread", "ftruncate", "fsync":
			st.Flags, st.Mode = open.Draw(t, "flags"), mode.Draw(t, "mode")
		}
		switch st.Op {
		case "pwrite", "pread":
			st.Off, st.Len = size.Draw(t, "off"), size.Draw(t, "len")
		case "ftruncate", "truncate", "write", "put":
			st.Len = size.Draw(t, "len")
		case "rename":
			st.To = path.Draw(t, "to")
			if rapid.IntRange(0, 4).Draw(t, "noreplace") == 1 {
				st.Flags = unix.RENAME_NOREPLACE
			}
		case "symlink":
			st.To = rapid.SampledFrom(targets).Draw(t, "to")
		case "mkdir", "chmod", "utimens":
			st.Mode = mode.Draw(t, "mode")
		case "remount", "close":
			st.Path = ""
		}
		switch st.Op {
		case "pwrite", "write", "put", "utimens":
			st.Seed = rapid.Byte().Draw(t, "seed")
		}
		return st
	})
}

// rapidTB is a testing.TB for one try of rapid's: what fails in it fails the
// try, which is then made smaller, and what it needs ends with the try.
type rapidTB struct {
	testing.TB
	r *rapid.T
}

func (t rapidTB) Errorf(format string, args ...any) { t.r.Errorf(format, args...) }
func (t rapidTB) Error(args ...any)                 { t.r.Error(args...) }
func (t rapidTB) Fatalf(format string, args ...any) { t.r.Fatalf(format, args...) }
func (t rapidTB) Fatal(args ...any)                 { t.r.Fatal(args...) }
func (t rapidTB) Logf(format string, args ...any)   { t.r.Logf(format, args...) }
func (t rapidTB) Log(args ...any)                   { t.r.Log(args...) }
func (t rapidTB) Failed() bool                      { return t.r.Failed() }
func (t rapidTB) Cleanup(f func())                  { t.r.Cleanup(f) }

func (t rapidTB) TempDir() string {
	dir, err := os.MkdirTemp("", "rgwfs-model-")
	if err != nil {
		t.r.Fatalf("%v", err)
	}
	t.r.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// perTry is how many steps one try makes on average.
const perTry = 30

// runModel makes about n random steps, a mount for each perTry of them.
func runModel(t *testing.T, n int, part int64, open func() s3backend.Store) {
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	if err := checks.Value.Set(fmt.Sprint(max(n/perTry, 1))); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := checks.Value.Set(before); err != nil {
			t.Error(err)
		}
	}()
	rapid.Check(t, func(r *rapid.T) {
		client := rapid.Bool().Draw(r, "client")
		list := rapid.SliceOfN(generator(part, client), perTry/2, 2*perTry).Draw(r, "steps")
		if rapid.Bool().Draw(r, "populated") {
			list = append(slices.Clone(populate), list...)
		}
		ttl := time.Minute
		if client {
			ttl = 0
		}
		tb := rapidTB{t, r}
		m := newModel(tb, r, open(), smallParts(part, ttl), tb.TempDir())
		m.client = client
		defer m.release()
		list = slices.DeleteFunc(list, func(st step) bool { return st.Op == "nop" })
		for _, st := range list {
			r.Logf("%v,", st)
		}
		m.run(list)
	})
}

const memPart = 64 << 10

// newSmallMem is a bucket in memory that takes small parts.
func newSmallMem() *s3test.Mem {
	mem := s3test.NewMem("bucket")
	limits := s3test.DefaultLimits()
	limits.MinPartSize, limits.PageSize = memPart, 3
	mem.SetLimits(limits)
	return mem
}

func TestModelOnMem(t *testing.T) {
	runModel(t, steps(t, 4000), memPart, func() s3backend.Store { return newSmallMem() })
}

func TestModelOnRGW(t *testing.T) {
	buckets := rgwBuckets(t)
	runModel(t, steps(t, 400), s3backend.MinPartSize, func() s3backend.Store { return buckets(t) })
}
