package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
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
	if _, err := os.Stat(syslogSocket); err == nil {
		t.Skip("this machine has a syslog, which a test should not write to")
	}
	var stderr bytes.Buffer
	out := &logOutput{w: &stderr}
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
