package main

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const pathForms = "PATH is s3://BUCKET/KEY, or a file or directory in a mount of rgwfs."

// xattrEndpoint is the extended attribute by which a mount tells its server.
const xattrEndpoint = "user.s3.endpoint"

// pastMark is between the source and the time of a mount of the past in the
// mount table. Commands on paths there would work on the present.
const pastMark = "@"

// location is an object, a directory of objects, or a bucket.
type location struct {
	bucket string // "" = all buckets
	key    string // "" = the bucket
	// endpoint is that of the mount which the location was given by, "" if it
	// was given as s3://.
	endpoint string
}

func (l location) String() string {
	if l.key == "" {
		return "s3://" + l.bucket
	}
	return "s3://" + l.bucket + "/" + l.key
}

// below returns the prefix of all that a directory of this name has.
func (l location) below() string {
	if l.key == "" || strings.HasSuffix(l.key, "/") {
		return l.key
	}
	return l.key + "/"
}

// parseURL understands s3://bucket/key; the key is taken as it is.
func parseURL(arg string) (location, error) {
	rest, ok := strings.CutPrefix(arg, "s3://")
	if !ok {
		return location{}, fmt.Errorf("%q does not begin with s3://", arg)
	}
	bucket, key, _ := strings.Cut(rest, "/")
	if bucket == "" && key == "" {
		return location{}, nil
	}
	// "tenant:bucket" is a bucket of another tenant.
	_, name, ok := strings.Cut(bucket, ":")
	if !ok {
		name = bucket
	}
	if err := checkBucketName(name); err != nil {
		return location{}, err
	}
	return location{bucket: bucket, key: key}, nil
}

// locate finds out what a PATH means: s3:// or a path in a mount. The mount's
// endpoint is used unless another one was given.
func (t *tool) locate(arg string) (location, error) {
	l, err := t.find(arg)
	if err == nil && t.backend.CredentialsBucket == "" {
		t.backend.CredentialsBucket = l.bucket
	}
	return l, err
}

func (t *tool) find(arg string) (location, error) {
	if strings.HasPrefix(arg, "s3://") {
		l, err := parseURL(arg)
		if err != nil {
			return l, usageError(t.spec.name, "%v", err)
		}
		return l, nil
	}
	l, ok, err := inMount(arg)
	if err != nil {
		return l, fail("%v", err)
	}
	if !ok {
		return l, usageError(t.spec.name, "%s is not in a mount of rgwfs: %s", arg, pathForms)
	}
	if t.backend.Endpoint == "" {
		t.backend.Endpoint = l.endpoint
	}
	return l, nil
}

// open is locate and connect.
func (t *tool) open(ctx context.Context, arg string) (location, error) {
	l, err := t.locate(arg)
	if err != nil {
		return l, err
	}
	return l, t.connect(ctx)
}

// inMount tells what a local path is in the bucket, if it is in a mount of
// rgwfs. It need not exist.
func inMount(path string) (location, bool, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return location{}, false, err
	}
	entries, err := thisHost().mounts()
	if err != nil {
		return location{}, false, fmt.Errorf("the mount table can't be read: %w", err)
	}
	// Links that lead into the mount are followed; one in the bucket is an
	// object itself.
	resolved, err := resolveDir(filepath.Dir(path))
	if err != nil {
		return location{}, false, err
	}
	resolved = filepath.Join(resolved, filepath.Base(path))
	entry, ok := mountAbove(entries, resolved)
	if !ok || !isOurs(entry) {
		if resolved, err = resolveDir(path); err != nil {
			return location{}, false, err
		}
		if entry, ok = mountAbove(entries, resolved); !ok || !isOurs(entry) {
			return location{}, false, nil
		}
	}
	if source, when, ok := strings.Cut(entry.source, pastMark); ok {
		return location{}, false, fmt.Errorf("the mount on %s shows %s as of %s: give %s/KEY, and --version or --as-of where there is one", entry.point, source, when, source)
	}
	base, err := parseURL(strings.TrimSuffix(entry.source, "/"))
	if entry.source == "s3://" {
		base, err = location{}, nil
	}
	if err != nil {
		return location{}, false, fmt.Errorf("the mount on %s: %w", entry.point, err)
	}
	rest := strings.TrimPrefix(strings.TrimPrefix(resolved, strings.TrimSuffix(entry.point, "/")), "/")
	rest = strings.Trim(strings.TrimPrefix(entry.root, "/")+"/"+rest, "/")
	l := location{bucket: base.bucket, key: base.key}
	if l.bucket == "" {
		l.bucket, rest, _ = strings.Cut(rest, "/")
	}
	l.key = strings.TrimSuffix(l.below()+rest, "/")
	if info, err := os.Lstat(resolved); err == nil && info.IsDir() {
		l.key = l.below()
	}
	buf := make([]byte, 4096)
	if n, err := unix.Getxattr(entry.point, xattrEndpoint, buf); err == nil {
		l.endpoint = string(buf[:n])
	}
	return l, true, nil
}

// resolveDir resolves the symbolic links of a path, as far as it exists.
func resolveDir(path string) (string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err == nil || !errors.Is(err, iofs.ErrNotExist) || path == "/" {
		return resolved, err
	}
	parent, err := resolveDir(filepath.Dir(path))
	return filepath.Join(parent, filepath.Base(path)), err
}

// mountAbove returns the mount that a path without links is in.
func mountAbove(entries []mountEntry, path string) (mountEntry, bool) {
	for {
		if entry, ok := mountedAt(entries, path); ok {
			return entry, true
		}
		if path == "/" {
			return mountEntry{}, false
		}
		path = filepath.Dir(path)
	}
}
