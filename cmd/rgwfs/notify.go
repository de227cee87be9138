package main

import (
	"fmt"
	"net"
	"strings"
	"time"
)

// serviceManager tells systemd how a unit of Type=notify fares, by the
// protocol of sd_notify(3): datagrams of NAME=VALUE lines to the socket that
// NOTIFY_SOCKET names. The zero value has nobody to tell.
type serviceManager struct{ socket string }

func newServiceManager(inv *invocation) serviceManager {
	return serviceManager{inv.getenv("NOTIFY_SOCKET")}
}

func (m serviceManager) tell(state string) error {
	if m.socket == "" {
		return nil
	}
	name := m.socket
	if strings.HasPrefix(name, "@") {
		name = "\x00" + name[1:] // the abstract namespace, unix(7)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	return nil
}

func (m serviceManager) ready(status string) error {
	return m.tell("READY=1\nSTATUS=" + oneLine(status))
}

// stopping also asks for the time that committing may take: systemd would
// kill after TimeoutStopSec.
func (m serviceManager) stopping(status string, within time.Duration) error {
	return m.tell(fmt.Sprintf("STOPPING=1\nSTATUS=%s\nEXTEND_TIMEOUT_USEC=%d", oneLine(status), (within + stopMargin).Microseconds()))
}

// stopMargin is for unmounting, beside committing.
const stopMargin = 15 * time.Second
