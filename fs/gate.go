package fs

import (
	"context"
	"strings"
	"sync"
	"syscall"
)

// gate keeps renames and removals apart from what else is done by key: an
// operation sees a file under its old name or under its new one, never under
// neither. Whoever uses a key shares it; who renames or removes one has it,
// and all keys below, alone. The kernel orders operations on one directory
// already; this is for those on a directory further down, and on inodes.
type gate struct {
	mu     sync.Mutex
	users  map[string]int // shared keys in use
	alone  []string       // keys held alone; those below are meant too
	change chan struct{}  // closed when a key becomes free; nil if nobody waits
}

// enter shares the key that keyOf returns, which may change while enter waits.
// It fails with EINTR when ctx is done.
func (g *gate) enter(ctx context.Context, keyOf func() Key) (Key, func(), syscall.Errno) {
	g.mu.Lock()
	for {
		key := keyOf()
		s := strings.TrimSuffix(key.s, "/")
		if !g.takenLocked(s) {
			if g.users == nil {
				g.users = map[string]int{}
			}
			g.users[s]++
			g.mu.Unlock()
			return key, func() { g.leave(s) }, 0
		}
		if errno := g.waitLocked(ctx); errno != 0 {
			g.mu.Unlock()
			return Key{}, nil, errno
		}
	}
}

func (g *gate) leave(s string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.users[s]--; g.users[s] == 0 {
		delete(g.users, s)
	}
	g.wakeLocked()
}

// enterAlone waits until nobody uses the keys that keysOf returns, or keys
// below them, and keeps others out.
func (g *gate) enterAlone(ctx context.Context, keysOf func() []Key) ([]Key, func(), syscall.Errno) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var keys []Key
	var mine []string
	for {
		keys, mine = keysOf(), nil
		taken := false
		for _, k := range keys {
			s := strings.TrimSuffix(k.s, "/")
			mine = append(mine, s)
			taken = taken || g.takenLocked(s) || g.holdsBelowLocked(s)
		}
		if !taken {
			break
		}
		if errno := g.waitLocked(ctx); errno != 0 {
			return nil, nil, errno
		}
	}
	// From here on nobody enters below, and no rename above can begin.
	g.alone = append(g.alone, mine...)
	for g.usedLocked(mine) {
		if errno := g.waitLocked(ctx); errno != 0 {
			g.freeLocked(mine)
			return nil, nil, errno
		}
	}
	return keys, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.freeLocked(mine)
	}, 0
}

func (g *gate) freeLocked(mine []string) {
	for _, s := range mine {
		for i, a := range g.alone {
			if a == s {
				g.alone = append(g.alone[:i], g.alone[i+1:]...)
				break
			}
		}
	}
	g.wakeLocked()
}

// below reports whether a is b or lies below it.
func below(a, b string) bool {
	return a == b || len(a) > len(b) && a[len(b)] == '/' && a[:len(b)] == b
}

func (g *gate) takenLocked(s string) bool {
	for _, a := range g.alone {
		if below(s, a) {
			return true
		}
	}
	return false
}

func (g *gate) holdsBelowLocked(s string) bool {
	for _, a := range g.alone {
		if below(a, s) {
			return true
		}
	}
	return false
}

func (g *gate) usedLocked(mine []string) bool {
	for u := range g.users {
		for _, s := range mine {
			if below(u, s) {
				return true
			}
		}
	}
	return false
}

func (g *gate) waitLocked(ctx context.Context) syscall.Errno {
	if g.change == nil {
		g.change = make(chan struct{})
	}
	ch := g.change
	g.mu.Unlock()
	defer g.mu.Lock()
	select {
	case <-ch:
		return 0
	case <-ctx.Done():
		return syscall.EINTR
	}
}

func (g *gate) wakeLocked() {
	if g.change != nil {
		close(g.change)
		g.change = nil
	}
}
