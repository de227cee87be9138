//go:build !linux

package s3backend

import "net"

// quickAck does nothing here: TCP_QUICKACK is Linux's.
func quickAck(conn net.Conn) net.Conn { return conn }
