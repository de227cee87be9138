package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// attachment is a mounted source.
type attachment interface {
	// done is closed when the kernel has let go of the mount: it was unmounted
	// by us or by somebody else.
	done() <-chan struct{}
	// unmount fails, after some patience, if a process still uses the mount.
	unmount() error
	// unmountLazily takes the mount out of the tree, in use or not.
	unmountLazily() error
	// sync commits everything that was written.
	sync(ctx context.Context) error
	// unsaved names what sync or close would have to commit.
	unsaved() []string
	// close commits what is left and frees everything. Its error is what could
	// not be committed.
	close() error
}

// errForced says that a second signal ended the wait for unsaved data.
var errForced = errors.New("a second signal came")

// runForeground serves until the mount ends, logging to stderr.
func runForeground(ctx context.Context, inv *invocation, s *settings) error {
	return serveMount(ctx, inv, s, func() error { return nil })
}

// serveMount checks, mounts, tells ready, and serves until the mount ends.
func serveMount(ctx context.Context, inv *invocation, s *settings, ready func() error) (err error) {
	output, err := newLogOutput(s, inv.stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, output.close()) }()
	logger, err := newLogger(s, output)
	if err != nil {
		return err
	}
	s.backend.Logger, s.cache.Logger, s.fs.Logger = logger, logger, logger
	if s.logLevel == "debug" || s.fs.Debug {
		logger.Warn("the debug log names keys, which may be private; it never holds credentials")
	}
	limitMemory(inv, s.cache.MemoryLimit)
	if err := forbidCore(); err != nil {
		return err
	}
	warning, err := raiseFileLimit()
	if err != nil {
		return err
	}
	if warning != "" {
		logger.Warn(warning)
	}

	// Until it is mounted a signal ends the checks; after, the mount. The
	// channel is there before the mount is, so none falls in between.
	checking, stopChecking := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stopChecking()
	if err := prepare(checking, s); err != nil {
		return err
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	stopChecking()

	mounted, err := attach(ctx, s)
	if err != nil {
		return err
	}
	end := ending{settings: s, mounted: mounted, signals: signals, log: logger, output: output}
	// A relative path has no meaning any more, and the directory that rgwfs was
	// started in must not be kept busy by it.
	if err := os.Chdir("/"); err != nil {
		return errors.Join(err, end.stop("no working directory"))
	}
	if !s.foreground {
		// What is said from now on is not for the terminal.
		if err := output.detach(); err != nil {
			return errors.Join(err, end.stop("no log"))
		}
	}
	// Logged before it is told, so that who waits for it finds it in the log.
	logger.Info("mounted", "source", s.source.String(), "mountpoint", s.mountpoint, "endpoint", s.backend.Endpoint,
		"read_only", s.fs.ReadOnly, "memory_limit", s.cache.MemoryLimit, "version", version, "pid", os.Getpid())
	if err := ready(); err != nil {
		return errors.Join(err, end.stop("nobody waits for the mount"))
	}
	if !s.foreground {
		return end.wait()
	}
	manager := newServiceManager(inv)
	if err := manager.ready("serving " + s.source.String() + " at " + s.mountpoint); err != nil {
		return errors.Join(err, end.stop("systemd can't be told"))
	}
	end.manager = manager
	return end.wait()
}

// ending brings a mount to its end without losing what was written.
type ending struct {
	settings *settings
	mounted  attachment
	signals  <-chan os.Signal
	manager  serviceManager
	log      *slog.Logger
	output   *logOutput
}

// wait serves until a signal comes or somebody unmounts.
func (e *ending) wait() error {
	for {
		select {
		case <-e.mounted.done():
			return e.finish("unmounted")
		case received := <-e.signals:
			if received == syscall.SIGHUP && !e.settings.foreground {
				// As daemons have it, for logrotate(8). In the foreground it
				// means that the terminal is gone.
				if err := e.output.reopen(); err != nil {
					e.log.Error("the log file can't be opened again; the old one is used on", "error", err)
				}
				continue
			}
			return e.stop("signal: " + received.String())
		}
	}
}

// stop commits, unmounts and finishes.
func (e *ending) stop(reason string) error {
	e.log.Info("unmounting", "reason", reason, "mountpoint", e.settings.mountpoint)
	if err := e.manager.stopping("committing unsaved data", e.settings.unmountTimeout); err != nil {
		e.log.Warn("systemd can't be told", "error", err)
	}
	// While it is still mounted: who writes gets the result from close(2).
	saved := e.bounded(func() error { return e.mounted.sync(context.Background()) })
	if saved != nil {
		e.log.Warn("unsaved data could not be committed yet", "error", saved)
	}
	if err := e.unmount(); err != nil {
		// It goes with this process in any case, but leaves a stale mountpoint.
		e.log.Error("the mount can't be taken away; clean up by fusermount3 -u", "mountpoint", e.settings.mountpoint, "error", err)
	}
	if errors.Is(saved, errForced) || errors.Is(saved, context.DeadlineExceeded) {
		// What did not end in time will not end now.
		return e.unsaved(saved)
	}
	return e.finish("unmounted by " + reason)
}

// unmount takes the mount away, at once if nothing uses it, else lazily: no
// new file can be opened then, and files still open fail once this process has
// ended.
func (e *ending) unmount() error {
	err := e.mounted.unmount()
	if err == nil {
		return nil
	}
	e.log.Warn("processes still use the mount: their open files will fail (fuser -m names the processes)", "mountpoint", e.settings.mountpoint, "error", err)
	return e.mounted.unmountLazily()
}

// finish commits what is left after the mount is gone.
func (e *ending) finish(how string) error {
	if err := e.bounded(e.mounted.close); err != nil {
		return e.unsaved(err)
	}
	e.log.Info(how, "mountpoint", e.settings.mountpoint)
	return nil
}

// mostNamed is how many losses the last line names; the log has all.
const mostNamed = 5

// unsaved logs all that is lost, and names some of it.
func (e *ending) unsaved(err error) error {
	// Commits that failed say which key it was. Those that did not end are
	// still counted as unsaved.
	var losses []string
	for _, part := range flatten(err) {
		losses = append(losses, part.Error())
		e.log.Error("not saved", "error", part)
	}
	for _, key := range e.mounted.unsaved() {
		losses = append(losses, strconv.Quote(key))
		e.log.Error("not saved", "key", key)
	}
	text := "something written could not be saved: " + strings.Join(losses[:min(len(losses), mostNamed)], "; ")
	if more := len(losses) - mostNamed; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return &failure{exitUnsaved, errors.New(text)}
}

// flatten returns what errors.Join has joined.
func flatten(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, part := range joined.Unwrap() {
		all = append(all, flatten(part)...)
	}
	return all
}

// bounded runs f, but not longer than --unmount-timeout and not beyond the
// next signal. f runs on then, until the process ends.
func (e *ending) bounded(f func() error) error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	var timeout <-chan time.Time
	if limit := e.settings.unmountTimeout; limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		timeout = timer.C
	}
	for {
		select {
		case err := <-result:
			return err
		case <-timeout:
			return fmt.Errorf("the server did not take it within --unmount-timeout %v: %w", e.settings.unmountTimeout, context.DeadlineExceeded)
		case received := <-e.signals:
			if received == syscall.SIGHUP {
				continue
			}
			return errForced
		}
	}
}
