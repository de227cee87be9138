package e2e

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// writer is a program, cp, that writes to a file on a mount what the test gives
// it, and has the file open as one descriptor all the time.
type writer struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer
}

func newWriter(t *testing.T, name string) *writer {
	t.Helper()
	w := &writer{t: t, cmd: exec.Command("cp", "/dev/stdin", name)}
	w.cmd.Env = append(os.Environ(), "LC_ALL=C")
	w.cmd.Stderr = &w.stderr
	w.cmd.WaitDelay = 10 * time.Second
	var err error
	if w.stdin, err = w.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if w.cmd.ProcessState == nil {
			_ = w.cmd.Process.Kill() // it may have ended by itself
			_ = w.cmd.Wait()
		}
	})
	return w
}

// write has cp write p: all but what the pipe and cp's buffer hold, less than
// 1 MiB, is written then. An error says that cp has given up.
func (w *writer) write(p []byte) error {
	_, err := w.stdin.Write(p)
	return err
}

// close has cp close the file, and returns what cp says. Its exit code is -1
// if it was killed.
func (w *writer) close() result {
	w.t.Helper()
	_ = w.stdin.Close() // cp may have given up before
	var exit *exec.ExitError
	if err := w.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		w.t.Error(err)
	}
	return result{code: w.cmd.ProcessState.ExitCode(), stderr: w.stderr.String()}
}
