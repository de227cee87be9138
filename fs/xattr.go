package fs

import (
	"context"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"rgwfs/s3backend"
)

// Extended attributes show what S3 knows of a file and POSIX has no place for:
// user.s3.bucket, .key, .endpoint (of directories too), .etag, .content-type,
// .storage-class, .version-id, .url and .acl; the last can be set. The kernel
// passes "s3.acl", without the namespace "user.", to us as well, and it means
// the same. None is listed: cp -a and backups would copy them, at a request or
// two for each file. Others can't be set: ENOTSUP.
const (
	xattrNamespace = "user."
	xattrPrefix    = "s3."
)

// urlLifetime is how long a URL works that was read as an attribute.
const urlLifetime = time.Hour

// xattrName returns the name after "s3.". All others are ENOTSUP, as on a file
// system without extended attributes: ls(1) then asks for those of security
// and system once, not for each file.
func xattrName(attr string) (string, syscall.Errno) {
	name, ok := strings.CutPrefix(strings.TrimPrefix(attr, xattrNamespace), xattrPrefix)
	if !ok {
		return "", syscall.ENOTSUP
	}
	return name, 0
}

// Getxattr implements getxattr(2).
func (n *node) Getxattr(ctx context.Context, attr string, dest []byte) (uint32, syscall.Errno) {
	name, errno := xattrName(attr)
	if errno != 0 {
		return 0, errno
	}
	ctx, stop := patient(ctx)
	defer stop()
	key, leave, errno := n.enter(ctx)
	if errno != 0 {
		return 0, errno
	}
	defer leave()
	if n.vol.m.tree.isGone(n) {
		return 0, syscall.ENODATA
	}
	value, err := n.xattr(ctx, key, name)
	switch {
	case s3backend.IsNotExist(err):
		return 0, syscall.ENODATA // not stored yet, or no object at all
	case err != nil:
		return 0, n.vol.m.fail("getxattr", key, err)
	case value == "":
		return 0, syscall.ENODATA
	}
	return answerXattr(value, dest)
}

// answerXattr answers with a value, or with its size if dest is empty.
func answerXattr(value string, dest []byte) (uint32, syscall.Errno) {
	if len(dest) < len(value) {
		return uint32(len(value)), syscall.ERANGE
	}
	return uint32(copy(dest, value)), 0
}

// xattr returns the value of an attribute, "" if there is none of that name.
func (n *node) xattr(ctx context.Context, key Key, name string) (string, error) {
	b := n.vol.bucket
	switch name {
	case "bucket":
		return b.Name(), nil
	case "key":
		return key.s, nil
	case "endpoint":
		return b.Endpoint(), nil
	}
	if key.s == "" {
		return "", nil // the bucket's top is no object
	}
	switch name {
	case "acl":
		acl, err := b.ACL(ctx, key.s)
		return acl.String(), err
	case "url":
		return b.URL(ctx, key.s, urlLifetime)
	case "etag", "content-type", "storage-class", "version-id":
	default:
		return "", nil
	}
	info, err := b.Info(ctx, key.s)
	if err != nil {
		return "", err
	}
	switch name {
	case "etag":
		return info.ETag, nil
	case "content-type":
		return info.ContentType, nil
	case "storage-class":
		if info.StorageClass == "" {
			return "STANDARD", nil // S3 leaves the default out
		}
		return info.StorageClass, nil
	}
	return info.Version, nil
}

// Setxattr implements setxattr(2), of the ACL only.
func (n *node) Setxattr(ctx context.Context, attr string, data []byte, _ uint32) syscall.Errno {
	if n.vol.m.cfg.ReadOnly {
		return syscall.EROFS
	}
	if name, errno := xattrName(attr); errno != 0 || name != "acl" {
		return syscall.ENOTSUP
	}
	acl, err := s3backend.ParseACL(string(data))
	if err != nil {
		n.vol.m.log.LogAttrs(ctx, slog.LevelWarn, "setxattr failed", slog.String("error", err.Error()))
		return syscall.EINVAL
	}
	ctx = context.WithoutCancel(ctx)
	key, leave, errno := n.enter(ctx)
	if errno != 0 {
		return errno
	}
	defer leave()
	if key.s == "" || n.vol.m.tree.isGone(n) {
		return syscall.ENOTSUP
	}
	if err := n.vol.bucket.SetACL(ctx, key.s, acl); err != nil {
		return n.vol.m.fail("setxattr", key, err)
	}
	return 0
}

// Removexattr has nothing that could be without a value.
func (n *node) Removexattr(_ context.Context, attr string) syscall.Errno {
	name, errno := xattrName(attr)
	if errno == 0 && name != "acl" {
		return syscall.ENODATA
	}
	return syscall.ENOTSUP
}

// Getxattr of the root of all buckets has the server only.
func (n *accountNode) Getxattr(_ context.Context, attr string, dest []byte) (uint32, syscall.Errno) {
	name, errno := xattrName(attr)
	switch {
	case errno != 0:
		return 0, errno
	case name != "endpoint" || n.m.cfg.Endpoint == "":
		return 0, syscall.ENODATA
	}
	return answerXattr(n.m.cfg.Endpoint, dest)
}

// Setxattr has nothing to set.
func (n *accountNode) Setxattr(context.Context, string, []byte, uint32) syscall.Errno {
	return syscall.ENOTSUP
}
