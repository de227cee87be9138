package fs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rgwfs/fs/fstest"
	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// scene is something that a program does, of which each request fails once.
type scene struct {
	before, after map[string]string // the objects, by key, markers apart
	dirs          []string          // directories that are there before
	// act does it, and returns the first error that the program is told. It
	// closes what it opens.
	act func(m *fstest.FS) error
	// once says that act, if it has failed, can't be done again.
	once bool
}

// errAgain says that a second fsync has failed too.
var errAgain = errors.New("nothing was wrong any more")

// writeAt opens a file, writes, syncs if asked to, and closes it. A program
// that gets an error tries fsync again before it gives up, as databases do.
func writeAt(path string, flags int, off int64, data string, sync bool) (err error) {
	f, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if flags&os.O_APPEND != 0 {
		_, err = f.WriteString(data)
	} else {
		_, err = f.WriteAt([]byte(data), off)
	}
	if err == nil && sync {
		if err = f.Sync(); err != nil {
			// The second one must have success: each request fails only once.
			if again := f.Sync(); again != nil {
				return fmt.Errorf("fsync again after %w: %w: %w", err, again, errAgain)
			}
			err = nil
		}
	}
	return err
}

func text(seed byte, n int64) string { return string(content(seed, n)) }

func changed(s string, off int, with string) string { return s[:off] + with + s[off+len(with):] }

// scenes are what programs do that takes requests, with parts of that size.
func scenes(part int64) map[string]scene {
	small, other, large := text(1, 100), text(2, 200), text(3, 4*part+9)
	const create = os.O_WRONLY | os.O_CREATE
	write := func(name string, flags int, off int64, data string, sync bool) func(m *fstest.FS) error {
		return func(m *fstest.FS) error { return writeAt(m.Path(name), flags, off, data, sync) }
	}
	type objects = map[string]string
	return map[string]scene{
		"create small":   {after: objects{"f": small}, act: write("f", create, 0, small, false)},
		"create, fsync":  {after: objects{"f": small}, act: write("f", create, 0, small, true)},
		"create large":   {after: objects{"f": large}, act: write("f", create, 0, large, false)},
		"large, fsync":   {after: objects{"f": large}, act: write("f", create, 0, large, true)},
		"create O_EXCL":  {after: objects{"f": large}, act: write("f", create|os.O_EXCL, 0, large, false), once: true},
		"replace":        {before: objects{"f": other}, after: objects{"f": small}, act: write("f", create|os.O_TRUNC, 0, small, false)},
		"replace large":  {before: objects{"f": other}, after: objects{"f": large}, act: write("f", create|os.O_TRUNC, 0, large, true)},
		"append":         {before: objects{"f": other}, after: objects{"f": other + small}, act: write("f", os.O_WRONLY|os.O_APPEND, 0, small, false), once: true},
		"append large":   {before: objects{"f": large}, after: objects{"f": large + small}, act: write("f", os.O_WRONLY|os.O_APPEND, 0, small, true), once: true},
		"change":         {before: objects{"f": other}, after: objects{"f": changed(other, 10, "change")}, act: write("f", os.O_RDWR, 10, "change", true)},
		"change large":   {before: objects{"f": large}, after: objects{"f": changed(large, int(part)+10, "change")}, act: write("f", os.O_RDWR, part+10, "change", true)},
		"truncate":       {before: objects{"f": large}, after: objects{"f": large[:2*part+1]}, act: func(m *fstest.FS) error { return os.Truncate(m.Path("f"), 2*part+1) }},
		"truncate small": {before: objects{"f": other}, after: objects{"f": other[:5]}, act: func(m *fstest.FS) error { return os.Truncate(m.Path("f"), 5) }},
		"chmod":          {before: objects{"f": other}, after: objects{"f": other}, act: func(m *fstest.FS) error { return os.Chmod(m.Path("f"), 0o600) }},
		"unlink":         {before: objects{"f": other, "g": small}, after: objects{"g": small}, act: func(m *fstest.FS) error { return os.Remove(m.Path("f")) }, once: true},
		"symlink":        {after: objects{"l": "target"}, act: func(m *fstest.FS) error { return os.Symlink("target", m.Path("l")) }, once: true},
		"mkdir":          {act: func(m *fstest.FS) error { return os.Mkdir(m.Path("d"), 0o755) }, once: true},
		"rmdir":          {dirs: []string{"d/"}, act: func(m *fstest.FS) error { return unix.Rmdir(m.Path("d")) }, once: true},
		"rename":         {before: objects{"f": large}, after: objects{"g": large}, act: func(m *fstest.FS) error { return os.Rename(m.Path("f"), m.Path("g")) }, once: true},
		"rename onto":    {before: objects{"f": large, "g": other}, after: objects{"g": large}, act: func(m *fstest.FS) error { return os.Rename(m.Path("f"), m.Path("g")) }, once: true},
		"rename directory": {before: objects{"d/a": small, "d/b": large, "d/e/c": other}, after: objects{"n/a": small, "n/b": large, "n/e/c": other}, dirs: []string{"d/"},
			act: func(m *fstest.FS) error { return os.Rename(m.Path("d"), m.Path("n")) }, once: true},
		"rename onto directory": {before: objects{"d/a": small, "d/b": large}, after: objects{"n/a": small, "n/b": large}, dirs: []string{"d/", "n/"},
			act: func(m *fstest.FS) error { return unix.Rename(m.Path("d"), m.Path("n")) }, once: true},
		"save": {before: objects{"f": other}, after: objects{"f": small}, act: func(m *fstest.FS) error {
			// As editors do.
			if err := writeAt(m.Path("f~"), create|os.O_TRUNC, 0, small, true); err != nil {
				return errors.Join(err, remove(m.Path("f~")))
			}
			if err := os.Rename(m.Path("f~"), m.Path("f")); err != nil {
				return errors.Join(err, remove(m.Path("f~")))
			}
			return nil
		}},
		"rename onto open and dirty": {before: objects{"f": small, "g": other}, after: objects{"g": small}, act: func(m *fstest.FS) error {
			g, err := os.OpenFile(m.Path("g"), os.O_RDWR, 0)
			if err != nil {
				return err
			}
			_, err = g.WriteAt([]byte("lost with the name"), 0)
			if err == nil {
				err = os.Rename(m.Path("f"), m.Path("g"))
			}
			if err != nil {
				// It still has its name: nothing of it may be lost.
				_, werr := g.WriteAt([]byte(other[:18]), 0)
				err = errors.Join(err, werr)
			}
			return errors.Join(err, g.Close())
		}, once: true},
	}
}

// remove removes what may be there.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// objectsOf returns the objects of a bucket by key, and its directory markers.
func objectsOf(t *testing.T, s s3backend.Store) (objects map[string]string, markers []string) {
	t.Helper()
	objects = map[string]string{}
	for after, more := "", true; more; {
		page, err := s.List(context.Background(), s3backend.ListRequest{StartAfter: after})
		check(t, err)
		for _, o := range page.Objects {
			if strings.HasSuffix(o.Key, "/") {
				markers = append(markers, o.Key)
				continue
			}
			_, body, err := s.Get(context.Background(), s3backend.GetRequest{Key: o.Key, Length: -1})
			check(t, err)
			b, err := io.ReadAll(body)
			check(t, errors.Join(err, body.Close()))
			objects[o.Key] = string(b)
		}
		after, more = page.Next, page.Next != ""
	}
	return objects, markers
}

// set puts what is there before.
func (sc scene) set(t *testing.T, store s3backend.Store) {
	t.Helper()
	for _, dir := range sc.dirs {
		put(t, store, dir, "", nil)
	}
	for key, data := range sc.before {
		put(t, store, key, data, nil)
	}
}

// play sets the scene on a bucket and runs it on a mount, with rules.
func (sc scene) play(t *testing.T, rules ...s3test.Rule) (*s3test.Mem, *s3test.Faulty, *fstest.FS, error) {
	t.Helper()
	mem := newSmallMem()
	sc.set(t, mem)
	store := s3test.Fault(mem)
	opts := smallParts(memPart, time.Minute)
	opts.MayFail = func(error) bool { return true }
	m := fstest.Mount(t, store, opts)
	store.ResetRequests()
	store.Add(rules...)
	return mem, store, m, sc.act(m)
}

// TestFaults has each request of each scene fail once, for good (the Store has
// tried it again already): without effect, and with an effect that nobody is
// told of. The program is told, or it is done nevertheless; no object is ever
// anything but the old or the new one; nothing is lost, and no upload is left.
func TestFaults(t *testing.T) {
	for name, sc := range scenes(memPart) {
		t.Run(name, func(t *testing.T) {
			_, store, m, err := sc.play(t)
			check(t, err)
			m.Unmount()
			counts := store.Requests()
			for _, op := range slices.Sorted(maps.Keys(counts)) {
				for n := range counts[op] {
					for how, effect := range map[string]s3test.Effect{
						"fails": s3test.Fail(s3backend.KindUnavailable), "is not heard of": s3test.Lose(s3backend.KindUnavailable)} {
						t.Run(fmt.Sprintf("%s %d %s", op, n+1, how), func(t *testing.T) {
							sc.check(t, op, s3test.Rule{Op: op, Skip: n, Times: 1, Do: []s3test.Effect{effect}})
						})
					}
				}
			}
		})
	}
}

func (sc scene) check(t *testing.T, op string, rule s3test.Rule) {
	mem, store, m, err := sc.play(t, rule)
	store.Clear()
	sc.settle(t, m)
	if errors.Is(err, errAgain) {
		t.Error(err)
	}
	sc.checkObjects(t, mem, err)
	sc.checkView(t, mem, m)
	if err != nil && !sc.once {
		check(t, sc.act(m))
		sc.settle(t, m)
		sc.checkObjects(t, mem, nil)
		sc.checkView(t, mem, m)
	}
	m.Unmount()
	uploads, lerr := mem.ListMultiparts(context.Background(), "")
	check(t, lerr)
	// An upload that nobody was told the id of, or that could not be aborted,
	// is left to the next mount or to a lifecycle rule.
	if len(uploads) > 0 && op != s3test.OpAbort && op != s3test.OpCreateMultipart {
		t.Errorf("uploads left: %v", uploads)
	}
}

// settle waits until what was closed has been given up or tried again, which
// comes some time after the program's call.
func (sc scene) settle(t *testing.T, m *fstest.FS) {
	t.Helper()
	for len(m.Bucket.Unsaved()) > 0 {
		time.Sleep(time.Millisecond)
	}
}

// checkObjects verifies what the bucket has after act returned err.
func (sc scene) checkObjects(t *testing.T, store s3backend.Store, err error) {
	t.Helper()
	got, markers := objectsOf(t, store)
	if err == nil {
		if !maps.Equal(got, sc.after) {
			t.Errorf("no error, but the bucket has %v, want %v", brief(got), brief(sc.after))
		}
		return
	}
	for key, data := range got {
		old, was := sc.before[key]
		will, becomes := sc.after[key]
		if !(was && data == old) && !(becomes && data == will) && !strings.HasSuffix(key, "~") {
			t.Errorf("%v: %q is neither the old nor the new object: %v", err, key, brief(map[string]string{key: data}))
		}
	}
	for key := range sc.before {
		if _, there := got[key]; !there {
			if _, stays := sc.after[key]; stays {
				t.Errorf("%v: %q is lost", err, key)
			}
		}
	}
	for _, data := range sc.after {
		if slices.Contains(slices.Collect(maps.Values(sc.before)), data) && !slices.Contains(slices.Collect(maps.Values(got)), data) {
			t.Errorf("%v: an object is lost under both names; the bucket has %v", err, brief(got))
		}
	}
	if slices.Contains(sc.dirs, "n/") && !slices.Contains(markers, "n/") {
		t.Errorf("%v: the target directory is lost", err)
	}
}

// checkView verifies that the mount comes to show what the bucket has: the
// kernel is told of what is in doubt some time after the program's call.
func (sc scene) checkView(t *testing.T, store s3backend.Store, m *fstest.FS) {
	t.Helper()
	var wrong []string
	for range 500 {
		if wrong = sc.view(t, store, m); len(wrong) == 0 {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Errorf("%s", strings.Join(wrong, "\n"))
}

// view returns what the mount shows that the bucket does not have, and the
// other way round.
func (sc scene) view(t *testing.T, store s3backend.Store, m *fstest.FS) (wrong []string) {
	t.Helper()
	got, _ := objectsOf(t, store)
	keys := map[string]bool{}
	for _, objects := range []map[string]string{got, sc.before, sc.after} {
		for key := range objects {
			keys[key] = true
		}
	}
	delete(keys, "l") // a symlink
	for key := range keys {
		want, there := got[key]
		data, err := os.ReadFile(m.Path(key))
		switch {
		case there && err != nil:
			wrong = append(wrong, fmt.Sprintf("%s is in the bucket, but reading it: %v", key, err))
		case there && string(data) != want:
			wrong = append(wrong, fmt.Sprintf("%s: the mount shows %d bytes, not the object's %d", key, len(data), len(want)))
		case !there && err == nil:
			wrong = append(wrong, fmt.Sprintf("%s: the mount shows %d bytes of an object that is not there", key, len(data)))
		}
	}
	return wrong
}

func brief(objects map[string]string) map[string]string {
	out := map[string]string{}
	for key, data := range objects {
		out[key] = fmt.Sprintf("%d bytes, %x", len(data), sum([]byte(data)))
	}
	return out
}
