package embedded

import (
	"context"
	"slices"
	"strings"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
)

// listing replaces the listings of s3mem, which differ from those of S3 where
// a filesystem looks: with a delimiter a "dir/" marker appears as an object
// instead of a prefix, "//" and a leading "/" are merged, and a marker that is
// no key makes the page skip one.
type listing struct {
	*s3mem.Backend
}

// ListBucket implements gofakes3.Backend. It looks at every key, which is
// quick enough for the few thousand of a demo.
func (l *listing) ListBucket(ctx context.Context, name string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	all, err := l.Backend.ListBucket(ctx, name, nil, gofakes3.ListBucketPage{})
	if err != nil {
		return nil, err
	}
	if prefix == nil {
		prefix = &gofakes3.Prefix{}
	}
	slices.SortFunc(all.Contents, func(a, b *gofakes3.Content) int { return strings.Compare(a.Key, b.Key) })
	result := gofakes3.NewObjectList()
	last, count := "", int64(0)
	for _, c := range all.Contents {
		rest, ok := strings.CutPrefix(c.Key, prefix.Prefix)
		if !ok {
			continue
		}
		entry, common := c.Key, false
		if prefix.Delimiter != "" {
			if before, _, found := strings.Cut(rest, prefix.Delimiter); found {
				entry, common = prefix.Prefix+before+prefix.Delimiter, true
			}
		}
		if entry == last || entry <= page.Marker {
			continue
		}
		if page.MaxKeys > 0 && count == page.MaxKeys {
			result.IsTruncated, result.NextMarker = true, last
			break
		}
		if common {
			result.AddPrefix(entry)
		} else {
			result.Add(c)
		}
		last, count = entry, count+1
	}
	return result, nil
}
