package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// limit is how long anything may take before it counts as hanging.
const limit = 3 * time.Minute

// mount is a running rgwfs.
type mount struct {
	t     *testing.T
	s     *server
	dir   string // the mountpoint
	cache string // --cache-dir
	log   string // --log-file
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has
	once  sync.Once
}

// newMount mounts the server's bucket until the test ends; then, or at unmount,
// the test fails if anything is left behind.
func newMount(t *testing.T, s *server, flags ...string) *mount {
	t.Helper()
	return newMountAt(t, s, newMountpoint(t), flags...)
}

// newMountAt is newMount on a directory of newMountpoint.
func newMountAt(t *testing.T, s *server, dir string, flags ...string) *mount {
	t.Helper()
	m := &mount{t: t, s: s, dir: dir, cache: t.TempDir(), log: filepath.Join(t.TempDir(), "log"), ended: make(chan struct{})}
	args := append([]string{"mount", "--foreground", "--cache-dir", m.cache, "--log-file", m.log}, flags...)
	m.cmd = rgwfs(s, append(args, s.source, m.dir)...)
	var stderr bytes.Buffer
	m.cmd.Stderr = &stderr
	socket := filepath.Join(t.TempDir(), "notify")
	m.cmd.Env = append(m.cmd.Env, "NOTIFY_SOCKET="+socket)
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(m.ended)
		_ = m.cmd.Wait() // its result is in m.cmd.ProcessState
		listener.Close()
	}()
	t.Cleanup(func() {
		m.unmount()
		if t.Failed() {
			t.Logf("log of rgwfs %d:\n%s", m.cmd.Process.Pid, tail(m.logged()))
		}
	})
	// systemd is told when the mount serves; here we are systemd.
	if err := listener.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := listener.Read(buf)
	if err != nil || !strings.Contains(string(buf[:n]), "READY=1") {
		t.Fatalf("rgwfs does not serve: %v: %s%s", err, &stderr, m.logged())
	}
	return m
}

// rgwfs returns a run of the program with the user's environment and nothing
// of the machine's that matters.
func rgwfs(s *server, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "RGWFS_") && !strings.HasPrefix(variable, "AWS_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
	cmd.Env = append(cmd.Env, s.env()...)
	return cmd
}

// newMountpoint returns a new directory. At the end of the test nothing may be
// mounted there.
func newMountpoint(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rgwfs-mnt-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if mounted(t, dir) {
			t.Errorf("%s is still mounted", dir)
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}
		// Not RemoveAll: never below a mount.
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func mounted(t *testing.T, dir string) bool {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(data, []byte(" "+dir+" "))
}

// path returns the path of a name on the mount.
func (m *mount) path(elem ...string) string {
	return filepath.Join(append([]string{m.dir}, elem...)...)
}

// unmount unmounts as a user does, and looks for what is left. Only the first
// end of a mount does anything: unmount, kill or signal.
func (m *mount) unmount() {
	m.t.Helper()
	m.once.Do(func() {
		m.t.Helper()
		m.wantNoStaging()
		if output, err := exec.Command("fusermount3", "-u", m.dir).CombinedOutput(); err != nil {
			m.t.Errorf("fusermount3 -u: %v: %s", err, output)
			m.signal(syscall.SIGTERM)
		}
		if code := m.wait(); code != 0 {
			m.t.Errorf("rgwfs ended with %d", code)
		}
		m.wantNothingLeft()
		m.s.wantNoUploads(m.t)
	})
}

// terminate ends the mount by a signal to the process and returns its exit code.
func (m *mount) terminate(sig syscall.Signal) (code int) {
	m.t.Helper()
	m.once.Do(func() {
		m.t.Helper()
		m.signal(sig)
		code = m.wait()
		m.wantNothingLeft()
	})
	return code
}

// kill kills the process without warning, which leaves a stale mount.
func (m *mount) kill() {
	m.t.Helper()
	m.once.Do(func() {
		m.t.Helper()
		m.signal(syscall.SIGKILL)
		m.wait()
		m.wantEmptyCache()
	})
}

func (m *mount) signal(sig syscall.Signal) {
	m.t.Helper()
	if err := m.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		m.t.Error(err)
	}
}

// wait waits for the process's end and returns its exit code.
func (m *mount) wait() int {
	m.t.Helper()
	select {
	case <-m.ended:
	case <-time.After(limit):
		m.t.Errorf("rgwfs does not end: %s", tail(m.stacks()))
		m.signal(syscall.SIGKILL)
		<-m.ended
	}
	return m.cmd.ProcessState.ExitCode()
}

// wantNoStaging waits until the process has closed the files that it had in
// the cache directory: the kernel tells it the end of an open file after
// close(2) has returned.
func (m *mount) wantNoStaging() {
	m.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		open := m.staging()
		if len(open) == 0 {
			return
		}
		if time.Now().After(deadline) {
			m.t.Errorf("rgwfs has staging files open that no file uses: %q", open)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// staging returns the descriptors that the process has of files in its cache
// directory; these have no names there.
func (m *mount) staging() []string {
	m.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", m.cmd.Process.Pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // it has ended
	}
	var open []string
	for _, entry := range entries {
		// One that is closed meanwhile has no link any more.
		if target, err := os.Readlink(filepath.Join(dir, entry.Name())); err == nil && strings.HasPrefix(target, m.cache+"/") {
			open = append(open, target)
		}
	}
	return open
}

// wantNothingLeft looks for what an ended rgwfs has left.
func (m *mount) wantNothingLeft() {
	m.t.Helper()
	if mounted(m.t, m.dir) {
		m.t.Errorf("%s is still mounted", m.dir)
	}
	m.wantEmptyCache()
}

func (m *mount) wantEmptyCache() {
	m.t.Helper()
	left, err := os.ReadDir(m.cache)
	if err != nil || len(left) > 0 {
		m.t.Errorf("in the cache directory: %v, %v", left, err)
	}
}

// peak returns the most memory that the process ever had resident, in bytes.
func (m *mount) peak() int64 {
	m.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.cmd.Process.Pid))
	if err != nil {
		m.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" && fields[2] == "kB" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				m.t.Fatal(err)
			}
			return kib << 10
		}
	}
	m.t.Fatalf("no VmHWM in %s", data)
	return 0
}

// logged returns the log of the process.
func (m *mount) logged() string {
	data, err := os.ReadFile(m.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err.Error()
	}
	return string(data)
}

// stacks ends the process with the stacks of its goroutines, for a message.
func (m *mount) stacks() string {
	m.signal(syscall.SIGQUIT)
	select {
	case <-m.ended:
	case <-time.After(10 * time.Second):
	}
	return fmt.Sprint(m.cmd.Stderr)
}

// tail returns the end of a long text.
func tail(text string) string {
	const most = 4 << 10
	if len(text) > most {
		return "..." + text[len(text)-most:]
	}
	return text
}
