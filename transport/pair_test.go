package transport

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/config/haproxycfg"
	"github.com/peersd/peersd/internal/testkit"
	"github.com/rs/zerolog"
)

// A pair is a peersd's bind line and its line for a peer, which is at the same
// address: it dials itself.
type pair struct {
	t      *testing.T
	config *haproxycfg.Config
	log    *testkit.Output
	server *Server
	client *Client
	said   haproxycfg.Messages
	in     net.Listener
}

// read reads both lines from a haproxy.cfg. DIR in it is dir.
func read(t *testing.T, dir, global, bind, server string) *pair {
	t.Helper()
	text := fmt.Sprintf("global\n%s\npeers p\n bind 127.0.0.1:1 %s\n server peersd\n server lb1 127.0.0.1:1 %s\n table t type ip size 1k\n",
		global, bind, server)
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, messages := haproxycfg.Read(haproxycfg.Options{Files: []string{file}, LocalPeer: "peersd"})
	if err := messages.Err(); err != nil {
		t.Fatal(err)
	}
	p := &pair{t: t, config: c, log: &testkit.Output{}}
	transport, said := New(c.Global, zerolog.New(p.log), nil)
	p.said = said
	section := c.Peers[0]
	p.server, said = transport.Server(section.Listen)
	p.said = append(p.said, said...)
	p.client, said = transport.Client(section.Remote[0])
	p.said = append(p.said, said...)
	return p
}

// open is read of lines that nothing is wrong with, and listens.
func open(t *testing.T, dir, global, bind, server string) *pair {
	t.Helper()
	p := read(t, dir, global, bind, server)
	if err := p.said.Err(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p.in, p.client.Address.Port = p.server.Wrap(l), l.Addr().(*net.TCPAddr).Port
	return p
}

// greet does the handshake of a connection and sends a byte each way.
func greet(nc net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	if s, ok := nc.(*Conn); ok {
		if err := s.HandshakeContext(context.Background()); err != nil {
			nc.Close()
			return nc, err
		}
	}
	b := []byte("hello")
	if _, err = nc.Write(b); err == nil {
		_, err = io.ReadFull(nc, b)
	}
	if _, secure := nc.(*Conn); !secure && (err != nil || string(b) != "hello") {
		err = io.EOF // all that is known without TLS
	}
	return nc, err
}

// meet returns both ends of a connection, and what each says of the other.
func (p *pair) meet() (ours, theirs net.Conn, err, theirErr error) {
	p.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if ours, err = greet(p.in.Accept()); err != nil && ours != nil {
			ours.Close()
		}
	}()
	if theirs, theirErr = greet(p.client.Dial(context.Background())); theirErr != nil && theirs != nil {
		theirs.Close()
	}
	<-done
	p.t.Cleanup(func() {
		ours.Close()
		theirs.Close()
	})
	return ours, theirs, err, theirErr
}

// expect is meet, with parts of what is said; "" is for a session.
func (p *pair) expect(server, client string) (ours, theirs net.Conn) {
	p.t.Helper()
	ours, theirs, err, theirErr := p.meet()
	for _, e := range []struct {
		end, want string
		got       error
	}{{"accepts", server, err}, {"dials", client, theirErr}} {
		if e.want == "" && e.got != nil || e.want != "" && (e.got == nil || !strings.Contains(e.got.Error(), e.want)) {
			p.t.Errorf("who %s says %v, want %q", e.end, e.got, e.want)
		}
	}
	return ours, theirs
}
