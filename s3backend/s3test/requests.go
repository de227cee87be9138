package s3test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// Operations that only RGW's log names, beside those of every Store.
const (
	OpAppend       = "AppendObject"
	OpCreateBucket = "CreateBucket"
	OpDeleteBucket = "DeleteBucket"
	OpListParts    = "ListParts"
)

// RGWRequest is a request as RGW's ops log has it.
type RGWRequest struct {
	// Op is one of the Op constants, or RGW's own name for what they lack. The
	// log can't tell a failed UploadPartCopy from an UploadPart: it is the latter.
	Op       string
	Method   string
	Bucket   string
	Key      string     // unescaped; "" if the request is about the bucket
	Query    url.Values // unescaped
	Status   int        // HTTP status
	Code     string     // S3 error code, or ""; RGW calls every 204 "NoContent"
	Sent     int64      // bytes of the response's body
	Received int64      // bytes of the request's body
}

// Tally counts requests by Op.
func Tally(requests []RGWRequest) map[string]int {
	n := map[string]int{}
	for _, r := range requests {
		n[r.Op]++
	}
	return n
}

// Requests returns all requests to a bucket that were answered before the
// call, in the order in which they ended. Those whose credentials RGW refused
// are not among them, nor those that radosgw had not logged when it was killed.
// It is not for concurrent use.
func (s *RGWServer) Requests(bucket string) []RGWRequest {
	s.t.Helper()
	s.settle()
	// By settle's end there are only whole lines of what is asked for.
	data, err := os.ReadFile(s.OpsLogFile)
	if err != nil {
		s.t.Fatal(err)
	}
	requests, err := parseOpsLog(data, bucket)
	if err != nil {
		s.t.Fatalf("%s: %v", s.OpsLogFile, err)
	}
	return requests
}

// parseOpsLog returns the requests to a bucket. An unfinished last line is
// left out.
func parseOpsLog(data []byte, bucket string) ([]RGWRequest, error) {
	var requests []RGWRequest
	mark := []byte(`"` + bucket + `"`) // names are lower case, digits, "-" and ".": nothing is escaped
	for len(data) > 0 {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		data = rest
		if !whole || !bytes.Contains(line, mark) {
			continue
		}
		// RGW ends the line after each batch of documents that it writes.
		for documents := json.NewDecoder(bytes.NewReader(line)); documents.More(); {
			var e opsLogEntry
			if err := documents.Decode(&e); err != nil {
				return nil, fmt.Errorf("%w in %q", err, line)
			}
			if e.Bucket != bucket {
				continue
			}
			r, err := e.request()
			if err != nil {
				return nil, fmt.Errorf("%w in %q", err, line)
			}
			requests = append(requests, r)
		}
	}
	return requests, nil
}

// opsLogEntry is what is used of an entry of Ceph's rgw_format_ops_log_entry
// (src/rgw/rgw_log.cc).
type opsLogEntry struct {
	Bucket    string `json:"bucket"`
	Operation string `json:"operation"`
	URI       string `json:"uri"` // the request line
	Status    string `json:"http_status"`
	Code      string `json:"error_code"`
	Sent      int64  `json:"bytes_sent"`
	Received  int64  `json:"bytes_received"`
}

func (e opsLogEntry) request() (RGWRequest, error) {
	r := RGWRequest{Bucket: e.Bucket, Code: e.Code, Sent: e.Sent, Received: e.Received}
	var err error
	if r.Status, err = strconv.Atoi(e.Status); err != nil {
		return r, err
	}
	// "PUT /bucket/key?query HTTP/1.1"
	method, target, ok := strings.Cut(e.URI, " ")
	end := strings.LastIndexByte(target, ' ')
	if !ok || end < 0 {
		return r, errors.New("no request line")
	}
	r.Method = method
	path, query, _ := strings.Cut(target[:end], "?")
	// RGW 16 writes the query twice, as "?q?q".
	if half := len(query) / 2; len(query)%2 == 1 && query[half] == '?' && query[:half] == query[half+1:] {
		query = query[:half]
	}
	if r.Query, err = url.ParseQuery(query); err != nil {
		return r, err
	}
	if path, err = url.PathUnescape(path); err != nil {
		return r, err
	}
	// A path without the bucket in front is of a virtual-host request.
	path = strings.TrimPrefix(path, "/")
	if path != e.Bucket {
		r.Key = strings.TrimPrefix(path, e.Bucket+"/")
	}
	r.Op = e.op(r)
	return r, nil
}

func (e opsLogEntry) op(r RGWRequest) string {
	switch e.Operation {
	case "get_obj":
		if r.Method == http.MethodHead {
			return OpHead
		}
		return OpGet
	case "put_obj":
		switch {
		case r.Query.Has("append"):
			return OpAppend
		case !r.Query.Has("partNumber"):
			return OpPut
		case r.Status == http.StatusOK && r.Sent > 0:
			// Only the answer to a copy has a body.
			return OpCopyPart
		}
		return OpUploadPart
	}
	if op, ok := rgwOps[e.Operation]; ok {
		return op
	}
	return e.Operation
}

// RGW's names of operations (the name() methods in src/rgw/rgw_op.h).
var rgwOps = map[string]string{
	"copy_obj":               OpCopy,
	"delete_obj":             OpDelete,
	"multi_object_delete":    OpDeleteMany,
	"list_bucket":            OpList,
	"init_multipart":         OpCreateMultipart,
	"complete_multipart":     OpComplete,
	"abort_multipart":        OpAbort,
	"list_multipart":         OpListParts,
	"list_bucket_multiparts": OpListMultiparts,
	"stat_bucket":            OpUsage,
	"create_bucket":          OpCreateBucket,
	"delete_bucket":          OpDeleteBucket,
}

const (
	// settleTime is how long a log may lag behind before a test fails.
	settleTime = 30 * time.Second
	// graceTime is how long an answered request may take to its log line; what
	// takes longer is still being served.
	graceTime = 2 * time.Second
)

// settle waits until every request that was answered before is in the ops log.
//
// RGW logs a request after it was answered, from the thread that served it,
// and another thread writes the log. So a later request can overtake it: to
// see the later one in the log proves nothing. But the line with which the
// main log notes a request's start is queued before the answer. Hence: send a
// marker; when its end is in the main log, all that had been answered before
// have started there; wait until these have ended there, too. An operation's
// entry is queued in the ops log before its end is in the main log, so by now
// all are queued, and a second marker in the ops log comes after them.
func (s *RGWServer) settle() {
	s.t.Helper()
	deadline := time.Now().Add(settleTime)
	first := s.sendMarker()
	var running map[string]int
	s.poll(deadline, s.LogFile, func() bool {
		return s.readLog(func(ended string) bool {
			if !strings.Contains(ended, first) {
				return false
			}
			running = maps.Clone(s.log.running)
			return true
		})
	})
	for grace := time.Now().Add(graceTime); s.log.anyOf(running) && time.Now().Before(grace); {
		time.Sleep(2 * time.Millisecond)
		s.readLog(nil)
	}
	second := []byte(s.sendMarker())
	s.poll(deadline, s.OpsLogFile, func() bool {
		data, err := os.ReadFile(s.OpsLogFile)
		if err != nil {
			s.t.Fatal(err)
		}
		i := bytes.LastIndex(data, second)
		return i >= 0 && bytes.IndexByte(data[i:], '\n') >= 0
	})
}

// sendMarker asks for a bucket that does not exist and returns its name. RGW
// answers 404, or 403 where it hides what exists; both are logged.
func (s *RGWServer) sendMarker() string {
	s.t.Helper()
	name := s.NewBucketName()
	req, err := http.NewRequest(http.MethodGet, s.HTTP+"/"+name, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.send(req)
	return name
}

func (s *RGWServer) poll(deadline time.Time, file string, done func() bool) {
	s.t.Helper()
	for !done() {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s has no marker after %v", file, settleTime)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// readLog reads what was added to radosgw's log. It stops after the line of an
// ended request for which stop returns true, and says whether there was one.
func (s *RGWServer) readLog(stop func(ended string) bool) bool {
	s.t.Helper()
	f, err := os.Open(s.LogFile)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(s.log.offset, io.SeekStart); err != nil {
		s.t.Fatal(err)
	}
	data, err := io.ReadAll(f)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.log.read(data, stop)
}

// progress is how far radosgw's log was read, and what ran at that place. A
// request's identity is its address in radosgw's memory, as the log prints it;
// another request may have it later.
type progress struct {
	offset  int64
	running map[string]int // address -> which start it was, counted from 1
	starts  int
}

// read takes whole lines from data, which begins at offset.
func (p *progress) read(data []byte, stop func(ended string) bool) bool {
	if p.running == nil {
		p.running = map[string]int{}
	}
	for {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole {
			return false
		}
		p.offset += int64(len(line) + 1)
		data = rest
		text := string(line)
		if _, after, ok := strings.Cut(text, " ====== starting new request req="); ok {
			address, _, _ := strings.Cut(after, " ")
			p.starts++
			p.running[address] = p.starts
		} else if _, after, ok := strings.Cut(text, " beast: "); ok {
			address, _, _ := strings.Cut(after, ":")
			delete(p.running, address)
			if stop != nil && stop(after) {
				return true
			}
		} else if strings.Contains(text, ", process radosgw, pid ") {
			// A new process: what the old one was serving died with it.
			clear(p.running)
		}
	}
}

// anyOf says whether any of these requests, a copy of an earlier running, runs
// on.
func (p *progress) anyOf(earlier map[string]int) bool {
	for address, start := range earlier {
		if p.running[address] == start {
			return true
		}
	}
	return false
}
