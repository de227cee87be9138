package cache

import "slices"

// span is the bytes [off, end) of a file.
type span struct{ off, end int64 }

func (s span) len() int64 { return s.end - s.off }

// ranges is a set of byte positions, held as spans that are sorted, not empty
// and don't touch each other. The zero value is the empty set.
type ranges []span

// add puts s into the set.
func (r *ranges) add(s span) {
	if s.off >= s.end {
		return
	}
	// The spans that overlap s or touch it become one with it.
	i, _ := slices.BinarySearchFunc(*r, s.off, func(x span, off int64) int {
		if x.end < off {
			return -1
		}
		return 1
	})
	j := i
	for j < len(*r) && (*r)[j].off <= s.end {
		s.off = min(s.off, (*r)[j].off)
		s.end = max(s.end, (*r)[j].end)
		j++
	}
	*r = slices.Replace(*r, i, j, s)
}

// clip removes everything at or past end.
func (r *ranges) clip(end int64) {
	for i, s := range *r {
		if s.end > end {
			*r = (*r)[:i]
			if s.off < end {
				*r = append(*r, span{s.off, end})
			}
			return
		}
	}
}

// missing returns the parts of s that are not in the set, in order.
func (r ranges) missing(s span) []span {
	var out []span
	for _, x := range r.from(s.off) {
		if x.off >= s.end {
			break
		}
		if x.off > s.off {
			out = append(out, span{s.off, x.off})
		}
		s.off = x.end
	}
	if s.off < s.end {
		out = append(out, s)
	}
	return out
}

// touches reports whether any byte of s is in the set.
func (r ranges) touches(s span) bool {
	rest := r.from(s.off)
	return s.off < s.end && len(rest) > 0 && rest[0].off < s.end
}

// holds reports whether the byte at off is in the set, and up to which
// position (at most end) the answer stays the same.
func (r ranges) holds(off, end int64) (in bool, until int64) {
	rest := r.from(off)
	switch {
	case len(rest) == 0:
		return false, end
	case rest[0].off <= off:
		return true, min(rest[0].end, end)
	default:
		return false, min(rest[0].off, end)
	}
}

// from returns the spans that end after off.
func (r ranges) from(off int64) ranges {
	i, _ := slices.BinarySearchFunc(r, off, func(x span, off int64) int {
		if x.end <= off {
			return -1
		}
		return 1
	})
	return r[i:]
}
