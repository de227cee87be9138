package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fakeMount records what is done to it.
type fakeMount struct {
	mu      sync.Mutex
	calls   []string // guarded by mu
	gone    chan struct{}
	results map[string]error
	block   map[string]chan struct{} // calls that don't return before it is closed
	left    []string                 // what is unsaved
}

func newFakeMount() *fakeMount {
	return &fakeMount{gone: make(chan struct{}), results: map[string]error{}, block: map[string]chan struct{}{}}
}

func (m *fakeMount) call(name string) error {
	m.mu.Lock()
	m.calls = append(m.calls, name)
	m.mu.Unlock()
	if wait := m.block[name]; wait != nil {
		<-wait
	}
	return m.results[name]
}

func (m *fakeMount) done() <-chan struct{}      { return m.gone }
func (m *fakeMount) unmount() error             { return m.call("unmount") }
func (m *fakeMount) unmountLazily() error       { return m.call("unmountLazily") }
func (m *fakeMount) sync(context.Context) error { return m.call("sync") }
func (m *fakeMount) unsaved() []string          { return m.left }
func (m *fakeMount) close() error               { return m.call("close") }
func (m *fakeMount) did() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

func testEnding(m *fakeMount, log *bytes.Buffer) (*ending, chan os.Signal) {
	signals := make(chan os.Signal, 2)
	return &ending{
		settings: &settings{mountpoint: "/mnt/x", foreground: true, unmountTimeout: time.Hour},
		mounted:  m, signals: signals, log: slog.New(slog.NewTextHandler(log, nil)), output: &logOutput{w: log},
	}, signals
}

func TestEnding(t *testing.T) {
	lost := errors.New("PutObject data/\"a\": quota")
	for _, c := range []struct {
		name    string
		results map[string]error
		signal  os.Signal // nil: somebody unmounts
		calls   []string
		code    int
		log     string
	}{
		{"unmounted by somebody", nil, nil, []string{"close"}, 0, "unmounted"},
		{"unmounted with a loss", map[string]error{"close": lost}, nil, []string{"close"}, exitUnsaved, "quota"},
		{"SIGTERM", nil, syscall.SIGTERM, []string{"sync", "unmount", "close"}, 0, "terminated"},
		{"SIGINT", nil, syscall.SIGINT, []string{"sync", "unmount", "close"}, 0, "interrupt"},
		{"SIGHUP in the foreground", nil, syscall.SIGHUP, []string{"sync", "unmount", "close"}, 0, "hangup"},
		{"in use", map[string]error{"unmount": syscall.EBUSY}, syscall.SIGTERM, []string{"sync", "unmount", "unmountLazily", "close"}, 0, "fuser -m"},
		{"sync fails, close saves", map[string]error{"sync": lost}, syscall.SIGTERM, []string{"sync", "unmount", "close"}, 0, "quota"},
		{"a loss", map[string]error{"sync": lost, "close": lost}, syscall.SIGTERM, []string{"sync", "unmount", "close"}, exitUnsaved, "quota"},
		{"unmount fails", map[string]error{"unmount": syscall.EBUSY, "unmountLazily": errors.New("no fusermount3")}, syscall.SIGTERM, []string{"sync", "unmount", "unmountLazily", "close"}, 0, "fusermount3 -u"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newFakeMount()
			m.results = c.results
			var log bytes.Buffer
			e, signals := testEnding(m, &log)
			if c.signal != nil {
				signals <- c.signal
			} else {
				close(m.gone)
			}
			err := e.wait()
			if exitCode(err) != c.code {
				t.Errorf("exit code %d (%v), want %d", exitCode(err), err, c.code)
			}
			if !slices.Equal(m.did(), c.calls) {
				t.Errorf("calls %q, want %q", m.did(), c.calls)
			}
			if !strings.Contains(log.String(), c.log) {
				t.Errorf("%q is not in the log: %s", c.log, &log)
			}
		})
	}
}

func TestEndingIsBounded(t *testing.T) {
	t.Run("by time", func(t *testing.T) {
		m := newFakeMount()
		m.block["sync"] = make(chan struct{})
		defer close(m.block["sync"])
		var log bytes.Buffer
		e, signals := testEnding(m, &log)
		e.settings.unmountTimeout = time.Millisecond
		m.left = []string{"k1", "k2", "k3", "k4", "k5", "k6"}
		signals <- syscall.SIGTERM
		err := e.wait()
		if exitCode(err) != exitUnsaved {
			t.Errorf("exit code %d: %v", exitCode(err), err)
		}
		for _, word := range []string{"--unmount-timeout", `"k1"`, "and 2 more"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("no %q in: %v", word, err)
			}
		}
		if !strings.Contains(log.String(), "key=k6") {
			t.Errorf("the log does not name all: %s", &log)
		}
		if want := []string{"sync", "unmount"}; !slices.Equal(m.did(), want) {
			t.Errorf("calls %q, want %q", m.did(), want)
		}
	})
	t.Run("by a second signal", func(t *testing.T) {
		m := newFakeMount()
		m.block["sync"] = make(chan struct{})
		defer close(m.block["sync"])
		var log bytes.Buffer
		e, signals := testEnding(m, &log)
		signals <- syscall.SIGTERM
		signals <- syscall.SIGINT
		if err := e.wait(); exitCode(err) != exitUnsaved || !strings.Contains(err.Error(), "second signal") {
			t.Errorf("exit code %d: %v", exitCode(err), err)
		}
	})
	t.Run("not by SIGHUP", func(t *testing.T) {
		m := newFakeMount()
		m.block["sync"] = make(chan struct{})
		var log bytes.Buffer
		e, _ := testEnding(m, &log)
		signals := make(chan os.Signal) // unbuffered: a send that returns has been received
		e.signals = signals
		result := make(chan error)
		go func() { result <- e.wait() }()
		signals <- syscall.SIGTERM
		signals <- syscall.SIGHUP
		close(m.block["sync"])
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
	t.Run("for ever", func(t *testing.T) {
		m := newFakeMount()
		var log bytes.Buffer
		e, signals := testEnding(m, &log)
		e.settings.unmountTimeout = 0
		signals <- syscall.SIGTERM
		if err := e.wait(); err != nil {
			t.Error(err)
		}
	})
}
