package s3test_test

import (
	"testing"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// newClient returns a client of a server, which is closed with the test.
func newClient(t *testing.T, cfg s3backend.Config) *s3backend.Client {
	t.Helper()
	c, err := s3backend.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestSuiteOnEmbeddedServer(t *testing.T) {
	srv := s3test.NewServer(t, "bucket", "other")
	cfg := s3backend.DefaultConfig()
	cfg.Endpoint = srv.URL
	cfg.AccessKey, cfg.SecretKey = s3backend.Secret(srv.AccessKey), s3backend.Secret(srv.SecretKey)
	c := newClient(t, cfg)
	opts := []s3test.Option{
		s3test.OtherBucket(func(*testing.T) s3backend.Store { return c.Bucket("other") }),
		s3test.Cannot("Object/Usage", "it has no X-RGW-* headers"),
		s3test.Cannot("Condition/PutIfNoneMatchRace", "it checks a condition before it stores, not as it stores"),
		s3test.Cannot("Multipart/Complete", "a multipart object's ETag is the MD5 of its bytes, not of its parts' MD5s"),
		s3test.Cannot("Multipart/TooSmall", "its parts have no least size"),
		s3test.Cannot("Multipart/OddKeys", "its uploads are listed without encoding, so control characters are lost"),
	}
	s3test.Suite(t, func(*testing.T) s3backend.Store { return c.Bucket("bucket") }, opts...)
}
