package cache

import (
	"strings"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxKept bounds the directories that exist for this mount only (a count).
const maxKept = 64 << 10

// keptDirs holds the directories that this mount took something out of. On RGW
// a directory without marker ceases to exist with its last key; here it stays
// until rmdir, so that `rm -r` and programs that empty a directory to fill it
// again find what POSIX promises. The least recently emptied ones go first
// when there are too many.
type keptDirs struct {
	mu       sync.Mutex
	lru      *simplelru.LRU[string, struct{}] // by key; guarded by mu
	children map[string]map[string]struct{}   // parent to names; guarded by mu
}

func newKeptDirs(limit int) *keptDirs {
	k := &keptDirs{children: map[string]map[string]struct{}{}}
	lru, err := simplelru.NewLRU(limit, func(key string, _ struct{}) {
		parent, name := splitKey(key)
		delete(k.children[parent], name)
		if len(k.children[parent]) == 0 {
			delete(k.children, parent)
		}
	})
	if err != nil {
		panic(err) // only a limit below 1 is refused
	}
	k.lru = lru
	return k
}

// add keeps dir and every directory above it: they exist because dir does.
func (k *keptDirs) add(dir string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for dir != "" {
		parent, name := splitKey(dir)
		if k.children[parent] == nil {
			k.children[parent] = map[string]struct{}{}
		}
		k.children[parent][name] = struct{}{}
		k.lru.Add(dir, struct{}{})
		dir = parent
	}
}

func (k *keptDirs) has(dir string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lru.Contains(dir)
}

// in returns the names of the kept directories directly in dir.
func (k *keptDirs) in(dir string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	names := make([]string, 0, len(k.children[dir]))
	for name := range k.children[dir] {
		names = append(names, name)
	}
	return names
}

// removePrefix gives up dir and all below it.
func (k *keptDirs) removePrefix(dir string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if dir != "" && len(k.children[dir]) == 0 {
		k.lru.Remove(dir)
		return
	}
	for _, key := range k.lru.Keys() {
		if strings.HasPrefix(key, dir) {
			k.lru.Remove(key)
		}
	}
}
