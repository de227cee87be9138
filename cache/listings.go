package cache

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// listings holds the listings: the newest of each directory in an LRU bounded
// in bytes, and every one that somebody is reading. A listing in the LRU is
// whole. One that is pushed out of it, or is too big for it, streams while it
// has readers and is gone after.
type listings struct {
	ttl time.Duration
	max int64

	mu    sync.Mutex
	ids   uint64                               // guarded by mu
	lru   *simplelru.LRU[string, *heldListing] // by directory; guarded by mu
	bytes int64                                // guarded by mu
	open  map[string][]*openListing            // by directory, oldest first; guarded by mu
}

// heldListing is a listing in the LRU and what it was last accounted with.
type heldListing struct {
	l     *listing
	bytes int64
}

// openListing is a listing that has users.
type openListing struct {
	l    *listing
	refs int
}

func newListings(maxBytes int64, ttl time.Duration) *listings {
	ls := &listings{ttl: ttl, max: maxBytes, open: map[string][]*openListing{}}
	ls.lru = newUnboundedLRU(func(_ string, h *heldListing) { ls.bytes -= h.bytes })
	return ls
}

// maxOne is the most that one listing may hold, so that one huge directory
// does not push out all others.
func (ls *listings) maxOne() int64 { return ls.max / 2 }

// find returns the newest listing of dir that may answer lookups, nil if there
// is none. Whether what it says is fresh still, it says itself.
func (ls *listings) find(dir string) *listing {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if h, ok := ls.lru.Get(dir); ok {
		return h.l
	}
	for _, o := range slices.Backward(ls.open[dir]) {
		if !o.l.isDetached() {
			return o.l
		}
	}
	return nil
}

// acquire returns the fresh listing of dir, or a new one that knows nothing
// yet. release must follow. Streaming ones are not shared with those who come
// later: they hold nothing that would help them.
func (ls *listings) acquire(dir string, now time.Time) *listing {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if h, ok := ls.lru.Get(dir); ok {
		if h.l.fresh(now) {
			ls.refLocked(h.l)
			return h.l
		}
		ls.evictLocked(dir)
	}
	ls.ids++
	l := newListing(ls.ids, strings.Clone(dir), now, ls.ttl)
	ls.refLocked(l)
	ls.lru.Add(l.dir, &heldListing{l: l})
	ls.accountLocked(l)
	return l
}

// renew reports whether l should be given up for a newer one by who begins to
// read anew.
func (ls *listings) renew(l *listing, now time.Time) bool {
	return !l.fresh(now) || l.isDetached()
}

func (ls *listings) refLocked(l *listing) {
	for _, o := range ls.open[l.dir] {
		if o.l == l {
			o.refs++
			return
		}
	}
	ls.open[l.dir] = append(ls.open[l.dir], &openListing{l, 1})
}

func (ls *listings) release(l *listing) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	list := ls.open[l.dir]
	i := slices.IndexFunc(list, func(o *openListing) bool { return o.l == l })
	list[i].refs--
	if list[i].refs > 0 {
		return
	}
	if len(list) == 1 {
		delete(ls.open, l.dir)
		return
	}
	ls.open[l.dir] = slices.Delete(list, i, i+1)
}

// account takes notice of l's size, and makes room.
func (ls *listings) account(l *listing) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.accountLocked(l)
}

func (ls *listings) accountLocked(l *listing) {
	h, ok := ls.lru.Peek(l.dir)
	if !ok || h.l != l {
		l.trim()
		return
	}
	size := l.size()
	ls.bytes += size - h.bytes
	h.bytes = size
	if size > ls.maxOne() {
		ls.evictLocked(l.dir)
	}
	for ls.bytes > ls.max {
		oldest, _, ok := ls.lru.GetOldest()
		if !ok {
			return
		}
		ls.evictLocked(oldest)
	}
}

// evictLocked takes dir's listing out of the LRU; its readers stream.
func (ls *listings) evictLocked(dir string) {
	h, ok := ls.lru.Peek(dir)
	if !ok {
		return
	}
	ls.lru.Remove(dir)
	h.l.stream()
}

// each calls f for every listing of dir.
func (ls *listings) eachLocked(dir string, f func(*listing)) {
	h, ok := ls.lru.Peek(dir)
	if ok {
		f(h.l)
	}
	for _, o := range ls.open[dir] {
		if !ok || o.l != h.l {
			f(o.l)
		}
	}
}

// set tells the listings that show key, and its own if it is a directory.
func (ls *listings) set(key string, h half, seq uint64, now time.Time) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	dir, name := splitKey(key)
	ls.eachLocked(dir, func(l *listing) {
		l.set(name, isDirKey(key), h, seq, now)
		ls.accountLocked(l)
	})
	// A directory that merely exists says nothing of its marker.
	if isDirKey(key) && (h.is != present || h.attr.ETag != "") {
		ls.eachLocked(key, func(l *listing) { l.setMarker(h, seq) })
	}
}

// detach leaves the listings of all directories that begin with prefix to
// those who are reading them.
func (ls *listings) detach(prefix string) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, dir := range ls.lru.Keys() {
		if strings.HasPrefix(dir, prefix) {
			if h, ok := ls.lru.Peek(dir); ok {
				h.l.detach()
			}
			ls.evictLocked(dir)
		}
	}
	for dir, list := range ls.open {
		if strings.HasPrefix(dir, prefix) {
			for _, o := range list {
				o.l.detach()
			}
		}
	}
}
