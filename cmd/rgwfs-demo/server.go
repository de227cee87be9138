package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test/embedded"
)

// server is the S3 server of the demo.
type server struct {
	kind      string
	endpoint  string
	accessKey string
	secretKey s3backend.Secret
	ended     <-chan struct{} // closed if it ends by itself
	stop      func() error
}

func startServer(ctx context.Context, opts options, dir string, stdout, stderr io.Writer) (*server, error) {
	if opts.rgw {
		fmt.Fprintln(stdout, "Starting a one-node Ceph, which takes about 15 seconds.")
		return startRGW(ctx, filepath.Join(dir, "ceph"), stderr)
	}
	s, err := embedded.Start(ctx, embedded.DefaultConfig())
	if err != nil {
		return nil, err
	}
	return &server{
		kind:      "an S3 server inside this program",
		endpoint:  s.URL,
		accessKey: s.AccessKey,
		secretKey: s3backend.Secret(s.SecretKey),
		ended:     s.Done(),
		stop:      s.Close,
	}, nil
}

// startRGW brings up a Ceph in dir by scripts/rgw-up.sh.
func startRGW(ctx context.Context, dir string, stderr io.Writer) (*server, error) {
	script, err := findScript()
	if err != nil {
		return nil, err
	}
	// Its own group: Ctrl-C in the terminal is for us, and we stop it.
	command := func(args ...string) *exec.Cmd {
		c := exec.Command(script, args...)
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		c.Stderr = stderr
		return c
	}
	start := command("start", "--dir", dir, "--owner-pid", fmt.Sprint(os.Getpid()))
	var output strings.Builder
	start.Stdout = &output
	if err := runUntil(ctx, start); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", script, err), os.RemoveAll(dir))
	}
	stop := func() error {
		if err := command("stop", "--dir", dir).Run(); err != nil {
			return fmt.Errorf("%s stop --dir %s: %w", script, dir, err)
		}
		return os.RemoveAll(dir)
	}
	env := exports(output.String())
	s := &server{
		kind:      "a one-node Ceph RADOS Gateway",
		endpoint:  env["RGWFS_ENDPOINT"],
		accessKey: env["AWS_ACCESS_KEY_ID"],
		secretKey: s3backend.Secret(env["AWS_SECRET_ACCESS_KEY"]),
		stop:      stop,
	}
	if s.endpoint == "" || s.accessKey == "" || s.secretKey == "" {
		return nil, errors.Join(fmt.Errorf("%s does not say where it serves", script), stop())
	}
	return s, nil
}

// runUntil runs a command, which is asked to end when ctx is done.
func runUntil(ctx context.Context, command *exec.Cmd) error {
	if err := command.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		// It may have ended already; Wait tells.
		_ = command.Process.Signal(syscall.SIGTERM)
		return errors.Join(ctx.Err(), <-ended)
	}
}

// exports reads the `export NAME=VALUE` lines of a script.
func exports(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "="); ok {
			values[name] = value
		}
	}
	return values
}

// client returns a client of the server, for filling and checking.
func (s *server) client(ctx context.Context) (*s3backend.Client, error) {
	config := s3backend.DefaultConfig()
	config.Endpoint = s.endpoint
	config.AccessKey = s3backend.Secret(s.accessKey)
	config.SecretKey = s.secretKey
	return s3backend.New(ctx, config)
}

// fill puts the sample data on the server.
func (s *server) fill(ctx context.Context) error {
	client, err := s.client(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return fill(ctx, client)
}
