package cache

import (
	"context"
	"fmt"
	"sync"

	"rgwfs/s3backend"
)

// DirEntry is a name in a directory; never "." or "..".
type DirEntry struct {
	Name string
	Attr Attr // as Lookup would answer without a request
}

// Dir is one opendir(3): a cursor over a directory's entries. Handles of one
// directory share its listing, and the requests for it, as long as that is
// fresh. Entries come in no particular order; each name comes once.
type Dir struct {
	m   *meta
	dir string

	mu     sync.Mutex // held across requests: a handle is read by one at a time
	l      *listing   // guarded by mu
	closed bool       // guarded by mu
}

// A cookie is segment<<cookieBits | index, plus 1: 0 is the beginning. Slots
// don't move, so cookies stay valid; only in a directory too big for memory,
// where a page is fetched again, do changes on the server in between show.
const cookieBits = 20

func splitCookie(cookie uint64) (seg, i int) {
	if cookie == 0 {
		return 0, 0
	}
	cookie--
	return int(cookie >> cookieBits), int(cookie & (1<<cookieBits - 1))
}

func makeCookie(seg, i int) uint64 { return (uint64(seg)<<cookieBits | uint64(i)) + 1 }

// openDir opens dir for reading. Whether it exists was found out by the lookup
// before; the first Read asks for the first page.
func (m *meta) openDir(ctx context.Context, dir string) (*Dir, error) {
	if err := ctx.Err(); err != nil {
		return nil, lookupCancelled(dir, err)
	}
	return &Dir{m: m, dir: dir, l: m.lists.acquire(dir, m.now())}, nil
}

// Read returns the entry at cookie, 0 being the first, and the cookie of the
// next one; ok is false at the end. It loads pages as needed; one that failed
// can be tried again with the same cookie. Cookies are valid until Rewind.
func (d *Dir) Read(ctx context.Context, cookie uint64) (e DirEntry, next uint64, ok bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return DirEntry{}, cookie, false, nameError(s3backend.KindInvalid, d.dir)
	}
	seg, i := splitCookie(cookie)
	for {
		s, step := d.l.slotAt(d, seg, i)
		switch step {
		case stepFound:
			i++
			if a, shown := d.m.entry(d.l, &s); shown {
				return DirEntry{s.name, a}, makeCookie(seg, i), true, nil
			}
		case stepOn:
			seg, i = seg+1, 0
		case stepLoad:
			err = d.m.loadSegment(ctx, d.l, seg)
		case stepLoadNext:
			// What is made here meanwhile goes into this segment: look again.
			err = d.m.loadSegment(ctx, d.l, seg+1)
		case stepEnd:
			if !d.l.addNames(d.m.localNames(d.dir)) {
				return DirEntry{}, makeCookie(seg, i), false, nil
			}
			d.m.lists.account(d.l)
		}
		if err != nil {
			return DirEntry{}, makeCookie(seg, i), false, err
		}
	}
}

// Rewind makes the reads from cookie 0 that follow see a listing that is fresh.
func (d *Dir) Rewind() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := d.m.now(); !d.closed && d.m.lists.renew(d.l, now) {
		d.leave()
		d.l = d.m.lists.acquire(d.dir, now)
	}
}

// Close gives the handle back. Closing it again does nothing.
func (d *Dir) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.closed = true
		d.leave()
	}
}

func (d *Dir) leave() {
	d.l.left(d)
	d.m.lists.release(d.l)
}

// dirStep is what a reader finds at a cookie.
type dirStep uint8

const (
	stepFound    dirStep = iota // a slot
	stepOn                      // the segment's end; the next one is there
	stepLoad                    // nothing: the segment must be fetched
	stepLoadNext                // the segment's end; the next one must be fetched
	stepEnd                     // the listing's end
)

// slotAt returns a copy of the slot at a cookie, and notes where d reads.
func (l *listing) slotAt(d *Dir, seg, i int) (listSlot, dirStep) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.readers[d]; !ok || at != seg {
		l.readers[d] = seg
		l.trimLocked()
	}
	if seg >= len(l.segs) {
		return listSlot{}, stepEnd // no cookie of this listing
	}
	switch s := l.segs[seg]; {
	case s.dropped:
		return listSlot{}, stepLoad
	case i < len(s.slots):
		return *s.slots[i], stepFound
	case seg+1 < len(l.segs):
		return listSlot{}, stepOn
	case !l.complete:
		return listSlot{}, stepLoadNext
	}
	return listSlot{}, stepEnd
}

func (l *listing) left(d *Dir) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.readers, d)
	l.trimLocked()
}

// localNames returns the names in dir that are not on RGW yet.
func (m *meta) localNames(dir string) []string {
	files := m.ov.localIn(dir)
	names := make([]string, 0, len(files))
	for _, a := range files {
		_, name := splitKey(a.Key)
		names = append(names, name)
	}
	return names
}

// entry describes what a slot shows now, false if nothing.
func (m *meta) entry(l *listing, s *listSlot) (Attr, bool) {
	key := l.dir + s.name
	a, here, hidden := m.ov.local(key)
	if here {
		return a, true
	}
	now := m.now()
	ttl := remaining(s.at.Add(l.ttl), now)
	// A half that was found out of date is still shown; a lookup will tell.
	isFile := !hidden && (s.file == present || s.file == unknown && s.etag != "")
	if isFile {
		a = s.attr(l.dir)
		a.TTL = ttl
		if s.file == unknown {
			a.TTL = 0
		}
		if e, ok := m.points.get(key, now); ok && !e.absent {
			a = withEntry(a, e, now)
		}
		if a.Size > 0 {
			return a, true
		}
	}
	dirKey := key + "/"
	if s.dir == present || s.wasDir && !isFile || m.kept.has(dirKey) {
		e, ok := m.points.get(dirKey, now)
		return m.dirAttr(dirKey, e, ok, now, ttl), true
	}
	return a, isFile
}

// loadSegment fetches the page of a segment, if nobody has yet.
func (m *meta) loadSegment(ctx context.Context, l *listing, seg int) error {
	id := fmt.Sprintf("page %d/%d", l.id, seg)
	_, _, err := m.fly(ctx, id, "", func(ctx context.Context) (half, error) {
		l.beginFetch()
		defer l.endFetch()
		after, end, want := l.wanted(seg)
		if !want {
			return half{}, nil
		}
		seq, at := m.currentSeq(), m.now()
		page, err := m.fetchRange(ctx, l.dir, after, end)
		if err != nil {
			return half{}, err
		}
		hidden := l.apply(seg, after, page, m.kept.in(l.dir), seq, at)
		m.lists.account(l)
		if hidden != "" {
			m.warnHidden(l.dir, hidden)
		}
		return half{}, nil
	})
	return err
}

func (m *meta) currentSeq() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seq
}

// fetchRange fetches one page of dir that follows after; or, if end is given,
// as many as it takes to come to end.
func (m *meta) fetchRange(ctx context.Context, dir, after, end string) (s3backend.Page, error) {
	req := s3backend.ListRequest{
		Prefix: dir, Delimiter: "/", StartAfter: after, // pages as large as the server's
	}
	all, err := m.listPage(ctx, req)
	for err == nil && end != "" && all.Next != "" && all.Next < end {
		req.StartAfter = all.Next
		var page s3backend.Page
		page, err = m.listPage(ctx, req)
		all.Objects = append(all.Objects, page.Objects...)
		all.Prefixes = append(all.Prefixes, page.Prefixes...)
		all.Next = page.Next
	}
	return all, err
}

// listPage makes sure that a listing comes to an end.
func (m *meta) listPage(ctx context.Context, req s3backend.ListRequest) (s3backend.Page, error) {
	page, err := m.store.List(ctx, req)
	if err == nil && page.Next != "" && page.Next <= req.StartAfter {
		return page, &s3backend.Error{
			Kind: s3backend.KindOther, Op: "ListObjectsV2", Key: req.Prefix,
			Message: fmt.Sprintf("the server continues the listing at %q with %q", req.StartAfter, page.Next),
		}
	}
	return page, err
}
