package cache

import (
	"container/list"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"rgwfs/s3backend"
)

// metaStore is what names are asked of.
type metaStore interface {
	Head(ctx context.Context, key string) (s3backend.Object, error)
	List(ctx context.Context, req s3backend.ListRequest) (s3backend.Page, error)
}

// overlay is what local, uncommitted files say; it wins over everything
// remembered. It is called with no lock of meta's held.
//
// A commit calls meta.changed before the overlay lets the file go, an unlink
// calls meta.removed before the overlay stops hiding the key: lookups ask the
// overlay first, so there is no moment at which neither knows.
type overlay interface {
	// local returns the state of key held in memory: present (a dirty or new
	// file, with its Attr), hidden (unlinked here, object still on RGW until
	// its last handle closes), or neither.
	local(key string) (a Attr, present, hidden bool)
	// localIn returns the files directly in dir that are not on RGW yet.
	localIn(dir string) []Attr
}

// metaConfig bounds a meta. A TTL of 0 remembers nothing.
type metaConfig struct {
	MetadataTTL, NegativeTTL time.Duration
	MaxBytes                 int64            // heap of all that is remembered, an estimate
	Now                      func() time.Time // nil = time.Now
	Logger                   *slog.Logger     // nil = slog.Default()
}

// meta is what one bucket's mount knows of names: objects, directories,
// absences and listings. What it must never do is to believe an answer of the
// server over a change that this mount made after the question was asked;
// mutation.go says how.
//
// Locks, outermost first: mu, listings.mu, listing.mu, then metaShard.mu and
// keptDirs.mu. None is held across a request or a call of the overlay. Dir.mu
// is outside of all and may be held across requests.
type meta struct {
	store metaStore
	ov    overlay
	ttl   time.Duration
	negTL time.Duration
	now   func() time.Time
	log   *slog.Logger

	points *metaShards
	lists  *listings
	kept   *keptDirs

	ctx    context.Context // ends every flight at close
	cancel context.CancelFunc
	wg     sync.WaitGroup // one for each flight

	mu       sync.Mutex
	seq      uint64                            // number of the newest mutation; guarded by mu
	learners *list.List                        // of uint64, ascending: the seq each began at; guarded by mu
	mutated  map[string]uint64                 // key to its newest mutation; guarded by mu
	order    []mutation                        // the same, oldest first; guarded by mu
	forgot   []mutation                        // prefixes; guarded by mu
	flights  map[string]*metaFlight            // guarded by mu
	misses   *simplelru.LRU[string, *missRate] // by directory; guarded by mu
	warned   *simplelru.LRU[string, struct{}]  // directories warned of; guarded by mu
}

// newMeta makes a meta that knows nothing yet. close must be called.
func newMeta(store metaStore, cfg metaConfig, ov overlay) *meta {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	m := &meta{
		store: store, ov: ov, ttl: cfg.MetadataTTL, negTL: cfg.NegativeTTL,
		now: cfg.Now, log: cfg.Logger,
		points:   newMetaShards(cfg.MaxBytes / 2),
		lists:    newListings(cfg.MaxBytes/2, cfg.MetadataTTL),
		kept:     newKeptDirs(maxKept),
		learners: list.New(),
		mutated:  map[string]uint64{},
		flights:  map[string]*metaFlight{},
		misses:   newCountedLRU[*missRate](4096),
		warned:   newCountedLRU[struct{}](4096),
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

func newCountedLRU[V any](n int) *simplelru.LRU[string, V] {
	l, err := simplelru.NewLRU[string, V](n, nil)
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	return l
}

// close ends the requests under way and waits for them. Nothing else may be
// called from then on.
func (m *meta) close() {
	m.cancel()
	m.wg.Wait()
}

// presence is what is known of one key.
type presence uint8

const (
	unknown presence = iota
	absent
	present
)

// half is what is known of one of the two keys that a name can have: the
// object "x", or the directory "x/".
type half struct {
	is   presence
	attr Attr // of a present one, with the TTL that is left
}

// remaining is how long something that expires at t may still be believed.
func remaining(t, now time.Time) time.Duration { return max(0, t.Sub(now)) }

// object returns what memory knows of the object dir+name.
func (m *meta) object(dir, name string) half {
	now, key := m.now(), dir+name
	e, ok := m.points.get(key, now)
	if l := m.lists.find(dir); l != nil {
		if h := l.object(name, now); h.is != unknown {
			if h.is == present && ok && !e.absent {
				h.attr = withEntry(h.attr, e, now)
			}
			return h
		}
	}
	return pointHalf(e, ok, now)
}

// withEntry adds what was remembered of the same generation to what a listing
// said.
func withEntry(a Attr, e metaEntry, now time.Time) Attr {
	if !a.sameGeneration(e.attr) {
		return a
	}
	a = a.fillFrom(e.attr)
	a.TTL = max(a.TTL, remaining(e.expires, now))
	return a
}

func pointHalf(e metaEntry, ok bool, now time.Time) half {
	switch {
	case !ok || !e.fresh(now):
		return half{}
	case e.absent:
		return half{is: absent}
	}
	e.attr.TTL = remaining(e.expires, now)
	return half{present, e.attr}
}

// directory returns what memory knows of the directory dir+name+"/".
func (m *meta) directory(dir, name string) half {
	now, key := m.now(), dir+name+"/"
	e, ok := m.points.get(key, now)
	h := pointHalf(e, ok, now)
	if m.kept.has(key) {
		return half{present, m.dirAttr(key, e, ok, now, m.ttl)}
	}
	if l := m.lists.find(dir); l != nil {
		switch is, ttl := l.directory(name, now); is {
		case absent:
			return half{is: absent}
		case present:
			return half{present, m.dirAttr(key, e, ok, now, ttl)}
		}
	}
	if h.is == unknown {
		if l := m.lists.find(key); l != nil {
			if mk := l.markerHalf(now); mk.is == present {
				return half{present, m.dirAttr(key, e, ok, now, mk.attr.TTL)}
			}
		}
	}
	return h
}

// dirAttr describes a directory that exists: from what was learned of it, or
// from its own listing, which tells whether it has a marker.
func (m *meta) dirAttr(key string, e metaEntry, ok bool, now time.Time, ttl time.Duration) Attr {
	ok = ok && !e.absent
	if h := pointHalf(e, ok, now); h.is == present && h.attr.Metadata != nil {
		return h.attr
	}
	a := Attr{Key: key, TTL: ttl}
	l := m.lists.find(key)
	if l == nil {
		return a
	}
	switch mk := l.markerHalf(now); mk.is {
	case absent:
		a.Metadata = map[string]string{}
	case present:
		a = mk.attr
		if ok {
			a = a.fillFrom(e.attr)
		}
		a.TTL = min(ttl, a.TTL)
	}
	return a
}

// cached returns what is known of key without a request, and whether that is
// that it exists, and fresh. Metadata may still be nil.
func (m *meta) cached(key string) (Attr, bool) {
	if key == "" {
		return m.root(), true
	}
	dir, name := splitKey(key)
	if isDirKey(key) {
		h := m.directory(dir, name)
		return h.attr, h.is == present
	}
	a, here, hidden := m.ov.local(key)
	if here || hidden {
		return a, here
	}
	h := m.object(dir, name)
	return h.attr, h.is == present
}

func (m *meta) root() Attr {
	return Attr{Metadata: map[string]string{}, TTL: m.ttl}
}

// warnHidden tells once per directory that it holds keys no path leads to.
func (m *meta) warnHidden(dir, key string) {
	m.mu.Lock()
	done := m.warned.Contains(dir)
	m.warned.Add(dir, struct{}{})
	m.mu.Unlock()
	if !done {
		m.log.Warn("a key can't be a file name and is not shown; its directory can't be removed here",
			"key", key, "directory", dir)
	}
}
