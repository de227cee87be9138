package fs_test

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"rgwfs/cache"
	"rgwfs/fs"
	"rgwfs/fs/fstest"
	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

func rgwAccount(t *testing.T, rgw *s3test.RGWServer) *s3backend.Client {
	t.Helper()
	cfg := s3backend.DefaultConfig()
	cfg.Endpoint, cfg.AccessKey, cfg.SecretKey = rgw.HTTP, s3backend.Secret(rgw.AccessKey), s3backend.Secret(rgw.SecretKey)
	c, err := s3backend.New(t.Context(), cfg)
	check(t, err)
	t.Cleanup(c.Close)
	return c
}

func makeBuckets(t *testing.T, m *fstest.FS, name string) {
	t.Helper()
	dir := m.Path(name)
	wantErrno(t, "rmdir of none", unix.Rmdir(dir), syscall.ENOENT)
	check(t, os.Mkdir(dir, 0o755))
	wantErrno(t, "mkdir again", os.Mkdir(dir, 0o755), syscall.EEXIST)
	if !slices.Contains(names(readDir(t, m.Dir)), name) {
		t.Errorf("%s is not listed", name)
	}
	first := ino(t, dir)
	if first == 0 || len(readDir(t, dir)) != 0 {
		t.Errorf("%s is not an empty directory", name)
	}
	check(t, os.WriteFile(m.Path(name, "f"), []byte("content"), 0o644))
	wantErrno(t, "rmdir", unix.Rmdir(dir), syscall.ENOTEMPTY)
	wantErrno(t, "rename", os.Rename(dir, dir+"x"), syscall.EPERM)

	// Not stored yet is not empty either.
	check(t, os.Remove(m.Path(name, "f")))
	f, err := os.Create(m.Path(name, "g"))
	check(t, err)
	_, err = f.WriteString("x")
	check(t, err)
	wantErrno(t, "rmdir with a dirty file", unix.Rmdir(dir), syscall.ENOTEMPTY)
	check(t, f.Close())
	check(t, os.Remove(m.Path(name, "g")))

	check(t, unix.Rmdir(dir))
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("stat of a removed bucket: %v", err)
	}
	if slices.Contains(names(readDir(t, m.Dir)), name) {
		t.Errorf("%s is listed still", name)
	}
	// The same name again is another bucket.
	check(t, os.Mkdir(dir, 0o755))
	check(t, os.WriteFile(m.Path(name, "f"), []byte("new"), 0o644))
	wantFile(t, m.Path(name, "f"), []byte("new"))
	check(t, os.Remove(m.Path(name, "f")))
	check(t, unix.Rmdir(dir))
}

func TestMakeBuckets(t *testing.T) {
	svc := s3test.NewMemService("one")
	m := fstest.MountAccount(t, svc, fstest.Options{})
	makeBuckets(t, m, "three")
	for _, name := range []string{"ab", "Upper", "under_score", "-x-", "a..b", "10.0.0.1", strings.Repeat("n", 64), "ends-", "dot."} {
		wantErrno(t, "mkdir "+name, os.Mkdir(m.Path(name), 0o755), syscall.EINVAL)
	}
	if got := names(readDir(t, m.Dir)); !slices.Equal(got, []string{"one"}) {
		t.Errorf("%q", got)
	}
}

func TestBucketPrefix(t *testing.T) {
	svc := s3test.NewMemService("one")
	m := fstest.MountAccount(t, svc, fstest.Options{FS: func(c *fs.Config) { c.BucketPrefix = "testcou-" }})
	wantErrno(t, "mkdir", os.Mkdir(m.Path("other"), 0o755), syscall.EINVAL)
	wantErrno(t, "mkdir", os.Mkdir(m.Path("testcou-"), 0o755), syscall.EINVAL)
	check(t, os.Mkdir(m.Path("testcou-x"), 0o755))
}

func TestReadOnlyBuckets(t *testing.T) {
	m := fstest.MountAccount(t, s3test.NewMemService("one"), fstest.Options{
		FS: func(c *fs.Config) { c.ReadOnly = true }, Cache: func(c *cache.Config) { c.ReadOnly = true },
	})
	wantErrno(t, "mkdir", os.Mkdir(m.Path("two"), 0o755), syscall.EROFS)
	wantErrno(t, "rmdir", unix.Rmdir(m.Path("one")), syscall.EROFS)
}

func TestMakeBucketsOnRGW(t *testing.T) {
	rgw := s3test.RGW(t)
	name := rgw.NewBucketName()
	rgw.RemoveBucketLater(name)
	m := fstest.MountAccount(t, rgwAccount(t, rgw), fstest.Options{FS: func(c *fs.Config) { c.Placement = ":default-placement" }})
	makeBuckets(t, m, name)
	m.Unmount()
	m = fstest.MountAccount(t, rgwAccount(t, rgw), fstest.Options{FS: func(c *fs.Config) { c.Placement = ":nowhere" }})
	wantErrno(t, "mkdir", os.Mkdir(m.Path(name), 0o755), syscall.EINVAL)
}

func xattr(t *testing.T, path, name string) string {
	t.Helper()
	buf := make([]byte, 4096)
	n, err := unix.Getxattr(path, name, buf)
	if err != nil {
		t.Errorf("%s of %s: %v", name, path, err)
		return ""
	}
	return string(buf[:n])
}

func TestXattrsOnRGW(t *testing.T) {
	rgw := s3test.RGW(t)
	client, bucket := rgwAccount(t, rgw), rgw.NewBucket()
	m := fstest.Mount(t, client.Bucket(bucket), fstest.Options{})
	check(t, os.Mkdir(m.Path("d"), 0o755))
	path := m.Path("d", "f")
	check(t, os.WriteFile(path, []byte("content"), 0o644))
	info, err := client.ObjectInfo(t.Context(), bucket, "d/f", "")
	check(t, err)
	for name, want := range map[string]string{
		"bucket": bucket, "key": "d/f", "endpoint": rgw.HTTP, "etag": info.ETag, "storage-class": "STANDARD", "acl": "private",
		"content-type": info.ContentType,
	} {
		// With the namespace, and without: the kernel passes both.
		if got := xattr(t, path, "user.s3."+name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if got := xattr(t, path, "s3."+name); got != want {
			t.Errorf("%s without namespace: %q, want %q", name, got, want)
		}
	}
	if url := xattr(t, path, "user.s3.url"); !strings.HasPrefix(url, rgw.HTTP+"/"+bucket+"/d/f?") {
		t.Errorf("url %q", url)
	}
	if n, err := unix.Getxattr(path, "user.s3.etag", nil); err != nil || n != len(info.ETag) {
		t.Errorf("the size of a value: %d, %v", n, err)
	}
	if _, err := unix.Getxattr(path, "user.s3.etag", make([]byte, 3)); err != syscall.ERANGE {
		t.Errorf("a short buffer: %v", err)
	}
	if key := xattr(t, m.Path("d"), "user.s3.key"); key != "d/" {
		t.Errorf("key of a directory: %q", key)
	}
	if n, err := unix.Listxattr(path, make([]byte, 100)); err != nil || n != 0 {
		t.Errorf("listxattr: %d, %v", n, err)
	}
	errnoOf := func(path, name string) error { _, err := unix.Getxattr(path, name, nil); return err }
	wantErrno(t, "another name", errnoOf(path, "user.s3.colour"), syscall.ENODATA)
	wantErrno(t, "security", errnoOf(path, "security.selinux"), syscall.ENOTSUP)
	wantErrno(t, "version without versions", errnoOf(path, "user.s3.version-id"), syscall.ENODATA)
	wantErrno(t, "etag of the bucket", errnoOf(m.Dir, "user.s3.etag"), syscall.ENODATA)

	for name, value := range map[string]string{"user.s3.acl": "public-read", "s3.acl": "read=other,full=rgwfs"} {
		check(t, unix.Setxattr(path, name, []byte(value), 0))
		acl, err := client.ObjectACL(t.Context(), bucket, "d/f", "")
		check(t, err)
		if got := acl.String(); got != value && got != "full=rgwfs,read=other" {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	wantErrno(t, "no ACL", unix.Setxattr(path, "user.s3.acl", []byte("publik"), 0), syscall.EINVAL)
	wantErrno(t, "read-only", unix.Setxattr(path, "user.s3.etag", []byte("x"), 0), syscall.ENOTSUP)
	wantErrno(t, "another", unix.Setxattr(path, "user.x", []byte("x"), 0), syscall.ENOTSUP)
	wantErrno(t, "remove", unix.Removexattr(path, "user.s3.acl"), syscall.ENOTSUP)

	// A file that is not stored yet has nothing that S3 knows.
	f, err := os.Create(m.Path("new"))
	check(t, err)
	_, err = f.WriteString("x")
	check(t, err)
	wantErrno(t, "not stored", errnoOf(m.Path("new"), "user.s3.etag"), syscall.ENODATA)
	if key := xattr(t, m.Path("new"), "user.s3.key"); key != "new" {
		t.Errorf("key %q", key)
	}
	check(t, f.Close())
	if etag := xattr(t, m.Path("new"), "user.s3.etag"); etag == "" {
		t.Error("no etag after close")
	}
}

// A Store without extras, and the kernel's own questions, cost no request.
func TestXattrsOfMem(t *testing.T) {
	mem := s3test.NewMem("bucket")
	put(t, mem, "f", "x", nil)
	m := fstest.Mount(t, mem, fstest.Options{Cache: func(c *cache.Config) { c.MetadataTTL = time.Hour }})
	_, err := os.Stat(m.Path("f"))
	check(t, err)
	before := mem.Requests()
	_, err = unix.Getxattr(m.Path("f"), "user.s3.etag", nil)
	wantErrno(t, "etag", err, syscall.ENOTSUP)
	_, err = unix.Getxattr(m.Path("f"), "security.capability", nil)
	wantErrno(t, "capability", err, syscall.ENOTSUP)
	if after := mem.Requests(); len(after) != len(before) || after[s3test.OpHead] != before[s3test.OpHead] {
		t.Errorf("%v, then %v", before, after)
	}
}
