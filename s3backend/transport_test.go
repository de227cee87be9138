package s3backend_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rgwfs/s3backend"
)

// answer is a request and what the test's server says to it.
type answer struct {
	http.ResponseWriter
	req *http.Request
	n   int // 1 for the first request
}

func (a *answer) body(s string) {
	// A client that has gone is the test's doing.
	_, _ = io.WriteString(a, s)
}

func (a *answer) fail(status int, code string) {
	a.WriteHeader(status)
	a.body("<Error><Code>" + code + "</Code></Error>")
}

// reset breaks the connection.
func (a *answer) reset() { panic(http.ErrAbortHandler) }

// hang waits until the client gives up.
func (a *answer) hang() {
	_ = http.NewResponseController(a.ResponseWriter).Flush()
	<-a.req.Context().Done()
}

// newServer serves until the test ends and returns its URL.
func newServer(t *testing.T, f func(*answer)) string {
	t.Helper()
	var n atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f(&answer{w, r, int(n.Add(1))})
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

const content = "0123456789abcdefghijklmnopqrstuvwxyz"

var contentTag = fmt.Sprintf("%x", md5.Sum([]byte(content)))

// serve answers a GET of content, all of it or the range asked for, and stops
// after sending n bytes.
func (a *answer) serve(t *testing.T, n int) (whole bool) {
	first := 0
	if r := a.req.Header.Get("Range"); r != "" {
		from, _, _ := strings.Cut(strings.TrimPrefix(r, "bytes="), "-")
		var err error
		if first, err = strconv.Atoi(from); err != nil {
			t.Errorf("Range %q", r)
		}
		a.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, len(content)-1, len(content)))
	}
	if first > 0 && a.req.Header.Get("If-Match") != `"`+contentTag+`"` {
		t.Errorf("a rest was asked for with If-Match %q", a.req.Header.Get("If-Match"))
	}
	rest := content[first:]
	a.Header().Set("Content-Length", strconv.Itoa(len(rest)))
	a.Header().Set("ETag", `"`+contentTag+`"`)
	if first > 0 {
		a.WriteHeader(http.StatusPartialContent)
	}
	n = min(n, len(rest))
	a.body(rest[:n])
	_ = http.NewResponseController(a.ResponseWriter).Flush()
	return n == len(rest)
}

// testClient is quick to retry.
func testClient(t *testing.T, endpoint string, change func(*s3backend.Config)) *s3backend.Client {
	t.Helper()
	return client(t, func(c *s3backend.Config) {
		c.Endpoint, c.AccessKey, c.SecretKey = endpoint, "hush-access", "hush-secret"
		c.MaxAttempts, c.MinBackoff, c.MaxBackoff = 4, time.Millisecond, 2*time.Millisecond
		if change != nil {
			change(c)
		}
	})
}

func stallsAfter(d time.Duration) func(*s3backend.Config) {
	return func(c *s3backend.Config) { c.StallTimeout, c.ServerTimeout = d, d }
}

func readAll(s s3backend.Store) (string, error) {
	_, body, err := s.Get(context.Background(), s3backend.GetRequest{Key: "k", Length: -1})
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(body)
	return string(data), errors.Join(err, body.Close())
}

func TestBrokenBodiesAreResumed(t *testing.T) {
	for name, end := range map[string]func(*answer){
		"reset":     func(a *answer) { a.reset() },
		"stall":     func(a *answer) { a.hang() },
		"truncated": func(a *answer) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			url := newServer(t, func(a *answer) {
				if !a.serve(t, 7) {
					end(a)
				}
			})
			c := testClient(t, url, stallsAfter(100*time.Millisecond))
			got, err := readAll(c.Bucket("b"))
			if err != nil || got != content {
				t.Errorf("read %q, %v", got, err)
			}
			if s := c.Stats(); s.Resumes != 5 || s.Requests["GetObject"] != 6 || s.BytesIn != int64(len(content)) {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestResumesAreBounded(t *testing.T) {
	url := newServer(t, func(a *answer) {
		if a.n == 1 {
			a.serve(t, 7)
		} else {
			a.serve(t, 0)
		}
		a.reset()
	})
	c := testClient(t, url, nil)
	_, err := readAll(c.Bucket("b"))
	wantKind(t, err, s3backend.KindUnavailable)
	if s := c.Stats(); s.Resumes != 3 {
		t.Errorf("stats %+v", s)
	}
}

func TestAnotherGenerationIsChanged(t *testing.T) {
	for name, then := range map[string]func(*answer){
		"412":     func(a *answer) { a.fail(412, "PreconditionFailed") },
		"gone":    func(a *answer) { a.fail(404, "NoSuchKey") },
		"shorter": func(a *answer) { a.fail(416, "InvalidRange") },
		"another etag": func(a *answer) {
			a.Header().Set("ETag", `"other"`)
			a.Header().Set("Content-Range", "bytes 7-35/36")
			a.WriteHeader(206)
			a.body(content[7:])
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := newServer(t, func(a *answer) {
				if a.n == 1 {
					a.serve(t, 7)
					a.reset()
				}
				then(a)
			})
			got, err := readAll(testClient(t, url, nil).Bucket("b"))
			wantKind(t, err, s3backend.KindChanged)
			if got != content[:7] {
				t.Errorf("read %q", got)
			}
		})
	}
}

func TestWrongRangeIsCorrupt(t *testing.T) {
	url := newServer(t, func(a *answer) {
		a.Header().Set("Content-Range", "bytes 3-9/36")
		a.WriteHeader(206)
		a.body(content[3:10])
	})
	_, _, err := testClient(t, url, nil).Bucket("b").Get(t.Context(), s3backend.GetRequest{Key: "k", Offset: 4, Length: 7})
	wantKind(t, err, s3backend.KindCorrupt)
}

func TestStallBeforeTheHeader(t *testing.T) {
	url := newServer(t, func(a *answer) {
		if a.n == 1 {
			<-a.req.Context().Done()
			return
		}
		a.serve(t, len(content))
	})
	c := testClient(t, url, stallsAfter(100*time.Millisecond))
	if got, err := readAll(c.Bucket("b")); err != nil || got != content {
		t.Errorf("read %q, %v", got, err)
	}
	if s := c.Stats(); s.Retries != 1 || s.Resumes != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestSilentServerIsBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn) // never read
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
		for _, c := range conns {
			c.Close()
		}
	})
	c := testClient(t, "http://"+l.Addr().String(), func(c *s3backend.Config) {
		c.StallTimeout, c.MaxAttempts = 200*time.Millisecond, 2
	})
	s := c.Bucket("b")
	_, err = s.Head(t.Context(), "k")
	if wantKind(t, err, s3backend.KindUnavailable); !errors.Is(err, s3backend.ErrStalled) {
		t.Errorf("Head: %v", err)
	}
	big := make([]byte, 32<<20) // more than the sockets buffer
	_, err = s.Put(t.Context(), s3backend.PutRequest{Key: "k", Body: bytes.NewReader(big), Size: int64(len(big))})
	if wantKind(t, err, s3backend.KindUnavailable); !errors.Is(err, s3backend.ErrStalled) {
		t.Errorf("Put: %v", err)
	}
}

func TestSlowIsNoStall(t *testing.T) {
	url := newServer(t, func(a *answer) {
		a.Header().Set("Content-Length", strconv.Itoa(len(content)))
		a.Header().Set("ETag", `"`+contentTag+`"`)
		for i := range content { // 1.8 s in all
			a.body(content[i : i+1])
			_ = http.NewResponseController(a.ResponseWriter).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	})
	c := testClient(t, url, stallsAfter(time.Second))
	if got, err := readAll(c.Bucket("b")); err != nil || got != content {
		t.Errorf("read %q, %v", got, err)
	}
	// Nor is a reader that takes its time.
	quick := testClient(t, newServer(t, func(a *answer) { a.serve(t, len(content)) }), stallsAfter(50*time.Millisecond))
	_, body, err := quick.Bucket("b").Get(t.Context(), s3backend.GetRequest{Key: "k", Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	time.Sleep(200 * time.Millisecond)
	if got, err := io.ReadAll(body); err != nil || string(got) != content {
		t.Errorf("read %q, %v", got, err)
	}
	if n := c.Stats().Resumes + quick.Stats().Resumes; n != 0 {
		t.Errorf("%d resumes", n)
	}
}

func TestRetries(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   int64 // requests
	}{
		{503, "SlowDown", 4}, {500, "InternalError", 4}, {502, "", 4}, {504, "", 4}, {400, "RequestTimeout", 4},
		{403, "AccessDenied", 1}, {404, "NoSuchKey", 1}, {400, "InvalidArgument", 1}, {501, "NotImplemented", 1},
		{403, "QuotaExceeded", 1}, {403, "RequestTimeTooSkewed", 1}, {301, "PermanentRedirect", 1},
	} {
		url := newServer(t, func(a *answer) { a.Header().Set("X-Amz-Request-Id", "tx1"); a.fail(c.status, c.code) })
		cl := testClient(t, url, nil)
		err := cl.Bucket("b").Delete(t.Context(), "k")
		var e *s3backend.Error
		if c.code == "NoSuchKey" {
			if err != nil {
				t.Errorf("Delete of an absent key: %v", err)
			}
		} else if !errors.As(err, &e) || e.Status != c.status || e.Code != c.code && c.code != "" || e.RequestID != "tx1" {
			t.Errorf("%d %s: %+v", c.status, c.code, err)
		}
		if n := cl.Stats().Requests["DeleteObject"]; n != c.want {
			t.Errorf("%d %s: %d requests, want %d", c.status, c.code, n, c.want)
		}
		cl = cl.WithRetries(1)
		before := cl.Stats().Requests["DeleteObject"]
		_ = cl.Bucket("b").Delete(t.Context(), "k") // counted only
		if n := cl.Stats().Requests["DeleteObject"] - before; n != 1 {
			t.Errorf("%d %s: %d requests without retries", c.status, c.code, n)
		}
	}
}

func TestTroubleThatPasses(t *testing.T) {
	url := newServer(t, func(a *answer) {
		switch a.n {
		case 1:
			a.reset()
		case 2:
			a.fail(503, "SlowDown")
		case 3: // a listing that breaks off
			a.Header().Set("Content-Length", "1000")
			a.body("<ListBucketResult><Contents><Key>half")
		default:
			a.body("<ListBucketResult><Contents><Key>whole</Key></Contents></ListBucketResult>")
		}
	})
	page, err := testClient(t, url, nil).Bucket("b").List(t.Context(), s3backend.ListRequest{})
	if err != nil || len(page.Objects) != 1 || page.Objects[0].Key != "whole" {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestFaultsOfTheSetUpAreNotRetried(t *testing.T) {
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(tls.Close)
	plain := newServer(t, func(a *answer) { a.fail(404, "NoSuchKey") })
	head := func(endpoint string) (*s3backend.Error, int64) {
		c := testClient(t, endpoint, nil)
		_, err := c.Bucket("b").Head(t.Context(), "k")
		return wantKind(t, err, s3backend.KindUnavailable), c.Stats().Requests["HeadObject"]
	}
	e, n := head(tls.URL)
	if unknown := (x509.UnknownAuthorityError{}); !errors.As(e, &unknown) || n != 1 {
		t.Errorf("unknown certificate: %v, %d requests", e, n)
	}
	e, n = head(strings.Replace(tls.URL, "https:", "http:", 1))
	if !errors.Is(e, s3backend.ErrPlainHTTPToTLS) || n != 1 {
		t.Errorf("http to TLS: %v, %d requests", e, n)
	}
	e, n = head(strings.Replace(plain, "http:", "https:", 1))
	if n != 1 {
		t.Errorf("https to a plain port: %v, %d requests", e, n)
	}
	e, n = head("http://no-such-host.invalid")
	if !s3backend.UnknownHost(e) {
		t.Errorf("unknown host: %v, %d requests", e, n)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if e, n = head("http://" + l.Addr().String()); !s3backend.Refused(e) || n != 4 {
		t.Errorf("refused: %v, %d requests", e, n)
	}
}

func TestCancelEndsEverything(t *testing.T) {
	url := newServer(t, func(a *answer) {
		if a.req.Method == http.MethodHead {
			<-a.req.Context().Done()
			return
		}
		a.serve(t, 7)
		a.hang()
	})
	s := testClient(t, url, nil).Bucket("b")
	ctx, cancel := context.WithCancel(t.Context())
	_, body, err := s.Get(ctx, s3backend.GetRequest{Key: "k", Length: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(body, make([]byte, 7)); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = body.Read(make([]byte, 1))
	wantKind(t, err, s3backend.KindCancelled)
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = s.Head(ctx, "k")
	if wantKind(t, err, s3backend.KindCancelled); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the cause is lost: %v", err)
	}
}

func TestStoredContentIsCompared(t *testing.T) {
	url := newServer(t, func(a *answer) {
		sum := a.req.Header.Get("Content-Md5")
		if sum == "" || a.req.Header.Get("X-Amz-Content-Sha256") != "UNSIGNED-PAYLOAD" || !strings.Contains(a.req.Header.Get("Authorization"), "content-md5") {
			t.Errorf("header %v", a.req.Header)
		}
		a.Header().Set("ETag", `"`+contentTag+`"`)
		if a.req.URL.Query().Has("partNumber") {
			a.Header().Set("X-Amz-Server-Side-Encryption", "aws:kms") // its ETag is no MD5
		}
	})
	s := testClient(t, url, nil).Bucket("b")
	_, err := s.Put(t.Context(), s3backend.PutRequest{Key: "k", Body: strings.NewReader("other"), Size: 5})
	wantKind(t, err, s3backend.KindCorrupt)
	if _, err := s.Put(t.Context(), s3backend.PutRequest{Key: "k", Body: strings.NewReader(content), Size: int64(len(content))}); err != nil {
		t.Error(err)
	}
	if _, err := s.UploadPart(t.Context(), s3backend.UploadPartRequest{Key: "k", UploadID: "u", Number: 1, Body: strings.NewReader("other"), Size: 5}); err != nil {
		t.Error(err)
	}
}

// radosgw sends the header of a DeleteObjects answer before its body.
func TestMultiDeleteWithAnEarlyHeader(t *testing.T) {
	url := newServer(t, func(a *answer) {
		_, _ = io.Copy(io.Discard, a.req.Body)
		a.WriteHeader(200)
		_ = http.NewResponseController(a.ResponseWriter).Flush()
		time.Sleep(time.Millisecond)
		a.body("<DeleteResult><Error><Key>k1</Key><Code>AccessDenied</Code></Error></DeleteResult>")
	})
	s := testClient(t, url, nil).WithRetries(1).Bucket("b")
	for range 200 {
		failed, err := s.DeleteMany(t.Context(), []string{"k1", "k2"})
		if err != nil || len(failed) != 1 || failed[0].Key != "k1" || failed[0].Kind != s3backend.KindPermission {
			t.Fatal(failed, err)
		}
	}
}

// watchedBody fails, under -race or by itself, if it is read after done is set.
type watchedBody struct {
	*bytes.Reader
	done bool
	late bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	if b.done {
		b.late = true
	}
	return b.Reader.Read(p)
}

func TestBodyIsLeftAloneAfterThePut(t *testing.T) {
	url := newServer(t, func(a *answer) { a.fail(403, "QuotaExceeded") })
	c := testClient(t, url, nil)
	for range 20 {
		body := &watchedBody{Reader: bytes.NewReader(make([]byte, 4<<20))}
		_, err := c.Bucket("b").Put(t.Context(), s3backend.PutRequest{Key: "k", Body: body, Size: 4 << 20})
		if err == nil {
			t.Fatal("no error")
		}
		body.done = true
		c.Close()
		if body.late {
			t.Fatal("read after Put had returned")
		}
	}
}

func TestLogNamesTheCallAndNoSecret(t *testing.T) {
	var log bytes.Buffer
	url := newServer(t, func(a *answer) { a.Header().Set("X-Amz-Request-Id", "tx0001"); a.fail(403, "AccessDenied") })
	c := testClient(t, url, func(c *s3backend.Config) {
		c.SessionToken = "hush-token"
		c.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	_, err := c.Bucket("b").List(t.Context(), s3backend.ListRequest{Prefix: "dir/"})
	for _, want := range []string{"op=ListObjectsV2", "bucket=b", "key=dir/", "status=403", "request_id=tx0001", "attempts=1", "duration="} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in %s", want, &log)
		}
	}
	for _, hidden := range []string{"hush", "Signature", "Authorization"} {
		if strings.Contains(log.String()+err.Error(), hidden) {
			t.Errorf("%s in %s and %v", hidden, &log, err)
		}
	}
}
