package e2e

import (
	"net"
	"sync"
	"testing"
)

// What a relay can do to a connection but pass it on.

// A bend makes an end of a connection.
type bend func(*net.TCPConn) end

// bend sets what becomes of the connections of a wire that is shut: of the ends at
// peersd, and of those at HAProxy, whoever dials. What is written to an end goes to
// that one; nil is nothing.
func (w *wire) bend(atPeersd, atHAProxy bend) {
	with := func(f bend, c *net.TCPConn) end {
		if f == nil {
			return c
		}
		return f(c)
	}
	w.toPeersd.bend = func(c *net.TCPConn, called bool) end {
		if called {
			return with(atPeersd, c)
		}
		return with(atHAProxy, c)
	}
	w.toHAProxy.bend = func(c *net.TCPConn, called bool) end {
		if called {
			return with(atHAProxy, c)
		}
		return with(atPeersd, c)
	}
}

// A gate lets a number of bytes through; what comes behind them waits until it is
// opened. So a lesson can be held in its middle for as long as a test likes.
type gate struct {
	closed chan struct{} // closed when something waits
	opened chan struct{} // closed when nothing does any more

	mu   sync.Mutex
	left int
	lost bool // what waited
}

// newGate returns one that the end of the test opens.
func newGate(t testing.TB, bytes int) *gate {
	g := &gate{left: bytes, closed: make(chan struct{}), opened: make(chan struct{})}
	t.Cleanup(g.open)
	return g
}

// open lets everything through from now on.
func (g *gate) open() { g.release(false) }

// lose is open for new connections. Those that wait are reset, with all that they
// held, as when a machine dies.
func (g *gate) lose() { g.release(true) }

func (g *gate) release(lost bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !isClosed(g.opened) {
		g.lost = lost
		close(g.opened)
	}
}

// pass returns how many of n bytes may go now.
func (g *gate) pass(n int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if isClosed(g.opened) {
		return n
	}
	n = min(n, g.left)
	if g.left -= n; g.left == 0 && !isClosed(g.closed) {
		close(g.closed)
	}
	return n
}

// wait returns when what waits may go, or is lost.
func (g *gate) wait() (lost bool) {
	<-g.opened
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lost
}

// before is for [wire.bend]: the gate stands before that end.
func (g *gate) before(c *net.TCPConn) end { return &gated{c, g} }

type gated struct {
	*net.TCPConn
	gate *gate
}

func (c *gated) Write(b []byte) (int, error) {
	n := c.gate.pass(len(b))
	m, err := c.TCPConn.Write(b[:n])
	if n == len(b) || err != nil {
		return m, err
	}
	if c.gate.wait() {
		c.SetLinger(0)
		return m, net.ErrClosed
	}
	k, err := c.TCPConn.Write(b[n:])
	return m + k, err
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
