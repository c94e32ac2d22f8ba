package peersync

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/sync/session"
	"github.com/peersd/peersd/table"
)

// writeTimeout is how long a peer may take to read what it was sent. HAProxy
// gives up a reader that stalls after 4.9 s (2.6: 7.6 s).
const writeTimeout = 10 * time.Second

// drainTimeout is how long is read on from a peer that can't be written to.
const drainTimeout = time.Second

// The end of the process: how long a write that is under way may take, how long is
// read on from a peer after our last byte, and all of it together.
const (
	lastWrite      = 400 * time.Millisecond
	lastRead       = 300 * time.Millisecond
	shutdownAtMost = 800 * time.Millisecond
)

var (
	errReplaced = errors.New("the peer has made a new connection")
	errRedialed = errors.New("the peer was dialled anew, for a long lesson")
	errShutdown = errors.New("shutting down")
)

// A conn is one established connection: a session, a goroutine that reads into
// it and one that writes out of it.
type conn struct {
	link    *link
	nc      net.Conn
	reader  rareReader // of nc
	path    path       // that nc takes
	version protocol.Version
	dialed  bool // by us
	began   time.Time

	wake    chan struct{} // one slot: there may be something to write
	done    chan struct{} // closed when all is over
	closing chan struct{} // closed when it is to end
	deaf    chan struct{} // closed when nothing is read any more
	end     sync.Once
	why     error // set before closing is closed

	mu      sync.Mutex
	session *session.Session
	lessons lessonLog
	blamed  bool      // the peer has said that we are wrong, and the log has it
	partial time.Time // since when its lessons are, zero where the last one was not
}

func newConn(l *link, nc net.Conn, v protocol.Version) *conn {
	c := &conn{
		link:    l,
		nc:      nc,
		version: v,
		began:   time.Now(),
		wake:    make(chan struct{}, 1),
		done:    make(chan struct{}),
		closing: make(chan struct{}),
		deaf:    make(chan struct{}),
	}
	c.reader.nc, c.path = nc, newPath(nc)
	c.session = session.New(c.began, session.Config{
		Version:    v,
		Tables:     l.hub.cfg.Tables,
		Began:      l.hub.began,
		Peer:       &l.peer,
		Origin:     l.origin,
		UpToDate:   func() bool { return l.hub.upToDate(l) },
		Expecting:  func() bool { return l.hub.expecting(l) },
		MaxUpdates: l.hub.cfg.MaxUpdates,
		TeachRate:  l.hub.cfg.TeachRate,
		MaxTables:  l.hub.limits.tables.value, MaxDataTypes: l.hub.limits.dataTypes.value,
		Notify: c.notify,
	})
	return c
}

// abandon ends a connection that was never run.
func (c *conn) abandon() {
	c.nc.Close()
	c.link.released(c)
	close(c.done)
}

// run reads and writes until the connection ends. rest is what was read along
// with the handshake.
func (c *conn) run(ctx context.Context, rest []byte) {
	l := c.link
	l.stale.Store(true)
	l.mu.Lock()
	l.status.sessions++
	l.troubles.refusal = ""
	l.mu.Unlock()
	log := l.log.With().Stringer("address", c.nc.RemoteAddr()).Logger()
	log.Info().Stringer("version", c.version).Bool("dialed", c.dialed).Msg("session established")

	stop := context.AfterFunc(ctx, c.shutDown)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(c.deaf)
		c.close(c.read(rest))
	})
	wg.Go(c.write)
	wg.Wait()

	l.stale.Store(true)
	l.mu.Lock()
	l.troubles.ended = time.Now()
	l.mu.Unlock()
	c.count()
	event := log.Info()
	if isFault(c.why) {
		event = log.Warn()
	}
	event.Dur("lasted", time.Since(c.began).Round(time.Millisecond)).Msg("session closed: " + describe(c.why))
	l.released(c)
	close(c.done)
}

// close makes the connection end; why is for the log. Only the first call
// counts. Nothing more is sent, not even what is being written, unless the peer
// is to be told what it did wrong, or it is us who end.
func (c *conn) close(why error) {
	c.end.Do(func() {
		c.why = why
		close(c.closing)
	})
	switch {
	case errors.Is(why, errShutdown):
		c.nc.SetWriteDeadline(time.Now().Add(lastWrite))
	case len(session.AppendError(nil, why)) == 0:
		c.nc.Close()
	}
}

// shutDown ends the connection with the end of a message, where the peer reads
// that in time.
func (c *conn) shutDown() {
	c.close(errShutdown)
	select {
	case <-c.done:
	case <-time.After(shutdownAtMost):
		c.nc.Close()
	}
}

// framesAtOnce is how many messages the session takes at once. It is locked for
// so long.
const framesAtOnce = table.MaxArrivals

// read feeds the session until the connection ends.
func (c *conn) read(rest []byte) error {
	r := protocol.NewReaderSize(io.MultiReader(bytes.NewReader(rest), &c.reader), c.link.hub.limits.message.value)
	var frames []protocol.Frame
	for {
		if len(frames) == cap(frames) { // there may be more at once
			frames = make([]protocol.Frame, 0, min(max(2*cap(frames), 16), framesAtOnce))
		}
		var err error
		if frames, err = r.NextAll(frames[:0]); err != nil {
			return err
		}
		now := time.Now()
		c.mu.Lock()
		before := c.session.Stats().Added
		err = c.session.Receive(now, frames...)
		added, heard := c.session.Stats().Added-before, c.session.Heard()
		c.mu.Unlock()
		if err != nil {
			return err
		}
		if heard {
			c.wakeUp()
		}
		if wait := c.link.bucket.take(now, int(added)); wait > 0 {
			c.rest(wait)
		}
	}
}

// rest lets the peer wait by reading nothing for a while, which is short: of what
// is received at once there is no more than framesAtOnce. Everything else goes on.
func (c *conn) rest(d time.Duration) {
	c.link.hub.limits.learnRate.reach(c.link.name)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.closing:
	}
}

// hurry makes the lesson under way go out as fast as the peer takes it.
func (c *conn) hurry() {
	c.mu.Lock()
	c.session.Hurry()
	c.mu.Unlock()
	c.wakeUp()
}

func (c *conn) wakeUp() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// write sends what the session has to say, as long as there is something, and
// then waits for the next occasion. It closes the network connection at the
// end, so that the reader ends too.
func (c *conn) write() {
	defer c.nc.Close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var buf []byte
	for {
		select {
		case <-c.closing:
			c.farewell()
			return
		default:
		}
		now := time.Now()
		c.mu.Lock()
		err := c.session.Tick(now)
		if c.session.Watching() {
			c.session.Watch(c.path.look())
		}
		buf = c.session.AppendOutput(now, buf[:0])
		deadline := c.session.Deadline()
		teaching := c.session.Teaching()
		c.mu.Unlock()
		c.reader.wakeRarely(teaching) // the confirm behind the lesson is awaited
		if err != nil {
			c.close(err)
			continue
		}
		if len(buf) > 0 {
			c.nc.SetWriteDeadline(now.Add(writeTimeout))
			if isClosed(c.closing) {
				continue // the deadline may have been an earlier one
			}
			if _, err := c.nc.Write(buf); err != nil {
				// What the peer sent before it went is still to be read.
				c.reader.endBy(time.Now().Add(drainTimeout))
				<-c.closing
			}
			continue
		}
		timer.Reset(time.Until(deadline))
		select {
		case <-c.wake:
		case <-timer.C:
		case <-c.closing:
		}
	}
}

// farewell tells the peer what it did wrong, where it did, or ends what it is sent
// where it is us who end.
func (c *conn) farewell() {
	if errors.Is(c.why, errShutdown) {
		c.takeLeave()
		return
	}
	b := session.AppendError(nil, c.why)
	if len(b) == 0 {
		return
	}
	c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err := c.nc.Write(b); err == nil {
		linger(c.nc)
	}
}

// takeLeave ends the stream, and lets the reader take what the peer still sends:
// closing a connection with unread bytes resets it, and what was sent last may be
// lost with it.
func (c *conn) takeLeave() {
	if w, ok := c.nc.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
		c.reader.endBy(time.Now().Add(lastRead))
		<-c.deaf
	}
}

// outlives returns why an incoming connection of the same peer is to be closed
// in favour of c, if it is. Otherwise c is over. The pid of a hello is of no
// help: in a reload the old process may dial once more, after the new one.
func (c *conn) outlives(in net.Conn) (reason string) {
	alive, answered := false, c.ask()
	enough := func() bool {
		alive = answered()
		return alive || isClosed(c.done)
	}
	switch {
	case !quiet(in, probePatience, enough):
		return goneMeanwhile
	case alive:
		return sessionAlive
	}
	c.close(errReplaced)
	<-c.done
	return ""
}

// ask makes the peer give a sign of life, and returns what tells whether it
// did. One that is being taught can't be asked: there any message is one.
func (c *conn) ask() (answered func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked, pongs, heard := c.session.Ping(), c.session.Pongs(), c.session.LastHeard()
	c.wakeUp()
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if asked {
			return c.session.Pongs() > pongs
		}
		return c.session.LastHeard().After(heard)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// count keeps the reasons of ended sessions that `show peers` and `show limits`
// tell. What a peer that broke the protocol has begun is undone.
func (c *conn) count() {
	l := c.link
	l.mu.Lock()
	defer l.mu.Unlock()
	var broken *protocol.Error
	switch {
	case errors.As(c.why, &broken):
		l.status.protocolError++
		c.mu.Lock()
		c.session.TakeBack()
		c.mu.Unlock()
	case errors.Is(c.why, session.ErrSilent), errors.Is(c.why, session.ErrStalled):
		l.status.silent++
	}
	if broken != nil && broken.Reply == protocol.SizeLimit {
		l.hub.limits.message.reach(l.name)
	}
}

// isFault reports whether a session ended by what an operator should look at.
func isFault(why error) bool {
	var broken *protocol.Error
	return errors.As(why, &broken) || errors.Is(why, session.ErrSilent) || errors.Is(why, session.ErrStalled)
}

func describe(why error) string {
	var broken *protocol.Error
	switch {
	case errors.As(why, &broken):
		return "the peer broke the protocol: " + broken.Reason
	case errors.Is(why, io.EOF):
		return "by the peer"
	case errors.Is(why, io.ErrUnexpectedEOF):
		return "by the peer, within a message"
	}
	return short(why).Error()
}
