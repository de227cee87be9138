package cache

import (
	"slices"
	"strings"
	"time"

	"rgwfs/s3backend"
)

// pageFill puts a page's names into a segment of a listing.
type pageFill struct {
	l       *listing
	seg     *listSegment
	refetch bool      // the segment had been dropped
	seq     uint64    // when the page was asked for
	at      time.Time // the same
	slots   []*listSlot
	hidden  string // a key that can't be a name, if there is one
}

// apply takes in the page that was asked for segment seg. Mutations later than
// seq win over it; kept are names of directories that exist whether the page
// has them or not. It returns a key that can't be a name, if the page has one.
func (l *listing) apply(seg int, after string, page s3backend.Page, kept []string, seq uint64, at time.Time) (hidden string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := pageFill{l: l, seq: seq, at: at}
	switch {
	case seg < len(l.segs) && l.segs[seg].dropped:
		f.seg, f.refetch = l.segs[seg], true
	case seg < len(l.segs) || l.complete || after != l.next:
		// A page that everybody had given up arrived after all, and then
		// this one, asked for anew.
		return ""
	default:
		f.seg = &listSegment{after: l.next, end: page.Next}
		for _, s := range l.carry {
			f.seg.carry = append(f.seg.carry, *s)
		}
		l.segs = append(l.segs, f.seg)
		l.next, l.complete = page.Next, page.Next == ""
	}
	f.names(page, kept)
	f.place()
	return f.hidden
}

// inRange reports whether key is one that the segment's page would have.
func (f *pageFill) inRange(key string) bool {
	return key > f.seg.after && (f.seg.end == "" || key <= f.seg.end)
}

// settled reports whether the segment's page would have name's directory, or
// an earlier one.
func (f *pageFill) settled(name string) bool {
	return f.seg.end == "" || f.l.dir+name+"/" <= f.seg.end
}

func (f *pageFill) names(page s3backend.Page, kept []string) {
	l := f.l
	marker := half{is: absent}
	for _, o := range page.Objects {
		if o.Key == l.dir {
			marker = half{present, attrOf(o, 0)}
			continue
		}
		if name, ok := f.name(o.Key); ok && f.inRange(o.Key) {
			f.file(name, half{present, attrOf(o, 0)}, f.seq)
		}
	}
	for _, p := range page.Prefixes {
		if name, ok := f.name(strings.TrimSuffix(p, "/")); ok && f.inRange(p) {
			f.directory(name, present, f.seq)
		}
	}
	for _, name := range kept {
		if f.inRange(l.dir + name + "/") {
			f.directory(name, present, f.seq)
		}
	}
	// A directory's own key sorts before all that is in it.
	if f.seg.after == "" && f.seq >= l.markerSeq {
		l.marker, l.markerSeq = marker, f.seq
	}
	for key, p := range l.pending {
		if p.seq <= f.seq || !f.inRange(key) {
			continue
		}
		name := strings.TrimSuffix(key[len(l.dir):], "/")
		if l.index[name] == nil && p.is == absent || !canBeName(name) {
			continue
		}
		if isDirKey(key) {
			f.directory(name, p.is, p.seq)
		} else {
			f.file(name, p.half, p.seq)
		}
	}
}

// name returns the name of a key of the page, false if it can't be one.
func (f *pageFill) name(key string) (string, bool) {
	name, below := strings.CutPrefix(key, f.l.dir)
	if !below || !canBeName(name) {
		f.hidden = key
		return "", false
	}
	return name, true
}

func (f *pageFill) file(name string, h half, seq uint64) {
	s := f.slot(name)
	f.l.bytes -= s.bytes()
	s.setFile(h.is, h.attr, seq)
	f.l.bytes += s.bytes()
}

func (f *pageFill) directory(name string, is presence, seq uint64) {
	if f.refetch {
		// A file of this name is in an earlier segment, and hides it.
		for _, c := range f.seg.carry {
			if c.name == name && !c.deferred {
				return
			}
		}
	}
	f.slot(name).setDir(is, seq)
}

// slot returns the name's slot. A new one is remembered to be placed; so is,
// in a segment that is filled again, one that was held because it is unsettled.
func (f *pageFill) slot(name string) *listSlot {
	s := f.l.index[name]
	if s == nil {
		s = &listSlot{name: strings.Clone(name), at: f.at, file: absent, dir: absent}
		f.l.index[s.name] = s
		f.l.bytes += s.bytes()
		f.slots = append(f.slots, s)
	} else if f.refetch && !slices.Contains(f.slots, s) {
		f.slots = append(f.slots, s)
	}
	return s
}

// place appends the slots that are settled, or can't turn out to be a
// directory, to the segment.
func (f *pageFill) place() {
	l := f.l
	if f.refetch {
		f.seg.dropped = false
		for _, c := range f.seg.carry {
			if c.deferred && f.settled(c.name) {
				s := f.slot(c.name)
				s.setFile(c.file, c.attr(l.dir), c.fileSeq)
			}
		}
	} else {
		rest := l.carry[:0]
		for _, s := range l.carry {
			switch {
			case !f.settled(s.name):
				rest = append(rest, s)
			case s.deferred:
				s.deferred = false
				f.slots = append(f.slots, s)
			}
		}
		clear(l.carry[len(rest):])
		l.carry = rest
	}
	slices.SortFunc(f.slots, func(a, b *listSlot) int { return strings.Compare(a.name, b.name) })
	for _, s := range f.slots {
		if f.settled(s.name) {
			f.seg.slots = append(f.seg.slots, s)
			continue
		}
		maybeDir := s.file != present || s.size == 0
		if f.refetch {
			if maybeDir {
				l.forgetSlotLocked(s) // the segment that settles it has it
			} else {
				f.seg.slots = append(f.seg.slots, s)
			}
			continue
		}
		s.deferred = maybeDir
		l.carry = append(l.carry, s)
		if !maybeDir {
			f.seg.slots = append(f.seg.slots, s)
		}
	}
}
