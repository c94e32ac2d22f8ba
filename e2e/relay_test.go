package e2e

import (
	"errors"
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

	mu        sync.Mutex
	listener  net.Listener
	accepting sync.WaitGroup // the listener is not closed before this is over
	pairs     []*relayed
}

// relayed is one connection, or rather the two that it consists of.
type relayed struct {
	ends   [2]net.Conn
	frozen atomic.Bool
}

// open makes the relay accept connections, if it does not yet.
func (r *relay) open() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listener != nil {
		return
	}
	l, err := net.Listen("tcp", r.listen)
	// A child that is being started has, for a moment, what we had open.
	for end := time.Now().Add(time.Second); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
		l, err = net.Listen("tcp", r.listen)
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
			go r.pass(c)
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

func (r *relay) pass(in net.Conn) {
	p := &relayed{ends: [2]net.Conn{in, in}}
	if !r.deaf {
		out, err := net.DialTimeout("tcp", r.target, time.Second)
		if err != nil {
			in.Close()
			return
		}
		p.ends[1] = out
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
			p.ends[to].(*net.TCPConn).SetLinger(0)
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
