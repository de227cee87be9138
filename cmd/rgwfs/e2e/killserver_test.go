package e2e

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// bound is how long an operation may take while the server is gone. The
// default retries of one request span about 15 s; an operation may have several
// requests one after the other, and wait for others'.
const bound = 2 * time.Minute

// radosgw is killed in the middle of writes and of a read. Who uses the mount
// is told within a bounded time, nothing half is left on the server, and when
// that is back the same mount goes on.
func TestServerKilled(t *testing.T) {
	rgw := s3test.StartRGW(t)
	s := newServer(t, rgw)
	old := content(t, 1, 20*mib)
	for _, name := range []string{"old", "unread"} {
		s.put(t, name, old)
	}
	large := content(t, 2, 64*mib)
	s.put(t, "large", large)
	m := newMount(t, s, "--memory-limit", "128M")
	m.wantReadable("old", old)

	piece := content(t, 3, 1*mib)
	writers := map[string]*writer{}
	for _, name := range []string{"old", "new"} {
		w := newWriter(t, m.path(name))
		writers[name] = w
		// Several parts are under way or done.
		for range 80 {
			if err := w.write(piece); err != nil {
				t.Fatal(err)
			}
		}
	}
	reader, err := os.Open(m.path("large"))
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	g := generations{old: large}
	g.readOld(t, reader, 0, 1*mib)

	rgw.Kill()
	m.within(bound, "using the mount of a killed server", func() {
		var all sync.WaitGroup
		for name, w := range writers {
			all.Go(func() {
				// It may be told at any write, at close at the latest.
				for range 200 {
					if err := w.write(piece); err != nil {
						break
					}
				}
				if r := w.close(); r.code != 1 || !strings.Contains(strings.ToLower(r.stderr), syscall.EIO.Error()) {
					t.Errorf("writing %s to a killed server ended with %d: %s", name, r.code, r.stderr)
				}
			})
		}
		all.Go(func() { wantReadFails(t, reader, g, 1*mib) })
		all.Go(func() {
			if r := try(t, m.dir, "ls", "-l"); r.code == 0 && !strings.Contains(r.stdout, "unread") {
				t.Errorf("ls shows, without an error: %s", r.stdout)
			}
		})
		all.Go(func() {
			if _, err := os.Stat(m.path("never seen before")); !errors.Is(err, syscall.EIO) {
				t.Errorf("stat of a name that nobody can know: %v", err)
			}
		})
		all.Go(func() {
			if data, err := os.ReadFile(m.path("unread")); err == nil {
				t.Errorf("%d bytes were read from a killed server", len(data))
			}
		})
		all.Go(func() {
			if r := try(t, m.dir, "cp", "/proc/self/status", "another"); r.code == 0 {
				t.Error("a file was written to a killed server")
			}
		})
		all.Go(func() { _ = try(t, m.dir, "df", ".") }) // may say what it remembers
		all.Wait()
	})
	rgw.Start()

	// Nothing half is there.
	s.wantObject(t, "old", old)
	for _, name := range []string{"new", "another"} {
		if _, err := s.store.Head(t.Context(), name); !s3backend.IsNotExist(err) {
			t.Errorf("%s, which could not be written, is on the server: %v", name, err)
		}
	}
	m.within(bound, "the mount with the server back", func() {
		g.readOld(t, reader, 0, len(large))
		m.wantReadable("unread", old)
		m.wantReadable("old", old)
		data := content(t, 4, 40*mib)
		for _, name := range []string{"old", "again"} {
			if err := os.WriteFile(m.path(name), data, 0o644); err != nil {
				t.Errorf("writing with the server back: %v", err)
				return
			}
			s.wantObject(t, name, data)
		}
	})
	if err := reader.Close(); err != nil {
		t.Error(err)
	}
	// What could not be aborted without a server stays there.
	abortUploads(t, s)
	m.unmount()
}

// wantReadFails reads on from a server that is gone: what still comes is right,
// and then comes an error.
func wantReadFails(t *testing.T, f *os.File, g generations, off int) {
	t.Helper()
	buf := make([]byte, step)
	for {
		n, err := f.ReadAt(buf, int64(off))
		if !g.isOld(buf[:n], off) {
			t.Errorf("wrong bytes at %d", off)
			return
		}
		off += n
		switch {
		case errors.Is(err, io.EOF):
			t.Error("all was read from a killed server")
			return
		case errors.Is(err, syscall.EIO):
			return
		case err != nil:
			t.Errorf("reading at %d: %v, want %v", off, err, syscall.EIO)
			return
		}
	}
}

// A restart of radosgw that is over in a few seconds is not noticed by who
// writes meanwhile.
func TestServerRestartedWhileWriting(t *testing.T) {
	rgw := s3test.StartRGW(t)
	s := newServer(t, rgw)
	m := newMount(t, s)
	data := content(t, 1, 64*mib)
	w := newWriter(t, m.path("file"))
	m.within(limit, "writing through a restart", func() {
		if err := w.write(data[:40*mib]); err != nil {
			t.Error(err)
		}
		rgw.Kill()
		rgw.Start()
		if err := w.write(data[40*mib:]); err != nil {
			t.Error(err)
		}
		if r := w.close(); r.code != 0 {
			t.Errorf("cp ended with %d: %s", r.code, r.stderr)
		}
	})
	s.wantObject(t, "file", data)
	m.unmount()
}
