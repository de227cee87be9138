package s3test

import (
	"context"
	"sync"
)

// Gate holds calls until it is opened, and tells a test that they have come.
type Gate struct {
	open chan struct{}

	mu      sync.Mutex
	isOpen  bool          // guarded by mu
	arrived int           // guarded by mu
	changed chan struct{} // guarded by mu; closed and renewed at each arrival
}

// NewGate returns a gate that is shut.
func NewGate() *Gate {
	return &Gate{open: make(chan struct{}), changed: make(chan struct{})}
}

// Open lets all calls pass, now and later. Opening it again does nothing.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.isOpen {
		g.isOpen = true
		close(g.open)
	}
}

// Await returns when n calls in all have come to the gate, or with ctx's
// error.
func (g *Gate) Await(ctx context.Context, n int) error {
	for {
		g.mu.Lock()
		enough, changed := g.arrived >= n, g.changed
		g.mu.Unlock()
		if enough {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pass waits until the gate is open.
func (g *Gate) pass(ctx context.Context) error {
	g.mu.Lock()
	g.arrived++
	close(g.changed)
	g.changed = make(chan struct{})
	g.mu.Unlock()
	select {
	case <-g.open:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
