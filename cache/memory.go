package cache

import (
	"container/list"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// chunkSize is the unit of off-heap memory in bytes: the size of a read block,
// and the grain in which parts are filled. It equals the largest FUSE request.
const chunkSize = mib

// smallSize is up to which size a buffer comes from the Go heap: most files of
// a million are small, and a chunk for each would waste the budget.
const smallSize = 128 << 10

// account is whom memory is taken for. Neither readers nor writers may take all
// of it, so that each always finds some: a reader never waits for a writer's
// upload, nor a writer for a reader that doesn't read.
type account uint8

const (
	forReads account = iota
	forWrites
	accounts
)

// buffer is memory of the budget. Its bytes are off the Go heap if it is a
// whole chunk, so that neither the garbage collector's headroom nor its
// scanning counts them twice.
type buffer struct {
	b    []byte
	acct account
}

// memory is the budget over all data held for reads and writes. It never
// blocks: where the budget is used up, take returns nil, and the caller reads
// directly, waits for its own uploads, or spills to disk. So no one waits for
// memory that someone else holds, and nothing can deadlock.
type memory struct {
	limit [accounts]int64 // bytes; immutable
	total int64           // bytes; immutable

	mu   sync.Mutex
	used [accounts]int64 // guarded by mu
	free [][]byte        // idle chunks, guarded by mu
	idle *list.List      // of evictable, in the order to evict; guarded by mu
}

// evictable is memory that can be had back at any time: a block that no reader
// holds.
type evictable interface {
	// evictLocked gives up the buffer, or returns nil if it is in use. It is
	// called with memory.mu held and must take no lock that is held while
	// memory is called.
	evictLocked() *buffer
}

func newMemory(total int64) *memory {
	m := &memory{total: total, idle: list.New()}
	m.limit[forReads] = total / 4 * 3
	m.limit[forWrites] = total / 4 * 3
	return m
}

// take returns a buffer of n bytes (at most chunkSize), or nil if the budget
// is used up and nothing can be evicted.
func (m *memory) take(acct account, n int) *buffer {
	size := int64(n)
	if n > smallSize {
		size = chunkSize
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.used[acct]+size > m.limit[acct] || m.used[forReads]+m.used[forWrites]+size > m.total {
		if !m.evictOneLocked() {
			return nil
		}
	}
	m.used[acct] += size
	if n <= smallSize {
		return &buffer{b: make([]byte, n), acct: acct}
	}
	if k := len(m.free); k > 0 {
		b := m.free[k-1]
		m.free = m.free[:k-1]
		return &buffer{b: b[:n], acct: acct}
	}
	b, err := unix.Mmap(-1, 0, chunkSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		m.used[acct] -= size // the machine has less than the budget: the same as a used-up budget
		return nil
	}
	return &buffer{b: b[:n], acct: acct}
}

// keepFree is how many idle chunks are kept for the next take; the rest goes
// back to the system.
const keepFree = 16

func (m *memory) put(b *buffer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.putLocked(b)
}

func (m *memory) putLocked(b *buffer) {
	if cap(b.b) < chunkSize {
		m.used[b.acct] -= int64(len(b.b))
	} else {
		m.used[b.acct] -= chunkSize
		if chunk := b.b[:chunkSize]; len(m.free) < keepFree {
			m.free = append(m.free, chunk)
		} else {
			unmap(chunk)
		}
	}
	b.b = nil
}

// unmap gives a chunk back. It can only fail for memory that is not a mapping,
// which would be a bug that corrupts data if it went on.
func unmap(chunk []byte) {
	if err := unix.Munmap(chunk); err != nil {
		panic(fmt.Sprintf("munmap of a chunk: %v", err))
	}
}

func (m *memory) evictOneLocked() bool {
	for e := m.idle.Front(); e != nil; {
		next := e.Next()
		if b := e.Value.(evictable).evictLocked(); b != nil {
			m.idle.Remove(e)
			m.putLocked(b)
			return true
		}
		e = next
	}
	return false
}

// pressed reports whether reads have little left, so that prefetching should
// ask for less.
func (m *memory) pressed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used[forReads] > m.limit[forReads]/8*7 || m.used[forReads]+m.used[forWrites] > m.total/8*7
}

// inUse returns the bytes taken.
func (m *memory) inUse() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used[forReads] + m.used[forWrites]
}

// close gives back the idle chunks. Every buffer has been put before.
func (m *memory) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.free {
		unmap(c)
	}
	m.free = nil
}
