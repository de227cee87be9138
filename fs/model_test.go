package fs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rgwfs/cache"
	"rgwfs/fs"
	"rgwfs/fs/fstest"
	"rgwfs/s3backend"
)

// step is one operation of a model run: a system call that is made on a mount
// and on a plain directory and must answer the same on both, a remount, or a
// change by another client.
type step struct {
	Op       string
	Path, To string // relative to the root; of a symlink, To is the target
	Slot     int    // which descriptor
	Flags    int    // of open, or of rename
	Off, Len int64
	Seed     byte // of the bytes that are written
	Mode     uint32
	Check    bool // the whole tree is compared after this step
}

func (s step) String() string {
	text := fmt.Sprintf("{Op: %q", s.Op)
	add := func(name string, value any, zero bool) {
		if !zero {
			text += fmt.Sprintf(", %s: %#v", name, value)
		}
	}
	add("Path", s.Path, s.Path == "")
	add("To", s.To, s.To == "")
	add("Slot", s.Slot, s.Slot == 0)
	add("Flags", s.Flags, s.Flags == 0)
	add("Off", s.Off, s.Off == 0)
	add("Len", s.Len, s.Len == 0)
	add("Seed", s.Seed, s.Seed == 0)
	add("Mode", s.Mode, s.Mode == 0)
	add("Check", s.Check, !s.Check)
	return text + "}"
}

// slots is how many descriptors a model run has.
const slots = 3

// side is one of the two trees.
type side struct {
	root string
	fds  [slots]int // -1 = closed
}

func newSide(root string) *side { return &side{root: root, fds: [slots]int{-1, -1, -1}} }

// answer is what a program sees of a system call.
type answer struct {
	errno syscall.Errno
	n     int64
	data  string
}

func (a answer) String() string {
	text := fmt.Sprintf("%d", a.n)
	if a.errno != 0 {
		text = unix.ErrnoName(a.errno)
	}
	if len(a.data) > 40 {
		return fmt.Sprintf("%s, %d bytes %q...", text, len(a.data), a.data[:40])
	}
	return fmt.Sprintf("%s, %q", text, a.data)
}

func failed(err error) answer {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return answer{data: err.Error()}
	}
	return answer{errno: errno}
}

// content returns n bytes that tell where they come from.
func content(seed byte, n int64) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = seed + byte(i>>8)*7 + byte(i)
		if b[i] == 0 {
			b[i] = seed | 1
		}
	}
	return b
}

// needsDescriptor are the operations that open Path if their slot is closed.
var needsDescriptor = map[string]struct{}{"pwrite": {}, "write": {}, "pread": {}, "ftruncate": {}, "fsync": {}}

// do makes a system call.
func (s *side) do(st step) answer {
	path := filepath.Join(s.root, st.Path)
	done := func(n int, err error) answer {
		if err != nil {
			return failed(err)
		}
		return answer{n: int64(n)}
	}
	fd := s.fds[st.Slot]
	if _, needs := needsDescriptor[st.Op]; needs && fd < 0 {
		var err error
		if fd, err = unix.Open(path, st.Flags|unix.O_CLOEXEC, st.Mode); err != nil {
			return failed(err)
		}
		s.fds[st.Slot] = fd
	}
	switch st.Op {
	case "nop":
		return answer{}
	case "open":
		if fd >= 0 {
			return answer{}
		}
		var err error
		fd, err = unix.Open(path, st.Flags|unix.O_CLOEXEC, st.Mode)
		if err != nil {
			return failed(err)
		}
		s.fds[st.Slot] = fd
		return answer{}
	case "close":
		if fd < 0 {
			return answer{}
		}
		s.fds[st.Slot] = -1
		return done(0, unix.Close(fd))
	case "pwrite":
		return done(unix.Pwrite(fd, content(st.Seed, st.Len), st.Off))
	case "write":
		return done(unix.Write(fd, content(st.Seed, st.Len)))
	case "pread":
		b := make([]byte, st.Len)
		n, err := unix.Pread(fd, b, st.Off)
		if err != nil {
			return failed(err)
		}
		return answer{data: string(b[:n])}
	case "ftruncate":
		return done(0, unix.Ftruncate(fd, st.Len))
	case "fsync":
		return done(0, unix.Fsync(fd))
	case "truncate":
		return done(0, unix.Truncate(path, st.Len))
	case "rename":
		return done(0, unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, filepath.Join(s.root, st.To), uint(st.Flags)))
	case "unlink":
		return done(0, unix.Unlink(path))
	case "mkdir":
		return done(0, unix.Mkdir(path, st.Mode|0o700))
	case "rmdir":
		return done(0, unix.Rmdir(path))
	case "symlink":
		return done(0, unix.Symlink(st.To, path))
	case "readlink":
		b := make([]byte, 256)
		n, err := unix.Readlink(path, b)
		if err != nil {
			return failed(err)
		}
		return answer{data: string(b[:n])}
	case "chmod":
		return done(0, unix.Chmod(path, st.Mode|0o600))
	case "utimens":
		when := unix.Timespec{Sec: int64(st.Seed) * 1e6, Nsec: int64(st.Mode) * 1000}
		if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{when, when}, 0); err != nil {
			return failed(err)
		}
		var got unix.Stat_t
		err := unix.Stat(path, &got)
		return answer{data: fmt.Sprint(got.Mtim, err)}
	case "stat":
		return answer{data: s.stat(st.Path)}
	case "readdir":
		return answer{data: strings.Join(s.names(st.Path), " ")}
	case "read":
		b, err := os.ReadFile(path)
		if err != nil {
			return failed(err)
		}
		return answer{data: string(b)}
	}
	return answer{data: "no such operation: " + st.Op}
}

// stat describes a name.
func (s *side) stat(path string) string {
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(s.root, path), &st); err != nil {
		return failed(err).String()
	}
	return describe(&st)
}

// describe says what both sides have in common: directories have sizes and
// counts of their own, and what wasn't set has the time of another clock.
func describe(st *unix.Stat_t) string {
	text := fmt.Sprintf("%o", st.Mode)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		text += fmt.Sprintf(" size %d nlink %d", st.Size, st.Nlink)
	}
	return text
}

func (s *side) names(path string) []string {
	entries, err := os.ReadDir(filepath.Join(s.root, path))
	if err != nil {
		return []string{failed(err).String()}
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names
}

// tree describes all names below the root, those given first.
func (s *side) tree(known []string) map[string]string {
	out := map[string]string{}
	visit := func(path string) {
		text := s.stat(path)
		if strings.HasPrefix(text, "100") {
			b, err := os.ReadFile(filepath.Join(s.root, path))
			text += fmt.Sprintf(" %v %x", err, sum(b))
		}
		out[path] = text
	}
	for _, path := range known {
		visit(path)
	}
	var walk func(dir string)
	walk = func(dir string) {
		for _, name := range s.names(dir) {
			path := filepath.Join(dir, name)
			if out[path] == "" {
				visit(path)
			}
			if strings.HasPrefix(out[path], "4") {
				walk(path)
			}
		}
	}
	walk("")
	for i, fd := range s.fds {
		var st unix.Stat_t
		if fd < 0 {
			continue
		}
		text := ""
		if err := unix.Fstat(fd, &st); err != nil {
			text = failed(err).String()
		} else if text = describe(&st); st.Nlink == 0 && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			text = "a removed directory"
		}
		out[fmt.Sprintf("fd %d", i)] = text
	}
	return out
}

func sum(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// tester is what testing.T and rapid.T have in common.
type tester interface {
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
}

// model runs steps on a mount and on a plain directory.
type model struct {
	tb     testing.TB // for mounts
	t      tester
	store  s3backend.Store
	opts   fstest.Options
	fs     *fstest.FS
	mount  *side
	plain  *side
	client bool // the second client may act: nothing is believed
}

// newModel begins on an empty bucket. plain is an empty directory.
func newModel(tb testing.TB, t tester, store s3backend.Store, opts fstest.Options, plain string) *model {
	m := &model{tb: tb, t: t, store: store, opts: opts, plain: newSide(plain)}
	m.remount()
	return m
}

func (m *model) remount() {
	if m.fs != nil {
		m.fs.Unmount()
	}
	m.fs = fstest.Mount(m.tb, m.store, m.opts)
	m.mount = newSide(m.fs.Dir)
	// What was only listed shows default permissions, and a symlink as a file,
	// until it was looked at itself (docs/semantics.md): so that comes first.
	for _, path := range slices.Sorted(maps.Keys(m.plain.tree(nil))) {
		m.mount.stat(path)
	}
}

// populate makes something to begin with.
var populate = []step{
	{Op: "mkdir", Path: "d", Mode: 0o755}, {Op: "mkdir", Path: "d/e", Mode: 0o700},
	{Op: "open", Path: "a", Flags: unix.O_WRONLY | unix.O_CREAT, Mode: 0o644}, {Op: "pwrite", Len: 3*memPart + 5, Seed: 1}, {Op: "close"},
	{Op: "open", Path: "d/a", Flags: unix.O_WRONLY | unix.O_CREAT, Mode: 0o600}, {Op: "pwrite", Len: 100, Seed: 2}, {Op: "close"},
	{Op: "open", Path: "d/e/a", Flags: unix.O_WRONLY | unix.O_CREAT, Mode: 0o600}, {Op: "pwrite", Len: memPart, Seed: 3}, {Op: "close"},
}

// run makes the steps, and compares the trees and the bucket at the end.
func (m *model) run(steps []step) {
	for i, st := range steps {
		switch st.Op {
		case "remount":
			m.closeAll()
			m.remount()
		case "put", "delete":
			m.other(st)
		default:
			got, want := m.mount.do(st), m.plain.do(st)
			if got != want {
				m.t.Fatalf("step %d %v: %v, want %v", i, st, got, want)
			}
		}
		if st.Check {
			m.compare(fmt.Sprintf("after step %d %v", i, st))
		}
	}
	m.compare("at the end")
	m.closeAll()
	m.compare("after the closes")
	m.fs.Unmount()
	m.compareBucket()
}

func (m *model) closeAll() {
	for i := range slots {
		st := step{Op: "close", Slot: i}
		if got, want := m.mount.do(st), m.plain.do(st); got != want {
			m.t.Fatalf("%v: %v, want %v", st, got, want)
		}
	}
}

// release closes what a run that failed has left open.
func (m *model) release() {
	for i := range slots {
		m.mount.do(step{Op: "close", Slot: i})
		m.plain.do(step{Op: "close", Slot: i})
	}
	m.fs.Unmount()
}

func (m *model) compare(when string) {
	want := m.plain.tree(nil)
	// Names that are known are asked for before they are listed: see remount.
	var known []string
	for name := range want {
		if !strings.HasPrefix(name, "fd ") {
			known = append(known, name)
		}
	}
	slices.Sort(known)
	got := m.mount.tree(known)
	if maps.Equal(got, want) {
		return
	}
	for name := range want {
		if got[name] != want[name] {
			m.t.Errorf("%s: %q is %q, want %q", when, name, got[name], want[name])
		}
	}
	for name := range got {
		if want[name] == "" {
			m.t.Errorf("%s: %q is %q, want nothing", when, name, got[name])
		}
	}
	m.t.Fatalf("the trees differ")
}

// other has another client change an object, as the plain directory is changed
// too. It acts only while nothing is open: what open descriptors see of a
// replaced object is another test's.
func (m *model) other(st step) {
	if !m.client || m.mount.fds != [slots]int{-1, -1, -1} {
		return
	}
	path := filepath.Join(m.plain.root, st.Path)
	if info, err := os.Lstat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return
	}
	info, err := os.Lstat(path)
	exists := err == nil
	if exists && !info.Mode().IsRegular() {
		return
	}
	if exists {
		if err := os.Remove(path); err != nil {
			m.t.Fatalf("%v", err)
		}
	}
	ctx := context.Background()
	if st.Op == "delete" {
		if err := m.store.Delete(ctx, st.Path); err != nil {
			m.t.Fatalf("%v", err)
		}
		return
	}
	b := content(st.Seed, st.Len)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		m.t.Fatalf("%v", err)
	}
	if _, err := m.store.Put(ctx, s3backend.PutRequest{Key: st.Path, Body: bytes.NewReader(b), Size: int64(len(b))}); err != nil {
		m.t.Fatalf("%v", err)
	}
}

// compareBucket verifies that the bucket has the files of the plain directory,
// and nothing else.
func (m *model) compareBucket() {
	ctx := context.Background()
	want := map[string]uint64{}
	for path, text := range m.plain.tree(nil) {
		full := filepath.Join(m.plain.root, path)
		switch {
		case strings.HasPrefix(text, "100"):
			b, err := os.ReadFile(full)
			if err != nil {
				m.t.Fatalf("%v", err)
			}
			want[path] = sum(b)
		case strings.HasPrefix(text, "120"):
			target, err := os.Readlink(full)
			if err != nil {
				m.t.Fatalf("%v", err)
			}
			want[path] = sum([]byte(target))
		}
	}
	got := map[string]uint64{}
	var objects []s3backend.Object
	for after, more := "", true; more; {
		page, err := m.store.List(ctx, s3backend.ListRequest{StartAfter: after})
		if err != nil {
			m.t.Fatalf("%v", err)
		}
		objects = append(objects, page.Objects...)
		after, more = page.Next, page.Next != ""
	}
	for _, o := range objects {
		if strings.HasSuffix(o.Key, "/") {
			continue
		}
		_, body, err := m.store.Get(ctx, s3backend.GetRequest{Key: o.Key, Length: -1})
		if err != nil {
			m.t.Fatalf("%v", err)
		}
		b, err := io.ReadAll(body)
		if err = errors.Join(err, body.Close()); err != nil {
			m.t.Fatalf("%v", err)
		}
		got[o.Key] = sum(b)
	}
	if !maps.Equal(got, want) {
		m.t.Errorf("the bucket has %v, want %v", got, want)
	}
	uploads, err := m.store.ListMultiparts(ctx, "")
	if err != nil || len(uploads) > 0 {
		m.t.Errorf("uploads left: %v, %v", uploads, err)
	}
}

// smallParts makes every boundary of parts near, of objects and of copies.
func smallParts(part int64, ttl time.Duration) fstest.Options {
	return fstest.Options{
		Cache: func(c *cache.Config) {
			c.PartSize, c.MinPartSize = part, min(part, c.MinPartSize)
			c.MetadataTTL, c.NegativeTTL = ttl, min(ttl, c.NegativeTTL)
		},
		FS: func(c *fs.Config) { c.NegativeTTL = min(ttl, c.NegativeTTL) },
	}
}
