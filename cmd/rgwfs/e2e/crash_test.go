package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"rgwfs/s3backend/s3test"
)

// saver writes, renames and removes files of its own, and knows what was
// acknowledged.
type saver struct {
	names         []string
	rand          *rand.Rand
	before, after map[string]string // what must be there without, and with, the operation under way
}

// round does one thing; it fails when rgwfs is gone.
func (w *saver) round(m *mount) error {
	name, other := w.names[w.rand.IntN(2)], w.names[2]
	w.after = maps.Clone(w.before)
	switch w.rand.IntN(8) {
	case 0:
		if _, there := w.before[name]; !there {
			return nil
		}
		delete(w.after, name)
		if err := os.Remove(m.path(name)); err != nil {
			return err
		}
	case 1:
		data, there := w.before[name]
		if !there {
			return nil
		}
		delete(w.after, name)
		w.after[other] = data
		if err := os.Rename(m.path(name), m.path(other)); err != nil {
			return err
		}
	default:
		size := w.rand.IntN(100_000)
		if w.rand.IntN(3) == 0 {
			size = 5*mib + w.rand.IntN(12*mib)
		}
		data := bytes.Repeat(fmt.Appendf(nil, "%s %d;", name, w.rand.Uint64()), size/20+1)
		w.after[name] = string(data)
		f, err := os.Create(m.path(name))
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		if err == nil && w.rand.IntN(2) == 0 {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	w.before = w.after // acknowledged
	return nil
}

// check verifies what the server has, and goes on from that.
func (w *saver) check(t *testing.T, s *server, keys []string) {
	t.Helper()
	got := map[string]string{}
	for _, name := range w.names {
		if slices.Contains(keys, name) {
			got[name] = string(s.get(t, name))
		}
	}
	for _, name := range w.names {
		data, there := got[name]
		old, was := w.before[name]
		will, becomes := w.after[name]
		if (there != was || data != old) && (there != becomes || data != will) {
			t.Errorf("%s has %d bytes (there: %v), neither the %d acknowledged (%v) nor the %d under way (%v)",
				name, len(data), there, len(old), was, len(will), becomes)
		}
	}
	for _, data := range w.after {
		if slices.Contains(slices.Collect(maps.Values(w.before)), data) && !slices.Contains(slices.Collect(maps.Values(got)), data) {
			t.Errorf("a file of %d bytes is lost under both names", len(data))
		}
	}
	w.before, w.after = got, got
}

// endOfMount reports whether err is what the kernel answers when a file system
// has lost its process. It may be EIO too: the kernel has given the inode up.
func endOfMount(err error, killed bool) bool {
	return errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNABORTED) || killed && errors.Is(err, syscall.EIO)
}

// TestKilledAtAnyMoment kills rgwfs again and again while files are written,
// synced, renamed and removed: what was acknowledged is there, whole, and what
// was under way is done or not. RGWFS_TEST_ROUNDS sets how often.
func TestKilledAtAnyMoment(t *testing.T) {
	rounds := 20
	if text := os.Getenv("RGWFS_TEST_ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		rounds = n
	}
	s := newServer(t, s3test.RGW(t))
	s.put(t, "bystander", []byte("untouched"))
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var savers []*saver
	for i := range 3 {
		w := &saver{rand: rand.New(rand.NewPCG(seed, uint64(i))), before: map[string]string{}, after: map[string]string{}}
		for _, name := range []string{"a", "b", "c"} {
			w.names = append(w.names, fmt.Sprintf("%d%s", i, name))
		}
		savers = append(savers, w)
	}
	r := rand.New(rand.NewPCG(seed, 99))
	dir := newMountpoint(t)
	acknowledged := 0
	for range rounds {
		m := newMountAt(t, s, dir, "--part-size", "5M")
		var done atomic.Int64
		var killed atomic.Bool
		enough := make(chan struct{})
		limit := 1 + r.Int64N(20)
		var wg sync.WaitGroup
		for _, w := range savers {
			wg.Go(func() {
				for {
					if err := w.round(m); err != nil {
						if !endOfMount(err, killed.Load()) {
							t.Errorf("while rgwfs is killed: %v", err)
						}
						return
					}
					if done.Add(1) == limit {
						close(enough)
					}
				}
			})
		}
		<-enough // somebody has just gone on, the others are anywhere
		killed.Store(true)
		m.kill()
		wg.Wait()
		acknowledged += int(done.Load())
		run(t, "/", "fusermount3", "-u", dir)
		keys := s.keys(t)
		for _, w := range savers {
			w.check(t, s, keys)
		}
		s.wantObject(t, "bystander", []byte("untouched"))
		abortUploads(t, s)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d operations were acknowledged", acknowledged)
}
