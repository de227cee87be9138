package cache

import (
	"context"
	"strings"
	"time"

	"rgwfs/s3backend"
)

// lookup finds what dir+name is: a file, or a directory with its key ending in
// "/". Of an object "x" and a prefix "x/" the object is shown, unless it is
// empty: what other clients write as directory marker "x" is empty, too.
//
// It asks for no more than it takes: HEAD x; if there is none, or an empty
// one, LIST of one key below "x/". In a directory where names are looked up in
// vain again and again (a tar x, a copy of many files), the directory is
// listed instead: once known to its end it answers for the names it doesn't
// have.
func (m *meta) lookup(ctx context.Context, dir, name string) (Attr, error) {
	if err := checkName(dir, name); err != nil {
		return Attr{}, err
	}
	key := dir + name
	// What the requests of this call said, as memory may keep nothing.
	var file, sub half
	asked, listed := false, false
	for {
		a, here, hidden := m.ov.local(key)
		if here {
			return a, nil
		}
		o := m.object(dir, name)
		if o.is == unknown {
			o = file
		}
		if hidden {
			o = half{is: absent}
		}
		d := m.directory(dir, name)
		if d.is == unknown {
			d = sub
		}
		if len(key) >= s3backend.MaxKeyLength {
			d = half{is: absent} // no key has room for the slash
		}
		var err error
		switch {
		case o.is == present && o.attr.Size > 0:
			return o.attr, nil
		case o.is == unknown && !listed && m.listInstead(dir):
			listed = true
			err = m.listFor(ctx, dir)
		case o.is == unknown:
			asked = true
			file, err = m.current(m.head(ctx, key))
		case d.is == present:
			m.points.extendAbsence(key, m.now().Add(m.ttl))
			return d.attr, nil
		case d.is == unknown:
			asked = true
			sub, err = m.current(m.probe(ctx, key+"/"))
		case o.is == present:
			m.points.extendAbsence(key+"/", m.now().Add(m.ttl))
			return o.attr, nil
		case len(m.ov.localIn(key+"/")) > 0:
			return Attr{Key: key + "/", Metadata: map[string]string{}}, nil
		default:
			if asked {
				m.missed(dir)
			}
			return Attr{}, nameError(s3backend.KindNotExist, key)
		}
		if err != nil {
			return Attr{}, err
		}
	}
}

// current drops an answer that a mutation has overtaken: memory knows better,
// or the question must be asked again.
func (m *meta) current(h half, current bool, err error) (half, error) {
	if !current {
		h = half{}
	}
	return h, err
}

// head asks for an object.
func (m *meta) head(ctx context.Context, key string) (half, bool, error) {
	return m.fly(ctx, "head "+key, key, func(ctx context.Context) (half, error) {
		return m.askHead(ctx, key)
	})
}

func (m *meta) askHead(ctx context.Context, key string) (half, error) {
	o, err := m.store.Head(ctx, key)
	if s3backend.IsNotExist(err) {
		return half{is: absent}, nil
	}
	if err != nil && s3backend.KindOf(err) == s3backend.KindPermission {
		return m.askUnreadable(ctx, key, err)
	}
	if err != nil {
		return half{}, err
	}
	if o.Metadata == nil {
		o.Metadata = map[string]string{} // HEAD tells all there is
	}
	return half{present, attrOf(o, m.ttl)}, nil
}

// askUnreadable asks the listing for an object that may not be read: it is
// somebody else's, or encrypted with a key that is not here. Its name and size
// are no secret to who may list; the error is for who opens it.
func (m *meta) askUnreadable(ctx context.Context, key string, denied error) (half, error) {
	page, err := m.listPage(ctx, s3backend.ListRequest{Prefix: key, MaxKeys: 1})
	if err != nil || len(page.Objects) == 0 || page.Objects[0].Key != key {
		return half{}, denied
	}
	o := page.Objects[0]
	o.Metadata = map[string]string{} // as good as none: nobody here will ever know it
	return half{present, attrOf(o, m.ttl)}, nil
}

// probe asks whether there is anything at or below the directory's key.
func (m *meta) probe(ctx context.Context, key string) (half, bool, error) {
	return m.fly(ctx, "probe "+key, key, func(ctx context.Context) (half, error) {
		return m.askPrefix(ctx, key)
	})
}

func (m *meta) askPrefix(ctx context.Context, key string) (half, error) {
	page, err := m.listPage(ctx, s3backend.ListRequest{Prefix: key, MaxKeys: 1})
	switch {
	case err != nil:
		return half{}, err
	case len(page.Objects) == 0:
		return half{is: absent}, nil
	case page.Objects[0].Key == key:
		return half{present, attrOf(page.Objects[0], m.ttl)}, nil
	}
	// The marker would have come first.
	return half{present, m.implicit(key)}, nil
}

// implicit describes a directory without marker: it has no metadata.
func (m *meta) implicit(key string) Attr {
	return Attr{Key: key, Metadata: map[string]string{}, TTL: m.ttl}
}

// stat returns a file's or directory's Attr with its Metadata: that of the
// object, or of the directory's marker.
func (m *meta) stat(ctx context.Context, key string) (Attr, error) {
	if key == "" {
		return m.root(), nil
	}
	dir, name := splitKey(key)
	if err := checkName(dir, name); err != nil {
		return Attr{}, err
	}
	if isDirKey(key) {
		return m.statDir(ctx, key)
	}
	a, here, hidden := m.ov.local(key)
	switch {
	case here:
		return a, nil
	case hidden:
		return Attr{}, nameError(s3backend.KindNotExist, key)
	}
	return m.statObject(ctx, key)
}

// statObject returns the Attr of what the server has, whatever was written here.
func (m *meta) statObject(ctx context.Context, key string) (Attr, error) {
	dir, name := splitKey(key)
	for {
		h := m.object(dir, name)
		if h.is != absent && (h.is == unknown || h.attr.Metadata == nil) {
			var current bool
			var err error
			h, current, err = m.head(ctx, key)
			if err != nil {
				return Attr{}, err
			}
			if !current {
				continue
			}
		}
		if h.is == absent {
			return Attr{}, nameError(s3backend.KindNotExist, key)
		}
		return h.attr, nil
	}
}

func (m *meta) statDir(ctx context.Context, key string) (Attr, error) {
	dir, name := splitKey(key)
	for {
		h := m.directory(dir, name)
		if h.is == unknown || h.is == present && h.attr.Metadata == nil {
			exists := h.is == present
			var current bool
			var err error
			h, current, err = m.fly(ctx, "stat "+key, key, func(ctx context.Context) (half, error) {
				return m.askDir(ctx, key, exists)
			})
			if err != nil {
				return Attr{}, err
			}
			if !current {
				continue
			}
		}
		if h.is == absent {
			if len(m.ov.localIn(key)) > 0 {
				return m.implicit(key), nil
			}
			return Attr{}, nameError(s3backend.KindNotExist, key)
		}
		return h.attr, nil
	}
}

// askDir asks for a directory's marker, and if it has none and is not known to
// exist, for anything below it.
func (m *meta) askDir(ctx context.Context, key string, exists bool) (half, error) {
	marker, err := m.askHead(ctx, key)
	if err != nil || marker.is == present {
		return marker, err
	}
	if !exists {
		below, err := m.askPrefix(ctx, key)
		if err != nil || below.is == absent {
			return below, err
		}
		if below.attr.Metadata == nil { // a marker was made after the HEAD
			marker, err = m.askHead(ctx, key)
			if err != nil || marker.is == present {
				return marker, err
			}
		}
	}
	return half{present, m.implicit(key)}, nil
}

// missRate counts names of a directory looked up in vain at the cost of
// requests.
type missRate struct {
	count int
	until time.Time // start anew after
	pages int       // listed since, on their account
}

const (
	missesToList  = 2 // a third one has the directory listed
	maxMissPages  = 8 // of a directory that is bigger, lone requests are cheaper
	madeDirMisses = missesToList
)

// missed notes a lookup in dir that cost requests and found nothing.
func (m *meta) missed(dir string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.missRateLocked(dir).count++
}

// madeDirLocked expects files to be made in a directory that was made here:
// listing it at once costs less than the first two misses.
func (m *meta) madeDirLocked(dir string) {
	m.missRateLocked(dir).count = madeDirMisses
}

func (m *meta) missRateLocked(dir string) *missRate {
	now := m.now()
	r, ok := m.misses.Get(dir)
	if !ok || now.After(r.until) {
		r = &missRate{until: now.Add(m.ttl)}
		m.misses.Add(dir, r)
	}
	return r
}

// listInstead reports whether a page of dir should be listed rather than a
// name asked for, and counts that page.
func (m *meta) listInstead(dir string) bool {
	if m.ttl <= 0 {
		return false // would remember nothing of it
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.missRateLocked(dir)
	if r.count < missesToList || r.pages >= maxMissPages {
		return false
	}
	r.pages++
	return true
}

// listFor loads the next page of dir's listing, if it has one.
func (m *meta) listFor(ctx context.Context, dir string) error {
	l := m.lists.acquire(dir, m.now())
	defer m.lists.release(l)
	err := m.loadSegment(ctx, l, l.nextSegment())
	if err != nil && s3backend.KindOf(err) == s3backend.KindPermission {
		return nil // who may not list may still HEAD
	}
	return err
}

// anyBelow asks the server for the first key below dir, other than its marker
// and those to ignore, and whether there is a marker. A directory in it that
// is kept counts too, by its key.
func (m *meta) anyBelow(ctx context.Context, dir string, ignore func(key string) bool) (key string, found, marker bool, err error) {
	req := s3backend.ListRequest{Prefix: dir, MaxKeys: 10}
	for {
		page, err := m.listPage(ctx, req)
		if err != nil {
			return "", false, false, err
		}
		for _, o := range page.Objects {
			switch {
			case o.Key == dir:
				marker = true
			case !ignore(o.Key):
				if dir, name, hidden := hiddenBelow(dir, o.Key); hidden {
					m.warnHidden(dir, name)
				}
				return o.Key, true, marker, nil
			}
		}
		if page.Next == "" {
			break
		}
		req.StartAfter, req.MaxKeys = page.Next, s3backend.MaxListKeys
	}
	if names := m.kept.in(dir); len(names) > 0 {
		return dir + names[0] + "/", true, marker, nil
	}
	return "", false, marker, nil
}

// hiddenBelow reports whether no path leads from dir to key, and returns the
// directory that holds the first segment that can't be a name.
func hiddenBelow(dir, key string) (in, hidden string, is bool) {
	rest := strings.TrimSuffix(key[len(dir):], "/")
	for at := len(dir); ; {
		name, more, deeper := strings.Cut(rest, "/")
		if !canBeName(name) {
			return key[:at], key, true
		}
		if !deeper {
			return "", "", false
		}
		at += len(name) + 1
		rest = more
	}
}
