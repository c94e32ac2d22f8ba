package peersync

import (
	"net"
	"syscall"
	"time"

	"github.com/peersd/peersd/sync/session"
	"golang.org/x/sys/unix"
)

// A path asks the kernel how far the other end of a connection is with what it was
// sent. Acks of the protocol would come too late: HAProxy 3.3 and later send none
// in a lesson.
type path struct {
	raw syscall.RawConn // nil where the kernel has nothing to say
	// window is the largest one that the other end has offered lately: what is
	// missing of it now waits in its receive buffer.
	window uint32
}

func newPath(nc net.Conn) path {
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok { // what TLS adds is little
		nc = t.NetConn()
	}
	sc, ok := nc.(*net.TCPConn)
	if !ok {
		return path{}
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return path{}
	}
	return path{raw: raw}
}

// windowFades is how fast a window is forgotten that is not offered any more, each
// time that it is looked at: the kernel at the other end may have less memory now.
const windowFades = 256

// look returns what the kernel says now; nothing is unread where it says nothing.
func (p *path) look() (is session.Path) {
	if p.raw == nil {
		return is
	}
	_ = p.raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		unacked, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		if err != nil {
			return
		}
		p.window = max(info.Snd_wnd, p.window-p.window/windowFades)
		is.Unread = unacked + int(p.window-info.Snd_wnd)
		is.RTT = time.Duration(info.Min_rtt) * time.Microsecond
	})
	return is
}
