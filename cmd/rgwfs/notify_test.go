package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestServiceManager(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@rgwfs-test-" + strings.ReplaceAll(t.TempDir(), "/", "-")} {
		listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: strings.Replace(name, "@", "\x00", 1), Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		receive := func() string {
			buf := make([]byte, 4096)
			n, err := listener.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			return string(buf[:n])
		}
		m := newServiceManager(testInvocation("NOTIFY_SOCKET=" + name))
		if err := m.ready("serving\nX=1"); err != nil {
			t.Fatal(err)
		}
		if got := receive(); got != "READY=1\nSTATUS=serving X=1" {
			t.Errorf("ready is told as %q", got)
		}
		if err := m.stopping("committing", 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if got := receive(); got != "STOPPING=1\nSTATUS=committing\nEXTEND_TIMEOUT_USEC=20000000" {
			t.Errorf("stopping is told as %q", got)
		}
		listener.Close()
		if err := m.ready("x"); err == nil {
			t.Error("no error where nobody listens")
		}
	}
	if err := newServiceManager(testInvocation()).ready("x"); err != nil {
		t.Errorf("without NOTIFY_SOCKET: %v", err)
	}
}

// readySocket is the service manager's end.
type readySocket struct {
	name  string
	ready chan struct{} // closed when READY=1 came
}

func newReadySocket(t *testing.T) *readySocket {
	t.Helper()
	s := &readySocket{filepath.Join(t.TempDir(), "notify"), make(chan struct{})}
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: s.name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		listener.Close()
		<-done
	})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		told := false
		for {
			n, err := listener.Read(buf)
			if err != nil {
				return // closed
			}
			if strings.Contains(string(buf[:n]), "READY=1") && !told {
				told = true
				close(s.ready)
			}
		}
	}()
	return s
}
