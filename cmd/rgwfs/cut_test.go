package main

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// cutProxy stands between rgwfs and a server, until it is cut: from then on
// the endpoint refuses connections.
type cutProxy struct {
	server   *server
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn // guarded by mu
	isCut bool       // guarded by mu
}

func newCutProxy(t *testing.T, behind *server) *cutProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	through := *behind
	through.endpoint = "http://" + listener.Addr().String()
	p := &cutProxy{server: &through, listener: listener}
	target := strings.TrimPrefix(behind.endpoint, "http://")
	p.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // cut
			}
			onward, err := net.Dial("tcp", target)
			if err != nil {
				conn.Close()
				continue
			}
			if !p.keep(conn, onward) {
				return
			}
			for from, to := range map[net.Conn]net.Conn{conn: onward, onward: conn} {
				p.wg.Go(func() {
					// Ends when either is closed.
					_, _ = io.Copy(to, from)
					to.Close()
				})
			}
		}
	})
	t.Cleanup(p.cut)
	return p
}

func (p *cutProxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isCut {
		for _, conn := range conns {
			conn.Close()
		}
		return false
	}
	p.conns = append(p.conns, conns...)
	return true
}

// cut ends all connections, and takes no more.
func (p *cutProxy) cut() {
	p.mu.Lock()
	p.isCut = true
	p.listener.Close()
	for _, conn := range p.conns {
		conn.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}
