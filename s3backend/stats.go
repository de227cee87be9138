package s3backend

import "sync/atomic"

// Stats counts what a Client, and every Client made of it by WithRetries, has
// sent and received.
type Stats struct {
	Requests map[string]int64 // attempts by S3 operation, such as "GetObject"
	Retries  int64            // attempts that repeated an earlier one
	Resumes  int64            // GET bodies continued after they broke
	BytesIn  int64            // of bodies of answers
	BytesOut int64            // of bodies of requests
}

// operations are all that a Client sends.
var operations = [...]string{
	"HeadObject", "GetObject", "PutObject", "CopyObject", "DeleteObject", "DeleteObjects",
	"ListObjectsV2", "CreateMultipartUpload", "UploadPart", "UploadPartCopy",
	"CompleteMultipartUpload", "AbortMultipartUpload", "ListMultipartUploads", "ListParts",
	"ListBuckets", "CreateBucket", "DeleteBucket", "HeadBucket", "GetUsage", "other",
}

type counters struct {
	requests map[string]*atomic.Int64 // complete and never changed
	retries  atomic.Int64
	resumes  atomic.Int64
	bytesIn  atomic.Int64
	bytesOut atomic.Int64
}

func newCounters() *counters {
	c := &counters{requests: make(map[string]*atomic.Int64, len(operations))}
	for _, op := range operations {
		c.requests[op] = new(atomic.Int64)
	}
	return c
}

func (c *counters) request(op string) {
	n, ok := c.requests[op]
	if !ok {
		n = c.requests["other"]
	}
	n.Add(1)
}

func (c *counters) snapshot() Stats {
	s := Stats{
		Requests: make(map[string]int64),
		Retries:  c.retries.Load(),
		Resumes:  c.resumes.Load(),
		BytesIn:  c.bytesIn.Load(),
		BytesOut: c.bytesOut.Load(),
	}
	for op, n := range c.requests {
		if v := n.Load(); v > 0 {
			s.Requests[op] = v
		}
	}
	return s
}
