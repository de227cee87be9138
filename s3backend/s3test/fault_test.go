package s3test_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

func put(t *testing.T, s s3backend.Store, key, body string) s3backend.Object {
	t.Helper()
	o, err := s.Put(t.Context(), s3backend.PutRequest{Key: key, Body: strings.NewReader(body), Size: int64(len(body))})
	if err != nil {
		t.Fatalf("Put %q: %v", key, err)
	}
	return o
}

func wantKind(t *testing.T, err error, kind s3backend.Kind) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want kind %v", kind)
	}
	if got := s3backend.KindOf(err); got != kind {
		t.Fatalf("error of kind %v, want %v: %v", got, kind, err)
	}
}

func TestFaultRules(t *testing.T) {
	mem := s3test.NewMem("b")
	f := s3test.Fault(mem, s3test.Rule{
		Op: s3test.OpHead, Key: "a", Skip: 1, Times: 2,
		Do: []s3test.Effect{s3test.Fail(s3backend.KindUnavailable)},
	})
	put(t, f, "a", "x")
	put(t, f, "b", "x")
	var got []bool
	for range 4 {
		_, err := f.Head(t.Context(), "a")
		got = append(got, err == nil)
		if err != nil {
			wantKind(t, err, s3backend.KindUnavailable)
		}
		if _, err := f.Head(t.Context(), "b"); err != nil {
			t.Errorf("the rule hit another key: %v", err)
		}
	}
	if want := []bool{true, false, false, true}; !equal(got, want) {
		t.Errorf("Heads that went well: %v, want %v", got, want)
	}
	if n := mem.Requests()[s3test.OpHead]; n != 6 {
		t.Errorf("%d Heads reached the store, want 6", n)
	}
	if n := f.Requests()[s3test.OpHead]; n != 8 {
		t.Errorf("%d Heads counted, want 8", n)
	}
}

func equal[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestFaultLoseTakesEffect(t *testing.T) {
	mem := s3test.NewMem("b")
	f := s3test.Fault(mem, s3test.Rule{Op: s3test.OpPut, Do: []s3test.Effect{s3test.Lose(s3backend.KindUnavailable)}})
	_, err := f.Put(t.Context(), s3backend.PutRequest{Key: "k", Body: strings.NewReader("v"), Size: 1})
	wantKind(t, err, s3backend.KindUnavailable)
	if _, err := mem.Head(t.Context(), "k"); err != nil {
		t.Errorf("the Put did not take effect: %v", err)
	}
}

func TestFaultDeleteManyOneKey(t *testing.T) {
	mem := s3test.NewMem("b")
	f := s3test.Fault(mem, s3test.Rule{
		Op: s3test.OpDeleteMany, Key: "b", Do: []s3test.Effect{s3test.Fail(s3backend.KindPermission)},
	})
	for _, k := range []string{"a", "b", "c"} {
		put(t, f, k, k)
	}
	failed, err := f.DeleteMany(t.Context(), []string{"a", "b", "c"})
	if err != nil || len(failed) != 1 || failed[0].Key != "b" || failed[0].Kind != s3backend.KindPermission {
		t.Fatalf("DeleteMany = %v, %v; want one failure, of b", failed, err)
	}
	page, err := mem.List(t.Context(), s3backend.ListRequest{})
	if err != nil || len(page.Objects) != 1 || page.Objects[0].Key != "b" {
		t.Errorf("left over: %v, %v; want b", page.Objects, err)
	}
}

func TestFaultBodies(t *testing.T) {
	const content = "0123456789"
	for _, c := range []struct {
		name   string
		effect s3test.Effect
		want   string
		kind   s3backend.Kind // KindOther = no error
	}{
		{"break", s3test.BreakBody(4, s3backend.KindUnavailable), "0123", s3backend.KindUnavailable},
		{"break at start", s3test.BreakBody(0, s3backend.KindChanged), "", s3backend.KindChanged},
		{"break at end", s3test.BreakBody(10, s3backend.KindChanged), content, s3backend.KindChanged},
		{"truncate", s3test.Truncate(7), "0123456", 0},
		{"corrupt", s3test.Corrupt(3), "012\xcc456789", 0},
		{"rate", s3test.Rate(1 << 20), content, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := s3test.Fault(s3test.NewMem("b"), s3test.Rule{Op: s3test.OpGet, Do: []s3test.Effect{c.effect}})
			put(t, f, "k", content)
			_, body, err := f.Get(t.Context(), s3backend.GetRequest{Key: "k", Length: -1})
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(body)
			if string(got) != c.want {
				t.Errorf("read %q, want %q", got, c.want)
			}
			if c.kind != s3backend.KindOther {
				wantKind(t, err, c.kind)
			} else if err != nil {
				t.Error(err)
			}
			if err := body.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFaultGate(t *testing.T) {
	gate := s3test.NewGate()
	f := s3test.Fault(s3test.NewMem("b"), s3test.Rule{Op: s3test.OpPut, Do: []s3test.Effect{s3test.Block(gate)}})
	done := make(chan error, 1)
	go func() {
		_, err := f.Put(context.Background(), s3backend.PutRequest{Key: "k", Body: strings.NewReader("v"), Size: 1})
		done <- err
	}()
	if err := gate.Await(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Head(t.Context(), "k"); !s3backend.IsNotExist(err) {
		t.Errorf("Head while the Put is held: %v, want not exist", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.Put(ctx, s3backend.PutRequest{Key: "other", Body: strings.NewReader("v"), Size: 1})
	wantKind(t, err, s3backend.KindCancelled)
	gate.Open()
	if err := <-done; err != nil {
		t.Errorf("Put after the gate opened: %v", err)
	}
	if _, err := f.Head(t.Context(), "k"); err != nil {
		t.Error(err)
	}
}

func TestFaultStallEndsWithClose(t *testing.T) {
	gate := s3test.NewGate()
	f := s3test.Fault(s3test.NewMem("b"), s3test.Rule{Op: s3test.OpGet, Do: []s3test.Effect{s3test.StallBody(2, gate)}})
	put(t, f, "k", "0123")
	_, body, err := f.Get(t.Context(), s3backend.GetRequest{Key: "k", Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := io.ReadAll(body)
		done <- err
	}()
	if err := gate.Await(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	wantKind(t, <-done, s3backend.KindCancelled)
}

func TestFaultRefusesMeaninglessEffect(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an HTTP effect on a Store was accepted")
		}
	}()
	s3test.Fault(s3test.NewMem("b"), s3test.Rule{Do: []s3test.Effect{s3test.LoseAnswer()}})
}

// httpFixture is a server that counts requests and answers each with content.
func httpFixture(t *testing.T, content string, rules ...s3test.Rule) (*http.Client, *s3test.Transport, string, *int) {
	t.Helper()
	served := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served++
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		if _, err := io.WriteString(w, content); err != nil && r.Context().Err() == nil {
			t.Error(err)
		}
	}))
	t.Cleanup(srv.Close)
	ft := s3test.NewTransport(rules...)
	base := &http.Transport{}
	client := &http.Client{Transport: ft.Wrap(base)}
	t.Cleanup(client.CloseIdleConnections)
	return client, ft, srv.URL, &served
}

func TestHTTPFaults(t *testing.T) {
	const content = "0123456789"
	for _, c := range []struct {
		name   string
		effect s3test.Effect
		status int   // 0 = the request fails
		err    error // of the request or of reading its answer
		body   string
		served int
	}{
		{"none", s3test.Delay(time.Millisecond), 200, nil, content, 1},
		{"status", s3test.Status(503, "SlowDown"), 503, nil, "SlowDown", 0},
		{"reset", s3test.Reset(), 0, syscall.ECONNRESET, "", 0},
		{"lost answer", s3test.LoseAnswer(), 0, syscall.ECONNRESET, "", 1},
		{"broken body", s3test.BreakBody(5, 0), 200, syscall.ECONNRESET, "01234", 1},
		{"corrupt", s3test.Corrupt(0), 200, nil, "\xcf123456789", 1},
		{"rate", s3test.Rate(1 << 20), 200, nil, content, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, ft, url, served := httpFixture(t, content,
				s3test.Rule{Op: s3test.OpPut, Key: "a/b c", Do: []s3test.Effect{c.effect}})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url+"/bucket/a/b%20c", bytes.NewReader([]byte("body")))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err == nil {
				defer resp.Body.Close()
				if resp.StatusCode != c.status {
					t.Errorf("status %d, want %d", resp.StatusCode, c.status)
				}
				var got []byte
				got, err = io.ReadAll(resp.Body)
				if string(got) != c.body && (c.status == 200 || !strings.Contains(string(got), c.body)) {
					t.Errorf("read %q, want %q", got, c.body)
				}
			} else if c.status != 0 {
				t.Errorf("failed: %v, want status %d", err, c.status)
			}
			if !errors.Is(err, c.err) {
				t.Errorf("error %v, want %v", err, c.err)
			}
			if *served != c.served {
				t.Errorf("the server got %d requests, want %d", *served, c.served)
			}
			if n := ft.Requests()[s3test.OpPut]; n != 1 {
				t.Errorf("%d requests counted, want 1", n)
			}
		})
	}
}

func TestOpOf(t *testing.T) {
	for _, c := range []struct{ method, url, copy, op, key string }{
		{"GET", "/", "", s3test.OpListBuckets, ""},
		{"GET", "/b?list-type=2&prefix=a%2Fb", "", s3test.OpList, "a/b"},
		{"GET", "/b/?list-type=2", "", s3test.OpList, ""},
		{"GET", "/b?uploads=&prefix=p", "", s3test.OpListMultiparts, "p"},
		{"HEAD", "/b?read-stats=", "", s3test.OpUsage, ""},
		{"POST", "/b?delete=", "", s3test.OpDeleteMany, ""},
		{"PUT", "/b", "", "PUT bucket", ""},
		{"HEAD", "/b/k", "", s3test.OpHead, "k"},
		{"GET", "/b/k", "", s3test.OpGet, "k"},
		{"PUT", "/b//k//", "", s3test.OpPut, "/k//"},
		{"PUT", "/b/k%2Fx%252F", "", s3test.OpPut, "k/x%2F"},
		{"PUT", "/b/k", "b/s", s3test.OpCopy, "k"},
		{"PUT", "/b/k?partNumber=1&uploadId=u", "", s3test.OpUploadPart, "k"},
		{"PUT", "/b/k?partNumber=1&uploadId=u", "b/s", s3test.OpCopyPart, "k"},
		{"POST", "/b/k?uploads=", "", s3test.OpCreateMultipart, "k"},
		{"POST", "/b/k?uploadId=u", "", s3test.OpComplete, "k"},
		{"DELETE", "/b/k?uploadId=u", "", s3test.OpAbort, "k"},
		{"DELETE", "/b/k", "", s3test.OpDelete, "k"},
		{"PUT", "/b/k?append=&position=0", "", "PUT object", "k"},
	} {
		req := httptest.NewRequest(c.method, c.url, nil)
		if c.copy != "" {
			req.Header.Set("X-Amz-Copy-Source", c.copy)
		}
		if op, key := s3test.OpOf(req); op != c.op || key != c.key {
			t.Errorf("%s %s: %s %q, want %s %q", c.method, c.url, op, key, c.op, c.key)
		}
	}
}
