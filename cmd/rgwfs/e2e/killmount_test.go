package e2e

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// rgwfs is killed in the middle of writes: there is no half object, but none or
// the old one. The mount that it leaves is told by its name, and can be
// replaced.
func TestKilledWhileWriting(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	old := content(t, 1, 20*mib)
	s.put(t, "old", old)
	s.put(t, "changed", old)
	m := newMount(t, s)
	data := content(t, 2, 100*mib)
	var writers []*writer
	for _, name := range []string{"old", "new"} {
		w := newWriter(t, m.path(name))
		writers = append(writers, w)
		if err := w.write(data); err != nil {
			t.Fatal(err)
		}
	}
	// One that is changed in place, which is staged in a file. Nothing is started
	// while it is open.
	f, err := os.OpenFile(m.path("changed"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data[:1*mib], 5*mib); err != nil {
		t.Fatal(err)
	}
	if len(m.staging()) == 0 {
		t.Error("a file that is changed in place is not staged: this test shows less than it says")
	}
	m.kill()
	if err := f.Close(); err == nil {
		t.Error("a file that was not stored can be closed as if it were")
	}
	for _, w := range writers {
		// It still has data, and finds nobody to take it.
		_ = w.write(data)
		if r := w.close(); r.code != 1 {
			t.Errorf("who wrote to a killed rgwfs ends with %d: %s", r.code, r.stderr)
		}
	}

	s.wantObject(t, "old", old)
	s.wantObject(t, "changed", old)
	if _, err := s.store.Head(t.Context(), "new"); !s3backend.IsNotExist(err) {
		t.Errorf("the half file is on the server: %v", err)
	}

	if !mounted(t, m.dir) {
		t.Fatal("the killed rgwfs has left no mount")
	}
	if _, err := os.ReadDir(m.dir); !errors.Is(err, unix.ENOTCONN) {
		t.Errorf("reading the stale mount: %v, want %v", err, unix.ENOTCONN)
	}
	output, err := rgwfs(s, "mount", s.bucket, m.dir).CombinedOutput()
	if err == nil || !strings.Contains(string(output), "fusermount3 -u "+m.dir) || strings.Count(string(output), "\n") != 1 {
		t.Errorf("rgwfs mount on the stale mount: %v: %s", err, output)
	}
	run(t, "/", "fusermount3", "-u", m.dir)
	again := newMountAt(t, s, m.dir)
	again.wantReadable("old", old)
	writeFile(t, again.path("new"), data)
	s.wantObject(t, "new", data)
	// What the killed one had begun is on the server still.
	abortUploads(t, s)
	again.unmount()
}

// abortUploads removes what killed clients had begun.
func abortUploads(t *testing.T, s *server) {
	t.Helper()
	uploads, err := s.store.ListMultiparts(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range uploads {
		if err := s.store.AbortMultipart(t.Context(), u.Key, u.UploadID); err != nil {
			t.Error(err)
		}
	}
}

// A signal ends the mount after all that was written is on the server, also
// what is in files still open.
func TestTerminatedWhileFilesAreOpen(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		for _, size := range []int{1000, 50 * mib} {
			m := newMount(t, s)
			data := content(t, uint64(size), size)
			f, err := os.Create(m.path("open"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(data); err != nil {
				t.Fatal(err)
			}
			if code := m.terminate(sig); code != 0 {
				t.Errorf("%v: exit code %d", sig, code)
			}
			_ = f.Close() // it may fail, since the mount is gone
			s.wantObject(t, "open", data)
			s.wantNoUploads(t)
			if err := s.store.Delete(t.Context(), "open"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// As a daemon it is gone, with all that it had, when it was unmounted.
func TestDaemonLeavesNothing(t *testing.T) {
	s := newServer(t, s3test.RGW(t))
	dir, cache := newMountpoint(t), t.TempDir()
	if output, err := rgwfs(s, "mount", "--cache-dir", cache, s.bucket, dir).CombinedOutput(); err != nil || len(output) > 0 {
		t.Fatalf("rgwfs mount: %v: %s", err, output)
	}
	pids := processesOf(t, program)
	if len(pids) != 1 {
		t.Errorf("processes %v serve one mount", pids)
	}
	data := content(t, 1, 30*mib)
	writeFile(t, dir+"/file", data)
	run(t, "/", "fusermount3", "-u", dir)
	for _, pid := range pids {
		waitGone(t, pid)
	}
	if left, err := os.ReadDir(cache); err != nil || len(left) > 0 {
		t.Errorf("in the cache directory: %v, %v", left, err)
	}
	s.wantObject(t, "file", data)
	s.wantNoUploads(t)
	var exit *exec.ExitError
	if err := rgwfs(s, "mount", s.bucket, dir+"/none").Run(); !errors.As(err, &exit) {
		t.Errorf("a mount on a missing directory: %v", err)
	}
	if pids := processesOf(t, program); len(pids) != 0 {
		t.Errorf("processes %v are left", pids)
	}
}
