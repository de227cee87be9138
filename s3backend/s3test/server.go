package s3test

import (
	"testing"

	"rgwfs/s3backend/s3test/embedded"
)

// NewServer starts an embedded S3 server with the empty buckets named, which
// stops at the end of the test.
func NewServer(t testing.TB, buckets ...string) *embedded.Server {
	t.Helper()
	cfg := embedded.DefaultConfig()
	cfg.Buckets = map[string]map[string][]byte{}
	for _, name := range buckets {
		cfg.Buckets[name] = nil
	}
	s, err := embedded.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("stopping the embedded server: %v", err)
		}
	})
	return s
}
