package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// progress shows on a terminal how far a command has come. It is drawn by
// those who work, so that it needs no goroutine.
type progress struct {
	w    io.Writer // nil: nobody looks
	verb string

	mu           sync.Mutex
	began, drawn time.Time
	items, bytes int64
	total        int64 // bytes, 0 = unknown
	shown        bool
}

// newProgress draws on stderr if that is a terminal, and stdout is not in the
// way of it.
func (t *tool) newProgress(verb string, total int64) *progress {
	p := &progress{verb: verb, total: total, began: time.Now()}
	f, ok := t.inv.stderr.(*os.File)
	if !ok || t.json {
		return p
	}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
		p.w = f
	}
	return p
}

// add counts what is done.
func (p *progress) add(items, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.items += items
	p.bytes += bytes
	const often = 200 * time.Millisecond
	if now := time.Now(); p.w != nil && now.Sub(p.drawn) >= often {
		p.drawn, p.shown = now, true
		line := fmt.Sprintf("%s: %d objects, %s", p.verb, p.items, humanSize(p.bytes))
		if p.total > 0 {
			line += fmt.Sprintf(" of %s (%d%%)", humanSize(p.total), p.bytes*100/p.total)
		}
		if seconds := now.Sub(p.began).Seconds(); seconds > 1 && p.bytes > 0 {
			line += fmt.Sprintf(", %s/s", humanSize(int64(float64(p.bytes)/seconds)))
		}
		fmt.Fprintf(p.w, "\r%s\x1b[K", line)
	}
}

// done removes the line and returns the counts.
func (p *progress) done() (items, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	return p.items, p.bytes
}

// humanSize is a size in three or four digits and a unit of 1024.
func humanSize(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	v, i := float64(n), 0
	for ; v >= 1024 && i < len(units)-1; i++ {
		v /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
