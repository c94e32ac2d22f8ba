package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A relay passes TCP connections on, and can do to them what a network does.
// To begin with it is shut: connects are refused.
type relay struct {
	t              testing.TB
	listen, target string
	deaf           bool // new connections are accepted, and that is all
	narrow         bool // sockets hold little, so that who sends has to wait soon

	// bend makes more of a connection than passing it on, where it is set:
	// called says that it is the one to the target.
	bend func(c *net.TCPConn, called bool) end

	mu        sync.Mutex
	listener  net.Listener
	accepting sync.WaitGroup // the listener is not closed before this is over
	pairs     []*relayed
}

// An end is one of the two connections that a relayed one consists of.
type end interface {
	io.ReadWriteCloser
	SetLinger(sec int) error
}

// relayed is one connection, or rather the two that it consists of: that of who
// called, and that to the target.
type relayed struct {
	ends   [2]end
	frozen atomic.Bool
}

// narrowly sets how little a socket holds: segments of 1000 bytes, of which HAProxy
// and peersd keep few, and a window of some 16 KiB. Without it loopback takes 2 MiB.
func narrowly(_, _ string, c syscall.RawConn) error {
	var refused error
	err := c.Control(func(fd uintptr) {
		refused = errors.Join(
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 1000),
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10),
		)
	})
	return errors.Join(err, refused)
}

func (r *relay) listenTCP() (net.Listener, error) {
	var c net.ListenConfig
	if r.narrow {
		c.Control = narrowly
	}
	return c.Listen(context.Background(), "tcp", r.listen)
}

func (r *relay) dialTCP() (*net.TCPConn, error) {
	d := net.Dialer{Timeout: time.Second}
	if r.narrow {
		d.Control = narrowly
	}
	c, err := d.Dial("tcp", r.target)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

func (r *relay) bent(c *net.TCPConn, called bool) end {
	if r.bend == nil {
		return c
	}
	return r.bend(c, called)
}

// open makes the relay accept connections, if it does not yet.
func (r *relay) open() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		return
	}
	l, err := r.listenTCP()
	// A child that is being started has, for a moment, what we had open.
	for end := time.Now().Add(time.Second); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
		l, err = r.listenTCP()
	}
	if err != nil {
		r.t.Errorf("relay: %v", err)
		return
	}
	r.listener = l
	r.accepting.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.pass(c.(*net.TCPConn))
		}
	})
}

// shut closes all connections; new ones are refused.
func (r *relay) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		r.listener.Close()
		r.accepting.Wait()
	}
	for _, p := range r.pairs {
		p.close()
	}
	r.listener, r.pairs = nil, nil
}

// connected reports whether there is a connection.
func (r *relay) connected() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pairs) == 0 {
		return errors.New("nobody is connected")
	}
	return nil
}

// freeze keeps all connections open but passes nothing on any more, not even
// that one end is closed. Connections that are made later are not affected.
func (r *relay) freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pairs {
		p.frozen.Store(true)
	}
}

func (r *relay) pass(in *net.TCPConn) {
	p := &relayed{ends: [2]end{in, in}}
	if !r.deaf {
		out, err := r.dialTCP()
		if err != nil {
			in.Close()
			return
		}
		p.ends = [2]end{r.bent(in, false), r.bent(out, true)}
	}
	r.mu.Lock()
	shut := r.listener == nil
	r.pairs = append(r.pairs, p)
	r.mu.Unlock()
	switch {
	case shut:
		p.close()
	case !r.deaf:
		go p.copy(0, 1)
		p.copy(1, 0)
	}
}

// copy ends when either end is closed, and closes both, a reset with a reset;
// or when the connection is frozen.
func (p *relayed) copy(to, from int) {
	buf := make([]byte, 65536)
	for {
		n, err := p.ends[from].Read(buf)
		if p.frozen.Load() {
			return
		}
		if _, werr := p.ends[to].Write(buf[:n]); err == nil && werr != nil {
			err = werr
		}
		if errors.Is(err, syscall.ECONNRESET) {
			p.ends[to].SetLinger(0)
		}
		if err != nil {
			p.close()
			return
		}
	}
}

func (p *relayed) close() {
	p.ends[0].Close()
	p.ends[1].Close()
}
