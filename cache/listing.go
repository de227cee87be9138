package cache

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// listSlot is a name of a listing and what is known of its two keys. A name
// that is gone keeps its slot, so that cookies stay what they are.
type listSlot struct {
	name  string
	size  int64 // of the object, as the three below
	mod   time.Time
	etag  string
	class string
	at    time.Time // when it was true at the earliest

	fileSeq, dirSeq uint64 // the newest mutation that each half accounts for
	// unknown: found out of date, lookups must ask. absent may also be a key
	// that the listing has not come to yet: coveredLocked says.
	file, dir presence
	wasDir    bool // with dir unknown: it was present before
	deferred  bool // in no segment yet, see listing.carry
}

// bytes estimates the heap of a slot, its index entry and its place in the
// segment.
func (s *listSlot) bytes() int64 {
	return 176 + 56 + 8 + int64(len(s.name)+len(s.etag))
}

func (s *listSlot) attr(dir string) Attr {
	return Attr{Key: dir + s.name, Size: s.size, ModTime: s.mod, ETag: s.etag, StorageClass: s.class}
}

func (s *listSlot) setFile(is presence, a Attr, seq uint64) {
	if seq < s.fileSeq {
		return
	}
	s.file, s.fileSeq = is, seq
	if is == present {
		s.size, s.mod, s.etag = a.Size, a.ModTime, a.ETag
		s.class = a.StorageClass
	}
}

func (s *listSlot) setDir(is presence, seq uint64) {
	if seq >= s.dirSeq {
		s.wasDir = is == unknown && (s.wasDir || s.dir == present)
		s.dir, s.dirSeq = is, seq
	}
}

// listSegment is what one page brought, and the names that were made here
// while it was the last.
type listSegment struct {
	after, end string      // the page's keys are in (after, end]; end "" = to the end
	carry      []listSlot  // listing.carry when the page came, as it was then
	slots      []*listSlot // append-only
	dropped    bool        // slots were given up, to be fetched again
	local      bool        // no page's
}

// pendingHalf is a mutation that came while a page was under way.
type pendingHalf struct {
	half
	seq uint64
}

// listing is what is known of one directory from listing it: pages fetched as
// readers come to need them, in slots that keep their place. It is shared by
// all who read or look up in the directory.
//
// A name may be two keys, "x" and "x/", which can be pages apart: "x-1" and
// "x.c" sort between them. Until the listing is past "x/", x is unsettled. An
// empty object that is unsettled is in no segment yet: it gets its slot in the
// segment that settles it, then known to be a file or a directory.
type listing struct {
	id    uint64
	dir   string
	ttl   time.Duration
	start time.Time

	mu       sync.Mutex // guards all below
	segs     []*listSegment
	next     string // all keys up to it are known
	complete bool   // all keys are known
	index    map[string]*listSlot
	// carry holds the unsettled names. They are prefixes of the name at the
	// listing's end, hence at most maxName.
	carry   []*listSlot
	fetches int                    // pages under way
	pending map[string]pendingHalf // by key, while fetches > 0
	bytes   int64
	readers map[*Dir]int // segment that each is at

	// streaming is set on a listing that memory has no room for. It keeps the
	// segments that readers are at, and knows of no absence.
	streaming bool
	detached  bool // out of date: only for those who are reading it already

	marker    half // of the directory's own key
	markerSeq uint64
}

func newListing(id uint64, dir string, start time.Time, ttl time.Duration) *listing {
	return &listing{
		id: id, dir: dir, ttl: ttl, start: start,
		segs:    []*listSegment{{local: true}}, // for what is made here before the first page
		index:   map[string]*listSlot{},
		readers: map[*Dir]int{},
		bytes:   512 + int64(len(dir)),
	}
}

func (l *listing) coveredLocked(key string) bool { return l.complete || key <= l.next }

func (l *listing) fresh(now time.Time) bool { return now.Before(l.start.Add(l.ttl)) }

// object says what the listing knows of the object name.
func (l *listing) object(name string, now time.Time) half {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.index[name]
	if s != nil && s.file == present {
		until := s.at.Add(l.ttl)
		if !now.Before(until) {
			return half{}
		}
		a := s.attr(l.dir)
		a.TTL = remaining(until, now)
		return half{present, a}
	}
	if s != nil && s.file == unknown {
		return half{}
	}
	if !l.streaming && l.fresh(now) && l.coveredLocked(l.dir+name) {
		return half{is: absent}
	}
	return half{}
}

// directory says what the listing knows of the directory name.
func (l *listing) directory(name string, now time.Time) (presence, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.index[name]
	if s != nil && s.dir == present {
		until := s.at.Add(l.ttl)
		if !now.Before(until) {
			return unknown, 0
		}
		return present, remaining(until, now)
	}
	if s != nil && s.dir == unknown {
		return unknown, 0
	}
	if !l.streaming && l.fresh(now) && l.coveredLocked(l.dir+name+"/") {
		return absent, 0
	}
	return unknown, 0
}

// markerHalf says what the listing knows of its directory's own marker.
func (l *listing) markerHalf(now time.Time) half {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.fresh(now) {
		return half{}
	}
	h := l.marker
	h.attr.TTL = remaining(l.start.Add(l.ttl), now)
	return h
}

// set carries out a mutation, or what was learned, of a name's half.
func (l *listing) set(name string, isDir bool, h half, seq uint64, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := l.dir + name
	if isDir {
		key += "/"
	}
	if l.fetches > 0 && seq >= l.pending[key].seq {
		l.pending[key] = pendingHalf{h, seq}
	}
	l.setLocked(name, isDir, h, seq, now)
}

func (l *listing) setLocked(name string, isDir bool, h half, seq uint64, now time.Time) {
	s := l.index[name]
	if s == nil {
		key := l.dir + name
		if isDir {
			key += "/"
		}
		// What is ahead of the pages comes with its page. A listing that
		// doesn't hold all its names can't tell whether it has this one. What
		// is unknown now needs a slot so as not to be taken for absent.
		if h.is == absent || l.streaming || !l.coveredLocked(key) || !canBeName(name) {
			return
		}
		s = &listSlot{name: strings.Clone(name), at: l.start, file: absent, dir: absent}
		l.addLocked(s, isDir, h, seq)
		return
	}
	if isDir {
		s.setDir(h.is, seq)
		return
	}
	l.bytes -= s.bytes()
	s.setFile(h.is, h.attr, seq)
	l.bytes += s.bytes()
	if h.is == present && s.at.Before(now) && s.dir != present {
		s.at = now
	}
}

// addLocked gives a new name its slot: in the last segment, or for a name that
// may yet turn out to be a directory, when it is settled.
func (l *listing) addLocked(s *listSlot, isDir bool, h half, seq uint64) {
	if isDir {
		s.setDir(h.is, seq)
	} else {
		s.setFile(h.is, h.attr, seq)
	}
	l.index[s.name] = s
	l.bytes += s.bytes()
	if !l.coveredLocked(l.dir + s.name + "/") {
		s.deferred = s.size == 0
		l.carry = append(l.carry, s)
	}
	if !s.deferred {
		l.appendLocked(s)
	}
}

// maxSegment bounds a segment by the bits that a cookie has for the index.
const maxSegment = 1 << cookieBits

func (l *listing) appendLocked(s *listSlot) {
	last := l.segs[len(l.segs)-1]
	if len(last.slots) >= maxSegment-1 {
		last = &listSegment{local: true}
		l.segs = append(l.segs, last)
	}
	last.slots = append(last.slots, s)
}

// addNames gives slots to names that exist here only, at the end of a complete
// listing, and reports whether there were any without.
func (l *listing) addNames(names []string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	added := false
	for _, name := range names {
		if l.index[name] != nil {
			continue
		}
		s := &listSlot{name: strings.Clone(name), at: l.start, file: absent, dir: absent}
		l.index[s.name] = s
		l.bytes += s.bytes()
		l.appendLocked(s)
		added = true
	}
	return added
}

// beginFetch is called before a page is asked for; endFetch must follow.
func (l *listing) beginFetch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fetches++
	if l.pending == nil {
		l.pending = map[string]pendingHalf{}
	}
}

func (l *listing) endFetch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fetches--
	if l.fetches == 0 {
		l.pending = nil
	}
}

// wanted returns what to ask for to load segment seg: the one that follows
// those that are known, or one that was dropped.
func (l *listing) wanted(seg int) (after, end string, want bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seg == len(l.segs) {
		return l.next, "", !l.complete
	}
	s := l.segs[seg]
	return s.after, s.end, s.dropped
}

// trimLocked drops the segments that no reader of a streaming listing is at.
func (l *listing) trimLocked() {
	if !l.streaming {
		return
	}
	for i, seg := range l.segs {
		if seg.dropped || len(seg.slots) == 0 || i == len(l.segs)-1 && len(l.readers) > 0 {
			continue
		}
		used := false
		for _, at := range l.readers {
			used = used || i == at || i == at-1
		}
		if used {
			continue
		}
		for _, s := range seg.slots {
			l.forgetSlotLocked(s)
		}
		seg.slots, seg.dropped = nil, !seg.local
	}
}

// stream makes a listing that memory has no room for give up what its readers
// are not at.
func (l *listing) stream() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streaming = true
	l.trimLocked()
}

func (l *listing) trim() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trimLocked()
}

func (l *listing) forgetSlotLocked(s *listSlot) {
	if l.index[s.name] == s && !slices.Contains(l.carry, s) {
		delete(l.index, s.name)
		l.bytes -= s.bytes()
	}
}

func (l *listing) detach() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.detached = true
}

func (l *listing) isDetached() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.detached
}

func (l *listing) size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes
}

func (l *listing) setMarker(h half, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq >= l.markerSeq {
		l.marker, l.markerSeq = h, seq
	}
}

// nextSegment returns the segment that the next page will be.
func (l *listing) nextSegment() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.segs)
}
