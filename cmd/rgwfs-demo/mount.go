package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// mount is a running rgwfs.
type mount struct {
	point   string
	log     string // file with what rgwfs logs
	command *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	err     error         // how; written before ended is closed
}

// startMount mounts the server's bucket below dir and returns when it serves.
func startMount(ctx context.Context, program, dir string, s *server) (m *mount, err error) {
	m = &mount{
		point: filepath.Join(dir, bucketName),
		log:   filepath.Join(dir, "rgwfs.log"),
		ended: make(chan struct{}),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.clean())
		}
	}()
	if err := os.Mkdir(m.point, 0o755); err != nil {
		return nil, err
	}
	logFile, err := os.Create(m.log)
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	// The socket of systemd's readiness protocol, sd_notify(3): rgwfs says when
	// it serves.
	socket := filepath.Join(dir, "ready.sock")
	ready, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ready.Close(), os.Remove(socket)) }()

	m.command = exec.Command(program, "mount", "--foreground",
		"--endpoint", s.endpoint, "--cache-dir", filepath.Join(dir, "cache"), "--unmount-timeout", "20s",
		bucketName, m.point)
	m.command.Env = append(environment(),
		"AWS_ACCESS_KEY_ID="+s.accessKey, "AWS_SECRET_ACCESS_KEY="+string(s.secretKey), "NOTIFY_SOCKET="+socket)
	m.command.Stdout, m.command.Stderr = logFile, logFile
	m.command.SysProcAttr = &syscall.SysProcAttr{
		Setpgid:   true,            // Ctrl-C in the terminal is for us, and we stop it
		Pdeathsig: syscall.SIGTERM, // should we be killed
	}
	if err := m.command.Start(); err != nil {
		return nil, err
	}
	go func() {
		m.err = m.command.Wait()
		close(m.ended)
	}()
	if err := m.waitReady(ctx, ready); err != nil {
		return nil, errors.Join(err, m.terminate())
	}
	return m, nil
}

// waitReady waits for READY=1 on the socket.
func (m *mount) waitReady(ctx context.Context, ready *net.UnixConn) error {
	told := make(chan error, 1)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := ready.Read(buf)
			if err != nil || strings.Contains(string(buf[:n]), "READY=1") {
				told <- err
				return
			}
		}
	}()
	select {
	case err := <-told:
		return err
	case <-m.ended:
		return m.result()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// result says how rgwfs ended, with what it said last.
func (m *mount) result() error {
	text, err := os.ReadFile(m.log)
	if err != nil {
		return errors.Join(m.err, err)
	}
	if said := strings.TrimSpace(string(text)); said != "" {
		lines := strings.Split(said, "\n")
		return errors.New(lines[len(lines)-1])
	}
	return m.err
}

// stopTimeout is longer than rgwfs itself tries to save what is unsaved.
const stopTimeout = 30 * time.Second

// terminate ends rgwfs, which unmounts.
func (m *mount) terminate() error {
	// It may have ended already; ended tells.
	_ = m.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-m.ended:
		return nil
	case <-time.After(stopTimeout):
		err := m.command.Process.Kill()
		<-m.ended
		return errors.Join(err, errors.New("rgwfs did not end by itself and was killed"),
			exec.Command("fusermount3", "-u", "-z", m.point).Run())
	}
}

// stop unmounts and removes what startMount made.
func (m *mount) stop() error {
	err := m.terminate()
	if m.err != nil {
		err = errors.Join(err, fmt.Errorf("rgwfs: %w", m.result()))
	}
	return errors.Join(err, m.clean())
}

// clean removes the files. Remove, not RemoveAll, for the mountpoint: see demo.
func (m *mount) clean() error {
	var errs []error
	for _, path := range []string{m.point, m.log} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, os.RemoveAll(filepath.Join(filepath.Dir(m.log), "cache")))...)
}

// environment is ours without settings for another server than the demo's.
func environment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "RGWFS_") && !strings.HasPrefix(variable, "AWS_") {
			kept = append(kept, variable)
		}
	}
	return append(kept, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
}
