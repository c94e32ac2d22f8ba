package peersync

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peersd/peersd/protocol"
)

func TestPace(t *testing.T) {
	lost := time.Now()
	p := pace{began: lost}
	now := lost
	for range 200 {
		before := p.delay
		d := p.next(now)
		since := now.Sub(lost)
		switch {
		case since < dialQuickly && (p.delay != dialEvery || d > dialEvery || d < dialEvery*3/4):
			t.Fatalf("after %v: %v of %v", since, d, p.delay)
		case since >= dialQuickly && p.delay < before, p.delay > dialAtMost, d > p.delay, d < p.delay*3/4:
			t.Fatalf("after %v: %v of %v, which was %v", since, d, p.delay, before)
		}
		now = now.Add(d)
	}
	if p.delay != dialAtMost {
		t.Errorf("in the end it is %v", p.delay)
	}
	s := slowly
	if d := s.next(now); d < dialAtMost*3/4 || d > dialAtMost {
		t.Errorf("slowly is %v", d)
	}
}

var lb1 = Config{Peers: []Peer{{Name: "lb1", Address: "lb1:1"}}}

// Who refuses is dialled a few times a second, then less and less, and found
// soon at any time.
func TestRedial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		began := time.Now()
		r := start(t, n, lb1)
		defer r.stop()
		time.Sleep(time.Minute)
		at := n.dialled(began)
		var early, last int
		for i, d := range at {
			switch {
			case d < 10*time.Second:
				early++
			case d > 50*time.Second:
				last++
			}
			if i > 0 && d-at[i-1] > dialAtMost {
				t.Errorf("no dial from %v to %v", at[i-1], d)
			}
		}
		if at[0] != 0 || early < 50 || early > 70 || last < 5 || last > 7 {
			t.Errorf("%d dials in the first 10 s, %d in the last", early, last)
		}
		r.expectLog("can't connect yet: connection refused")

		l, up := n.listen("lb1:1"), time.Now()
		p := answer(t, l)
		if d := time.Since(up); d > dialAtMost {
			t.Errorf("found %v after it came up", d)
		}
		p.status(protocol.StatusSuccess)
		p.expectOver(false)

		// A session that ends is missed at once; one that ended as soon as it
		// began is not.
		time.Sleep(2 * shortSession)
		p.conn.Close()
		synctest.Wait()
		lost := time.Now()
		answer(t, l).run()
		if d := time.Since(lost); d > dialEvery {
			t.Errorf("dialled again after %v", d)
		}
	})
}

func TestDialTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		n.block()
		began := time.Now()
		r := start(t, n, lb1)
		defer r.stop()
		time.Sleep(10 * time.Second)
		if at := n.dialled(began); len(at) < 8 || len(at) > 10 {
			t.Errorf("dials at %v", at)
		}
	})
}

// A peer that accepts and gives no status is dialled again after 5 s.
func TestNoStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		l := n.listen("lb1:1")
		r := start(t, n, lb1)
		defer r.stop()
		p := answer(t, l)
		p.run()
		began := time.Now()
		p.send("20") // a part of one
		<-p.read
		if d := p.when.Sub(began); d != handshakeTimeout {
			t.Errorf("closed after %v", d)
		}
		r.expectLog("it gave no status")
		p = answer(t, l)
		if d := time.Since(began); d > handshakeTimeout+dialEvery {
			t.Errorf("dialled again after %v", d)
		}
		p.run()
		p.conn.Close()
		r.expectLog("it closed the connection without a status")
		p = answer(t, l)
		p.run()
		p.send("hello\n")
		p.expectOver(true)
		r.expectLog("is no status")
	})
}

// After each status the peer is dialled again, for what is wrong may be made
// good; and where something else may help that is tried.
func TestStatuses(t *testing.T) {
	for _, c := range []struct {
		status protocol.Status
		next   string // version, whom we call, and as whom
		log    string
	}{
		{protocol.StatusTryAgain, "2.1 lb1 peersd", "300 (try again later)"},
		{protocol.StatusProtocol, "2.1 lb1 peersd", "501"},
		{protocol.StatusVersion, "2.0 lb1 peersd", "falling back to 2.0"},
		{protocol.StatusLocal, "2.1 lb1 peersd", `its own name is not \"lb1\"`},
		{protocol.StatusRemote, "2.1 lb1 mirror", `add \"peer peersd ADDRESS:PORT\"`},
		{protocol.Status(999), "2.1 lb1 peersd", "999"},
	} {
		t.Run(c.status.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{}
				l := n.listen("lb1:1")
				r := start(t, n, Config{Names: []string{"peersd", "mirror"}, Peers: lb1.Peers})
				defer r.stop()
				p := answer(t, l)
				if got := who(p); got != "2.1 lb1 peersd" {
					t.Errorf("first hello: %s", got)
				}
				p.status(c.status)
				p.expectOver(true)
				r.expectLog(c.log)
				if s := r.status("lb1"); s.LastStatus != int(c.status) || s.Established {
					t.Errorf("%+v", s)
				}
				p = answer(t, l)
				if got := who(p); got != c.next {
					t.Errorf("next hello: %s", got)
				}
				p.status(protocol.StatusSuccess)
				if s := r.status("lb1"); !s.Established || s.LastStatus != 200 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

func who(p *remote) string {
	return fmt.Sprint(p.hello.Version, " ", p.hello.Remote, " ", p.hello.Local)
}

// How the peer calls us tells by which name and with which version to call it.
func TestWhatACallTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		r := start(t, n, Config{Names: []string{"peersd", "mirror"}, Peers: lb1.Peers})
		defer r.stop()
		l := n.listen("lb1:1")
		p := answer(t, l)
		p.status(protocol.StatusVersion)
		p = answer(t, l)
		p.status(protocol.StatusVersion)
		in := r.callAs("HAProxyS 2.1\nmirror\nlb1 17 1\n") // it was upgraded
		in.expect("200")
		in.conn.Close()
		p = answer(t, l)
		if got := who(p); got != "2.1 lb1 mirror" {
			t.Errorf("hello: %s", got)
		}
		p.status(protocol.StatusRemote)
		p = answer(t, l)
		if got := who(p); got != "2.1 lb1 peersd" {
			t.Errorf("hello: %s", got)
		}
		p.run()
	})
}

// The peer calls while we dial it.
func TestCollision(t *testing.T) {
	setUp := func(t *testing.T, do func(r *running, n *network, l *listener)) {
		synctest.Test(t, func(t *testing.T) {
			n := &network{}
			l := n.listen("lb1:1")
			r := start(t, n, lb1)
			defer r.stop()
			do(r, n, l)
		})
	}
	t.Run("our hello was not sent", func(t *testing.T) {
		setUp(t, func(r *running, n *network, l *listener) {
			time.Sleep(10 * time.Millisecond) // nobody accepts
			in := r.call("lb1")
			in.expect("200")
			select {
			case <-l.pipes:
				t.Error("we dial on")
			case <-time.After(3 * time.Second):
			}
			in.expectOver(false)
			if s := r.status("lb1"); s.Sessions != 1 || s.Collisions != 0 {
				t.Errorf("%+v", s)
			}
		})
	})
	t.Run("ours succeeds", func(t *testing.T) {
		setUp(t, func(r *running, n *network, l *listener) {
			out := answer(t, l)
			in := r.call("lb1")
			in.expect("")
			out.status(protocol.StatusSuccess)
			in.conn.Close() // HAProxy drops it
			time.Sleep(100 * time.Millisecond)
			out.expectOver(false)
			in.expect("")
			time.Sleep(5 * time.Second)
			out.expectOver(false)
			if s := r.status("lb1"); s.Sessions != 1 || s.Collisions == 0 {
				t.Errorf("%+v", s)
			}
			if beats := out.beats(in.when); len(beats) < 5 {
				t.Errorf("heartbeats at %v after the collision", beats)
			}
		})
	})
	t.Run("ours succeeds, and theirs stays open", func(t *testing.T) {
		setUp(t, func(r *running, n *network, l *listener) {
			out := answer(t, l)
			in := r.call("lb1")
			out.status(protocol.StatusSuccess)
			time.Sleep(100 * time.Millisecond)
			out.say(protocol.ResyncPartial) // what we have asked for
			time.Sleep(10 * time.Millisecond)
			in.expectOver(true)
			in.expect("")
			out.expectOver(false)
		})
	})
	t.Run("ours fails", func(t *testing.T) {
		setUp(t, func(r *running, n *network, l *listener) {
			out := answer(t, l)
			in := r.call("lb1")
			time.Sleep(100 * time.Millisecond)
			in.expect("")
			out.conn.Close()
			time.Sleep(100 * time.Millisecond)
			in.expect("200, resync request")
		})
	})
	t.Run("ours leads nowhere", func(t *testing.T) {
		setUp(t, func(r *running, n *network, l *listener) {
			answer(t, l).run()
			began := time.Now()
			in := r.call("lb1")
			time.Sleep(2 * time.Second)
			in.expect("200, resync request")
			if d := in.first().Sub(began); d < dialPatience || d > 1600*time.Millisecond {
				t.Errorf("answered after %v", d)
			}
		})
	})
	t.Run("the dial is given up as it succeeds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			release := make(chan struct{})
			n := &network{instead: func(ctx context.Context) (net.Conn, error) {
				<-release // though it was cancelled
				return ours, nil
			}}
			r := start(t, n, lb1)
			defer r.stop()
			in := r.call("lb1")
			in.expect("200")
			close(release)
			if _, err := theirs.Read(make([]byte, 1)); err == nil {
				t.Error("a hello was sent")
			}
			time.Sleep(time.Second)
			in.expectOver(false)
		})
	})
}

// A peer that breaks the protocol would do so again: it is not dialled several
// times a second for that.
func TestRedialAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		l := n.listen("lb1:1")
		r := start(t, n, lb1)
		defer r.stop()
		p := answer(t, l)
		p.status(protocol.StatusSuccess)
		p.send("\xff\xff")
		p.expect("protocol error")
		<-p.read
		lost := time.Now()
		answer(t, l).run()
		if d := time.Since(lost); d < dialAtMost/2 || d > dialAtMost {
			t.Errorf("dialled again after %v", d)
		}
	})
}
