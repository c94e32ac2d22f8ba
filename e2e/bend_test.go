package e2e

import (
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
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

// random returns a source of chance that the test can be given again: the seed is in
// its log, and PEERSD_SEED sets it.
func random(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("PEERSD_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("PEERSD_SEED is no number: %v", err)
		}
	}
	t.Logf("PEERSD_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// A chopper cuts what goes through it into pieces of 1 to 7 bytes, and joins what
// comes in many.
type chopper struct {
	mu     sync.Mutex
	random *rand.Rand
}

func (c *chopper) below(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.random.IntN(n)
}

// before is for [wire.bend].
func (c *chopper) before(nc *net.TCPConn) end { return &chopped{TCPConn: nc, chopper: c} }

type chopped struct {
	*net.TCPConn
	chopper *chopper
	written int
}

// early is how many bytes go out one piece after the other in time too, so that
// nobody joins them again: the handshake is among them.
const early = 400

func (c *chopped) Write(b []byte) (n int, err error) {
	for n < len(b) {
		piece := min(1+c.chopper.below(7), len(b)-n)
		k, err := c.TCPConn.Write(b[n : n+piece])
		n += k
		if err != nil {
			return n, err
		}
		c.written += k
		if c.written < early || c.chopper.below(500) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return n, nil
}

// Read waits at times, so that more has come.
func (c *chopped) Read(b []byte) (int, error) {
	if c.chopper.below(4) == 0 {
		time.Sleep(2 * time.Millisecond)
	}
	return c.TCPConn.Read(b)
}

// A cutter ends connections, by FIN and RST in turn, after a random number of bytes,
// within a message most likely, or a random time. One in many lives for longer: who
// dials again and again in vain does so less and less often.
type cutter struct {
	mu      sync.Mutex
	random  *rand.Rand
	cutting bool
	count   int
}

const (
	cutBytes = 4000
	cutTime  = 100 * time.Millisecond
	// oneIn connections lives for longer than peersd takes for a short session.
	oneIn    = 30
	longLife = 1500 * time.Millisecond
)

// start cuts what is there and what comes; stop lets all live.
func (c *cutter) start() { c.set(true) }
func (c *cutter) stop()  { c.set(false) }

func (c *cutter) set(cutting bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutting = cutting
}

// before is for [wire.bend], at both ends.
func (c *cutter) before(nc *net.TCPConn) end {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.count / 2 // both ends of a connection
	c.count++
	if n%2 == 0 {
		nc.SetLinger(0)
	}
	e := &cuttable{TCPConn: nc, cutter: c, left: c.random.IntN(cutBytes)}
	lives := time.Duration(c.random.Int64N(int64(cutTime)))
	if n%oneIn == oneIn-1 {
		e.left, lives = 1<<30, longLife
	}
	time.AfterFunc(lives, func() {
		if c.cuts() {
			nc.Close()
		}
	})
	return e
}

func (c *cutter) cuts() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cutting
}

type cuttable struct {
	*net.TCPConn
	cutter *cutter
	left   int
}

func (c *cuttable) Write(b []byte) (int, error) {
	if !c.cutter.cuts() {
		return c.TCPConn.Write(b)
	}
	n := min(len(b), c.left)
	c.left -= n
	m, err := c.TCPConn.Write(b[:n])
	if err == nil && n < len(b) {
		err = net.ErrClosed // and the relay closes both
	}
	return m, err
}
