package peersync

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peersd/peersd/protocol"
)

func peer(name string) Peer { return Peer{Name: name, Address: name + ":1"} }

// Peers come and go, and nothing happens to the sessions of the others.
func TestPeersComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		la, lb, lc := n.listen("a:1"), n.listen("b:1"), n.listen("c:1")
		r := start(t, n, Config{Peers: []Peer{peer("a"), peer("b")}})
		defer r.stop()
		a, b := answer(t, la), answer(t, lb)
		a.status(protocol.StatusSuccess)
		b.status(protocol.StatusSuccess)
		b.send(define("t1") + define("t2"))
		a.send(define("t1") + update(1, "10.0.0.1", 1))

		r.SetMembers("dns", Members{Peers: []Peer{peer("c")}})
		c := answer(t, lc)
		c.status(protocol.StatusSuccess)
		for range 100 { // the same once more is no change
			r.Apply(Config{Names: []string{"peersd"}, Peers: []Peer{peer("a"), peer("b")}})
			r.SetMembers("dns", Members{Peers: []Peer{peer("c")}})
		}
		r.Apply(Config{Names: []string{"peersd"}, Peers: []Peer{peer("a")}})
		b.expectOver(true)
		r.expectLog(`"session closed: the peer has no place in the configuration any more"`)
		if names, got := r.names(), r.dump(); names != "a c" || got != "t1 10.0.0.1=1" || len(r.tables.Tables()) != 1 {
			t.Errorf("peers %s, and %s in %d tables", names, got, len(r.tables.Tables()))
		}
		r.call("b").expect("504") // not welcome any more
		for _, p := range []*remote{a, c} {
			p.expectOver(false)
		}
		time.Sleep(10 * time.Second)
		if dials := n.dialled(time.Now().Add(-9 * time.Second)); dials != nil {
			t.Errorf("dialled at %v, though everybody is there, or gone", dials)
		}

		r.SetMembers("dns", Members{})
		c.expectOver(true)
		r.Apply(Config{Names: []string{"peersd"}, Peers: []Peer{peer("a"), peer("b")}})
		again := answer(t, lb)
		again.status(protocol.StatusSuccess)
		time.Sleep(time.Second)
		again.say(protocol.ResyncRequest)
		again.expect("resync request, table definition, timed update, resync partial")
		if s := r.status("a"); s.Sessions != 1 || !s.Established {
			t.Errorf("a: %+v", s)
		}
	})
}

// A peer that is to be found elsewhere is dialled there at once.
func TestPeerMoves(t *testing.T) {
	for name, established := range map[string]bool{"with a session": true, "nobody was there": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{}
				r := start(t, n, Config{Peers: []Peer{peer("a"), peer("b")}})
				defer r.stop()
				var a *remote
				if established {
					a = answer(t, n.listen("a:1"))
					a.status(protocol.StatusSuccess)
				}
				time.Sleep(12 * time.Second) // it is dialled less often now
				b := r.call("b")
				l := n.listen("elsewhere:1")
				r.Apply(Config{Names: []string{"peersd"}, Peers: []Peer{{Name: "a", Address: "elsewhere:1"}, peer("b")}})
				moved := time.Now()
				answer(t, l).status(protocol.StatusSuccess)
				if d := time.Since(moved); d > dialEvery {
					t.Errorf("dialled after %v", d)
				}
				if established {
					a.expectOver(true)
				}
				b.expectOver(false)
				if s := r.status("a"); s.Address != "elsewhere:1" || !s.Established {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// What is under way with a peer that is gone comes to nothing.
func TestPeerGoesWhileDialled(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, n *network) func(){
		"the connection is awaited": func(t *testing.T, n *network) func() {
			n.block()
			return func() {}
		},
		"the status is awaited": func(t *testing.T, n *network) func() {
			l := n.listen("a:1")
			return func() { answer(t, l) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{}
				then := prepare(t, n)
				r := start(t, n, Config{Peers: []Peer{peer("a")}})
				defer r.stop()
				then()
				synctest.Wait()
				r.Apply(Config{Names: []string{"peersd"}})
				n.unblock()
				time.Sleep(10 * time.Second)
				if names, dials := r.names(), n.dialled(time.Time{}); names != "" || len(dials) != 1 {
					t.Errorf("there is %q, dialled %d times", names, len(dials))
				}
			})
		})
	}
}

// A peer without an address any more keeps its session, and is not dialled again.
func TestPeerIsDialledNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		l := n.listen("a:1")
		r := start(t, n, Config{Peers: []Peer{peer("a")}})
		defer r.stop()
		a := answer(t, l)
		a.status(protocol.StatusSuccess)
		r.Apply(Config{Names: []string{"peersd"}, Peers: []Peer{{Name: "a"}}})
		a.expectOver(false)
		a.conn.Close()
		time.Sleep(time.Minute)
		if n := len(n.dialled(time.Time{})); n != 1 {
			t.Errorf("dialled %d times", n)
		}
		r.call("a").expect("200") // it may still come
		r.Apply(Config{Names: []string{"peersd"}, Peers: []Peer{peer("a")}})
	})
}

// The configuration's word counts before that of other sources.
func TestSources(t *testing.T) {
	h := New(Config{Names: []string{"peersd"}, Peers: []Peer{{Name: "a", Address: "config:1"}}})
	h.SetMembers("y", Members{Peers: []Peer{{Name: "a", Address: "y:1"}, {Name: "b", Address: "y:1"}}})
	h.SetMembers("x", Members{Peers: []Peer{{Name: "b", Address: "x:1"}}})
	addresses := func() string {
		s := ""
		for _, p := range h.Status() {
			s += fmt.Sprintf("%s=%s ", p.Name, p.Address)
		}
		return s
	}
	if got := addresses(); got != "a=config:1 b=x:1 " {
		t.Error(got)
	}
	h.Apply(Config{Names: []string{"peersd"}})
	h.SetMembers("x", Members{})
	if got := addresses(); got != "a=y:1 b=y:1 " {
		t.Error(got)
	}
}

// A Dialer is used in the place of TCP, and another one is another way to a peer.
func TestDialer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		l := n.listen("tls+a:1")
		r := start(t, n, Config{Peers: []Peer{{Name: "a", Address: "a:1", Dialer: &prefixed{n}}}})
		defer r.stop()
		first := answer(t, l)
		first.status(protocol.StatusSuccess)
		r.Apply(Config{Names: []string{"peersd"}, Peers: []Peer{{Name: "a", Address: "a:1", Dialer: &prefixed{n}}}})
		answer(t, l).status(protocol.StatusSuccess)
		first.expectOver(true)
	})
}

type prefixed struct{ *network }

func (p *prefixed) Dial(ctx context.Context) (net.Conn, error) {
	return p.dial(ctx, "tcp", "tls+a:1")
}

func TestListenersComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		a, first, second := r.call("a"), r.in, newListener()
		r.SetListeners(first, second)
		r.in = second
		b := r.call("b")
		r.SetListeners(second)
		if !isClosed(first.closed) {
			t.Error("the first listener is open")
		}
		r.call("c").expect("200")
		a.expectOver(false)
		b.expectOver(false)
	})
}

// What counts for who may come, and where a session ends when that changes.
func TestAllow(t *testing.T) {
	for name, c := range map[string]struct {
		peers []Peer
		allow Allow
		// names and addresses that are welcome, and those that aren't
		good, bad []string
	}{
		"nobody":        {good: nil, bad: []string{"a 127.0.0.1:1", "a @"}},
		"peers":         {peers: []Peer{peer("a")}, good: []string{"a 10.0.0.1:1", "a 127.0.0.1:1"}, bad: []string{"b 127.0.0.1:1", "b 10.0.0.1:1 verified"}},
		"this machine":  {allow: Allow{Trusted: true}, good: []string{"a 127.1.2.3:1", "a [::1]:1", "a @", "a [::ffff:127.0.0.1]:1", "a 10.0.0.1:1 verified"}, bad: []string{"a 10.0.0.1:1", "a [2001:db8::1]:1"}},
		"anybody":       {allow: anybody, good: []string{"a 10.0.0.1:1", "b @"}},
		"names":         {allow: Allow{Names: []string{"a", "b"}}, good: []string{"a 10.0.0.1:1", "b @"}, bad: []string{"c 127.0.0.1:1"}},
		"networks":      {allow: Allow{From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}}, good: []string{"a 10.9.9.9:1", "b [::ffff:10.0.0.1]:1", "c [fe80::1%eth0]:1"}, bad: []string{"a 127.0.0.1:1", "a 11.0.0.1:1", "a @"}},
		"peers or some": {peers: []Peer{peer("a")}, allow: Allow{Names: []string{"b"}}, good: []string{"a @", "b @"}, bad: []string{"c @"}},
	} {
		h := New(Config{Names: []string{"peersd"}, Peers: c.peers, Allow: c.allow})
		judge := func(who string) error {
			var g guest
			var address, verified string
			fmt.Sscan(who, &g.name, &address, &verified)
			nc := from(t, "127.0.0.1:1")
			if nc.from = (&net.UnixAddr{Name: "@"}); address != "@" {
				nc = from(t, address)
			}
			if verified != "" {
				return h.knock(newGuest(g.name, withCertificate{nc}))
			}
			return h.knock(newGuest(g.name, nc))
		}
		for _, who := range c.good {
			if err := judge(who); err != nil {
				t.Errorf("%s: %s: %v", name, who, err)
			}
		}
		for _, who := range c.bad {
			if err := judge(who); err == nil {
				t.Errorf("%s: %s is welcome", name, who)
			}
		}
	}
}

type withCertificate struct{ addressed }

func (withCertificate) Verified() bool { return true }

// knock asks whether a guest is welcome, and no more.
func (h *Hub) knock(g guest) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.welcome(g)
}

func TestUnwelcomeAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		a, b, c := r.call("a"), r.call("b"), r.call("c")
		r.Apply(Config{Names: []string{"peersd"}, Peers: []Peer{{Name: "a"}}, Allow: Allow{Names: []string{"b"}}})
		a.expectOver(false)
		b.expectOver(false)
		c.expectOver(true)
		r.expectLog("the peer is not welcome any more")
	})
}

// All names that we go by, and all bounds, are those of the Config that was applied
// last.
func TestApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		a := r.call("a")
		r.Apply(Config{Names: []string{"mirror"}, Allow: anybody, Limits: Limits{Sessions: 1}})
		if got := r.Names(); !slices.Equal(got, []string{"mirror"}) {
			t.Error(got)
		}
		r.call("a").expect("503")
		b := r.callAs("HAProxyS 2.1\nmirror\nb 17 1\n")
		b.expectOver(true)
		b.expect("")
		a.expectOver(false)
		r.expectLimit("--max-sessions", 1, 1)
	})
}
