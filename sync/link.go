package peersync

import (
	"context"
	"errors"
	"math/rand/v2"
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
	origin  uint8  // a number of its own, as long as there are no 255 others
	log     zerolog.Logger

	// Connections that have said the peer's name, the session's too, and since
	// when there is none; both are the hub's.
	users int
	left  time.Time

	// stale: we may lack something of this peer. It is so until a lesson of
	// its, given when it was up to date, is over, and again from the end of
	// that session on.
	stale atomic.Bool
	// expected is up to when a lesson of its may come any moment, in ns since 1970,
	// 0 where it may not. So it is while it is dialled for the first time, and from
	// the beginning of a session until its lesson or the session is over; but not
	// while it is being taught, nor for more than expectedAtMost.
	expected atomic.Int64

	defined atomic.Bool // a table, at some time

	// better has one slot: a connection that we make is better than this one.
	better chan *conn

	mu         sync.Mutex
	conn       *conn              // established, or about to be: closed before another one
	cancelDial context.CancelFunc // gives up a dial that has not sent its hello yet
	attempt    *attempt           // a dial that has, nil without one
	peer       session.Peer       // used by the session of conn
	bucket     bucket             // used by the reader of conn
	version    protocol.Version
	name0      int // which of our names the peer knows
	status     linkStatus
	troubles   linkTroubles
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
		origin:  h.origins.take(),
		bucket:  bucket{rate: h.limits.learnRate.value},
		version: protocol.Version21,
		better:  make(chan *conn, 1),
		log:     h.cfg.Log.With().Str("peer", name).Logger(),
	}
	l.stale.Store(true)
	if address != "" {
		l.expect()
	}
	return l
}

// expectedAtMost is how long a lesson is expected: who never gives one, as HAProxy 2.6
// with many tables, is not to put off the end of all others.
const expectedAtMost = 10 * time.Second

func (l *link) expect() { l.expected.Store(time.Now().Add(expectedAtMost).UnixNano()) }

// An attempt is a connection that we made, and on which the status is to come.
type attempt struct {
	nc   net.Conn
	over chan struct{} // closed when it came, or will not come

	once    sync.Once // for what is first, the status or that it is given up
	givenUp bool
}

func (a *attempt) giveUp() {
	a.once.Do(func() {
		a.givenUp = true
		a.nc.Close()
	})
}

// succeeds reports whether the status came before the attempt was given up. It
// is not given up any more then.
func (a *attempt) succeeds() bool {
	a.once.Do(func() {})
	return !a.givenUp
}

// How long an incoming connection waits for what else is under way with the
// same peer. A restarted HAProxy has to get its answer well within the 5 s in
// which it still asks for a lesson.
const (
	dialPatience  = 700 * time.Millisecond
	probePatience = 500 * time.Millisecond
)

// admit settles what becomes of an incoming connection whose hello was good,
// and returns the connection if it is to be answered with "200": it is the
// link's from then on. For others a reason is returned, and they are to be
// closed without a status, for HAProxy doesn't dial again after any but 200.
//
//   - While our own dial has not sent its hello, it is given up.
//   - When it has, HAProxy drops its own dial, this one, in favour of ours. So
//     the outcome of ours is waited for. If there is none, ours leads nowhere,
//     and this one is taken.
//   - Beside an established session, HAProxy dials either because it has lost
//     it or was restarted, and then this one takes its place; or it has given
//     this dial up long ago (a refused connect is retried at steps of a second,
//     and in between we dialled it), and then closing the session for it would
//     lose both. HAProxy closes a dial of the second kind right after its
//     hello. Where that takes it longer, only a living session can answer us.
func (l *link) admit(in net.Conn, hello protocol.Hello) (c *conn, reason string) {
	for {
		l.mu.Lock()
		established, attempt := l.conn, l.attempt
		if established == nil && attempt == nil {
			if l.cancelDial != nil {
				l.cancelDial()
			}
			c := l.claim(in, hello.Version)
			l.mu.Unlock()
			return c, ""
		}
		l.status.collisions++
		l.mu.Unlock()
		if attempt != nil {
			reason = attempt.outlives(in)
		} else {
			reason = established.outlives(in)
		}
		if reason != "" {
			return nil, reason
		}
	}
}

// Why an incoming connection is closed.
const (
	madeWay       = "too many were waiting, and it the longest"
	goneMeanwhile = "the peer closed it right after its hello"
	sessionAlive  = "the session with that peer is alive"
)

// outlives returns why the incoming connection is to be closed in favour of
// the attempt, if it is. Otherwise the attempt is over.
func (a *attempt) outlives(in net.Conn) (reason string) {
	// Two peersds that dial each other must not give up at the same instant.
	patience := dialPatience + rand.N(dialPatience/2)
	if !quiet(in, patience, func() bool { return isClosed(a.over) }) {
		return goneMeanwhile
	}
	a.giveUp()
	<-a.over
	return ""
}

// quiet reports whether nothing comes on a connection, not even its end,
// before enough says that it was waited for enough, or for long: before the
// status nothing may come.
func quiet(nc net.Conn, long time.Duration, enough func() bool) bool {
	var b [1]byte
	for end := time.Now().Add(long); ; {
		nc.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		if _, err := nc.Read(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		if enough() || time.Now().After(end) {
			return true
		}
	}
}

// claim makes c the link's connection. l.mu is held, and there is no other.
func (l *link) claim(nc net.Conn, v protocol.Version) *conn {
	c := newConn(l, nc, v)
	l.conn = c
	l.expect()
	return c
}

// released is told by a connection that it is over.
func (l *link) released(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == c {
		l.conn = nil
		l.expected.Store(0)
	}
}

// nudge makes heartbeats go out on the established connection, if there is one,
// now and shortly after.
func (l *link) nudge() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.conn; c != nil {
		c.mu.Lock()
		c.session.Nudge(time.Now())
		c.mu.Unlock()
		c.wakeUp()
	}
}

// localName is the name that we say of ourselves: the one by which the peer
// called us, where it did, or another one each time that it knew none.
func (l *link) localName() string {
	names := l.hub.cfg.Names
	return names[l.name0%len(names)]
}
