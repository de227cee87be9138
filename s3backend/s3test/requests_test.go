package s3test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Of a radosgw 16.2.15, shortened to what is read. Documents written in one go
// share a line.
const opsLog = `{"bucket":"bkt","operation":"create_bucket","uri":"PUT /bkt HTTP/1.1","http_status":"200","error_code":"","bytes_sent":0,"bytes_received":0}
{"bucket":"other","operation":"get_obj","uri":"GET /other/bkt HTTP/1.1","http_status":"200","error_code":"","bytes_sent":7,"bytes_received":0}{"bucket":"bkt","operation":"put_obj","uri":"PUT /bkt/%C3%A9%20%22q%22%01 HTTP/1.1","http_status":"200","error_code":"","bytes_sent":0,"bytes_received":4}
{"bucket":"bkt","operation":"get_obj","uri":"HEAD /bkt/nope HTTP/1.1","http_status":"404","error_code":"NoSuchKey","bytes_sent":0,"bytes_received":0}
{"bucket":"bkt","operation":"get_obj","uri":"GET /app/x HTTP/1.1","http_status":"403","error_code":"AccessDenied","bytes_sent":232,"bytes_received":0}
{"bucket":"bkt","operation":"put_obj","uri":"PUT /bkt/mp?partNumber=2&uploadId=2~EY1?partNumber=2&uploadId=2~EY1 HTTP/1.1","http_status":"200","error_code":"","bytes_sent":217,"bytes_received":0}
{"bucket":"bkt","operation":"put_obj","uri":"PUT /bkt/mp?partNumber=1&uploadId=2~EY1 HTTP/1.1","http_status":"200","error_code":"","bytes_sent":0,"bytes_received":500}
{"bucket":"bkt","operation":"put_obj","uri":"PUT /bkt/app?append&position=0?append&position=0 HTTP/1.1","http_status":"200","error_code":"","bytes_sent":0,"bytes_received":4}
{"bucket":"bkt","operation":"list_bucket","uri":"GET /bkt?list-type=2&prefix=a%2Fb%3F?list-type=2&prefix=a%2Fb%3F HTTP/1.1","http_status":"200","error_code":"","bytes_sent":698,"bytes_received":0}
{"bucket":"bkt","operation":"put_acls","uri":"PUT /bkt/x?acl?acl HTTP/1.1","http_status":"200","error_code":"","bytes_sent":0,"bytes_received":0}
{"bucket":"bkt","operation":"delete_obj","uri":"DELETE /bkt/cut`

func TestParseOpsLog(t *testing.T) {
	got, err := parseOpsLog([]byte(opsLog), "bkt")
	if err != nil {
		t.Fatal(err)
	}
	part := func(n string) url.Values { return url.Values{"partNumber": {n}, "uploadId": {"2~EY1"}} }
	want := []RGWRequest{
		{Op: OpCreateBucket, Method: "PUT", Status: 200},
		{Op: OpPut, Method: "PUT", Key: "é \"q\"\x01", Status: 200, Received: 4},
		{Op: OpHead, Method: "HEAD", Key: "nope", Status: 404, Code: "NoSuchKey"},
		{Op: OpGet, Method: "GET", Key: "app/x", Status: 403, Code: "AccessDenied", Sent: 232},
		{Op: OpCopyPart, Method: "PUT", Key: "mp", Query: part("2"), Status: 200, Sent: 217},
		{Op: OpUploadPart, Method: "PUT", Key: "mp", Query: part("1"), Status: 200, Received: 500},
		{Op: OpAppend, Method: "PUT", Key: "app", Query: url.Values{"append": {""}, "position": {"0"}}, Status: 200, Received: 4},
		{Op: OpList, Method: "GET", Query: url.Values{"list-type": {"2"}, "prefix": {"a/b?"}}, Status: 200, Sent: 698},
		{Op: "put_acls", Method: "PUT", Key: "x", Query: url.Values{"acl": {""}}, Status: 200},
	}
	if len(got) != len(want) {
		t.Fatalf("%d requests, want %d: %+v", len(got), len(want), got)
	}
	for i, w := range want {
		w.Bucket = "bkt"
		if w.Query == nil {
			w.Query = url.Values{}
		}
		if g, w := fmt.Sprintf("%+v", got[i]), fmt.Sprintf("%+v", w); g != w {
			t.Errorf("request %d:\n got %s\nwant %s", i, g, w)
		}
	}
	if n := Tally(got); n[OpPut] != 1 || n[OpCreateBucket] != 1 || n[OpDelete] != 0 {
		t.Errorf("tally %v", n)
	}
}

func TestParseOpsLogRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, line := range []string{
		`{"bucket":"bkt","uri":"GET /bkt HTTP/1.1","http_status":"soon"}`,
		`{"bucket":"bkt","uri":"GET","http_status":"200"}`,
		`{"bucket":"bkt","uri":"GET /bkt/%zz HTTP/1.1","http_status":"200"}`,
		`{"bucket":"bkt",`,
	} {
		if got, err := parseOpsLog([]byte(line+"\n"), "bkt"); err == nil {
			t.Errorf("%s: no error, but %+v", line, got)
		}
	}
}

// Lines of a radosgw 16.2.15: 6e0 begins, 640 overtakes it, 6e0 ends and is
// used again; then radosgw is killed and starts anew.
const radosgwLog = `2026-11-22T12:25:40.328+0000 7f49e978a6c0  1 ====== starting new request req=0x7f4a7c77a6e0 =====
2026-11-22T12:25:40.348+0000 7f49dcf716c0  1 ====== starting new request req=0x7f4a7c77a640 =====
2026-11-22T12:25:40.348+0000 7f49e377e6c0  1 ====== req done req=0x7f4a7c77a640 op status=0 http_status=200 latency=0.000000000s ======
2026-11-22T12:25:40.348+0000 7f49e377e6c0  1 beast: 0x7f4a7c77a640: 127.0.0.1 - anonymous [22/Nov/2026:12:25:40.348 +0000] "GET /marker HTTP/1.1" 404 231 - "curl/7.88.1" - latency=0.000000000s
2026-11-22T12:25:40.349+0000 7f49e7f876c0  1 beast: 0x7f4a7c77a6e0: 127.0.0.1 - rgwfs [22/Nov/2026:12:25:40.328 +0000] "GET /bkt HTTP/1.1" 200 231 - "curl/7.88.1" bytes=0-99 latency=0.004000000s
2026-11-22T12:25:40.416+0000 7f4a107d86c0  1 ====== starting new request req=0x7f4a7c77a6e0 =====
2026-11-22T12:29:33.728+0000 7f5ebafd8e40  0 ceph version 16.2.15 (618f440892089921c3e944a991122ddc44e60516) pacific (stable), process radosgw, pid 13855
`

func TestProgressSeesRequestsThatAreOvertaken(t *testing.T) {
	var p progress
	rest := func() []byte { return []byte(radosgwLog[p.offset:]) }
	if p.read([]byte(radosgwLog[:30]), nil); p.offset != 0 {
		t.Errorf("an unfinished line was read: offset %d", p.offset)
	}
	if !p.read(rest(), func(ended string) bool { return strings.Contains(ended, "/marker ") }) {
		t.Fatal("no marker found")
	}
	atMarker := maps.Clone(p.running)
	if len(atMarker) != 1 || !p.anyOf(atMarker) {
		t.Fatalf("running at the marker: %v, want 0x7f4a7c77a6e0", atMarker)
	}
	if !p.read(rest(), func(ended string) bool { return strings.Contains(ended, "/bkt ") }) {
		t.Fatal("the end of the overtaken request was not found")
	}
	if p.anyOf(atMarker) {
		t.Error("the overtaken request still runs after its end")
	}
	second := strings.Index(radosgwLog, "2026-11-22T12:29:33")
	p.read([]byte(radosgwLog[p.offset:second]), nil)
	if len(p.running) != 1 || p.anyOf(atMarker) {
		t.Errorf("running %v: a new request at an old address must be another one", p.running)
	}
	if p.read(rest(), nil); len(p.running) != 0 {
		t.Errorf("running %v in a process that has just started", p.running)
	}
}

func TestRequestsOnRGW(t *testing.T) {
	s := RGW(t)
	bucket := s.NewBucket()
	object := func(i int) string { return fmt.Sprintf("/%s/dir/é %d", bucket, i) }

	const n = 50
	var wg sync.WaitGroup
	answers := make([]Response, n)
	for worker := range 5 {
		wg.Go(func() {
			for i := worker; i < n; i += 5 {
				answers[i] = s.Do(http.MethodPut, object(i), "", nil, []byte("12345"))
			}
		})
	}
	wg.Wait()
	for i, a := range answers {
		if a.Status != http.StatusOK {
			t.Fatalf("PUT %d: %s", i, a)
		}
	}
	want := map[string]int{OpCreateBucket: 1, OpPut: n}
	compare := func() []RGWRequest {
		t.Helper()
		all := s.Requests(bucket)
		if got := Tally(all); !maps.Equal(got, want) {
			t.Fatalf("RGW logged %v, want %v", got, want)
		}
		return all
	}
	keys := map[string]bool{}
	for _, r := range compare()[1:] {
		keys["/"+bucket+"/"+r.Key] = true
		if r.Received != 5 || r.Status != http.StatusOK {
			t.Errorf("logged %+v", r)
		}
	}
	for i := range n {
		if !keys[object(i)] {
			t.Errorf("%s is not in the log", object(i))
		}
	}

	s.Do(http.MethodHead, object(0), "", nil, nil)
	if a := s.Do(http.MethodGet, object(0), "", http.Header{"Range": {"bytes=1-2"}}, nil); string(a.Body) != "23" {
		t.Errorf("ranged GET: %s", a)
	}
	copyOf := http.Header{"X-Amz-Copy-Source": {escapePath(object(0))}}
	if a := s.Do(http.MethodPut, "/"+bucket+"/copy", "", copyOf, nil); a.Status != http.StatusOK {
		t.Errorf("copy: %s", a)
	}
	s.Do(http.MethodGet, "/"+bucket, "list-type=2&prefix=dir%2F", nil, nil)
	s.Do(http.MethodDelete, object(0), "", nil, nil)
	s.Do(http.MethodHead, "/"+bucket, "", nil, nil)
	for _, op := range []string{OpHead, OpGet, OpCopy, OpList, OpDelete, OpUsage} {
		want[op]++
	}
	all := compare()
	if get := all[len(all)-5]; get.Op != OpGet || get.Sent != 2 || get.Status != http.StatusPartialContent {
		t.Errorf("ranged GET was logged as %+v", get)
	}
}
