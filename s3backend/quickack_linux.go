package s3backend

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// quickAck returns conn with TCP_QUICKACK set again after each read and write.
//
// radosgw's HTTP frontend leaves Nagle's algorithm on (beast, tcp_nodelay=0)
// and writes the header and the body of a small answer apart: the body waits
// until the header is acknowledged, and the kernel here delays that by 40 ms.
// TCP_QUICKACK is no lasting mode, the kernel leaves it as it sees fit (tcp(7)),
// hence again each time. It costs one system call of about a microsecond, and
// turns 45 ms into 2 ms for every small GET, listing, copy and multi-delete.
func quickAck(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn // the connection is dead already: its first use says so
	}
	c := &ackConn{Conn: conn, raw: raw}
	c.rearm()
	return c
}

type ackConn struct {
	net.Conn
	raw syscall.RawConn
}

// rearm ignores failures: they mean that the connection is closed, which reads
// and writes report, or that the kernel has no TCP_QUICKACK, which costs speed
// only.
func (c *ackConn) rearm() {
	_ = c.raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	})
}

func (c *ackConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.rearm()
	return n, err
}

func (c *ackConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.rearm()
	return n, err
}

// unsent returns how many bytes written to the connection the peer's kernel has
// not acknowledged (SIOCOUTQ), 0 if that is unknown.
func (c *ackConn) unsent() int {
	n := 0
	_ = c.raw.Control(func(fd uintptr) {
		if q, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			n = q
		}
	})
	return n
}
