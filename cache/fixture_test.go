package cache

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// fixture is a Bucket over a bucket in memory, with small parts so that every
// boundary is near.
type fixture struct {
	*Bucket
	t   *testing.T
	mem *s3test.Mem
	ctx context.Context
}

const testPart = 64 << 10

// newFixture returns a Bucket over store, which by default is the Mem itself.
// At the end it must have let go of all memory and goroutines.
func newFixture(t *testing.T, rules ...s3test.Rule) (*fixture, *s3test.Faulty) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	mem := s3test.NewMem("bucket")
	limits := s3test.DefaultLimits()
	limits.MinPartSize = testPart
	mem.SetLimits(limits)
	faulty := s3test.Fault(mem, rules...)
	cfg := DefaultConfig()
	cfg.Dir = t.TempDir()
	cfg.Logger = slog.New(slog.DiscardHandler)
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.cfg.PartSize = testPart
	f := &fixture{Bucket: c.Bucket(faulty), t: t, mem: mem, ctx: context.Background()}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if n := c.mem.inUse(); n != 0 {
			t.Errorf("%d bytes of the budget are still taken", n)
		}
		if len(f.files) != 0 || len(f.dirty) != 0 || len(f.orphans) != 0 {
			t.Errorf("files left: %v, dirty %v, orphans %v", f.files, f.dirty, f.orphans)
		}
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		goleak.VerifyNone(t, before)
	})
	return f, faulty
}

// put stores an object as another client would.
func (f *fixture) put(key string, data []byte) {
	f.t.Helper()
	_, err := f.mem.Put(f.ctx, s3backend.PutRequest{Key: key, Body: bytes.NewReader(data), Size: int64(len(data))})
	if err != nil {
		f.t.Fatal(err)
	}
}

// object returns what the server has.
func (f *fixture) object(key string) []byte {
	f.t.Helper()
	_, body, err := f.mem.Get(f.ctx, s3backend.GetRequest{Key: key, Length: -1})
	if err != nil {
		f.t.Fatal(err)
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		f.t.Fatal(err)
	}
	return data
}

func (f *fixture) create(name string) *Handle {
	f.t.Helper()
	h, err := f.Create(f.ctx, "", name, nil, OpenFlags{Read: true, Write: true})
	if err != nil {
		f.t.Fatal(err)
	}
	return h
}

func (f *fixture) open(name string, flags OpenFlags) *Handle {
	f.t.Helper()
	if _, err := f.Lookup(f.ctx, "", name); err != nil {
		f.t.Fatal(err)
	}
	file := f.File(name)
	defer file.Release()
	h, err := file.Open(f.ctx, flags)
	if err != nil {
		f.t.Fatal(err)
	}
	return h
}

func (f *fixture) write(h *Handle, data []byte, off int64) {
	f.t.Helper()
	if n, err := h.WriteAt(f.ctx, data, off); err != nil || n != len(data) {
		f.t.Fatalf("write %d at %d: %d, %v", len(data), off, n, err)
	}
}

func (f *fixture) flush(h *Handle) {
	f.t.Helper()
	if err := h.Flush(f.ctx); err != nil {
		f.t.Fatal(err)
	}
}

// read returns what a handle sees.
func (f *fixture) read(h *Handle, off int64, n int) []byte {
	f.t.Helper()
	p := make([]byte, n)
	got, err := h.ReadAt(f.ctx, p, off)
	if err != nil {
		f.t.Fatalf("read %d at %d: %v", n, off, err)
	}
	return p[:got]
}

func wantKind(t *testing.T, err error, kind s3backend.Kind) {
	t.Helper()
	if err == nil || s3backend.KindOf(err) != kind {
		t.Fatalf("got %v, want %v", err, kind)
	}
}

func wantBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	t.Fatalf("%s: %d bytes, want %d; first difference at %d", what, len(got), len(want), at)
}

// noise returns n bytes that differ from place to place.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	p := make([]byte, n)
	rand.NewChaCha8(key).Read(p)
	return p
}
