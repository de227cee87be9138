package main

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogFormatsAndLevels(t *testing.T) {
	for _, format := range logFormats {
		var b bytes.Buffer
		s := mustParse(t, testInvocation(), "--log-format", format, "--log-level", "warn", "data", "/mnt/x")
		out, err := newLogOutput(s, &b)
		if err != nil {
			t.Fatal(err)
		}
		logger, err := newLogger(s, out)
		if err != nil {
			t.Fatal(err)
		}
		logger = logger.With("mount", 1).WithGroup("cache").With("a", "b")
		logger.Info("not this")
		logger.Warn("this", "key", "x y")
		text := b.String()
		if strings.Count(text, "\n") != 1 || strings.Contains(text, "not this") {
			t.Errorf("%s: %s", format, text)
		}
		if format == "json" {
			var record struct {
				Msg   string
				Mount int
				Cache struct{ A, Key string }
			}
			if err := json.Unmarshal([]byte(text), &record); err != nil || record.Msg != "this" || record.Mount != 1 || record.Cache.A != "b" || record.Cache.Key != "x y" {
				t.Errorf("%s: %+v, %v", text, record, err)
			}
		} else if !strings.Contains(text, `level=WARN msg=this mount=1 cache.a=b cache.key="x y"`) {
			t.Errorf("text: %s", text)
		}
	}
}

// The log file outlives rotation, and takes the place of stderr.
func TestLogFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rgwfs.log")
	var stderr bytes.Buffer
	s := mustParse(t, testInvocation(), "--log-file", path, "data", "/mnt/x")
	out, err := newLogOutput(s, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	logger, err := newLogger(s, out)
	if err != nil {
		t.Fatal(err)
	}
	logger.Info("first")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	logger.Info("second")
	if err := out.reopen(); err != nil {
		t.Fatal(err)
	}
	if err := out.detach(); err != nil {
		t.Fatal(err)
	}
	logger.Info("third")
	if err := out.close(); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string][]string{path + ".1": {"first", "second"}, path: {"third"}} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(data), "\n") != len(want) {
			t.Errorf("%s: %s", file, data)
		}
		for _, word := range want {
			if !strings.Contains(string(data), word) {
				t.Errorf("%s has no %q: %s", file, word, data)
			}
		}
	}
	if stderr.Len() != 0 {
		t.Errorf("on stderr: %s", &stderr)
	}
	s.logFile = "/nonexistent/log"
	if _, err := newLogOutput(s, &stderr); err == nil || !strings.Contains(err.Error(), "--log-file") {
		t.Errorf("a log file that can't be: %v", err)
	}
}

// Without a file and a syslog a daemon's log goes nowhere, and not to a
// stderr that is somebody else's by then.
func TestLogDetached(t *testing.T) {
	var stderr bytes.Buffer
	out := &logOutput{w: &stderr, socket: filepath.Join(t.TempDir(), "absent")}
	if err := out.detach(); err != nil {
		t.Fatal(err)
	}
	if err := out.write(slog.LevelError, []byte("late\n")); err != nil {
		t.Error(err)
	}
	if stderr.Len() != 0 {
		t.Errorf("on stderr: %s", &stderr)
	}
}

// With a syslog each record goes there with its level.
func TestLogSyslog(t *testing.T) {
	for _, network := range []string{"unixgram", "unix"} {
		t.Run(network, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "log")
			address := &net.UnixAddr{Name: socket, Net: network}
			lines := make(chan string)
			var listener io.Closer
			var err error
			if network == "unixgram" {
				var conn *net.UnixConn
				conn, err = net.ListenUnixgram(network, address)
				listener = conn
				go receiveLines(conn, lines)
			} else {
				var l *net.UnixListener
				l, err = net.ListenUnix(network, address)
				listener = l
				go func() {
					conn, err := l.Accept()
					if err != nil {
						close(lines)
						return
					}
					defer conn.Close()
					receiveLines(conn, lines)
				}()
			}
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()

			s := mustParse(t, testInvocation(), "--log-level=debug", "data", "/mnt/x")
			out := &logOutput{w: io.Discard, socket: socket}
			if err := out.detach(); err != nil {
				t.Fatal(err)
			}
			logger, err := newLogger(s, out)
			if err != nil {
				t.Fatal(err)
			}
			// Severities of RFC 5424, with facility 3, daemon: 3*8 + severity.
			for level, priority := range map[slog.Level]string{
				slog.LevelError: "<27>", slog.LevelWarn: "<28>", slog.LevelInfo: "<30>", slog.LevelDebug: "<31>",
			} {
				logger.Log(t.Context(), level, "hello", "key", "a b")
				if line := <-lines; !strings.HasPrefix(line, priority) || !strings.Contains(line, "rgwfs[") || !strings.Contains(line, `msg=hello key="a b"`) {
					t.Errorf("%v: %q", level, line)
				}
			}
			if err := out.close(); err != nil {
				t.Error(err)
			}
			if network == "unixgram" {
				listener.Close()
			}
			for range lines { // until the receiver has ended
			}
		})
	}
}

// receiveLines hands on what arrives, one message a time, until the end.
func receiveLines(conn net.Conn, lines chan<- string) {
	defer close(lines)
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		lines <- string(buf[:n])
	}
}
