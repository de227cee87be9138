package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// A daemon is this program, run once more in a session of its own: Go programs
// can't fork. The child does everything, with the parent's arguments and
// environment (so nothing secret passes through argv), and tells the parent
// through a pipe how the mount went. The parent ends with the child's result.
//
// daemonVariable tells the child that it is one.
const daemonVariable = "RGWFS_DAEMON_CHILD"

// statusFD is the child's end of the pipe: the first of exec.Cmd.ExtraFiles.
const statusFD = 3

// status is what the child tells: one JSON object, when the mount serves or
// can't.
type status struct {
	Code    int    `json:"code"`
	Message string `json:"message,omitempty"`
}

// runDaemon starts the child and waits until it serves or has failed.
func runDaemon(inv *invocation) error {
	self, err := os.Executable()
	if err != nil {
		return fail("the program's own file can't be found, which a daemon is started from (%v): use --foreground", err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return fail("no pipe for the daemon: %v", err)
	}
	defer reader.Close()
	child := &exec.Cmd{
		Path:       self,
		Args:       append([]string{inv.argv0}, inv.args...),
		Env:        append(slices.Clone(inv.env), daemonVariable+"=1"),
		ExtraFiles: []*os.File{writer},
		// Until it serves, for warnings and for what the runtime says of a
		// crash; stdin and stdout are /dev/null from the start.
		Stderr:      os.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = child.Start()
	writer.Close()
	if err != nil {
		return fail("the daemon can't be started (%v): use --foreground", err)
	}

	// The child is out of the terminal's reach: pass on what is meant for it.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-signals:
				// It may have ended already; the pipe tells.
				_ = child.Process.Signal(syscall.SIGTERM)
			case <-done:
				return
			}
		}
	}()

	text, err := io.ReadAll(reader)
	var result status
	if err == nil && len(text) > 0 {
		err = json.Unmarshal(text, &result)
	}
	if err != nil || len(text) == 0 {
		// It ended without a word: by a signal, or a crash.
		state := "it ended"
		if waitErr := child.Wait(); waitErr != nil {
			state = waitErr.Error()
		}
		return fail("the daemon died before it served (%s)", state)
	}
	if result.Code == 0 {
		return child.Process.Release()
	}
	// Its exit code is the one it told.
	_ = child.Wait()
	return &failure{result.Code, errors.New(result.Message)}
}

// isDaemonChild reports whether this process is the child of runDaemon.
func isDaemonChild(inv *invocation) bool { return inv.getenv(daemonVariable) != "" }

// parentPipe is the way to the parent of a daemon. Its zero value has no
// parent.
type parentPipe struct{ w io.WriteCloser }

// openParentPipe takes over the child's end.
func openParentPipe() (*parentPipe, error) {
	unix.CloseOnExec(statusFD)
	var stat unix.Stat_t
	if err := unix.Fstat(statusFD, &stat); err != nil || stat.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil, fail("%s is set, but no parent has started this process: unset it", daemonVariable)
	}
	if err := os.Unsetenv(daemonVariable); err != nil {
		return nil, err
	}
	return &parentPipe{os.NewFile(statusFD, "status")}, nil
}

// tell sends the result, once.
func (p *parentPipe) tell(result status) error {
	if p.w == nil {
		return nil
	}
	defer func() { p.w = nil }()
	return errors.Join(json.NewEncoder(p.w).Encode(result), p.w.Close())
}

// detach lets go of the terminal: what is printed from now on goes nowhere.
func detach() error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for fd := range 3 {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return fmt.Errorf("dup3 to %d: %w", fd, err)
		}
	}
	return nil
}

// runDaemonChild mounts and serves as the child of runDaemon.
func runDaemonChild(ctx context.Context, inv *invocation, s *settings) error {
	parent, err := openParentPipe()
	if err != nil {
		return err
	}
	err = serveMount(ctx, inv, s, func() error {
		if err := parent.tell(status{}); err != nil {
			// The parent was killed, so whoever asked for the mount does not
			// wait for it any more.
			return fail("the process that asked for the mount is gone: %v", err)
		}
		return detach()
	})
	if err != nil && parent.w != nil {
		message, code := oneLine(err.Error()), exitCode(err)
		if tellErr := parent.tell(status{code, message}); tellErr == nil {
			return &failure{code, errTold}
		}
	}
	return err
}

// errTold stands for an error that the parent prints.
var errTold = errors.New("told to the parent")
