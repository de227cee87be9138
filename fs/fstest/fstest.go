// Package fstest mounts buckets for tests, and finds what a mount leaves
// behind.
package fstest

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"rgwfs/cache"
	"rgwfs/fs"
	"rgwfs/s3backend"
)

// Options change how a test mounts.
type Options struct {
	Prefix  string              // mount only what is below
	Cache   func(*cache.Config) // changes the defaults of a test
	FS      func(*fs.Config)    // likewise
	MayFail func(error) bool    // errors that closing the cache may have
}

// FS is a mount of a test.
type FS struct {
	Dir    string // the mountpoint
	Bucket *cache.Bucket

	t       testing.TB
	opts    Options
	cache   *cache.Cache
	account *cache.Account
	server  *fs.Server
	staging string
	before  []string // descriptors that were open before
	running goleak.Option
	once    sync.Once
}

// Mount mounts a bucket on a directory of its own until the test ends. Then,
// or at Unmount, the test fails if closing fails, or if a descriptor, a
// goroutine, a staging file or the mount is left.
func Mount(t testing.TB, store s3backend.Store, opts Options) *FS {
	t.Helper()
	m := prepare(t, opts)
	m.Bucket = m.cache.Bucket(store)
	root, err := fs.BucketRoot(m.Bucket, opts.Prefix)
	if err != nil {
		t.Fatal(err)
	}
	m.mount(root)
	return m
}

// MountAccount is Mount for all buckets of a user.
func MountAccount(t testing.TB, svc s3backend.Service, opts Options) *FS {
	t.Helper()
	m := prepare(t, opts)
	m.account = m.cache.Account(svc)
	m.mount(fs.AccountRoot(m.account))
	return m
}

func prepare(t testing.TB, opts Options) *FS {
	t.Helper()
	m := &FS{t: t, opts: opts, Dir: t.TempDir(), staging: t.TempDir(), running: goleak.IgnoreCurrent()}
	m.before = descriptors(t)
	cfg := cache.DefaultConfig()
	cfg.Dir = m.staging
	cfg.MemoryLimit = cache.MinMemoryLimit
	cfg.Logger = testLogger(t)
	if opts.Cache != nil {
		opts.Cache(&cfg)
	}
	c, err := cache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.cache = c
	return m
}

func (m *FS) mount(root fs.Root) {
	m.t.Helper()
	cfg := fs.DefaultConfig()
	cfg.FsName = "fstest"
	cfg.Logger = testLogger(m.t)
	if m.opts.FS != nil {
		m.opts.FS(&cfg)
	}
	server, err := fs.Mount(m.Dir, root, cfg)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			m.t.Skipf("no FUSE here: %v", err)
		}
		m.t.Fatal(err)
	}
	m.server = server
	m.t.Cleanup(m.Unmount)
}

// Path returns the path of a name on the mount.
func (m *FS) Path(elem ...string) string {
	return filepath.Join(append([]string{m.Dir}, elem...)...)
}

// Unmount unmounts, closes the cache and looks for leaks. Only the first call
// does anything.
func (m *FS) Unmount() {
	m.t.Helper()
	m.once.Do(m.unmount)
}

func (m *FS) unmount() {
	m.t.Helper()
	if err := m.server.Unmount(); err != nil {
		m.t.Errorf("something is left open on the mount: %v", err)
		if err := m.server.UnmountLazy(); err != nil {
			m.t.Error(err)
		}
		return // what is open may stay so for ever: no Wait
	}
	m.server.Wait()
	var err error
	if m.account != nil {
		err = m.account.Close()
	} else {
		err = m.Bucket.Close()
	}
	if err = errors.Join(err, m.cache.Close()); err != nil && (m.opts.MayFail == nil || !m.opts.MayFail(err)) {
		m.t.Errorf("closing the cache: %v", err)
	}
	m.findLeaks()
}

func (m *FS) findLeaks() {
	m.t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		m.t.Fatal(err)
	}
	if bytes.Contains(mounts, []byte(" "+m.Dir+" ")) {
		m.t.Errorf("%s is mounted still", m.Dir)
	}
	if left, err := os.ReadDir(m.staging); err != nil || len(left) > 0 {
		m.t.Errorf("staging directory: %v, %v", left, err)
	}
	had := map[string]int{}
	for _, d := range m.before {
		had[d]++
	}
	for _, d := range descriptors(m.t) {
		if had[d]--; had[d] < 0 {
			m.t.Errorf("descriptor left open: %s", d)
		}
	}
	// Idle connections to a server are the client's, which the test closes.
	err = goleak.Find(m.running,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
	if err != nil {
		m.t.Errorf("goroutines left: %v", err)
	}
}

// descriptors returns what this process has open, sockets and go-fuse's and
// the runtime's pipes and pollers apart: those come and go by themselves.
func descriptors(t testing.TB) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		target, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || strings.HasPrefix(target, "socket:") || strings.HasPrefix(target, "pipe:") ||
			strings.HasPrefix(target, "anon_inode:") || strings.HasPrefix(target, "/proc/") {
			continue
		}
		out = append(out, target)
	}
	return out
}

// testLogger writes to the test's log until the test ends.
func testLogger(t testing.TB) *slog.Logger {
	w := &logWriter{t: t}
	t.Cleanup(w.close)
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				a.Value = slog.StringValue(time.Now().Format("05.000"))
			}
			return a
		},
	}))
}

type logWriter struct {
	mu sync.Mutex
	t  testing.TB // nil after the test; guarded by mu
}

func (w *logWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.t == nil {
		return 0, io.ErrClosedPipe
	}
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (w *logWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t = nil
}
