package s3test_test

import (
	"testing"

	"go.uber.org/goleak"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSuiteOnMem(t *testing.T) {
	service := s3test.NewMemService("bucket", "other")
	s3test.Suite(t,
		func(*testing.T) s3backend.Store { return service.Bucket("bucket") },
		s3test.OtherBucket(func(*testing.T) s3backend.Store { return service.Bucket("other") }))
	for _, name := range []string{"bucket", "other"} {
		page, err := service.Bucket(name).List(t.Context(), s3backend.ListRequest{})
		if err != nil || len(page.Objects) != 0 {
			t.Errorf("the suite left %d objects in %s: %v", len(page.Objects), name, err)
		}
		if u, err := service.Bucket(name).Usage(t.Context()); err != nil || u.Bytes != 0 {
			t.Errorf("%d bytes are left in %s: %v", u.Bytes, name, err)
		}
	}
}

// A Faulty without rules must change nothing.
func TestSuiteOnFaulty(t *testing.T) {
	mem := s3test.NewMem("bucket")
	s3test.Suite(t, func(*testing.T) s3backend.Store { return s3test.Fault(mem) })
}
