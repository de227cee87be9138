package fs

import (
	"context"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"

	"rgwfs/s3backend"
)

// What statfs says where nothing limits: 1 PiB, which 32-bit programs can
// still count in blocks of 4 KiB, and as many objects as fit into 31 bits.
const (
	unlimitedBytes   = 1 << 50
	unlimitedObjects = 1<<31 - 1
)

// Statfs implements statfs(2), which is df(1): size is the smaller of the
// quotas of the user and of the bucket, and free what is left of the one that
// is used up first. If the server does not tell, the limits are unknown, and
// df shows an empty file system rather than an error.
func (d *dirNode) Statfs(ctx context.Context, out *fuse.StatfsOut) syscall.Errno {
	ctx, stop := patient(ctx)
	defer stop()
	u, err := d.vol.bucket.Usage(ctx)
	if err != nil {
		if s3backend.KindOf(err) == s3backend.KindCancelled {
			return syscall.EINTR
		}
		_ = d.vol.m.fail("statfs", Key{}, err) // for its line in the log
		u = s3backend.Usage{BucketBytes: -1, BucketCount: -1, UserBytes: -1, UserCount: -1}
	}
	fillStatfs(u, out)
	return 0
}

func fillStatfs(u s3backend.Usage, out *fuse.StatfsOut) {
	bytes := space(unlimitedBytes, u.Bytes, u.BucketBytes, u.UserBytesUsed, u.UserBytes)
	objects := space(unlimitedObjects, u.Objects, u.BucketCount, u.UserCountUsed, u.UserCount)
	out.Bsize, out.Frsize = blockSize, blockSize
	out.Blocks = uint64(bytes.total) / blockSize
	out.Bfree = uint64(bytes.free) / blockSize
	out.Bavail = out.Bfree
	out.Files, out.Ffree = uint64(objects.total), uint64(objects.free)
	out.NameLen = maxNameLength
}

// amount is what df shows of bytes or of objects.
type amount struct{ total, free int64 }

// space combines a bucket's use and quota with its owner's; < 0 = no limit, or
// unknown.
func space(unlimited, used, quota, ownerUsed, ownerQuota int64) amount {
	a := amount{total: unlimited, free: unlimited - max(used, 0)}
	for _, q := range []struct{ used, quota int64 }{{used, quota}, {ownerUsed, ownerQuota}} {
		if q.quota < 0 {
			continue
		}
		a.total = min(a.total, q.quota)
		a.free = min(a.free, q.quota-max(q.used, 0))
	}
	a.free = min(max(a.free, 0), a.total)
	return a
}
