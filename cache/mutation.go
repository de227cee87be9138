package cache

import (
	"container/list"
	"strings"
)

// How a change made here can't be undone by an older answer.
//
// Every mutation gets the next number (meta.seq); every question to the server
// notes the number at which it began. Say x exists:
//
//	lookup                         unlink                      memory
//	begin: seq 7
//	HEAD x is sent
//	server answers: x exists
//	                               DELETE x is answered
//	                               removed("x"): seq 8         x absent, 8
//	                               (evicted, or expired)       x unknown
//	answer arrives: learned(x)
//
// That x is at 8 in memory would be enough to refuse the answer of 7, but
// memory may have lost it: so as long as a question is under way that began
// earlier, the mutation stays in meta.mutated, and the answer is refused by
// that. forget(prefix) stands for a mutation of every key below prefix. When
// the oldest question ends, what only it needed is pruned; with no question
// under way the log is empty.
//
// Checking and learning are one step under meta.mu, and so are logging a
// mutation and carrying it out; a mutation is thus wholly before or wholly
// after.
//
// Listing pages are too big for that, they do the same by name: while a page
// is under way, its listing collects the mutations of its names
// (listing.pending), and they are laid over the page when it arrives:
//
//	page                           create                      listing
//	fetches++; begin: seq 7
//	LIST is sent, answered
//	                               PUT x is answered
//	                               changed(x): seq 8           pending x, 8
//	page arrives, without x                                    x present
//
// A mutation of seq 7 or earlier may be in pending too (made between fetches++
// and begin): the question was asked after it, so the page is believed.

// mutation is an entry of the log.
type mutation struct {
	key string
	seq uint64
}

// learner is a question to the server whose answer will be learned.
type learner struct {
	m   *meta
	el  *list.Element // in m.learners
	seq uint64
}

// begin is called before the request is sent. end must follow.
func (m *meta) begin() learner {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.beginLocked()
}

func (m *meta) beginLocked() learner {
	return learner{m, m.learners.PushBack(m.seq), m.seq}
}

// learned says that the server has a. It is ignored if this mount changed the
// key since begin.
func (l learner) learned(a Attr) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.m.learnLocked(l.seq, a.Key, half{present, a})
}

// absent says that the server has no key; ignored like learned.
func (l learner) absent(key string) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.m.learnLocked(l.seq, key, half{is: absent})
}

// end says that nothing more will be learned.
func (l learner) end() {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.m.endLocked(l)
}

func (m *meta) endLocked(l learner) {
	m.learners.Remove(l.el)
	front := m.learners.Front()
	if front == nil {
		clear(m.mutated)
		m.order, m.forgot = nil, nil
		return
	}
	oldest := front.Value.(uint64)
	n := 0
	for ; n < len(m.order) && m.order[n].seq <= oldest; n++ {
		if o := m.order[n]; m.mutated[o.key] == o.seq {
			delete(m.mutated, o.key)
		}
	}
	m.order = m.order[n:]
	for len(m.forgot) > 0 && m.forgot[0].seq <= oldest {
		m.forgot = m.forgot[1:]
	}
}

// mutatedLocked reports whether this mount changed key after seq.
func (m *meta) mutatedLocked(key string, seq uint64) bool {
	if m.mutated[key] > seq {
		return true
	}
	for _, f := range m.forgot {
		if f.seq > seq && strings.HasPrefix(key, f.key) {
			return true
		}
	}
	return false
}

// learnLocked takes in what the server said of key to a question that began at
// seq, and reports whether it may be believed.
func (m *meta) learnLocked(seq uint64, key string, h half) bool {
	if m.mutatedLocked(key, seq) || h.is == absent && m.mutated[existence(key)] > seq {
		return false
	}
	m.rememberLocked(seq, key, h)
	return true
}

// existence is what the log has for "the directory key exists": a change below
// it refutes only that it is absent. With a NUL, it is no key itself.
func existence(key string) string { return key + "\x00" }

// rememberLocked puts h into memory: as an entry of its own, and into the
// listings that show the key.
func (m *meta) rememberLocked(seq uint64, key string, h half) {
	now := m.now()
	switch h.is {
	case present:
		h.attr.TTL = 0
		m.points.put(key, metaEntry{attr: h.attr, seq: seq, expires: now.Add(m.ttl)})
	case absent:
		m.points.put(key, metaEntry{absent: true, seq: seq, expires: now.Add(m.negTL)})
	case unknown:
		m.points.remove(key)
	}
	m.lists.set(key, h, seq, now)
}

// logLocked numbers a mutation of key.
func (m *meta) logLocked(key string) uint64 {
	m.seq++
	if m.learners.Len() > 0 {
		m.mutated[key] = m.seq
		m.order = append(m.order, mutation{key, m.seq})
	}
	return m.seq
}

// changed says that this mount made or replaced a, an object or a directory,
// and that the server has confirmed it.
func (m *meta) changed(a Attr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rememberLocked(m.logLocked(a.Key), a.Key, half{present, a})
	dir, _ := splitKey(a.Key)
	m.existsLocked(dir)
	if a.IsDir() {
		m.madeDirLocked(a.Key)
	}
}

// existsLocked says that dir and all above it exist, since something in it
// does or did.
func (m *meta) existsLocked(dir string) {
	for dir != "" {
		seq := m.logLocked(existence(dir))
		m.points.removeAbsence(dir)
		m.lists.set(dir, half{is: present, attr: Attr{Key: dir}}, seq, m.now())
		dir, _ = splitKey(dir)
	}
}

// removed says that this mount removed the object, confirmed by the server.
// Its directory is kept from then on.
func (m *meta) removed(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	seq := m.logLocked(key)
	dir, _ := splitKey(key)
	if isDirKey(key) { // a marker: what else is below says whether there is a directory
		m.rememberLocked(seq, key, half{})
		m.lists.detach(key)
		dir = key
	} else {
		m.rememberLocked(seq, key, half{is: absent})
		m.points.removeAbsence(key + "/") // may have been extended, see lookup
	}
	m.kept.add(dir)
	m.existsLocked(dir)
}

// removedDir says that rmdir of dir is confirmed: it is absent, its parent is
// kept.
func (m *meta) removedDir(dir string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept.removePrefix(dir)
	m.rememberLocked(m.logLocked(dir), dir, half{is: absent})
	m.lists.detach(dir)
	m.points.removeAbsence(strings.TrimSuffix(dir, "/"))
	parent, _ := splitKey(dir)
	m.kept.add(parent)
	m.existsLocked(parent)
}

// forget makes all keys that begin with prefix unknown, prefix itself too, for
// listings under way as well: what a directory rename needs, before it tells
// by removedDir and changed what became of the directories.
func (m *meta) forget(prefix string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	seq := m.logLocked(prefix)
	if m.learners.Len() > 0 {
		m.forgot = append(m.forgot, mutation{prefix, seq})
	}
	m.points.removePrefix(prefix)
	m.kept.removePrefix(prefix)
	m.lists.detach(prefix)
	if prefix != "" {
		m.lists.set(prefix, half{}, seq, m.now())
	}
}

// drop makes one key unknown: what was remembered of it was found out of date.
func (m *meta) drop(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rememberLocked(m.logLocked(key), key, half{})
}
