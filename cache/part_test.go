package cache

import (
	"testing"

	"rgwfs/s3backend"
)

// TestPartLadder: from every first size, the parts that S3 allows reach the
// largest object that S3 allows, and none is larger than S3 takes.
func TestPartLadder(t *testing.T) {
	for _, base := range []int64{s3backend.MinPartSize, 16 * mib, MaxPartSize} {
		var size int64
		parts := 0
		for parts < s3backend.MaxParts && size < s3backend.MaxObjectSize {
			parts++
			n := partSize(base, parts)
			if n > s3backend.MaxPutSize || n < base {
				t.Fatalf("base %d: part %d has %d bytes", base, parts, n)
			}
			size += n
		}
		if size < s3backend.MaxObjectSize {
			t.Errorf("base %d: %d parts reach %d bytes only", base, parts, size)
		}
		if got := pieces(s3backend.MaxObjectSize, base); len(got) != parts || got[len(got)-1].end != s3backend.MaxObjectSize {
			t.Errorf("base %d: %d pieces, want %d", base, len(got), parts)
		}
	}
}
