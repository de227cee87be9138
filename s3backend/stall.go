package s3backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// ErrStalled is the cause of an attempt that was given up since nothing moved
// in either direction for Config.StallTimeout.
var ErrStalled = errors.New("the server stalled")

// watch cancels an attempt that makes no progress. Progress is a byte of the
// request handed to the connection, a byte that the peer acknowledged, the
// answer's header, or a byte of its body. Time in which nobody wants anything
// of the server does not count: waiting for a free connection, and pauses of
// the reader of a body.
type watch struct {
	limit   time.Duration
	cancel  context.CancelCauseFunc
	moved   atomic.Int64 // changes with every progress that we see ourselves
	waiting atomic.Bool  // we want something of the server now

	mu     sync.Mutex
	done   bool                      // guarded by mu
	timer  *time.Timer               // guarded by mu
	queue  interface{ unsent() int } // guarded by mu; nil if unknown
	seen   int64                     // moved at the last tick; guarded by mu
	queued int                       // queue.unsent() at the last tick; guarded by mu
	since  time.Time                 // the last tick that saw progress; guarded by mu
}

func newWatch(limit time.Duration, cancel context.CancelCauseFunc) *watch {
	w := &watch{limit: limit, cancel: cancel, since: time.Now()}
	w.mu.Lock() // the first tick must find the timer set
	defer w.mu.Unlock()
	// Four ticks to a limit: a stall is found after at most 1.25 limits, and
	// requests that are quicker than a tick never pay for one.
	w.timer = time.AfterFunc(limit/4, w.tick)
	return w
}

// connected begins the attempt on a connection.
func (w *watch) connected(conn net.Conn) {
	if outer, ok := conn.(interface{ NetConn() net.Conn }); ok { // *tls.Conn
		conn = outer.NetConn()
	}
	w.mu.Lock()
	w.queue, _ = conn.(interface{ unsent() int })
	w.queued = 0
	w.mu.Unlock()
	w.progress(1)
	w.waiting.Store(true)
}

func (w *watch) progress(n int) { w.moved.Add(int64(n)) }

// enter and leave surround what the server is waited for.
func (w *watch) enter() {
	w.progress(1)
	w.waiting.Store(true)
}

func (w *watch) leave() { w.waiting.Store(false) }

func (w *watch) tick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return
	}
	queued := 0
	if w.queue != nil {
		// The kernel's send buffer holds megabytes: on a slow line it drains
		// for long after the last byte was handed to it.
		queued = w.queue.unsent()
	}
	moved, now := w.moved.Load(), time.Now()
	switch {
	case !w.waiting.Load() || moved != w.seen || queued < w.queued:
		w.since = now
	case now.Sub(w.since) >= w.limit:
		w.done = true
		w.cancel(fmt.Errorf("%w: nothing moved for %v", ErrStalled, w.limit))
		return
	}
	w.seen, w.queued = moved, queued
	w.timer.Reset(w.limit / 4)
}

// stop ends the watch and frees the attempt's context.
func (w *watch) stop() {
	w.mu.Lock()
	w.done = true
	w.timer.Stop()
	w.mu.Unlock()
	w.cancel(nil)
}
