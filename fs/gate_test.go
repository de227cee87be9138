package fs

import (
	"context"
	"syscall"
	"testing"
)

func at(s string) func() Key { return func() Key { return Key{s} } }

func alone(s ...string) func() []Key {
	return func() []Key {
		var out []Key
		for _, x := range s {
			out = append(out, Key{x})
		}
		return out
	}
}

// done is a context that makes a gate answer at once.
func done() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestGateKeepsApart(t *testing.T) {
	for _, c := range []struct {
		held, wanted string
		shut         bool // for one who shares wanted while held is held alone
		shutAlone    bool // for one who wants it alone
	}{
		{"d/", "d/", true, true},
		{"d/", "d", true, true},
		{"d/", "d/x/y", true, true},
		{"d/", "dd", false, false},
		{"d/", "e/", false, false},
		{"d/x", "d/", false, true},
		{"d/x", "d/xy", false, false},
	} {
		var g gate
		_, free, errno := g.enterAlone(t.Context(), alone(c.held))
		if errno != 0 {
			t.Fatal(errno)
		}
		_, leave, errno := g.enter(done(), at(c.wanted))
		if shut := errno == syscall.EINTR; shut != c.shut {
			t.Errorf("%q held: sharing %q is kept out: %v", c.held, c.wanted, shut)
		}
		if errno == 0 {
			leave()
		}
		_, leave, errno = g.enterAlone(done(), alone("other", c.wanted))
		if shut := errno == syscall.EINTR; shut != c.shutAlone {
			t.Errorf("%q held: having %q alone is kept out: %v", c.held, c.wanted, shut)
		}
		if errno == 0 {
			leave()
		}
		free()
		if len(g.alone) != 0 || len(g.users) != 0 {
			t.Errorf("left in the gate: %v %v", g.alone, g.users)
		}
	}
}

func TestGateWaitsForUsersBelow(t *testing.T) {
	var g gate
	_, leave, _ := g.enter(t.Context(), at("d/x"))
	if _, _, errno := g.enterAlone(done(), alone("d/")); errno != syscall.EINTR {
		t.Fatalf("d/ is had alone while d/x is in use: %v", errno)
	}
	entered := make(chan func())
	go func() {
		_, free, _ := g.enterAlone(context.Background(), alone("d/"))
		entered <- free
	}()
	leave()
	(<-entered)()
}

// TestGateReadsTheKeyAnew has a key that changes while it is waited for, as a
// rename does.
func TestGateReadsTheKeyAnew(t *testing.T) {
	var g gate
	_, free, _ := g.enterAlone(t.Context(), alone("old/", "new/"))
	name := "old/x" // guarded by g.mu, under which keyOf runs
	first := make(chan struct{}, 10)
	got := make(chan Key)
	go func() {
		k, leave, _ := g.enter(context.Background(), func() Key { first <- struct{}{}; return Key{name} })
		leave()
		got <- k
	}()
	<-first
	g.mu.Lock()
	name = "new/x"
	g.mu.Unlock()
	free()
	if k := <-got; k.s != "new/x" {
		t.Errorf("entered with %q", k)
	}
}
