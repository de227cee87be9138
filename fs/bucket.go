package fs

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"rgwfs/s3backend"
)

// bucketRule returns what is wrong with the name of a bucket to be made, ""
// if nothing is. The rules are S3's strict ones: RGW has them by default
// (rgw_rest_s3.cc, valid_s3_bucket_name), and names beyond them can't be used
// as host names.
func bucketRule(name, prefix string) string {
	alnum := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
	switch {
	case !strings.HasPrefix(name, prefix) || name == prefix:
		return fmt.Sprintf("on this mount the names of new buckets begin with %q (--bucket-prefix)", prefix)
	case len(name) < 3 || len(name) > 63:
		return "the name of a bucket has 3 to 63 characters"
	case !alnum(name[0]) || !alnum(name[len(name)-1]):
		return "the name of a bucket begins and ends with a lower-case letter or a digit"
	case strings.Contains(name, ".."):
		return "the name of a bucket has no two dots in a row"
	}
	for i := range len(name) {
		if c := name[i]; !alnum(c) && c != '-' && c != '.' {
			return "the name of a bucket has lower-case letters, digits, '-' and '.' only"
		}
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return "the name of a bucket does not look like an IP address"
	}
	return ""
}

// Mkdir makes a bucket. A name against the rules is EINVAL, and the log has the
// rule.
func (n *accountNode) Mkdir(ctx context.Context, name string, _ uint32, out *fuse.EntryOut) (*gofs.Inode, syscall.Errno) {
	m := n.m
	if m.cfg.ReadOnly {
		return nil, syscall.EROFS
	}
	if rule := bucketRule(name, m.cfg.BucketPrefix); rule != "" {
		m.log.LogAttrs(ctx, slog.LevelWarn, "mkdir failed", slog.String("bucket", name), slog.String("error", rule))
		return nil, syscall.EINVAL
	}
	detached := context.WithoutCancel(ctx)
	if err := n.account.CreateBucket(detached, s3backend.NewBucket{Name: name, Placement: m.cfg.Placement}); err != nil {
		return nil, m.fail("mkdir", Key{name}, err)
	}
	v, errno := n.volume(ctx, detached, name)
	if errno != 0 {
		return nil, errno
	}
	a, err := v.stat(detached, v.top)
	if err != nil {
		return nil, m.fail("mkdir", Key{name}, err)
	}
	m.entryOut(a, syscall.S_IFDIR, out)
	return v.root.EmbeddedInode(), 0
}

// Rmdir removes an empty bucket.
func (n *accountNode) Rmdir(ctx context.Context, name string) syscall.Errno {
	if n.m.cfg.ReadOnly {
		return syscall.EROFS
	}
	if checkName(name) != 0 {
		return syscall.ENOENT
	}
	if err := n.account.RemoveBucket(context.WithoutCancel(ctx), name); err != nil {
		return n.m.fail("rmdir", Key{name}, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if v := n.volumes[name]; v != nil {
		v.root.ForgetPersistent()
		delete(n.volumes, name)
	}
	return 0
}
