package cache

import "sync"

const (
	// firstWindow is how far a reader that turns out to be sequential is read
	// ahead at first, in bytes.
	firstWindow = mib
	// maxWindow bounds the read-ahead of one cursor: 64 MiB in flight fill a
	// 25 GbE link at 20 ms.
	maxWindow = 64 * mib
	// maxFetch is the longest ranged GET of the prefetcher: two of RGW's 4 MiB
	// stripes, so that it reads from two OSDs at once.
	maxFetch = 8 * mib
	// nearby is how far from the expected offset a read still counts as
	// sequential: the kernel's read-ahead sends several requests at once, and
	// they arrive in any order.
	nearby = 2 * mib
)

// cursor watches the offsets that one handle reads and says how far to read
// ahead. It makes no requests.
type cursor struct {
	mu      sync.Mutex
	started bool
	next    int64 // where a sequential reader would go on
	window  int64 // bytes to read ahead
	limit   int64 // upper bound of window
}

// note records a read of n bytes at off. sequential says whether blocks should
// be fetched, and ahead how many bytes past the read; otherwise exactly the
// range is wanted.
func (c *cursor) note(off, n int64) (sequential bool, ahead int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.started
	c.started = true
	if first && off == 0 {
		// A header, or the beginning of everything: no way to know. One block
		// comes anyway; the window opens with the second read.
		c.next = n
		return true, 0
	}
	near := !first && off >= c.next-nearby && off <= c.next+nearby
	if !near {
		c.next, c.window = off+n, 0
		return false, 0
	}
	c.next = max(c.next, off+n)
	c.window = min(max(c.window, firstWindow), c.limit)
	return true, c.window
}

// stalled is told that the reader had to wait for bytes: the window doubles.
func (c *cursor) stalled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.window > 0 {
		c.window = min(c.window*2, c.limit)
	}
}

// pressed is told that memory is short: the window halves.
func (c *cursor) pressed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.window /= 2
}
