package cache

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
)

// block is chunkSize bytes of one generation of an object (the last one of an
// object is shorter). It is filled once, from the front, by one fetch; readers
// wait only for the bytes that they want.
type block struct {
	// users counts the fetch and the readers that hold the buffer; evicted
	// means that the buffer is gone and the block must be fetched anew.
	users atomic.Int32
	buf   *buffer
	elem  *list.Element // in memory.idle once filled; guarded by memory.mu

	mu     sync.Mutex
	filled int           // bytes from the front that are valid; guarded by mu
	err    error         // why the rest will not come; guarded by mu
	wake   chan struct{} // closed when filled or err changes; guarded by mu
}

const evicted = -1

// newBlock returns a block held by the fetch that will fill it.
func newBlock(buf *buffer) *block {
	b := &block{buf: buf, wake: make(chan struct{})}
	b.users.Store(1)
	return b
}

// hold keeps the buffer from being evicted until letGo; false if it is gone.
func (b *block) hold() bool {
	for {
		n := b.users.Load()
		if n == evicted {
			return false
		}
		if b.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (b *block) letGo() { b.users.Add(-1) }

// evictLocked implements evictable.
func (b *block) evictLocked() *buffer {
	if !b.users.CompareAndSwap(0, evicted) {
		return nil
	}
	buf := b.buf
	b.buf = nil
	return buf
}

// advance tells waiting readers that the first n bytes are there, or that err
// ends the filling.
func (b *block) advance(n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.filled, b.err = n, err
	close(b.wake)
	b.wake = make(chan struct{})
}

// state returns whether the first n bytes are there, else a channel that is
// closed at the next change.
func (b *block) state(n int) (ok bool, wake <-chan struct{}, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.filled >= n, b.wake, b.err
}

// wait returns when the first n bytes are there. stalled says whether it had
// to wait. The caller holds the block.
func (b *block) wait(ctx context.Context, n int) (stalled bool, err error) {
	for {
		ok, wake, err := b.state(n)
		if ok || err != nil {
			return stalled, err
		}
		stalled = true
		select {
		case <-wake:
		case <-ctx.Done():
			return stalled, cancelled(ctx)
		}
	}
}

// settle puts a filled block on the list of what may be evicted: behind all
// others, since nobody has read it yet.
func (m *memory) settle(b *block) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b.elem = m.idle.PushBack(b)
}

// consumed makes a block that was read to its end the first to be evicted.
func (m *memory) consumed(b *block) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b.elem != nil {
		m.idle.MoveToFront(b.elem)
	}
}

// drop evicts a block that nobody uses any more.
func (m *memory) drop(b *block) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b.elem != nil {
		m.idle.Remove(b.elem)
		b.elem = nil
	}
	if buf := b.evictLocked(); buf != nil {
		m.putLocked(buf)
	}
}
