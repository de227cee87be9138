package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rgwfs/s3backend/s3test"
)

const mib = 1 << 20

// generations are two contents of one object. Neither has, anywhere, a byte in
// common with the other at the same place, so that every byte read tells which
// one it is of.
type generations struct{ old, new []byte }

func newGenerations(t *testing.T, oldSize, newSize int) generations {
	t.Helper()
	g := generations{content(t, 1, oldSize), make([]byte, newSize)}
	other := content(t, 2, newSize)
	copy(g.new, other)
	for i := range min(oldSize, newSize) {
		if g.new[i] == g.old[i] {
			g.new[i] ^= 0xff
		}
	}
	return g
}

// isOld says whether p, which was read at off, is of the old generation.
func (g generations) isOld(p []byte, off int) bool {
	return off+len(p) <= len(g.old) && bytes.Equal(p, g.old[off:off+len(p)])
}

func (g generations) isNew(p []byte, off int) bool {
	return off+len(p) <= len(g.new) && bytes.Equal(p, g.new[off:off+len(p)])
}

// step is the most that a reader asks for at once.
const step = 128 << 10

// readOld reads [from, to) of a file of which something was read before it was
// replaced. It must be the old bytes, until ESTALE comes.
func (g generations) readOld(t *testing.T, f *os.File, from, to int) {
	t.Helper()
	buf := make([]byte, step)
	for off := from; off < to; {
		n, err := f.ReadAt(buf[:min(step, to-off)], int64(off))
		if !g.isOld(buf[:n], off) {
			t.Errorf("%d bytes at %d are not the old ones; all new: %v", n, off, g.isNew(buf[:n], off))
			return
		}
		off += n
		if errors.Is(err, syscall.ESTALE) {
			return
		}
		if err != nil && !(errors.Is(err, io.EOF) && off == to) {
			t.Errorf("reading at %d: %v", off, err)
			return
		}
	}
}

// replacements are sizes before and after, in bytes. The first is one request,
// the last has several windows of the prefetcher.
var replacements = []struct{ old, new int }{
	{3 * mib, 3 * mib},
	{10*mib + 77, 3 * mib},
	{10 * mib, 14*mib + 1},
	{40*mib + 4097, 40*mib + 4097},
}

// A reader in the middle of a file that is replaced on the server gets old
// bytes, or ESTALE: never a mixture.
func TestReplacedWhileRead(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	m := newMount(t, s)
	for _, size := range replacements {
		g := newGenerations(t, size.old, size.new)
		for _, at := range []int{1, step, size.old / 3, size.old - 1} {
			name := fmt.Sprintf("%d-%d-%d", size.old, size.new, at)
			t.Run(name, func(t *testing.T) {
				s.put(t, name, g.old)
				f, err := os.Open(m.path(name))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				g.readOld(t, f, 0, at)
				s.put(t, name, g.new)
				g.readOld(t, f, at, size.old)
				// Also what the kernel may have remembered.
				g.readOld(t, f, 0, size.old)
				if err := s.store.Delete(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
	m.unmount()
}

// The same with reads here and there.
func TestReplacedWhileReadAtRandom(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	m := newMount(t, s)
	for _, size := range replacements {
		g := newGenerations(t, size.old, size.new)
		name := fmt.Sprintf("%d-%d", size.old, size.new)
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(size.old), uint64(size.new)))
			s.put(t, name, g.old)
			f, err := os.Open(m.path(name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for i := range 60 {
				if i == 20 {
					s.put(t, name, g.new)
				}
				from := random.IntN(size.old)
				g.readOld(t, f, from, min(from+1+random.IntN(step), size.old))
			}
			if err := s.store.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		})
	}
	m.unmount()
}

// A file that was opened and not read when it is replaced is read as the new
// one, or as the old one: whole.
func TestReplacedBeforeRead(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	m := newMount(t, s)
	for _, size := range replacements {
		g := newGenerations(t, size.old, size.new)
		name := fmt.Sprintf("%d-%d", size.old, size.new)
		t.Run(name, func(t *testing.T) {
			s.put(t, name, g.old)
			f, err := os.Open(m.path(name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s.put(t, name, g.new)
			got, err := io.ReadAll(f)
			switch {
			case errors.Is(err, syscall.ESTALE):
				if !g.isNew(got, 0) && !g.isOld(got, 0) {
					t.Errorf("ESTALE after %d bytes that are of neither generation", len(got))
				}
			case err != nil:
				t.Error(err)
			case !bytes.Equal(got, g.new) && !bytes.Equal(got, g.old):
				t.Errorf("%d bytes were read, which are of neither generation as a whole", len(got))
			}
			if err := s.store.Delete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		})
	}
	m.unmount()
}

// Mapped pages are the old ones, too, or there is none (SIGBUS).
func TestReplacedWhileMapped(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	m := newMount(t, s)
	g := newGenerations(t, 10*mib, 10*mib)
	s.put(t, "mapped", g.old)
	f, err := os.Open(m.path("mapped"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := unix.Mmap(int(f.Fd()), 0, len(g.old), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(data); err != nil {
			t.Error(err)
		}
	}()
	page := os.Getpagesize()
	const stride = 16 // pages; each fault is answered by the server
	if !g.isOld(data[:page], 0) {
		t.Fatal("the first page is not that of the object")
	}
	s.put(t, "mapped", g.new)
	faults := 0
	copied := make([]byte, page)
	for off := 0; off < len(g.old); off += stride * page {
		if !copyMapped(copied, data[off:off+page]) {
			faults++
		} else if !g.isOld(copied, off) {
			t.Fatalf("the page at %d is not the old one; the new one: %v", off, g.isNew(copied, off))
		}
	}
	t.Logf("%d of %d pages could not be read any more", faults, len(g.old)/page/stride)
}

// copyMapped copies mapped memory and says whether it could be read.
func copyMapped(to, from []byte) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			if _, isFault := fault.(interface{ Addr() uintptr }); !isFault {
				panic(fault)
			}
			ok = false
		}
	}()
	copy(to, from)
	return true
}

// What others do to an object is seen after the metadata's time to live.
func TestReplacedIsSeenAfterTTL(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	const ttl = time.Second
	m := newMount(t, s, "--metadata-ttl", ttl.String())
	for i, size := range replacements {
		g := newGenerations(t, size.old, size.new)
		name := fmt.Sprint("seen", i)
		s.put(t, name, g.old)
		if got, err := os.ReadFile(m.path(name)); err != nil || !bytes.Equal(got, g.old) {
			t.Errorf("%s: %d bytes that are not the object's, %v", name, len(got), err)
		}
		s.put(t, name, g.new)
		time.Sleep(ttl)
		if got, err := os.ReadFile(m.path(name)); err != nil || !bytes.Equal(got, g.new) {
			t.Errorf("%s: %d bytes that are not the new object's, %v", name, len(got), err)
		}
		if err := s.store.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	m.unmount()
}
