package s3test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// Transport makes HTTP requests go wrong as its rules say, and counts them by
// S3 operation, retries included. It works in front of any server:
//
//	ft := s3test.NewTransport()
//	cfg.WrapTransport = ft.Wrap
//
// It takes requests as path-style ones; in front of virtual-host buckets only
// rules without a Key match.
type Transport struct {
	rules    rules
	recorder recorder
}

// NewTransport returns a Transport with these rules.
func NewTransport(list ...Rule) *Transport {
	t := &Transport{rules: rules{level: onHTTP}}
	t.rules.add(list)
	return t
}

// Add adds rules, which count requests from now on.
func (t *Transport) Add(list ...Rule) { t.rules.add(list) }

// Clear removes all rules; requests that a Gate holds stay there.
func (t *Transport) Clear() { t.rules.clear() }

// Requests returns how many requests of each operation were made since the
// last ResetRequests, injected failures included.
func (t *Transport) Requests() map[string]int { return t.recorder.counts() }

// Log returns the requests since the last ResetRequests, in order.
func (t *Transport) Log() []Request { return t.recorder.log() }

// ResetRequests forgets the requests made so far.
func (t *Transport) ResetRequests() { t.recorder.reset() }

// Wrap puts the rules in front of base.
func (t *Transport) Wrap(base http.RoundTripper) http.RoundTripper {
	return &faultyTripper{Transport: t, base: base}
}

type faultyTripper struct {
	*Transport
	base http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t *faultyTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	op, key := OpOf(req)
	t.recorder.add(op, key)
	p := t.rules.match(op, key)
	ctx := req.Context()
	if err := p.wait(ctx); err != nil {
		return nil, closeUnsent(req, err)
	}
	switch {
	case p.reset:
		return nil, closeUnsent(req, connectionReset())
	case p.status != 0:
		if err := closeUnsent(req, nil); err != nil {
			return nil, err
		}
		return errorAnswer(req, p.status, p.code), nil
	}
	same := func(err error) error { return err }
	if p.body.rate > 0 && req.Body != nil && req.Body != http.NoBody {
		up := newPlan().body
		up.rate = p.body.rate
		req = req.Clone(ctx)
		req.Body = newFaultyBody(ctx, req.Body, up, same)
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if p.lost {
		_, err := io.Copy(io.Discard, resp.Body) // the server has acted when the answer is whole
		if cerr := resp.Body.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return nil, err
		}
		return nil, connectionReset()
	}
	if !p.body.untouched() {
		p.body.breakErr = connectionReset()
		resp.Body = newFaultyBody(ctx, resp.Body, p.body, same)
	}
	return resp, nil
}

// CloseIdleConnections passes on what http.Client asks of its Transport.
func (t *faultyTripper) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// closeUnsent closes the body of a request that isn't sent, as a RoundTripper
// must, and returns err.
func closeUnsent(req *http.Request, err error) error {
	if req.Body == nil {
		return err
	}
	if cerr := req.Body.Close(); err == nil {
		return cerr
	}
	return err
}

func connectionReset() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
}

// errorAnswer is an error of S3, in RGW's form.
func errorAnswer(req *http.Request, status int, code string) *http.Response {
	const id = "tx0injected"
	body := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message></Message>`+
		`<RequestId>%s</RequestId><HostId>injected</HostId></Error>`, code, id)
	resp := &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{
			"Content-Type":     {"application/xml"},
			"X-Amz-Request-Id": {id},
		},
		ContentLength: int64(len(body)),
		Body:          io.NopCloser(strings.NewReader(body)),
	}
	if req.Method == http.MethodHead {
		resp.Body = http.NoBody
	}
	return resp
}

// OpOf returns the S3 operation of a path-style request, and its key (of a
// listing: its prefix). What is none of the Op constants is named by its
// method, such as "PUT bucket".
func OpOf(req *http.Request) (op, key string) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(req.URL.Path, "/"), "/")
	q := req.URL.Query()
	if key != "" {
		return objectOp(req, q.Has), key
	}
	switch {
	case req.Method == http.MethodGet && bucket == "":
		return OpListBuckets, ""
	case req.Method == http.MethodGet && q.Has("uploads"):
		return OpListMultiparts, q.Get("prefix")
	case req.Method == http.MethodGet && q.Has("list-type"):
		return OpList, q.Get("prefix")
	case req.Method == http.MethodHead:
		return OpUsage, ""
	case req.Method == http.MethodPost && q.Has("delete"):
		return OpDeleteMany, ""
	}
	return req.Method + " bucket", ""
}

func objectOp(req *http.Request, has func(string) bool) string {
	copies := req.Header.Get("X-Amz-Copy-Source") != ""
	switch req.Method {
	case http.MethodGet:
		if !has("uploadId") {
			return OpGet
		}
	case http.MethodHead:
		return OpHead
	case http.MethodPut:
		switch {
		case has("partNumber") && copies:
			return OpCopyPart
		case has("partNumber"):
			return OpUploadPart
		case copies:
			return OpCopy
		case !has("append"):
			return OpPut
		}
	case http.MethodPost:
		switch {
		case has("uploads"):
			return OpCreateMultipart
		case has("uploadId"):
			return OpComplete
		}
	case http.MethodDelete:
		if has("uploadId") {
			return OpAbort
		}
		return OpDelete
	}
	return req.Method + " object"
}
