package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"os"
	"slices"
	"sync"
)

var (
	logLevels  = []string{"debug", "info", "warn", "error"}
	logFormats = []string{"text", "json"}
)

// syslogSocket is where a machine with a syslog listens; journald does too.
const syslogSocket = "/dev/log"

// logOutput is where the log goes. Its destination can change while it is in
// use: a daemon logs to stderr until it serves, and a log file is opened again
// after rotation.
type logOutput struct {
	mu     sync.Mutex
	w      io.Writer      // guarded by mu
	file   *os.File       // guarded by mu; w, if it is a log file
	syslog *syslog.Writer // guarded by mu; set if records go there instead of w
	path   string         // --log-file, immutable
	socket string         // where a syslog listens, immutable
}

// newLogOutput begins with --log-file if there is one, else with stderr.
func newLogOutput(s *settings, stderr io.Writer) (*logOutput, error) {
	out := &logOutput{w: stderr, path: s.logFile, socket: syslogSocket}
	if err := out.reopen(); err != nil {
		return nil, err
	}
	return out, nil
}

// reopen opens the log file by its name, for logrotate(8).
func (o *logOutput) reopen() error {
	if o.path == "" {
		return nil
	}
	// Keys and names may be in it: for the owner's eyes, and the group's.
	file, err := os.OpenFile(o.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fail("--log-file %s can't be opened: %v", o.path, errors.Unwrap(err))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	old := o.file
	o.file, o.w = file, file
	if old != nil {
		return old.Close()
	}
	return nil
}

// detach ends the use of stderr, which a daemon gives up once it serves.
func (o *logOutput) detach() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file != nil {
		return nil
	}
	o.w = io.Discard
	if _, err := os.Stat(o.socket); err != nil {
		return nil // no syslog here: --help says that the log then goes nowhere
	}
	var errs []error
	for _, network := range []string{"unixgram", "unix"} { // the usual one, and syslog-ng's
		w, err := syslog.Dial(network, o.socket, syslog.LOG_DAEMON|syslog.LOG_INFO, "rgwfs")
		if err == nil {
			o.syslog = w
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("syslog at %s: %w", o.socket, errors.Join(errs...))
}

func (o *logOutput) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	if o.file != nil {
		errs = append(errs, o.file.Close())
	}
	if o.syslog != nil {
		errs = append(errs, o.syslog.Close())
	}
	o.w, o.file, o.syslog = io.Discard, nil, nil
	return errors.Join(errs...)
}

func (o *logOutput) write(level slog.Level, line []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.syslog == nil {
		_, err := o.w.Write(line)
		return err
	}
	text := string(bytes.TrimRight(line, "\n"))
	switch {
	case level >= slog.LevelError:
		return o.syslog.Err(text)
	case level >= slog.LevelWarn:
		return o.syslog.Warning(text)
	case level >= slog.LevelInfo:
		return o.syslog.Info(text)
	default:
		return o.syslog.Debug(text)
	}
}

// newLogger logs to out in the settings' format and level.
func newLogger(s *settings, out *logOutput) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		return nil, usageError("mount", "--log-level: %v", err)
	}
	options := &slog.HandlerOptions{Level: level}
	return slog.New(&logHandler{
		out:   out,
		level: level,
		format: func(w io.Writer) slog.Handler {
			if s.logFormat == "json" {
				return slog.NewJSONHandler(w, options)
			}
			return slog.NewTextHandler(w, options)
		},
	}), nil
}

// logHandler formats each record by slog's own handlers, and hands the line to
// the output with its level, which syslog wants beside the text.
type logHandler struct {
	out    *logOutput
	level  slog.Level
	format func(io.Writer) slog.Handler
	derive []func(slog.Handler) slog.Handler // WithAttrs and WithGroup so far
}

func (h *logHandler) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h *logHandler) Handle(ctx context.Context, record slog.Record) error {
	var line bytes.Buffer
	handler := h.format(&line)
	for _, derive := range h.derive {
		handler = derive(handler)
	}
	if err := handler.Handle(ctx, record); err != nil {
		return err
	}
	return h.out.write(record.Level, line.Bytes())
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(handler slog.Handler) slog.Handler { return handler.WithAttrs(attrs) })
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	return h.with(func(handler slog.Handler) slog.Handler { return handler.WithGroup(name) })
}

func (h *logHandler) with(derive func(slog.Handler) slog.Handler) slog.Handler {
	next := *h
	next.derive = append(slices.Clone(h.derive), derive)
	return &next
}
