package main

import (
	"crypto/tls"
	"net/http"
	"sync"
	"time"
)

// witness is a RoundTripper that remembers what the answers of a server tell
// beside their results: its clock, and that there was an answer at all.
type witness struct {
	next http.RoundTripper
	now  func() time.Time

	mu       sync.Mutex
	answered bool                 // guarded by mu
	ahead    time.Duration        // guarded by mu; server's clock minus ours
	timed    bool                 // guarded by mu; ahead is known
	tls      *tls.ConnectionState // guarded by mu; of the last answer, nil over http
}

func (w *witness) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := w.now()
	resp, err := w.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	received := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answered, w.tls = true, resp.TLS
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		// The server wrote it between the two, to the second.
		w.ahead = date.Sub(sent.Add(received.Sub(sent) / 2))
		w.timed = true
	}
	return resp, nil
}

// clock returns how far the server's clock is ahead of ours, and whether that
// is known.
func (w *witness) clock() (ahead time.Duration, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ahead, w.timed
}

// connection returns the TLS connection of the last answer, nil over http, and
// whether there was an answer.
func (w *witness) connection() (state *tls.ConnectionState, answered bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tls, w.answered
}
