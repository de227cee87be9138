package fs_test

import (
	"bytes"
	"testing"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// encryptedBuckets returns what makes buckets on a real RGW whose objects are
// encrypted by SSE-C.
func encryptedBuckets(t *testing.T) func(t *testing.T) s3backend.Store {
	rgw := s3test.RGW(t)
	key, err := s3backend.NewKey(bytes.Repeat([]byte("k"), s3backend.KeySize), "test")
	check(t, err)
	cfg := s3backend.DefaultConfig()
	cfg.Endpoint, cfg.CAFile, cfg.SSEKeys = rgw.HTTPS, rgw.CAFile, []s3backend.Key{key}
	cfg.AccessKey, cfg.SecretKey = s3backend.Secret(rgw.AccessKey), s3backend.Secret(rgw.SecretKey)
	client, err := s3backend.New(t.Context(), cfg)
	check(t, err)
	t.Cleanup(client.Close)
	return func(t *testing.T) s3backend.Store { return client.Bucket(s3test.RGW(t).NewBucket()) }
}

func TestPosixOnEncryptedRGW(t *testing.T) { runPosixTests(t, encryptedBuckets(t)) }

// Copies of encrypted objects have ETags of their own: handles must follow.
func TestModelOnEncryptedRGW(t *testing.T) {
	buckets := encryptedBuckets(t)
	runModel(t, steps(t, 150), s3backend.MinPartSize, func() s3backend.Store { return buckets(t) })
}
