package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// program is the rgwfs binary under test, built once by TestMain.
var program string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rgwfs-cli-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// Other users run it too.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	program = filepath.Join(dir, "rgwfs")
	args := []string{"build", "-ldflags", "-X main.version=1.2.3-test -X main.commit=c0ffee", "-o", program}
	if raceEnabled {
		args = append(args, "-race")
	}
	if output, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building rgwfs: %v\n%s", err, output)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// limit is how long anything in these tests may take before it counts as
// hanging.
const limit = 2 * time.Minute

// server is an S3 server to mount from.
type server struct {
	endpoint, key, secret string
	bucket                string
	store                 s3backend.Store
}

func newServer(t *testing.T, endpoint, key, secret, bucket string) *server {
	t.Helper()
	config := s3backend.DefaultConfig()
	config.Endpoint, config.AccessKey, config.SecretKey = endpoint, s3backend.Secret(key), s3backend.Secret(secret)
	client, err := s3backend.New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &server{endpoint, key, secret, bucket, client.Bucket(bucket)}
}

// embeddedServer has an empty bucket "data".
func embeddedServer(t *testing.T) *server {
	t.Helper()
	s := s3test.NewServer(t, "data")
	return newServer(t, s.URL, s.AccessKey, s.SecretKey, "data")
}

// rgwServer has a bucket of its own on a real gateway.
func rgwServer(t *testing.T) *server {
	t.Helper()
	rgw := s3test.RGW(t)
	return newServer(t, rgw.HTTP, rgw.AccessKey, rgw.SecretKey, rgw.NewBucket())
}

// eachServer runs a test on the embedded server and on real RGW.
func eachServer(t *testing.T, test func(t *testing.T, s *server)) {
	t.Run("embedded", func(t *testing.T) { test(t, embeddedServer(t)) })
	t.Run("RGW", func(t *testing.T) { test(t, rgwServer(t)) })
}

func (s *server) env() []string {
	return []string{"AWS_ACCESS_KEY_ID=" + s.key, "AWS_SECRET_ACCESS_KEY=" + s.secret, "RGWFS_ENDPOINT=" + s.endpoint}
}

// content returns the bytes of an object.
func (s *server) content(t *testing.T, key string) string {
	t.Helper()
	_, body, err := s.store.Get(t.Context(), s3backend.GetRequest{Key: key, Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// put stores an object.
func (s *server) put(t *testing.T, key, content string) {
	t.Helper()
	_, err := s.store.Put(t.Context(), s3backend.PutRequest{Key: key, Body: strings.NewReader(content), Size: int64(len(content))})
	if err != nil {
		t.Fatal(err)
	}
}

// cli returns a run of the program with these variables and none of the
// machine's own that matter.
func cli(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, program, args...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "RGWFS_") && !strings.HasPrefix(variable, "AWS_") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "RGWFS_CACHE_DIR="+t.TempDir())
	if raceEnabled {
		// A daemon's stderr is nowhere, so races are reported to a file.
		report := filepath.Join(t.TempDir(), "race")
		cmd.Env = append(cmd.Env, "GORACE=log_path="+report)
		t.Cleanup(func() { noRaces(t, report) })
	}
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

func noRaces(t *testing.T, report string) {
	t.Helper()
	files, err := filepath.Glob(report + ".*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		t.Errorf("%v\n%s", err, text)
	}
}

// result is what a run has left.
type result struct {
	code           int
	stdout, stderr string
}

func runCLI(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A daemon that kept stderr open would show as a hang here.
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// wantFailure fails the test unless a run has ended with the code and one line
// on stderr that has the words.
func wantFailure(t *testing.T, r result, code int, words ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
	if strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
		t.Errorf("stdout %q, stderr %q, want one line on stderr", r.stdout, r.stderr)
	}
	for _, word := range words {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("%q is not on stderr: %s", word, r.stderr)
		}
	}
}

// mountpoint returns a new directory. At the end of the test nothing may be
// mounted there.
func mountpoint(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rgwfs-mnt-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if entry, ok := mounted(t, dir); ok {
			t.Errorf("%v is still mounted", entry)
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func mounted(t *testing.T, dir string) (mountEntry, bool) {
	t.Helper()
	entries, err := thisHost().mounts()
	if err != nil {
		t.Fatal(err)
	}
	return mountedAt(entries, dir)
}

func fusermount(t *testing.T, args ...string) {
	t.Helper()
	if output, err := exec.Command("fusermount3", args...).CombinedOutput(); err != nil {
		t.Fatalf("fusermount3 %q: %v: %s", args, err, output)
	}
}

// process is a running rgwfs: one in the foreground, or a daemon that the log
// names.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd // nil for a daemon
	pid   int
	dir   string
	log   string
	ended chan struct{}
}

// foreground starts a mount in the foreground and waits until it serves.
func foreground(t *testing.T, s *server, args ...string) *process {
	t.Helper()
	p := &process{t: t, dir: mountpoint(t), log: filepath.Join(t.TempDir(), "log"), ended: make(chan struct{})}
	p.cmd = cli(t, s.env(), append([]string{"mount", "-f", "--log-file", p.log}, append(args, s.bucket, p.dir)...)...)
	var stderr bytes.Buffer
	p.cmd.Stderr = &stderr
	socket := newReadySocket(t)
	p.cmd.Env = append(p.cmd.Env, "NOTIFY_SOCKET="+socket.name)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.pid = p.cmd.Process.Pid
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // its result is in p.cmd.ProcessState
	}()
	t.Cleanup(func() { p.kill(syscall.SIGTERM); p.wait() })
	select {
	case <-socket.ready:
	case <-p.ended:
		t.Fatalf("rgwfs ended: %s%s", &stderr, p.logged())
	}
	return p
}

// daemon starts a mount in the background.
func daemon(t *testing.T, s *server, args ...string) *process {
	t.Helper()
	p := &process{t: t, dir: mountpoint(t), log: filepath.Join(t.TempDir(), "log"), ended: make(chan struct{})}
	if r := runCLI(t, cli(t, s.env(), append([]string{"mount", "--log-file", p.log}, append(args, s.bucket, p.dir)...)...)); r.code != 0 || r.stdout != "" {
		t.Fatalf("exit code %d, stdout %q, stderr %q", r.code, r.stdout, r.stderr)
	}
	if _, err := fmt.Sscanf(p.logged()[strings.LastIndex(p.logged(), "pid="):], "pid=%d", &p.pid); err != nil {
		t.Fatalf("no pid in the log: %v: %s", err, p.logged())
	}
	watch, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		defer unix.Close(watch)
		for {
			if n, err := unix.Poll([]unix.PollFd{{Fd: int32(watch), Events: unix.POLLIN}}, -1); n > 0 || err != unix.EINTR {
				return
			}
		}
	}()
	t.Cleanup(func() { p.kill(syscall.SIGTERM); p.wait() })
	return p
}

func (p *process) kill(sig syscall.Signal) {
	p.t.Helper()
	select {
	case <-p.ended: // the pid may be somebody else's by now
		return
	default:
	}
	if err := unix.Kill(p.pid, sig); err != nil && err != unix.ESRCH {
		p.t.Error(err)
	}
}

// wait waits for the end and returns the exit code (0 for a daemon).
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.t.Errorf("rgwfs %d does not end: %s", p.pid, p.logged())
		p.kill(syscall.SIGKILL)
		<-p.ended
	}
	if p.cmd == nil {
		return 0
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) logged() string {
	p.t.Helper()
	data, err := os.ReadFile(p.log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.t.Error(err)
	}
	return string(data)
}

// write writes a file on the mount, and returns it open.
func (p *process) write(name, content string) *os.File {
	p.t.Helper()
	f, err := os.Create(filepath.Join(p.dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := f.WriteString(content); err != nil {
		p.t.Fatal(err)
	}
	return f
}
