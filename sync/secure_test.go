package peersync

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peersd/peersd/protocol"
)

// A secured is a connection with a handshake of its own.
type secured struct {
	net.Conn
	handshake func(ctx context.Context) error
}

func (s *secured) HandshakeContext(ctx context.Context) error { return s.handshake(ctx) }

// lasting is a handshake that is over after some time, unless it is given up.
func lasting(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func failing(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

// connectSecured is connect, where who accepts has such a handshake to do.
func (r *running) connectSecured(handshake func(context.Context) error) *remote {
	ours, theirs := net.Pipe()
	r.in.pipes <- &secured{theirs, handshake}
	p := newRemote(r.t, ours)
	p.run()
	return p
}

// Who is accepted is heard after its handshake.
func TestSecuredCall(t *testing.T) {
	for name, c := range map[string]struct {
		handshake func(context.Context) error
		lasts     time.Duration
		log       string // in which the session is, or why there is none
	}{
		"good":                   {lasting(0), 0, "session established"},
		"slow":                   {lasting(4 * time.Second), 4 * time.Second, "session established"},
		"too slow":               {lasting(6 * time.Second), handshakeTimeout, `"level":"warn","address":"pipe","peer":"","message":"connection refused: not secure: context deadline exceeded"`},
		"bad":                    {failing(errors.New("it is a stranger")), 0, `"level":"warn","address":"pipe","peer":"","message":"connection refused: not secure: it is a stranger"`},
		"over, as health checks": {failing(io.EOF), 0, `"level":"debug","address":"pipe","peer":"","message":"connection refused: closed before its hello was complete"`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, &network{}, Config{})
				defer r.stop()
				began := time.Now()
				p := r.connectSecured(c.handshake)
				defer p.conn.Close()
				go p.conn.Write([]byte("HAProxyS 2.1\npeersd\nlb1 17 1\n"))
				good := strings.HasPrefix(c.log, "session")
				if !good {
					<-p.read
				} else {
					time.Sleep(c.lasts)
				}
				if d := time.Since(began); d != c.lasts {
					t.Errorf("after %v, not %v", d, c.lasts)
				}
				p.expectOver(!good)
				if want := map[bool]string{true: "200"}[good]; want != p.texts() {
					t.Errorf("got %q, want %q", p.texts(), want)
				}
				r.expectLog(c.log)
			})
		})
	}
}

// Who speaks TLS where there is none gets no status, and may come again.
func TestUnexpectedTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		p := r.connect()
		p.run()
		go p.conn.Write([]byte("\x16\x03\x01\x02\x00\x01"))
		p.expectOver(true)
		p.expect("")
		r.expectLog("connection refused: it speaks TLS, and we don't; write ssl and crt on our bind line")
	})
}

// A securedDialer is a Dialer of connections with a handshake.
type securedDialer struct {
	network   *network
	handshake func(context.Context) error
}

func (d *securedDialer) Dial(ctx context.Context) (net.Conn, error) {
	nc, err := d.network.dial(ctx, "", "secret")
	if err != nil {
		return nil, err
	}
	return &secured{nc, d.handshake}, nil
}

// Who is dialled gets a hello after the handshake, or the end.
func TestSecuredDial(t *testing.T) {
	for name, c := range map[string]struct {
		handshake func(context.Context) error
		log       string
	}{
		"good":     {lasting(3 * time.Second), "session established"},
		"too slow": {lasting(6 * time.Second), "can't connect securely: context deadline exceeded"},
		"bad":      {failing(errors.New("it is a stranger")), "can't connect securely: it is a stranger"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{}
				l := n.listen("secret")
				r := start(t, n, Config{Peers: []Peer{{Name: "lb1", Address: "lb1:1", Dialer: &securedDialer{n, c.handshake}}}})
				defer r.stop()
				if name == "good" {
					p := answer(t, l)
					p.status(protocol.StatusSuccess)
					defer p.conn.Close()
				} else {
					nc := <-l.pipes
					if n, err := nc.Read(make([]byte, 1)); n > 0 || err == nil {
						t.Error("it gets a byte")
					}
				}
				r.expectLog(c.log)
			})
		})
	}
}

// While our handshake is under way, the peer calls: ours is given up, as HAProxy has
// no hello of it.
func TestCallInSecuredDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		l := n.listen("secret")
		r := start(t, n, Config{Peers: []Peer{{Name: "lb1", Address: "lb1:1", Dialer: &securedDialer{n, lasting(3 * time.Second)}}}})
		defer r.stop()
		dialled := <-l.pipes
		p := r.call("lb1")
		p.expect("200")
		if _, err := dialled.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("what we have dialled: %v, want its end", err)
		}
		p.conn.Close()
	})
}

// A name is checked by the connection, once nothing else is wrong.
func TestCheckName(t *testing.T) {
	for name, c := range map[string]struct {
		hello, want, log string
		asked            bool
	}{
		"its own":      {"HAProxyS 2.1\npeersd\nlb1 12 1\n", "200", "session established", true},
		"of another":   {"HAProxyS 2.1\npeersd\nlb2 12 1\n", "504", "connection refused: lb2 is not in its certificate", true},
		"to another":   {"HAProxyS 2.1\nlb9\nlb1 12 1\n", "503", "lb9", false},
		"of ourselves": {"HAProxyS 2.1\npeersd\npeersd 12 1\n", "504", "our own name", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := false
				r := start(t, &network{}, Config{CheckName: func(nc net.Conn, name string) error {
					if _, ok := nc.(*secured); !ok {
						t.Errorf("asked of %T", nc)
					}
					asked = true
					if name != "lb1" {
						return errors.New(name + " is not in its certificate")
					}
					return nil
				}})
				defer r.stop()
				p := r.connectSecured(lasting(0))
				defer p.conn.Close()
				p.send(c.hello)
				p.expect(c.want)
				r.expectLog(c.log)
				if asked != c.asked {
					t.Errorf("asked: %v", asked)
				}
			})
		})
	}
}

// A tlsLike is a connection around a socket, as one with TLS is.
type tlsLike struct{ net.Conn }

func (t tlsLike) NetConn() net.Conn { return t.Conn }

// Where records could wait, no few bytes do.
func TestRareReaderOfTLS(t *testing.T) {
	ours, _ := sockets(t)
	r := rareReader{nc: struct{ net.Conn }{ours}}
	if r.wakeRarely(true); r.rarely {
		t.Error("few bytes may wait")
	}
}
