package peersync

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/sync/session"
	"github.com/rs/zerolog"
)

// A link is all that there is about one peer: at most one established
// connection, at most one dial under way, and what is remembered in between.
//
// Both ends dial. HAProxy, as the acceptor of a second connection, keeps the
// new one and closes the old; if both ends did so at the same instant, both
// connections would go. So it is settled here, by what HAProxy will have done:
// see admit.
type link struct {
	hub     *Hub
	name    string
	address string // to dial, "" where the peer is only accepted
	log     zerolog.Logger

	// stale: we may lack something of this peer. It is so until a lesson of
	// its, given when it was up to date, is over, and again from the end of
	// that session on.
	stale atomic.Bool

	mu     sync.Mutex
	conn   *conn         // established, or about to be: closed before another one
	dialed chan struct{} // closed when the dial that has sent its hello is over, nil without one
	// cancelDial gives up a dial that has not sent its hello yet.
	cancelDial context.CancelFunc
	peer       session.Peer // used by the session of conn
	version    protocol.Version
	name0      int // which of our names the peer knows
	status     linkStatus
}

// linkStatus is what `show peers` tells beside the session's own counts.
type linkStatus struct {
	lastStatus    int // of the last handshake, 0 = none
	lastHandshake time.Time
	sessions      uint64
	protocolError uint64
	collisions    uint64
	silent        uint64
}

func newLink(h *Hub, name, address string) *link {
	l := &link{
		hub:     h,
		name:    name,
		address: address,
		version: protocol.Version21,
		log:     h.cfg.Log.With().Str("peer", name).Logger(),
	}
	l.stale.Store(true)
	return l
}

// How long an incoming connection waits for what else is under way with the
// same peer. A restarted HAProxy has to get its answer well within the 5 s in
// which it still asks for a lesson.
const (
	dialPatience  = time.Second
	probePatience = 500 * time.Millisecond
)

// admit settles what becomes of an incoming connection whose hello was good,
// and returns the connection if it is to be answered with "200": it is the
// link's from then on. For others a reason is returned, and they are to be
// closed without a status, for HAProxy doesn't dial again after any but 200.
//
//   - While our own dial has not sent its hello, it is given up.
//   - When it has, HAProxy drops its own dial, this one, in favour of ours. So
//     the outcome of ours is waited for.
//   - Beside an established session, HAProxy dials either because it has lost
//     it or was restarted, and then this one takes its place; or it has given
//     this dial up long ago (a refused connect is retried at steps of a second,
//     and in between we dialled it), and then closing the session for it would
//     lose both. The established session is asked for a sign of life: only a
//     living one gives it.
func (l *link) admit(ctx context.Context, in net.Conn, hello protocol.Hello) (c *conn, reason string) {
	for waited := false; ; waited = true {
		if waited && !quiet(in) {
			return nil, "it was closed by the peer"
		}
		l.mu.Lock()
		established, dialed := l.conn, l.dialed
		if established == nil && dialed == nil {
			if l.cancelDial != nil {
				l.cancelDial()
			}
			c := l.claim(in, hello.Version)
			c.pid = hello.PID
			l.mu.Unlock()
			return c, ""
		}
		l.status.collisions++
		l.mu.Unlock()
		switch {
		case dialed != nil:
			select {
			case <-dialed:
			case <-time.After(dialPatience):
				return nil, "our own dial is still unanswered"
			case <-ctx.Done():
				return nil, "shutting down"
			}
		case established.alive(ctx, hello.PID):
			established.nudge()
			return nil, "the session with that peer is alive"
		default:
			established.close(errReplaced)
			<-established.done
		}
	}
}

// quiet reports whether nothing has come on a connection, not even its end:
// before the status nothing may.
func quiet(nc net.Conn) bool {
	nc.SetReadDeadline(time.Now().Add(time.Millisecond))
	var b [1]byte
	_, err := nc.Read(b[:])
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// claim makes c the link's connection. l.mu is held, and there is no other.
func (l *link) claim(nc net.Conn, v protocol.Version) *conn {
	c := newConn(l, nc, v)
	l.conn = c
	return c
}

// released is told by a connection that it is over.
func (l *link) released(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == c {
		l.conn = nil
	}
}

// localName is the name that we say of ourselves: the one by which the peer
// called us, where it did, or another one each time that it knew none.
func (l *link) localName() string {
	names := l.hub.cfg.Names
	return names[l.name0%len(names)]
}
