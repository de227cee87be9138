package fs

import (
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"

	"rgwfs/s3backend"
)

func TestStatfs(t *testing.T) {
	const gib = 1 << 30
	none := s3backend.Usage{Bytes: -1, Objects: -1, BucketBytes: -1, BucketCount: -1, UserBytes: -1, UserCount: -1, UserBytesUsed: -1, UserCountUsed: -1}
	with := func(change func(u *s3backend.Usage)) s3backend.Usage {
		u := none
		change(&u)
		return u
	}
	for name, c := range map[string]struct {
		u                          s3backend.Usage
		blocks, free, files, ffree uint64
	}{
		"nothing known": {none, 1 << 38, 1 << 38, 1<<31 - 1, 1<<31 - 1},
		"no quota": {with(func(u *s3backend.Usage) { u.Bytes, u.Objects = gib, 5 }),
			1 << 38, 1<<38 - 1<<18, 1<<31 - 1, 1<<31 - 6},
		"bucket quota": {with(func(u *s3backend.Usage) { u.Bytes, u.BucketBytes, u.Objects, u.BucketCount = gib, 4*gib, 5, 100 }),
			4 << 18, 3 << 18, 100, 95},
		"user quota is smaller": {with(func(u *s3backend.Usage) {
			u.Bytes, u.BucketBytes, u.UserBytes, u.UserBytesUsed = gib, 4*gib, 3*gib, 2*gib+gib/2
		}), 3 << 18, 1 << 17, 1<<31 - 1, 1<<31 - 1},
		"over quota": {with(func(u *s3backend.Usage) { u.Bytes, u.BucketBytes = 5*gib, 4*gib }),
			4 << 18, 0, 1<<31 - 1, 1<<31 - 1},
		"quota of nothing": {with(func(u *s3backend.Usage) { u.BucketBytes = 0 }), 0, 0, 1<<31 - 1, 1<<31 - 1},
	} {
		var out fuse.StatfsOut
		fillStatfs(c.u, &out)
		if out.Blocks != c.blocks || out.Bfree != c.free || out.Bavail != c.free || out.Files != c.files || out.Ffree != c.ffree {
			t.Errorf("%s: blocks %d free %d avail %d files %d ffree %d; want %d %d %d %d", name,
				out.Blocks, out.Bfree, out.Bavail, out.Files, out.Ffree, c.blocks, c.free, c.files, c.ffree)
		}
		if out.Bsize != 4096 || out.Frsize != 4096 || out.NameLen != 255 {
			t.Errorf("%s: bsize %d frsize %d namelen %d", name, out.Bsize, out.Frsize, out.NameLen)
		}
	}
}
