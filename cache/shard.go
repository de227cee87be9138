package cache

import (
	"hash/maphash"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// metaEntry is what one answer, or one change made here, said of one key.
type metaEntry struct {
	attr    Attr
	absent  bool
	seq     uint64 // when it was true at the earliest: a number of meta.seq
	expires time.Time
}

func (e *metaEntry) fresh(now time.Time) bool { return now.Before(e.expires) }

// bytes estimates the heap of an entry: itself, the LRU's list element and
// map slot, and the strings.
func (e *metaEntry) bytes(key string) int64 {
	return 360 + int64(len(key)) + e.attr.bytes()
}

const shardCount = 64

// metaShards remembers keys, bounded in bytes. Objects, directories ("x/") and
// absences of both are entries of their own. Expiry is looked at on access
// only; there is nothing to stop or close.
type metaShards struct {
	seed   maphash.Seed
	shards [shardCount]metaShard
}

type metaShard struct {
	mu    sync.Mutex
	lru   *simplelru.LRU[string, *metaEntry] // guarded by mu
	bytes int64                              // guarded by mu
	max   int64
}

func newMetaShards(maxBytes int64) *metaShards {
	s := &metaShards{seed: maphash.MakeSeed()}
	for i := range s.shards {
		sh := &s.shards[i]
		sh.max = maxBytes / shardCount
		sh.lru = newUnboundedLRU(func(key string, e *metaEntry) { sh.bytes -= e.bytes(key) })
	}
	return s
}

// newUnboundedLRU makes an LRU that its user bounds by something else than a
// count. onEvict is called for every removal, but not for an overwrite.
func newUnboundedLRU[V any](onEvict func(string, V)) *simplelru.LRU[string, V] {
	l, err := simplelru.NewLRU(math.MaxInt, onEvict)
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	return l
}

func (s *metaShards) shard(key string) *metaShard {
	return &s.shards[maphash.String(s.seed, key)%shardCount]
}

// get returns a copy of the entry. One that has expired is still returned if
// it has metadata: a listing may show that the generation is still the same.
func (s *metaShards) get(key string, now time.Time) (metaEntry, bool) {
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e, ok := sh.lru.Get(key)
	if !ok {
		return metaEntry{}, false
	}
	if !e.fresh(now) && (e.absent || e.attr.Metadata == nil || e.attr.ETag == "") {
		sh.lru.Remove(key)
		return metaEntry{}, false
	}
	return *e, true
}

// put remembers e unless something newer is remembered.
func (s *metaShards) put(key string, e metaEntry) {
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if old, ok := sh.lru.Peek(key); ok {
		if old.seq > e.seq {
			return
		}
		if !e.absent && !old.absent {
			e.attr = e.attr.fillFrom(old.attr)
		}
		sh.bytes -= old.bytes(key) // an overwrite does not call onEvict
	}
	sh.lru.Add(key, &e)
	sh.bytes += e.bytes(key)
	for sh.bytes > sh.max {
		if _, _, ok := sh.lru.RemoveOldest(); !ok {
			return
		}
	}
}

func (s *metaShards) remove(key string) {
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.lru.Remove(key)
}

// removeAbsence forgets key if it is remembered as absent.
func (s *metaShards) removeAbsence(key string) {
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if e, ok := sh.lru.Peek(key); ok && e.absent {
		sh.lru.Remove(key)
	}
}

// extendAbsence lets a remembered absence of key live until the time given.
func (s *metaShards) extendAbsence(key string, until time.Time) {
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if e, ok := sh.lru.Peek(key); ok && e.absent && e.expires.Before(until) {
		e.expires = until
	}
}

// removePrefix forgets all keys that begin with prefix. It looks at every
// entry: for directory renames, which are slow anyway.
func (s *metaShards) removePrefix(prefix string) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for _, key := range sh.lru.Keys() {
			if strings.HasPrefix(key, prefix) {
				sh.lru.Remove(key)
			}
		}
		sh.mu.Unlock()
	}
}
