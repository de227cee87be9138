package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestVersionAndHelp(t *testing.T) {
	for _, c := range []struct {
		args  []string
		words []string
	}{
		{[]string{"version"}, []string{"rgwfs 1.2.3-test\n", "commit c0ffee\n", "go go1.", "go-fuse v2."}},
		{[]string{"--version"}, []string{"rgwfs 1.2.3-test\n"}},
		{[]string{"help"}, []string{"rgwfs mount", "rgwfs version", "fusermount3 -u"}},
		{[]string{"--help"}, []string{"rgwfs mount"}},
		{[]string{"help", "mount"}, []string{"--endpoint", "RGWFS_METADATA_TTL", "/etc/fstab", "Exit codes"}},
		{[]string{"mount", "--help"}, []string{"--endpoint"}},
		{[]string{"help", "version"}, []string{"rgwfs version"}},
		{[]string{"help", "help"}, []string{"rgwfs help [COMMAND]"}},
	} {
		r := runCLI(t, cli(t, nil, c.args...))
		if r.code != 0 || r.stderr != "" {
			t.Errorf("%q: exit code %d, stderr %q", c.args, r.code, r.stderr)
		}
		for _, word := range c.words {
			if !strings.Contains(r.stdout, word) {
				t.Errorf("%q: no %q in %s", c.args, word, r.stdout)
			}
		}
	}
}

func TestUsageErrorsOfProgram(t *testing.T) {
	for _, c := range []struct {
		args  []string
		words []string
	}{
		{nil, []string{"no command", "rgwfs help"}},
		{[]string{"mout"}, []string{"did you mean `rgwfs mount`?"}},
		{[]string{"wibble"}, []string{"no command", "one of mount, ", "version, help"}},
		{[]string{"version", "x"}, []string{"no arguments"}},
		{[]string{"help", "mout"}, []string{`did you mean "mount"?`}},
		{[]string{"mount"}, []string{"no SOURCE", "rgwfs help mount"}},
		{[]string{"mount", "--endpont=http://x", "data", "/mnt"}, []string{"did you mean --endpoint?"}},
	} {
		wantFailure(t, runCLI(t, cli(t, nil, c.args...)), exitUsage, append(c.words, "rgwfs: ")...)
	}
	dir := mountpoint(t)
	for _, f := range []string{"-f", "--foreground=false"} {
		wantFailure(t, runCLI(t, cli(t, nil, "mount", f, "data", dir)), exitUsage, "no endpoint", "--endpoint", "AWS_ENDPOINT_URL_S3")
		wantFailure(t, runCLI(t, cli(t, nil, "mount", f, "--endpoint=ftp://x", "data", dir)), exitUsage, "ftp://x", "http")
		wantFailure(t, runCLI(t, cli(t, []string{"AWS_ENDPOINT_URL_S3=http://127.0.0.1:9"}, "mount", f, "data", dir)), exitFailure, "no credentials")
	}
}

// In the background and in the foreground the same line and code, and nothing
// stays.
func TestMountFailures(t *testing.T) {
	s := embeddedServer(t)
	dir := mountpoint(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dead := *s
	dead.endpoint = "http://127.0.0.1:9"
	wrong := *s
	wrong.secret = "no-such-secret"
	for _, f := range []string{"-f", "--foreground=false"} {
		for _, c := range []struct {
			s          *server
			bucket, at string
			more       []string
			words      []string
		}{
			{s: s, bucket: "dada", at: dir, words: []string{"no bucket dada on " + s.endpoint, "did you mean data?"}},
			{s: &dead, bucket: "data", at: dir, words: []string{"http://127.0.0.1:9", "refuses the connection"}},
			{s: &wrong, bucket: "data", at: dir, words: []string{"secret key"}},
			{s: s, bucket: "data", at: dir + "/missing", words: []string{"does not exist", "mkdir -p"}},
			{s: s, bucket: "data", at: file, words: []string{"not a directory"}},
			{s: s, bucket: "data", at: filepath.Dir(file), words: []string{"not empty", `"file"`}},
			{s: s, bucket: "data", at: dir, more: []string{"--log-file", dir + "/missing/log"}, words: []string{"--log-file"}},
		} {
			args := append([]string{"mount", f}, append(c.more, c.bucket, c.at)...)
			wantFailure(t, runCLI(t, cli(t, c.s.env(), args...)), exitFailure, append(c.words, "rgwfs: ")...)
			if entry, ok := mounted(t, dir); ok {
				t.Fatalf("%q has mounted %v", args, entry)
			}
		}
	}
}

// As mount(8) calls it, the exit codes are mount(8)'s.
func TestMountHelper(t *testing.T) {
	s := embeddedServer(t)
	dir := mountpoint(t)
	helper := filepath.Join(filepath.Dir(program), "mount.rgwfs")
	if err := os.Symlink(program, helper); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(helper) })
	run := func(env []string, args ...string) result {
		cmd := cli(t, env, args...)
		cmd.Path, cmd.Args[0] = helper, helper
		return runCLI(t, cmd)
	}
	wantFailure(t, run(nil, "data", dir, "-o", "wibble"), mountExitUsage, "mount.rgwfs: ", "wibble")
	wantFailure(t, run(nil, "data", dir+"/missing", "-o", "rw"), mountExitFailure, "does not exist")
	if r := run(s.env(), "data", dir, "-n", "-o", "rw,_netdev,x-systemd.automount"); r.code != 0 || r.stderr != "" {
		t.Fatalf("%+v", r)
	}
	if entry, ok := mounted(t, dir); !ok || entry.source != "s3://data" || !isOurs(entry) {
		t.Errorf("mounted %v, %v", entry, ok)
	}
	fusermount(t, "-u", dir)
}

// Ctrl-C during the checks ends the daemon that is about to be, too.
func TestInterruptedStart(t *testing.T) {
	for _, f := range []string{"-f", "--foreground=false"} {
		began := make(chan struct{}, 1)
		s := &server{endpoint: silentServer(t, began), key: "key", secret: "secret"}
		cmd := cli(t, s.env(), "mount", f, "data", mountpoint(t))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-began
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // its result is in cmd.ProcessState
		wantFailure(t, result{code: cmd.ProcessState.ExitCode(), stderr: stderr.String()}, exitFailure, "interrupted", s.endpoint)
	}
}

// A daemon whose parent was killed, so that nobody knows of it, ends.
func TestParentKilled(t *testing.T) {
	began, answer := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := quietServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(began) })
		<-answer
		emptyListing(w, r)
	}))
	slow.Start()
	s := &server{endpoint: slow.URL, key: "key", secret: "secret"}
	cmd := cli(t, s.env(), "mount", "data", mountpoint(t))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-began
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	close(answer)
	// Returns when the last process that has the other end of stderr has gone:
	// the daemon. Its mount is gone then, as the mountpoint's cleanup sees.
	_ = cmd.Wait()
	if !strings.Contains(stderr.String(), "the process that asked for the mount is gone") {
		t.Errorf("stderr: %s", &stderr)
	}
}
