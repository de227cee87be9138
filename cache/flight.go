package cache

import "context"

// metaFlight is a request that everybody shares who wants its answer.
type metaFlight struct {
	done    chan struct{} // closed when the three below are set
	answer  half
	current bool // this mount did not change the key while the request was under way
	err     error

	waiters int // guarded by meta.mu
	cancel  context.CancelFunc
}

// fly makes the request that id names, or joins the one under way. The answer
// is learned for key, unless key is "". A caller that gives up leaves the
// request to the others; when all have, it is cancelled.
//
// current = false says that a mutation of key overtook the request: ask memory
// again. A caller that comes after a mutation can't be given an older answer
// as current: until the flight has left meta.flights the mutation is seen at
// its end, and leaving and that look are one step under mu.
func (m *meta) fly(ctx context.Context, id, key string, ask func(context.Context) (half, error)) (answer half, current bool, err error) {
	if err := ctx.Err(); err != nil {
		return half{}, false, lookupCancelled(key, err)
	}
	m.mu.Lock()
	f := m.flights[id]
	if f == nil {
		// The request belongs to all who will join; m.ctx ends it at close.
		fctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		stop := context.AfterFunc(m.ctx, cancel)
		f = &metaFlight{done: make(chan struct{}), cancel: cancel}
		m.flights[id] = f
		lr := m.beginLocked()
		m.wg.Add(1)
		go func() {
			defer m.wg.Done()
			defer stop()
			defer cancel()
			answer, err := ask(fctx)
			m.land(f, id, key, lr, answer, err)
		}()
	}
	f.waiters++
	m.mu.Unlock()

	select {
	case <-f.done:
		return f.answer, f.current, f.err
	case <-ctx.Done():
		m.mu.Lock()
		defer m.mu.Unlock()
		f.waiters--
		if f.waiters == 0 {
			f.cancel()
			if m.flights[id] == f {
				delete(m.flights, id) // nobody may join a cancelled one
			}
		}
		return half{}, false, lookupCancelled(key, ctx.Err())
	}
}

func (m *meta) land(f *metaFlight, id, key string, lr learner, answer half, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f.answer, f.err, f.current = answer, err, err == nil
	if err == nil && key != "" {
		if answer.is == unknown {
			f.current = !m.mutatedLocked(key, lr.seq)
		} else {
			f.current = m.learnLocked(lr.seq, key, answer)
		}
	}
	m.endLocked(lr)
	if m.flights[id] == f {
		delete(m.flights, id)
	}
	close(f.done)
}
