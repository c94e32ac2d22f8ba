package peersync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"time"

	"github.com/peersd/peersd/protocol"
)

// How often a peer is dialled while there is no session with it. A HAProxy
// asks for a lesson only within 5 s of its start: for that long, a few times a
// second; then less and less, but never so seldom that a window is missed.
const (
	dialEvery   = 200 * time.Millisecond
	dialQuickly = 10 * time.Second // how long dialEvery is kept to
	dialAtMost  = 2 * time.Second
	dialTimeout = time.Second
)

// shortSession is how long a session has to last for its peer to be dialled
// quickly again.
const shortSession = time.Second

// handshakeTimeout is HAProxy's too.
const handshakeTimeout = 5 * time.Second

// A pace is when to dial next.
type pace struct {
	began time.Time // when the peer was lost
	delay time.Duration
}

// slowly is the pace for a peer that may well break the next session too.
var slowly = pace{delay: dialAtMost}

// next is how long to wait after an attempt that began at now.
func (p *pace) next(now time.Time) time.Duration {
	if now.Sub(p.began) < dialQuickly {
		p.delay = dialEvery
	} else {
		p.delay = min(max(p.delay, dialEvery)*3/2, dialAtMost)
	}
	// Up to a quarter less, so that two that lost each other don't keep step.
	return p.delay - time.Duration(rand.Int64N(int64(p.delay)/4))
}

// dialForever keeps a session with the peer until ctx is done.
func (l *link) dialForever(ctx context.Context) {
	p := pace{began: time.Now()}
	var last error // logged only when it changes
	for ctx.Err() == nil {
		l.mu.Lock()
		c := l.conn
		l.mu.Unlock()
		if c != nil {
			select {
			case <-ctx.Done():
				return
			case old := <-l.better:
				l.redial(ctx, old)
				continue
			case <-c.done:
			}
			last = nil
			if time.Since(c.began) > shortSession {
				p = pace{began: time.Now()}
			}
			if errors.As(c.why, new(*protocol.Error)) {
				p = slowly
			}
		} else if err := l.dial(ctx, nil); err != nil {
			if ctx.Err() == nil && (last == nil || last.Error() != err.Error()) {
				l.log.Info().Str("address", l.address).Msg(err.Error())
			}
			last = err
		} else {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(p.next(time.Now())):
		case old := <-l.better: // the peer has come by itself meanwhile, and asks for much
			l.redial(ctx, old)
		}
	}
}

// errGivenUp: the peer has dialled us and not answered.
var errGivenUp = errors.New("it gives no status, but has dialled us")

// redial puts a connection that we make in the place of c, which the peer has made.
// As the acceptor of a second connection HAProxy keeps that one.
func (l *link) redial(ctx context.Context, c *conn) {
	if err := l.dial(ctx, c); err != nil && ctx.Err() == nil {
		l.log.Warn().Str("address", l.address).Msgf("the lesson is given in a hurry: HAProxy 3.3 and later may close a connection of their own before a long one is over, and it can't be dialled: %v", err)
		c.hurry()
	}
}

// dial makes one attempt, where there is no connection but over, which the new one
// is to replace. It returns nil where there is another connection now.
func (l *link) dial(ctx context.Context, over *conn) error {
	dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	l.mu.Lock()
	if l.conn != over {
		l.mu.Unlock()
		return nil
	}
	l.cancelDial = cancel
	l.mu.Unlock()

	nc, err := l.hub.dial(dialCtx, "tcp", l.address)

	l.mu.Lock()
	l.cancelDial = nil
	if l.conn != over {
		l.mu.Unlock()
		if nc != nil {
			nc.Close()
		}
		return nil
	}
	if err != nil {
		err = fmt.Errorf("can't connect yet: %w", short(err))
		l.missed(over, err)
		l.mu.Unlock()
		return err
	}
	a := &attempt{nc: nc, over: make(chan struct{})}
	l.attempt = a
	hello := protocol.Hello{Version: l.version, Remote: l.name, Local: l.localName(), PID: pid, Relative: 1}
	l.mu.Unlock()

	status, rest, err := shakeHands(ctx, nc, hello)
	if over != nil && err == nil && status == protocol.StatusSuccess {
		over.close(errRedialed) // the peer has closed it
		<-over.done
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	defer close(a.over)
	l.attempt = nil
	if !a.succeeds() {
		err = errGivenUp
	}
	if err == nil {
		l.status.lastStatus, l.status.lastHandshake = int(status), time.Now()
		err = l.answered(status, hello)
	}
	if err != nil {
		l.missed(over, err)
		nc.Close()
		return err
	}
	l.hub.misnamed.settled(l.name)
	c := l.claim(nc, hello.Version)
	c.dialed = true
	l.hub.wg.Go(func() { c.run(ctx, rest) })
	return nil
}

// missed takes note that an attempt has failed: nothing is to be expected of a peer
// with whom there is no other connection. l.mu is held.
func (l *link) missed(over *conn, why error) {
	l.troubles.dialError = why.Error()
	if over == nil {
		l.expected.Store(0)
	}
}

// answered turns a status into what to do about it, and notes where the peer
// refuses us for a name. l.mu is held.
func (l *link) answered(s protocol.Status, hello protocol.Hello) error {
	err := l.judged(s, hello)
	l.troubles.refusal = ""
	if s == protocol.StatusLocal || s == protocol.StatusRemote {
		l.troubles.refusal = err.Error()
	}
	return err
}

func (l *link) judged(s protocol.Status, hello protocol.Hello) error {
	switch s {
	case protocol.StatusSuccess:
		return nil
	case protocol.StatusVersion:
		l.version = protocol.Version20
		return errors.New("it does not speak version 2.1, falling back to 2.0")
	case protocol.StatusLocal:
		return fmt.Errorf("it says %v: its own name is not %q; name it as its -L or localpeer does: --peer NAME=%s",
			s, hello.Remote, l.address)
	case protocol.StatusRemote:
		l.name0++ // the next dial says another one, where we have several
		return fmt.Errorf("it says %v: add \"peer %s ADDRESS:PORT\" to the peers section of its haproxy.cfg", s, l.hub.cfg.Names[0])
	}
	return fmt.Errorf("it says %v", s)
}

// shakeHands says hello and waits for the status. What came behind it is
// returned with it.
func shakeHands(ctx context.Context, nc net.Conn, hello protocol.Hello) (s protocol.Status, rest []byte, err error) {
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	nc.SetDeadline(time.Now().Add(handshakeTimeout))
	defer nc.SetDeadline(time.Time{})
	if _, err := nc.Write(protocol.AppendHello(nil, hello)); err != nil {
		return 0, nil, fmt.Errorf("it closed the connection: %w", short(err))
	}
	var buf [4096]byte
	for n := 0; ; {
		k, err := nc.Read(buf[n:])
		n += k
		if s, size, err := protocol.ParseStatus(buf[:n]); err != nil || size > 0 {
			return s, buf[size:n], err
		}
		if errors.Is(err, io.EOF) {
			return 0, nil, errors.New("it closed the connection without a status")
		}
		if err != nil {
			return 0, nil, fmt.Errorf("it gave no status: %w", short(err))
		}
	}
}

// short strips the addresses, which the log line has already.
func short(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		err = sys.Err
	}
	return err
}
