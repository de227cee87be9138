package main

import (
	"bufio"
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

	"rgwfs/s3backend/s3test"

	"go.uber.org/goleak"
)

// binaries are rgwfs and rgwfs-demo, built once by TestMain.
var binaries string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "rgwfs-demo-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries = dir
	if output, err := exec.Command("go", "build", "-o", dir+"/", "../rgwfs", ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building: %v\n%s", err, output)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// limit is how long anything here may take before it counts as hanging.
const limit = 3 * time.Minute

// command is a run of the demo in the source tree, with a directory for what
// it makes.
func command(t *testing.T, args ...string) (cmd *exec.Cmd, temp string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	temp, err := os.MkdirTemp("", "rgwfs-demo-temp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Not RemoveAll: a mount that was left must not be emptied.
		if err := os.Remove(temp); err != nil {
			t.Error(err)
		}
	})
	cmd = exec.CommandContext(ctx, filepath.Join(binaries, "rgwfs-demo"), args...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "TMPDIR="+temp, "RGW=", "RGWFS=", "RGWFS_ENDPOINT=http://127.0.0.1:9", "AWS_ACCESS_KEY_ID=of-another-server")
	// Killed only if it hangs; it cleans up by itself on SIGTERM.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	return cmd, temp
}

func isEmpty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		t.Errorf("%s is left", filepath.Join(dir, entry.Name()))
	}
}

func isMounted(t *testing.T, below string) bool {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(mounts), " "+below+"/")
}

func TestOnce(t *testing.T) {
	cmd, temp := command(t, "--once")
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, output)
	}
	if !strings.Contains(string(output), "Everything works") {
		t.Errorf("it does not say so: %s", output)
	}
	isEmpty(t, temp)
}

func TestOnceRGW(t *testing.T) {
	if _, err := exec.LookPath("radosgw"); err != nil {
		s3test.Missing(t, "no Ceph here: "+err.Error())
	}
	cmd, temp := command(t, "--once")
	cmd.Env = append(cmd.Env, "RGW=1")
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, output)
	}
	if !strings.Contains(string(output), "Everything works") {
		t.Errorf("it does not say so: %s", output)
	}
	isEmpty(t, temp)
}

// started starts the interactive demo and returns when it waits for Ctrl-C.
func started(t *testing.T) (cmd *exec.Cmd, temp string, stderr *bytes.Buffer) {
	t.Helper()
	cmd, temp = command(t)
	stderr = &bytes.Buffer{}
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%v, before it waits: %v, %s", err, cmd.Wait(), stderr)
		}
		if strings.Contains(line, "Ctrl-C") {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // ends with the process
	return cmd, temp, stderr
}

func TestCtrlC(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd, temp, stderr := started(t)
		if !isMounted(t, temp) {
			t.Error("nothing is mounted")
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
			t.Errorf("%v: %v: %s", sig, err, stderr)
		}
		isEmpty(t, temp)
	}
}

// With a file open and a shell in the mount, as people do it.
func TestCtrlCWhileInUse(t *testing.T) {
	cmd, temp, stderr := started(t)
	found, err := filepath.Glob(filepath.Join(temp, "*", bucketName, "README.txt"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	user := exec.Command("sh", "-c", "exec 3< README.txt; echo open; read wait")
	user.Dir = filepath.Dir(found[0])
	in, err := user.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := user.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := user.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "open\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
		t.Errorf("%v: %s", err, stderr)
	}
	isEmpty(t, temp)
	in.Close()
	// Its read fails at the end of input, which is how it ends.
	_ = user.Wait()
}

// Should the demo be killed, its mount does not outlive it.
func TestKilled(t *testing.T) {
	cmd, temp, _ := started(t)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed, as asked
	for deadline := time.Now().Add(limit); isMounted(t, temp); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("still mounted")
		}
	}
	left, err := filepath.Glob(filepath.Join(temp, "*"))
	if err != nil || len(left) != 1 {
		t.Fatalf("%v, %v", left, err)
	}
	if err := os.RemoveAll(left[0]); err != nil {
		t.Error(err)
	}
}

func TestMissing(t *testing.T) {
	for name, c := range map[string]struct {
		args, env []string
		code      int
		words     []string
	}{
		"fusermount3": {env: []string{"PATH=/nonexistent"}, code: 1, words: []string{"fusermount3 is missing", "apt install fuse3"}},
		"rgwfs":       {env: []string{"RGWFS=/nonexistent/rgwfs"}, code: 1, words: []string{"$RGWFS", "/nonexistent/rgwfs"}},
		"flag":        {args: []string{"--twice"}, code: 2, words: []string{"--twice", "--help"}},
		"argument":    {args: []string{"x"}, code: 2, words: []string{`"x"`, "--help"}},
	} {
		cmd, temp := command(t, c.args...)
		cmd.Env = append(cmd.Env, c.env...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != c.code {
			t.Errorf("%s: %v, want exit code %d", name, err, c.code)
		}
		if strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%s: not one line: %s", name, &stderr)
		}
		for _, word := range c.words {
			if !strings.Contains(stderr.String(), word) {
				t.Errorf("%s: no %q in %s", name, word, &stderr)
			}
		}
		isEmpty(t, temp)
	}
}
