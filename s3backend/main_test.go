package s3backend_test

import (
	"crypto/md5"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// timed returns how long f takes, in milliseconds.
func timed(f func()) float64 {
	start := time.Now()
	f()
	return float64(time.Since(start)) / float64(time.Millisecond)
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}

const inProgressMessage = "This multipart completion is already in progress"

func md5Of(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }

func itoa(n int) string { return strconv.Itoa(n) }

// multipartTag is the ETag of an object of one part, content.
var multipartTag = func() string {
	sum := md5.Sum([]byte(content))
	return md5Of(string(sum[:])) + "-1"
}()
