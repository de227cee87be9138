package cache

import (
	"strings"
	"sync"
)

// treeLock keeps changes of single keys and renames of whole directories
// apart: a directory's rename has its prefixes to itself, while changes
// elsewhere in the bucket go on.
type treeLock struct {
	mu        sync.Mutex
	changed   sync.Cond
	shared    map[string]int // keys with a change under way; guarded by mu
	exclusive []string       // prefixes under rename; guarded by mu
}

func (t *treeLock) init() {
	t.changed.L = &t.mu
	t.shared = make(map[string]int)
}

// share waits until no rename covers the file, wherever that is by then, and
// returns what ends the change. It is taken before any ioMu.
func (t *treeLock) share(f *File) (done func()) {
	return t.shareKeys(func() []string { return []string{f.Key()} })
}

// shareKeys does the same for keys, which are asked for again after a wait.
// All are taken at once: one after the other could wait for a rename that
// waits for the first.
func (t *treeLock) shareKeys(keys func() []string) (done func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ks := keys()
	for t.covered(ks) {
		t.changed.Wait()
		ks = keys()
	}
	for _, k := range ks {
		t.shared[k]++
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, k := range ks {
			if t.shared[k]--; t.shared[k] == 0 {
				delete(t.shared, k)
			}
		}
		if len(t.exclusive) > 0 {
			t.changed.Broadcast()
		}
	}
}

// rename waits until it has both prefixes to itself and returns what ends it.
func (t *treeLock) rename(old, new string) (done func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.overlaps(old) || t.overlaps(new) {
		t.changed.Wait()
	}
	t.exclusive = append(t.exclusive, old, new)
	for t.busy(old) || t.busy(new) {
		t.changed.Wait()
	}
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		for i := 0; i < len(t.exclusive); i += 2 {
			if t.exclusive[i] == old && t.exclusive[i+1] == new {
				t.exclusive = append(t.exclusive[:i], t.exclusive[i+2:]...)
				break
			}
		}
		t.changed.Broadcast()
	}
}

func (t *treeLock) covered(keys []string) bool {
	for _, k := range keys {
		for _, p := range t.exclusive {
			if strings.HasPrefix(k, p) {
				return true
			}
		}
	}
	return false
}

func (t *treeLock) overlaps(prefix string) bool {
	for _, p := range t.exclusive {
		if strings.HasPrefix(p, prefix) || strings.HasPrefix(prefix, p) {
			return true
		}
	}
	return false
}

func (t *treeLock) busy(prefix string) bool {
	for k := range t.shared {
		if strings.HasPrefix(k, prefix) {
			return true
		}
	}
	return false
}
