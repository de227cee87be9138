package fs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rgwfs/fs/fstest"
)

// worker changes one file, in a directory that others rename under its feet,
// and knows what must be in it.
type worker struct {
	m      *fstest.FS
	name   string
	rand   *rand.Rand
	data   []byte
	exists bool
}

// open finds the file in whichever directory it is now.
func (w *worker) open(flags int) (*os.File, error) {
	for {
		for _, dir := range []string{"d0", "d1"} {
			f, err := os.OpenFile(w.m.Path(dir, w.name), flags, 0o644)
			if !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ESTALE) {
				return f, err
			}
		}
	}
}

// round opens the file, changes it at random and verifies it.
func (w *worker) round() (err error) {
	flags := os.O_RDWR
	if !w.exists {
		flags |= os.O_CREATE | os.O_EXCL
	}
	f, err := w.open(flags)
	if err != nil {
		return err
	}
	w.exists = true
	defer func() { err = errors.Join(err, f.Close()) }()
	for range 1 + w.rand.IntN(6) {
		switch off := w.rand.Int64N(3 * memPart); w.rand.IntN(6) {
		case 0, 1:
			b := content(byte(w.rand.Uint32()), w.rand.Int64N(2*memPart))
			if _, err := f.WriteAt(b, off); err != nil {
				return err
			}
			w.resize(max(int64(len(w.data)), off+int64(len(b))))
			copy(w.data[off:], b)
		case 2:
			if err := f.Truncate(off); err != nil {
				return err
			}
			w.resize(off)
		case 3:
			if err := f.Sync(); err != nil {
				return err
			}
		case 4:
			got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
			if err != nil {
				return err
			}
			if !bytes.Equal(got, w.data) {
				return fmt.Errorf("%s has %d bytes, or other ones than the %d that were written", f.Name(), len(got), len(w.data))
			}
		case 5:
			var st unix.Stat_t
			if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Size != int64(len(w.data)) {
				return fmt.Errorf("%s: size %d, not %d: %v", f.Name(), st.Size, len(w.data), err)
			}
		}
	}
	return nil
}

func (w *worker) resize(size int64) {
	if size > int64(len(w.data)) {
		w.data = append(w.data, make([]byte, size-int64(len(w.data)))...)
	}
	w.data = w.data[:size]
}

// tolerable are what a program may be told when others work on the same names.
func tolerable(err error) bool {
	for _, errno := range []syscall.Errno{0, syscall.ENOENT, syscall.EEXIST, syscall.ENOTEMPTY, syscall.EISDIR, syscall.ENOTDIR, syscall.EINVAL} {
		if err == nil || errors.Is(err, errno) && errno != 0 {
			return true
		}
	}
	return false
}

// TestStress works on a few names from many sides at once: writers whose
// directory is renamed, and makers, renamers and removers of shared names.
func TestStress(t *testing.T) {
	n := steps(t, 1500)
	mem := newSmallMem()
	opts := smallParts(memPart, time.Minute)
	m := fstest.Mount(t, mem, opts)
	check(t, os.Mkdir(m.Path("d0"), 0o755))
	check(t, os.Mkdir(m.Path("s"), 0o755))
	var busy atomic.Int32
	var wg, writers sync.WaitGroup
	var workers []*worker
	for i := range 3 {
		w := &worker{m: m, name: fmt.Sprint("w", i), rand: rand.New(rand.NewPCG(uint64(i), 1))}
		workers = append(workers, w)
		busy.Add(1)
		writers.Go(func() {
			defer busy.Add(-1)
			for range n / 30 {
				if err := w.round(); err != nil {
					t.Errorf("%s: %v", w.name, err)
					return
				}
			}
		})
	}
	wg.Go(func() { // the directory of the workers goes to and fro
		for busy.Load() > 0 {
			for _, way := range [][2]string{{"d0", "d1"}, {"d1", "d0"}} {
				if err := os.Rename(m.Path(way[0]), m.Path(way[1])); err != nil {
					t.Errorf("rename: %v", err)
					return
				}
			}
		}
	})
	for i := range 3 {
		r := rand.New(rand.NewPCG(uint64(i), 2))
		name := func() string {
			return m.Path("s", []string{"a", "b", "e", filepath.Join("e", "a"), filepath.Join("e", "b")}[r.IntN(5)])
		}
		busy.Add(1)
		writers.Go(func() {
			defer busy.Add(-1)
			for range n / 3 {
				if err := disturb(r, name); !tolerable(err) {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	wg.Wait()
	shown := map[string]string{}
	side := newSide(m.Path("s"))
	for path, text := range side.tree(nil) {
		if text[:3] == "100" {
			b, err := os.ReadFile(filepath.Join(side.root, path))
			check(t, err)
			shown["s/"+path] = string(b)
		}
	}
	for _, w := range workers {
		shown["d0/"+w.name] = string(w.data)
	}
	m.Unmount()
	got, _ := objectsOf(t, mem)
	for key := range shown {
		if data, there := got[key]; !there || data != shown[key] {
			t.Errorf("%s: the mount had %d bytes, the bucket has %d (%v), or other ones", key, len(shown[key]), len(data), there)
		}
	}
	for key := range got {
		if _, there := shown[key]; !there {
			t.Errorf("%s is in the bucket, and was not shown", key)
		}
	}
	uploads, err := mem.ListMultiparts(context.Background(), "")
	if err != nil || len(uploads) > 0 {
		t.Errorf("uploads left: %v, %v", uploads, err)
	}
}

// disturb does something with names that others use too.
func disturb(r *rand.Rand, name func() string) error {
	path := name()
	switch r.IntN(9) {
	case 0, 1:
		f, err := os.OpenFile(path, []int{os.O_RDWR | os.O_CREATE, os.O_WRONLY | os.O_CREATE | os.O_TRUNC, os.O_WRONLY | os.O_APPEND}[r.IntN(3)], 0o644)
		if err != nil {
			return err
		}
		_, err = f.Write(content(7, r.Int64N(3*memPart)))
		return errors.Join(err, f.Close())
	case 2:
		_, err := os.ReadFile(path)
		return err
	case 3:
		return unix.Rename(path, name())
	case 4:
		return unix.Unlink(path)
	case 5:
		return unix.Mkdir(path, 0o755)
	case 6:
		return unix.Rmdir(path)
	case 7:
		return os.Truncate(path, r.Int64N(3*memPart))
	default:
		_, err := os.ReadDir(path)
		return err
	}
}
