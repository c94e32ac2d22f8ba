package peersync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/peersd/peersd/protocol"
)

// accept takes a connection from its hello to its end.
func (h *Hub) accept(ctx context.Context, nc net.Conn) {
	hs := h.handshakes.begin(nc)
	defer h.handshakes.end(hs)
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	nc.SetDeadline(time.Now().Add(handshakeTimeout))
	hello, rest, err := readHello(nc)
	if err == nil {
		err = h.judge(hello)
	}
	var l *link
	if err == nil {
		h.handshakes.hello(hs)
		l, err = h.link(hello.Local)
	}
	if err != nil {
		refuse(nc, err)
		if hello.Local == "" {
			h.nudgeHost(nc.RemoteAddr())
		}
		if ctx.Err() == nil {
			h.misnamed.note(time.Now(), hello, nc.RemoteAddr().String(), err)
			h.tellRefused(hs, hello, err)
		}
		return
	}
	defer h.leave(l)
	c, reason := l.admit(nc, hello)
	if !h.handshakes.end(hs) && c != nil {
		c.abandon()
		c, reason = nil, madeWay
	}
	if c == nil {
		l.turnAway(nc, reason)
		return
	}
	nc.SetDeadline(time.Now().Add(handshakeTimeout))
	if _, err := nc.Write(protocol.AppendStatus(nil, protocol.StatusSuccess)); err != nil {
		c.abandon()
		return
	}
	nc.SetDeadline(time.Time{})
	l.called(hello)
	stop()
	c.run(ctx, rest)
}

// tellRefused says in the log why a connection was refused.
func (h *Hub) tellRefused(hs *handshake, hello protocol.Hello, err error) {
	// Limits have a line of their own, now and then; who says nothing is a health
	// check, most likely.
	quietly := errors.Is(err, errTooManySessions) || errors.Is(err, errNoHello)
	if !h.handshakes.end(hs) {
		quietly, err = true, errors.New(madeWay)
	}
	event := h.refusals.Warn()
	if quietly {
		event = h.cfg.Log.Debug()
	}
	event.Stringer("address", hs.nc.RemoteAddr()).Str("peer", hello.Local).Msg("connection refused: " + err.Error())
}

// turnAway closes an incoming connection of the peer without a status.
func (l *link) turnAway(nc net.Conn, reason string) {
	nc.Close()
	l.nudge()
	event := l.log.Debug()
	if reason == sessionAlive && l.elsewhere(nc) {
		event = l.hub.refusals.Warn().Str("peer", l.name)
		reason = "another HAProxy has a living session under that name; give each one a name of its own with -L"
		l.mu.Lock()
		l.troubles.shared, l.troubles.sharer = time.Now(), nc.RemoteAddr().String()
		l.mu.Unlock()
	}
	event.Stringer("address", nc.RemoteAddr()).Msg("connection closed without an answer: " + reason)
}

// nudgeHost nudges the sessions with who is at the address of a connection that has
// ended before it said whose it is. It may be a dial that HAProxy has given up, of
// which only a part came through.
func (h *Hub) nudgeHost(address net.Addr) {
	for _, l := range h.snapshot() {
		l.mu.Lock()
		there := l.conn != nil && sameHost(l.conn.nc.RemoteAddr(), address)
		l.mu.Unlock()
		if there {
			l.nudge()
		}
	}
}

// sameHost reports whether two addresses differ in their ports at most.
func sameHost(a, b net.Addr) bool {
	hostA, _, _ := net.SplitHostPort(a.String())
	hostB, _, _ := net.SplitHostPort(b.String())
	return hostA == hostB
}

// elsewhere reports whether in comes from another address than that of the
// established connection.
func (l *link) elsewhere(in net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn != nil && !l.conn.dialed && !sameHost(in.RemoteAddr(), l.conn.nc.RemoteAddr())
}

// errNoHello: the connection was closed before a byte came.
var errNoHello = errors.New("closed before its hello was complete")

// readHello returns what came behind the hello with it.
func readHello(nc net.Conn) (hello protocol.Hello, rest []byte, err error) {
	var buf [protocol.MaxHello]byte
	for n := 0; ; {
		k, err := nc.Read(buf[n:])
		n += k
		hello, size, perr := protocol.ParseHello(buf[:n])
		if perr != nil || size > 0 {
			return hello, buf[size:n], perr
		}
		switch {
		case errors.Is(err, io.EOF) && n == 0:
			return hello, nil, errNoHello
		case errors.Is(err, io.EOF):
			return hello, nil, errors.New("closed before its hello was complete")
		}
		if err != nil {
			return hello, nil, fmt.Errorf("no complete hello: %w", short(err))
		}
	}
}

// judge reports what is wrong with whom a hello calls.
func (h *Hub) judge(hello protocol.Hello) error {
	if !slices.Contains(h.cfg.Names, hello.Remote) {
		return &protocol.HandshakeError{
			Status: protocol.StatusLocal,
			Reason: fmt.Sprintf("%s calls us %q, but our name is %s; write \"peer %s ADDRESS:PORT\" in its haproxy.cfg, or start peersd with -L %s",
				hello.Local, hello.Remote, quoted(h.cfg.Names), h.cfg.Names[0], hello.Remote),
		}
	}
	if hello.Local == "" || strings.ContainsFunc(hello.Local, unicode.IsControl) {
		return &protocol.HandshakeError{
			Status: protocol.StatusRemote,
			Reason: fmt.Sprintf("the caller's name, %q, is empty or has control characters", hello.Local),
		}
	}
	// Of several names the other ones may be the caller's: a HAProxy on our own
	// host goes by the name of the host.
	if hello.Local == hello.Remote {
		return &protocol.HandshakeError{
			Status: protocol.StatusRemote,
			Reason: fmt.Sprintf("the caller has our own name %q; give it another one with -L", hello.Local),
		}
	}
	return nil
}

func quoted(names []string) string {
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(q, " or ")
}

// refuse answers with the status of a wrong hello, if err is one, and closes.
// What is only passing gets no status: HAProxy does not dial again after one.
func refuse(nc net.Conn, err error) {
	var wrong *protocol.HandshakeError
	if errors.As(err, &wrong) {
		nc.SetDeadline(time.Now().Add(time.Second))
		nc.Write(protocol.AppendStatus(nil, wrong.Status))
		linger(nc)
	}
	nc.Close()
}

// called notes what the peer's hello tells of it.
func (l *link) called(hello protocol.Hello) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.name0 = slices.Index(l.hub.cfg.Names, hello.Remote)
	l.version = hello.Version
	l.status.lastStatus, l.status.lastHandshake = int(protocol.StatusSuccess), time.Now()
	l.hub.misnamed.settled(l.name)
}

// linger lets the peer read what was written last: closing a connection with
// unread bytes resets it, and the reply may be lost with it. The wait is
// bounded in time and in bytes.
func linger(nc net.Conn) {
	if w, ok := nc.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
		nc.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		io.CopyN(io.Discard, nc, 1<<20)
	}
}
