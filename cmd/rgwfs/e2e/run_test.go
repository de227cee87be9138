package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"rgwfs/s3backend/s3test"
)

// result is what a program has said.
type result struct {
	code           int
	stdout, stderr string
}

// need skips the test if a program is not installed, and fails it where all
// must be: in CI.
func need(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			s3test.Missing(t, name+" is not installed")
		}
	}
}

// try runs a program in dir. It fails the test only if the program hangs.
func try(t *testing.T, dir, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	// What a program prints must not depend on the machine, nor git on its user.
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC", "HOME=/nonexistent",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.org")
	// A killed program in an uninterruptible wait would keep Wait, too.
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%q hangs: %s%s", cmd.Args, tail(stdout.String()), tail(stderr.String()))
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%q: %v", cmd.Args, err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// run runs a program in dir that must succeed and complain of nothing, and
// returns what it prints.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	r := try(t, dir, name, args...)
	if r.code != 0 {
		t.Fatalf("%s %q: exit code %d: %s%s", name, args, r.code, tail(r.stdout), tail(r.stderr))
	}
	return r.stdout
}

// within runs f, which uses the mount, and fails the test if it takes longer
// than bound. What hangs then ends with the mount's process. A t.Fatal in f
// ends f alone.
func (m *mount) within(bound time.Duration, what string, f func()) {
	m.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(bound):
		stacks := m.stacks()
		<-done
		m.t.Fatalf("%s hangs for more than %v: %s", what, bound, tail(stacks))
	}
}
