package cache

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// fakeOverlay is local state that a test sets.
type fakeOverlay struct {
	mu     sync.Mutex
	files  map[string]Attr // guarded by mu
	hidden map[string]bool // guarded by mu
}

func (o *fakeOverlay) local(key string) (Attr, bool, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a, ok := o.files[key]
	return a, ok, o.hidden[key]
}

func (o *fakeOverlay) localIn(dir string) []Attr {
	o.mu.Lock()
	defer o.mu.Unlock()
	var in []Attr
	for key, a := range o.files {
		if d, _ := splitKey(key); d == dir {
			in = append(in, a)
		}
	}
	return in
}

func (o *fakeOverlay) write(key string, size int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files[key] = Attr{Key: key, Size: size, Metadata: map[string]string{}}
}

func (o *fakeOverlay) hide(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.files, key)
	o.hidden[key] = true
}

func (o *fakeOverlay) letGo(key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.files, key)
	delete(o.hidden, key)
}

type fakeClock struct {
	mu sync.Mutex
	t  time.Time // guarded by mu
}

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// names is a meta on a bucket in memory.
type names struct {
	*meta
	t     *testing.T
	mem   *s3test.Mem
	store *s3test.Faulty
	slow  *lateStore
	local *fakeOverlay
	clock *fakeClock
	logs  *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) count(s string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Count(b.b.String(), s)
}

func newNames(t *testing.T, maxBytes int64) *names {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	n := &names{
		t: t, mem: s3test.NewMem("bucket"),
		local: &fakeOverlay{files: map[string]Attr{}, hidden: map[string]bool{}},
		clock: &fakeClock{t: time.Unix(1_800_000_000, 0)},
		logs:  &syncBuffer{},
	}
	n.store = s3test.Fault(n.mem)
	n.slow = &lateStore{metaStore: n.store, holds: map[string]*hold{}}
	n.meta = newMeta(n.slow, metaConfig{
		MetadataTTL: time.Minute, NegativeTTL: 5 * time.Second, MaxBytes: maxBytes,
		Now: n.clock.now, Logger: slog.New(slog.NewTextHandler(n.logs, nil)),
	}, n.local)
	t.Cleanup(func() {
		n.meta.close()
		goleak.VerifyNone(t, leaks)
	})
	return n
}

// put makes objects behind the mount's back, of the sizes in "key=size", 1 if
// there is none.
func (n *names) put(specs ...string) {
	n.t.Helper()
	for _, spec := range specs {
		key, body := spec, "x"
		if k, ok := strings.CutSuffix(spec, "=0"); ok || strings.HasSuffix(spec, "/") {
			key, body = k, ""
		}
		n.putBody(key, body, nil)
	}
}

func (n *names) putBody(key, body string, md map[string]string) s3backend.Object {
	n.t.Helper()
	o, err := n.mem.Put(context.Background(), s3backend.PutRequest{
		Key: key, Body: strings.NewReader(body), Size: int64(len(body)),
		Attributes: s3backend.Attributes{Metadata: md},
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return o
}

// create makes an object through the mount.
func (n *names) create(key, body string) {
	n.t.Helper()
	n.changed(attrOf(n.putBody(key, body, map[string]string{"mode": "33188"}), 0))
}

// unlink removes an object through the mount.
func (n *names) unlink(key string) {
	n.t.Helper()
	n.delete(key)
	n.removed(key)
}

func (n *names) delete(key string) {
	n.t.Helper()
	if err := n.mem.Delete(context.Background(), key); err != nil {
		n.t.Fatal(err)
	}
}

// find looks a path up and returns its key, "" if there is nothing.
func (n *names) find(key string) string {
	n.t.Helper()
	dir, name := splitKey(key)
	a, err := n.lookup(context.Background(), dir, name)
	if err != nil {
		if !s3backend.IsNotExist(err) {
			n.t.Fatalf("lookup %q: %v", key, err)
		}
		return ""
	}
	return a.Key
}

func (n *names) wantFind(key, want string) {
	n.t.Helper()
	if got := n.find(key); got != want {
		n.t.Errorf("lookup %q: got %q, want %q", key, got, want)
	}
}

// wantRequests checks the requests since the last call: HEADs and LISTs.
func (n *names) wantRequests(heads, lists int) {
	n.t.Helper()
	r := n.store.Requests()
	if r[s3test.OpHead] != heads || r[s3test.OpList] != lists {
		n.t.Errorf("got %d HEADs and %d LISTs, want %d and %d: %v", r[s3test.OpHead], r[s3test.OpList], heads, lists, n.store.Log())
	}
	n.store.ResetRequests()
}

func (n *names) open(dir string) *Dir {
	n.t.Helper()
	d, err := n.openDir(context.Background(), dir)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(d.Close)
	return d
}

// rest reads a directory from cookie to its end; directories end in "/".
func (n *names) rest(d *Dir, cookie uint64) []string {
	n.t.Helper()
	var list []string
	for {
		e, next, ok, err := d.Read(context.Background(), cookie)
		if err != nil {
			n.t.Fatal(err)
		}
		if !ok {
			return list
		}
		if e.Attr.IsDir() {
			e.Name += "/"
		}
		list = append(list, e.Name)
		cookie = next
	}
}

// readDir lists a directory, sorted.
func (n *names) readDir(dir string) []string {
	n.t.Helper()
	d := n.open(dir)
	defer d.Close()
	list := n.rest(d, 0)
	slices.Sort(list)
	return list
}

func (n *names) wantDir(dir string, want ...string) {
	n.t.Helper()
	if got := n.readDir(dir); !slices.Equal(got, want) {
		n.t.Errorf("readdir %q: got %q, want %q", dir, got, want)
	}
}

// pages makes listing pages small.
func (n *names) pages(size int) {
	l := s3test.DefaultLimits()
	l.PageSize = size
	n.mem.SetLimits(l)
}

// lateStore keeps back answers that a test wants to arrive late.
type lateStore struct {
	metaStore
	mu    sync.Mutex
	holds map[string]*hold // by operation and key; guarded by mu
}

// hold is an answer kept back: answered is closed when the server has given
// it, arrive lets it go on.
type hold struct{ answered, arrive chan struct{} }

func (s *lateStore) wait(ctx context.Context, id string) error {
	s.mu.Lock()
	h := s.holds[id]
	delete(s.holds, id)
	s.mu.Unlock()
	if h == nil {
		return nil
	}
	close(h.answered)
	select {
	case <-h.arrive:
		return nil
	case <-ctx.Done():
		return &s3backend.Error{Kind: s3backend.KindCancelled, Err: ctx.Err()}
	}
}

func (s *lateStore) Head(ctx context.Context, key string) (s3backend.Object, error) {
	o, err := s.metaStore.Head(ctx, key)
	if late := s.wait(ctx, "HEAD "+key); late != nil {
		return s3backend.Object{}, late
	}
	return o, err
}

func (s *lateStore) List(ctx context.Context, req s3backend.ListRequest) (s3backend.Page, error) {
	page, err := s.metaStore.List(ctx, req)
	if late := s.wait(ctx, "LIST "+req.Prefix); late != nil {
		return s3backend.Page{}, late
	}
	return page, err
}

// late keeps back the next answer to "HEAD key" or "LIST prefix".
func (n *names) late(id string) *hold {
	h := &hold{make(chan struct{}), make(chan struct{})}
	n.slow.mu.Lock()
	defer n.slow.mu.Unlock()
	n.slow.holds[id] = h
	return h
}

// during runs ask, and do between the server's answer to it and the arrival of
// that answer.
func (n *names) during(id string, ask, do func()) {
	n.t.Helper()
	h := n.late(id)
	done := make(chan struct{})
	go func() { defer close(done); ask() }()
	select {
	case <-h.answered:
	case <-done:
		n.t.Fatalf("no %s was sent", id)
	}
	do()
	close(h.arrive)
	<-done
}
