package main

import (
	"bufio"
	"io"
	"strconv"
	"strings"
)

// mountEntry is one line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
type mountEntry struct {
	point  string
	fsType string
	source string
	root   string // which directory of the filesystem is mounted: "/" but for bind mounts
}

// readMountinfo parses a mountinfo file; lines it can't understand are skipped.
func readMountinfo(r io.Reader) ([]mountEntry, error) {
	var entries []mountEntry
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20) // overlayfs lists all its layers in one line
	for scanner.Scan() {
		before, after, ok := strings.Cut(scanner.Text(), " - ")
		fields, more := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(more) < 2 {
			continue
		}
		entries = append(entries, mountEntry{unescapeOctal(fields[4]), more[0], unescapeOctal(more[1]), unescapeOctal(fields[3])})
	}
	return entries, scanner.Err()
}

// unescapeOctal undoes the kernel's \040 for blank, tab, newline and backslash.
func unescapeOctal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
