package fs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rgwfs/fs/fstest"
	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// exerciser reads and changes one file in every way, as Apple's fsx does, and
// knows what must be in it.
type exerciser struct {
	t     *testing.T
	store s3backend.Store
	part  int64
	rand  *rand.Rand
	m     *fstest.FS
	f     *os.File
	data  []byte
	log   []string // what was done since the last remount
}

func (x *exerciser) fatal(format string, args ...any) {
	x.t.Helper()
	x.t.Fatalf("%s, after %q", fmt.Sprintf(format, args...), x.log)
}

func (x *exerciser) check(what string, err error) {
	x.t.Helper()
	if err != nil {
		x.fatal("%s: %v", what, err)
	}
}

func (x *exerciser) mount() {
	x.m = fstest.Mount(x.t, x.store, smallParts(x.part, time.Minute))
	x.log = nil
	x.open()
}

func (x *exerciser) open() {
	f, err := os.OpenFile(x.m.Path("f"), os.O_RDWR|os.O_CREATE, 0o644)
	x.check("open", err)
	x.f = f
}

// offset is anywhere, or near the boundary of a part.
func (x *exerciser) offset(limit int64) int64 {
	if limit <= 0 {
		return 0
	}
	off := x.rand.Int64N(limit + 1)
	if x.rand.IntN(2) == 0 {
		off = off/x.part*x.part + x.rand.Int64N(9) - 4
	}
	return min(max(off, 0), limit)
}

func (x *exerciser) resize(size int64) {
	if size > int64(len(x.data)) {
		x.data = append(x.data, make([]byte, size-int64(len(x.data)))...)
	}
	x.data = x.data[:size]
}

// step does one thing.
func (x *exerciser) step() {
	const parts = 4
	size := int64(len(x.data))
	off := x.offset(parts * x.part)
	length := x.rand.Int64N(x.part + x.part/2)
	note := func(format string, args ...any) { x.log = append(x.log, fmt.Sprintf(format, args...)) }
	switch x.rand.IntN(12) {
	case 0, 1, 2:
		b := content(byte(x.rand.Uint32()), length)
		note("pwrite %d at %d", length, off)
		_, err := x.f.WriteAt(b, off)
		x.check("pwrite", err)
		if length > 0 {
			x.resize(max(size, off+length))
			copy(x.data[off:], b)
		}
	case 3, 4:
		note("pread %d at %d", length, off)
		b := make([]byte, length)
		n, err := x.f.ReadAt(b, off)
		if err != io.EOF {
			x.check("pread", err)
		}
		x.compare("pread", b[:n], x.data[min(off, size):min(off+length, size)], off)
	case 5:
		note("truncate to %d", off)
		x.check("truncate", x.f.Truncate(off))
		x.resize(off)
	case 6:
		off = x.offset(size-1) / int64(os.Getpagesize()) * int64(os.Getpagesize())
		length = min(length, size-off)
		if length == 0 {
			return
		}
		write := x.rand.IntN(2) == 0
		note("mmap %d at %d, write %v", length, off, write)
		x.mapped(off, length, write)
	case 7:
		note("fsync")
		x.check("fsync", x.f.Sync())
		x.stored("fsync")
	case 8:
		note("stat")
		info, err := x.f.Stat()
		x.check("stat", err)
		if info.Size() != size {
			x.fatal("size %d, want %d", info.Size(), size)
		}
	case 9:
		note("append %d", length)
		f, err := os.OpenFile(x.m.Path("f"), os.O_WRONLY|os.O_APPEND, 0)
		x.check("open to append", err)
		b := content(byte(x.rand.Uint32()), length)
		_, err = f.Write(b)
		x.check("append", errors.Join(err, f.Close()))
		x.data = append(x.data, b...)
		if int64(len(x.data)) > 2*parts*x.part {
			x.check("truncate", x.f.Truncate(off))
			x.resize(off)
		}
	case 10:
		note("close, open")
		x.check("close", x.f.Close())
		x.stored("close")
		x.open()
	case 11:
		if x.rand.IntN(3) > 0 {
			return
		}
		x.check("close", x.f.Close())
		x.m.Unmount()
		x.stored("unmount")
		x.mount()
	}
}

func (x *exerciser) mapped(off, length int64, write bool) {
	from, seed, sync := length, byte(0), false
	if write {
		from, seed, sync = x.rand.Int64N(length), byte(x.rand.Uint32()), x.rand.IntN(2) == 0
	}
	// A page fault stops a thread where the Go runtime can't know of it, and a
	// file system in the same process may wait for that thread: so another
	// process maps the file. It opens it itself: to hand over a descriptor, the
	// child may have to close another one of this mount before it is a process of
	// its own, which stops the runtime too.
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestMapped$")
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", fmt.Sprintf("%s=%d %d %d %d %t %s", mappedEnv, off, length, from, seed, sync, x.m.Path("f")))
	cmd.Dir = "/"
	got, err := cmd.Output()
	x.check("mmap", err)
	got = got[:max(0, bytes.LastIndex(got, []byte(mappedEnd)))]
	x.compare("mmap", got, x.data[off:off+length], off)
	copy(x.data[off+from:off+length], content(seed, length-from))
}

const (
	mappedEnv = "RGWFS_TEST_MAPPED"
	mappedEnd = "\nend of the mapping\n"
)

// TestMapped is what the exerciser has a child process do: it maps a part of
// the file, prints it, and changes its end.
func TestMapped(t *testing.T) {
	task := os.Getenv(mappedEnv)
	if task == "" {
		t.Skip("is for the exerciser")
	}
	var off, length, from int64
	var seed byte
	var sync bool
	var path string
	_, err := fmt.Sscan(task, &off, &length, &from, &seed, &sync, &path)
	check(t, err)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	check(t, err)
	b, err := unix.Mmap(int(f.Fd()), off, int(length), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	check(t, err)
	_, err = os.Stdout.Write(append(bytes.Clone(b), mappedEnd...))
	check(t, err)
	copy(b[from:], content(seed, length-from))
	if sync {
		check(t, unix.Msync(b, unix.MS_SYNC))
	}
	check(t, unix.Munmap(b))
	check(t, f.Close())
}

func (x *exerciser) compare(what string, got, want []byte, off int64) {
	x.t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	x.fatal("%s at %d: %d bytes, want %d; the first that differs is %d", what, off, len(got), len(want), off+int64(at))
}

// stored verifies that the server has everything.
func (x *exerciser) stored(when string) {
	x.t.Helper()
	_, body, err := x.store.Get(context.Background(), s3backend.GetRequest{Key: "f", Length: -1})
	x.check(when, err)
	got, err := io.ReadAll(body)
	x.check(when, errors.Join(err, body.Close()))
	x.compare("the object after "+when, got, x.data, 0)
}

func exercise(t *testing.T, store s3backend.Store, part int64, n int) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	x := &exerciser{t: t, store: store, part: part, rand: rand.New(rand.NewPCG(seed, 0))}
	x.mount()
	defer func() {
		_ = x.f.Close() // of a failure; else it is closed already
	}()
	for range n {
		x.step()
	}
	x.check("close", x.f.Close())
	x.m.Unmount()
	x.stored("unmount")
	uploads, err := store.ListMultiparts(context.Background(), "")
	if err != nil || len(uploads) > 0 {
		t.Errorf("uploads left: %v, %v", uploads, err)
	}
}

func TestExerciserOnMem(t *testing.T) { exercise(t, newSmallMem(), memPart, steps(t, 800)) }

// TestExerciserOnRGW has parts of 5 MiB, the smallest that RGW takes.
func TestExerciserOnRGW(t *testing.T) {
	rgw := s3test.RGW(t)
	for name, endpoint := range map[string]string{"http": rgw.HTTP, "https": rgw.HTTPS} {
		t.Run(name, func(t *testing.T) {
			cfg := s3backend.DefaultConfig()
			cfg.Endpoint, cfg.CAFile = endpoint, rgw.CAFile
			cfg.AccessKey, cfg.SecretKey = s3backend.Secret(rgw.AccessKey), s3backend.Secret(rgw.SecretKey)
			client, err := s3backend.New(t.Context(), cfg)
			check(t, err)
			t.Cleanup(client.Close)
			exercise(t, client.Bucket(rgw.NewBucket()), s3backend.MinPartSize, steps(t, 40))
		})
	}
}
