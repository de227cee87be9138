package fs

import (
	"context"
	"sync"
	"time"
)

// patience is how long an interrupt is ignored. FUSE interrupts a request for
// any signal that the caller handles, such as a timer's or the Go runtime's
// own, and EINTR from a file is a surprise to most programs; who presses
// Ctrl-C waits a second. (JuiceFS has the same rule.)
const patience = time.Second

// patientContext is done when its request was interrupted and is older than
// patience. Done starts a goroutine, and most requests are answered without
// anybody asking for it; stop ends it.
type patientContext struct {
	context.Context // the request's; only values are taken from it
	begun           time.Time
	stopped         chan struct{}

	once sync.Once
	done chan struct{} // nil if the request can't be interrupted
	mu   sync.Mutex
	err  error // guarded by mu
}

// patient returns the context of a request that may be interrupted. stop must
// be called before the request is answered: go-fuse reuses what ctx is made of.
func patient(ctx context.Context) (p *patientContext, stop func()) {
	p = &patientContext{Context: ctx, begun: time.Now(), stopped: make(chan struct{})}
	return p, func() { close(p.stopped) }
}

// Deadline implements context.Context.
func (p *patientContext) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done implements context.Context.
func (p *patientContext) Done() <-chan struct{} {
	p.once.Do(func() {
		interrupted := p.Context.Done()
		if interrupted == nil {
			return
		}
		p.done = make(chan struct{})
		go p.watch(interrupted)
	})
	return p.done
}

func (p *patientContext) watch(interrupted <-chan struct{}) {
	select {
	case <-interrupted:
	case <-p.stopped:
		return
	}
	t := time.NewTimer(time.Until(p.begun.Add(patience)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.stopped:
		return
	}
	p.mu.Lock()
	p.err = context.Canceled
	p.mu.Unlock()
	close(p.done)
}

// Err implements context.Context.
func (p *patientContext) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}
