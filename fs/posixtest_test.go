package fs_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"

	"rgwfs/fs/fstest"
	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// excluded are the cases of posixtest that a bucket can't pass, each with why.
var excluded = map[string]string{
	"Link":                "an object has one key: link(2) fails with EPERM",
	"LinkUnlinkRename":    "needs hard links",
	"Fallocate":           "space can't be reserved on a server: fallocate(2) fails with EOPNOTSUPP, and posix_fallocate(3) writes zeros instead",
	"FallocateKeepSize":   "as Fallocate",
	"FcntlFlockLocksFile": "expects record locks of one process to exclude each other; the kernel's own locks, which are used here, do so for different processes only, as POSIX says",
	"OpenSymlinkRace":     "replaces a name 2,000 times as fast as it can while opening it: an open that loses to two renames in a row answers ESTALE, which the case does not know (it knows ENOENT, but then the kernel would not try again)",
}

func runPosixTests(t *testing.T, open func(t *testing.T) s3backend.Store) {
	for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
		if _, ok := excluded[name]; ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			m := fstest.Mount(t, open(t), fstest.Options{})
			posixtest.All[name](t, m.Dir)
		})
	}
	for name := range excluded {
		if posixtest.All[name] == nil {
			t.Errorf("excluded case %q is none of posixtest's", name)
		}
	}
}

// rgwBuckets returns what makes new buckets on a real RGW.
func rgwBuckets(t *testing.T) func(t *testing.T) s3backend.Store {
	rgw := s3test.RGW(t)
	cfg := s3backend.DefaultConfig()
	cfg.Endpoint = rgw.HTTP
	cfg.AccessKey, cfg.SecretKey = s3backend.Secret(rgw.AccessKey), s3backend.Secret(rgw.SecretKey)
	client, err := s3backend.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return func(t *testing.T) s3backend.Store { return client.Bucket(s3test.RGW(t).NewBucket()) }
}

func TestPosixOnRGW(t *testing.T) { runPosixTests(t, rgwBuckets(t)) }

func TestPosixOnMem(t *testing.T) {
	runPosixTests(t, func(*testing.T) s3backend.Store { return s3test.NewMem("bucket") })
}
