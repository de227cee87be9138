package s3backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// smallBody is the size in bytes up to which a request's body is sent from
// memory. net/http then puts header and body into one packet.
const smallBody = 64 << 10

// callInfo follows one call of the Store through its attempts. It travels in
// the context; attempts of one call never overlap.
type callInfo struct {
	op    string
	limit time.Duration // stall limit

	attempts  atomic.Int32
	status    atomic.Int32 // HTTP status of the last attempt, 0 = no answer
	requestID atomic.Pointer[string]
}

type callKey struct{}

func (i *callInfo) id() string {
	if p := i.requestID.Load(); p != nil {
		return *p
	}
	return ""
}

// wire sends single attempts: it watches them for stalls, guards request
// bodies, and counts. It is the s3.Client's HTTP client itself, without
// net/http's Client around it, whose redirects and cookies S3 has no use for.
type wire struct {
	base     http.RoundTripper
	endpoint *url.URL
	stall    time.Duration
	counters *counters
	answered atomic.Bool // the endpoint has answered something sensible
}

// Do implements s3.HTTPClient.
func (t *wire) Do(req *http.Request) (*http.Response, error) {
	info, ok := req.Context().Value(callKey{}).(*callInfo)
	if !ok {
		info = &callInfo{op: "other", limit: t.stall}
	}
	if info.attempts.Add(1) > 1 {
		t.counters.retries.Add(1)
	}
	info.status.Store(0)
	t.counters.request(info.op)

	ctx, cancel := context.WithCancelCause(req.Context())
	w := newWatch(info.limit, cancel)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(c httptrace.GotConnInfo) { w.connected(c.Conn) },
	})
	out := req.WithContext(ctx)
	body, err := t.setBody(out, w)
	if err != nil {
		w.stop()
		return nil, err
	}

	resp, err := t.base.RoundTrip(out)
	if body != nil {
		// From here on the caller may use the body's memory for other things.
		body.detach()
	}
	w.leave()
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, ErrStalled) {
			err = cause
		}
		w.stop()
		return nil, t.explain(req.Context(), err, 0)
	}
	if resp.StatusCode == http.StatusBadRequest {
		if err := t.explain(req.Context(), nil, resp.StatusCode); err != nil {
			_ = resp.Body.Close() // the answer is not used
			w.stop()
			return nil, err
		}
	} else {
		t.answered.Store(true)
	}
	info.status.Store(int32(resp.StatusCode))
	if id := resp.Header.Get("X-Amz-Request-Id"); id != "" {
		info.requestID.Store(&id)
	}
	if resp.Body == nil || resp.Body == http.NoBody {
		w.stop()
		return resp, nil
	}
	resp.Body = &recvBody{rc: resp.Body, ctx: ctx, watch: w, bytesIn: &t.counters.bytesIn}
	return resp, nil
}

// setBody gives out a body that is safe to send.
func (t *wire) setBody(out *http.Request, w *watch) (*sendBody, error) {
	if out.Body == nil || out.Body == http.NoBody {
		return nil, nil
	}
	if n := out.ContentLength; n > 0 && n <= smallBody {
		b := make([]byte, n)
		_, err := io.ReadFull(out.Body, b)
		_ = out.Body.Close() // of smithy's wrapper, which has nothing to close
		if err != nil {
			return nil, fmt.Errorf("reading the request's body: %w", err)
		}
		t.counters.bytesOut.Add(n)
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
		out.Body, _ = out.GetBody()
		return nil, nil
	}
	body := &sendBody{rc: out.Body, left: out.ContentLength, watch: w, bytesOut: &t.counters.bytesOut}
	out.Body, out.GetBody = body, nil
	return body, nil
}

// explain adds ErrPlainHTTPToTLS to the failure of an endpoint that has not
// answered yet, where that is what is wrong. radosgw closes the connection;
// others answer 400. It returns nil if err is nil and nothing is wrong.
func (t *wire) explain(ctx context.Context, err error, status int) error {
	if t.answered.Load() || ctx.Err() != nil || t.endpoint.Scheme != "http" {
		return err
	}
	if status == 0 && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	if !speaksTLS(ctx, t.endpoint, 2*time.Second) {
		return err
	}
	if err == nil {
		return ErrPlainHTTPToTLS
	}
	return fmt.Errorf("%w (%w)", ErrPlainHTTPToTLS, err)
}

var errDetached = errors.New("the request has ended")

// sendBody hands a request's body to net/http, which may go on reading it after
// the answer has come: radosgw sends the header of a DeleteObjects answer
// before its result, and the SDK then closes the body. A read after that must
// neither touch memory that the caller uses again nor, if all bytes are sent,
// fail: net/http asks for the EOF, and drops the connection with the answer on
// it ("use of closed network connection") if it gets an error instead.
type sendBody struct {
	watch    *watch
	bytesOut *atomic.Int64

	mu   sync.Mutex
	rc   io.ReadCloser // nil once detached; guarded by mu
	left int64         // bytes to come, < 0 = unknown; guarded by mu
}

func (b *sendBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left == 0 {
		return 0, io.EOF
	}
	if b.rc == nil {
		return 0, errDetached
	}
	n, err := b.rc.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
		if b.left < 0 {
			return n, errors.New("the request's body is longer than its size says")
		}
	}
	b.watch.progress(n)
	b.bytesOut.Add(int64(n))
	return n, err
}

// Close is net/http's. The wrapped body, smithy's, has nothing to close.
func (b *sendBody) Close() error {
	b.detach()
	return nil
}

// detach lets go of the wrapped body. It waits for a read that is under way.
func (b *sendBody) detach() {
	b.mu.Lock()
	b.rc = nil
	b.mu.Unlock()
}

// recvBody watches the body of an answer.
type recvBody struct {
	rc      io.ReadCloser
	ctx     context.Context // the attempt's
	watch   *watch
	bytesIn *atomic.Int64
}

func (b *recvBody) Read(p []byte) (int, error) {
	b.watch.enter()
	n, err := b.rc.Read(p)
	b.watch.leave()
	b.bytesIn.Add(int64(n))
	if err != nil {
		if cause := context.Cause(b.ctx); err != io.EOF && errors.Is(cause, ErrStalled) {
			err = cause
		}
		b.watch.stop()
	}
	return n, err
}

func (b *recvBody) Close() error {
	err := b.rc.Close()
	b.watch.stop()
	return err
}
