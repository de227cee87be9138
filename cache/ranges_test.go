package cache

import (
	"math/rand/v2"
	"testing"
)

// TestRangesModel compares ranges with a bitmap under random operations.
func TestRangesModel(t *testing.T) {
	const size = 64
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		var r ranges
		var model [size]bool
		for step := range 40 {
			a, b := rnd.Int64N(size), rnd.Int64N(size+1)
			if a > b {
				a, b = b, a
			}
			switch rnd.IntN(4) {
			case 0:
				r.clip(b)
				for i := b; i < size; i++ {
					model[i] = false
				}
			default:
				r.add(span{a, b})
				for i := a; i < b; i++ {
					model[i] = true
				}
			}
			for i, s := range r {
				if s.off >= s.end || i > 0 && r[i-1].end >= s.off {
					t.Fatalf("round %d step %d: not normal: %v", round, step, r)
				}
			}
			var got [size]bool
			for _, s := range r {
				for i := s.off; i < s.end; i++ {
					got[i] = true
				}
			}
			if got != model {
				t.Fatalf("round %d step %d: %v, want %v", round, step, r, model)
			}
			checkQueries(t, r, model[:], span{a, b})
		}
	}
}

func checkQueries(t *testing.T, r ranges, model []bool, q span) {
	t.Helper()
	touched := false
	missing := make(map[int64]bool)
	for i := q.off; i < q.end; i++ {
		touched = touched || model[i]
		if !model[i] {
			missing[i] = true
		}
	}
	if r.touches(q) != touched {
		t.Fatalf("%v touches %v: %v", r, q, !touched)
	}
	n := 0
	for _, m := range r.missing(q) {
		for i := m.off; i < m.end; i++ {
			if !missing[i] {
				t.Fatalf("%v: %d of %v is not missing", r, i, q)
			}
			n++
		}
	}
	if n != len(missing) {
		t.Fatalf("%v: %d bytes of %v missing, want %d", r, n, q, len(missing))
	}
	if q.off < q.end {
		in, until := r.holds(q.off, q.end)
		if in != model[q.off] || until <= q.off || until > q.end {
			t.Fatalf("%v holds %v: %v until %d", r, q, in, until)
		}
		for i := q.off; i < until; i++ {
			if model[i] != in {
				t.Fatalf("%v holds %v: %v until %d, not at %d", r, q, in, until, i)
			}
		}
	}
}
