package s3test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// RGWServer is a real one-node Ceph RADOS Gateway that scripts/rgw-up.sh has
// brought up, seen by one test. Its methods end the test when they fail.
type RGWServer struct {
	HTTP   string // endpoint, "http://127.0.0.1:port"
	HTTPS  string // endpoint of the same gateway, "https://127.0.0.1:port"
	CAFile string // PEM file of the authority that signed its certificate

	AccessKey, SecretKey               string // the user "rgwfs"
	OtherAccessKey, OtherSecretKey     string // the user "other"
	LimitedAccessKey, LimitedSecretKey string // the user "limited": a quota of 16 MiB in all, felt within 2 s

	Dir        string // all its files
	LogFile    string // radosgw's own log
	OpsLogFile string // one JSON document for each request
	Conf       string // ceph.conf, with the client name client.rgw

	t      testing.TB
	client *http.Client
	log    progress
}

// RGW returns the gateway that the environment describes; the tests of a run
// share it, each in buckets of its own. Without one the test is skipped, or
// fails if RGWFS_REQUIRE_RGW is 1.
func RGW(t testing.TB) *RGWServer {
	t.Helper()
	if os.Getenv("RGWFS_TEST_RGW_DIR") == "" {
		Missing(t, `no RGW to test on: run "make test", or eval "$(scripts/rgw-up.sh)" first`)
	}
	return newRGWServer(t, os.Getenv)
}

// StartRGW brings up a gateway that belongs to this test alone, to be killed,
// started again or configured otherwise; it is stopped when the test ends,
// also when the test's process dies. Each option is a radosgw setting
// "key=value". Where Ceph is not installed the test is skipped, or fails if
// RGWFS_REQUIRE_RGW is 1.
func StartRGW(t testing.TB, options ...string) *RGWServer {
	t.Helper()
	args := []string{"start", "--owner-pid", strconv.Itoa(os.Getpid())}
	for _, o := range options {
		args = append(args, "--set", o)
	}
	out, err := rgwUp(t, args...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 3 {
		Missing(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for line := range strings.Lines(out) {
		if k, v, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "="); ok {
			env[k] = v
		}
	}
	dir := env["RGWFS_TEST_RGW_DIR"]
	t.Cleanup(func() {
		if _, err := rgwUp(t, "stop", "--dir", dir); err != nil {
			t.Error(err)
		}
	})
	return newRGWServer(t, func(k string) string { return env[k] })
}

// Missing skips a test that lacks a program, or fails it if RGWFS_REQUIRE_RGW
// is 1: then all that .ci/run installs has to be there.
func Missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("RGWFS_REQUIRE_RGW") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

func newRGWServer(t testing.TB, getenv func(string) string) *RGWServer {
	t.Helper()
	get := func(name string) string {
		v := getenv("RGWFS_TEST_RGW_" + name)
		if v == "" {
			t.Fatalf("RGWFS_TEST_RGW_%s is not set; scripts/rgw-up.sh sets it", name)
		}
		return v
	}
	return &RGWServer{
		HTTP: get("HTTP"), HTTPS: get("HTTPS"), CAFile: get("CA"),
		AccessKey: get("ACCESS_KEY"), SecretKey: get("SECRET_KEY"),
		OtherAccessKey: get("OTHER_ACCESS_KEY"), OtherSecretKey: get("OTHER_SECRET_KEY"),
		LimitedAccessKey: get("LIMITED_ACCESS_KEY"), LimitedSecretKey: get("LIMITED_SECRET_KEY"),
		Dir: get("DIR"), LogFile: get("LOG"), OpsLogFile: get("OPS_LOG"), Conf: get("CONF"),
		t: t,
		// No connection outlives its request, so that a test that looks for
		// leaked goroutines finds none of ours.
		client: &http.Client{
			Transport: &http.Transport{DisableKeepAlives: true},
			Timeout:   time.Minute,
		},
	}
}

// Kill kills radosgw with SIGKILL, in the middle of whatever it does. The
// objects stay, since the OSD holds them. For a gateway of StartRGW only.
func (s *RGWServer) Kill() { s.t.Helper(); s.rgwUp("kill-rgw") }

// Start starts a killed radosgw on the same ports and waits until it serves.
func (s *RGWServer) Start() { s.t.Helper(); s.rgwUp("start-rgw") }

func (s *RGWServer) rgwUp(command string) {
	s.t.Helper()
	if _, err := rgwUp(s.t, command, "--dir", s.Dir); err != nil {
		s.t.Fatal(err)
	}
}

// Admin runs radosgw-admin and returns what it prints.
func (s *RGWServer) Admin(args ...string) []byte {
	s.t.Helper()
	args = append([]string{"-n", "client.rgw", "--conf", s.Conf, "--log-to-file=false"}, args...)
	out, err := run(time.Minute, "radosgw-admin", args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// NewBucketName returns a bucket name that is legal on RGW, tells which test
// uses it and occurs once, so that requests counted by bucket are this test's.
// It makes no bucket.
func (s *RGWServer) NewBucketName() string {
	s.t.Helper()
	var random [6]byte
	if _, err := rand.Read(random[:]); err != nil {
		s.t.Fatal(err)
	}
	legal := func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}
	name := strings.Trim(strings.Map(legal, s.t.Name()), "-")
	const most = 63 - 1 - 2*len(random)
	if len(name) > most {
		name = strings.TrimRight(name[:most], "-")
	}
	return name + "-" + hex.EncodeToString(random[:])
}

// NewBucket makes a bucket of the user "rgwfs" under a name of NewBucketName.
// It is removed with all its objects and uploads when the test ends.
func (s *RGWServer) NewBucket() string {
	s.t.Helper()
	name := s.NewBucketName()
	if r := s.Do(http.MethodPut, "/"+name, "", nil, nil); r.Status != http.StatusOK {
		s.t.Fatalf("making bucket %s: %s", name, r)
	}
	s.RemoveBucketLater(name)
	return name
}

// RemoveBucketLater removes the bucket, whoever made it, with all its objects
// and uploads when the test ends. It is no error if the bucket is gone by then.
func (s *RGWServer) RemoveBucketLater(name string) {
	s.t.Helper()
	s.t.Cleanup(func() {
		// Not by S3: this works also while radosgw is killed, and does not
		// lean on the code under test.
		_, err := run(2*time.Minute, "radosgw-admin", "-n", "client.rgw", "--conf", s.Conf, "--log-to-file=false",
			"bucket", "rm", "--purge-objects", "--bucket="+name)
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == int(syscall.ENOENT) {
			return
		}
		if err != nil {
			s.t.Error(err)
		}
	})
}

// rgwUp runs scripts/rgw-up.sh and returns its standard output.
func rgwUp(t testing.TB, args ...string) (string, error) {
	t.Helper()
	out, err := run(4*time.Minute, filepath.Join(moduleRoot(t), "scripts", "rgw-up.sh"), args...)
	return string(out), err
}

// moduleRoot is the nearest directory upwards with a go.mod; go test runs
// each test in its package's directory.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = parent
	}
}

// run runs a program, at most for limit, and returns its standard output; its
// error has what the program wrote to standard error, and unwraps to
// *exec.ExitError.
func run(limit time.Duration, program string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	// rgw-up.sh cleans up on SIGTERM; by SIGKILL its daemons would be left.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, &runError{program: filepath.Base(program), args: args, stderr: stderr.String(), err: err}
	}
	return stdout.Bytes(), nil
}

type runError struct {
	program, stderr string
	args            []string
	err             error
}

func (e *runError) Error() string {
	return e.program + " " + strings.Join(e.args, " ") + ": " + e.err.Error() + "\n" + e.stderr
}

func (e *runError) Unwrap() error { return e.err }
