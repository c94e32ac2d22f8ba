package peersync

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// What a hello is answered with, and what the log says to do about it.
func TestHellos(t *testing.T) {
	for name, c := range map[string]struct {
		hello, want, log string
	}{
		"good":                {"HAProxyS 2.1\npeersd\nlb1 12 1\n", "200", "session established"},
		"good, other name":    {"HAProxyS 2.1\nmirror\nlb1 12 1\n", "200", "session established"},
		"good, version 2.0":   {"HAProxyS 2.0\npeersd\nlb1 12 1\n", "200", "2.0"},
		"good, CR":            {"HAProxyS 2.1\r\npeersd\r\nlb1 12 1\r\n", "200", "session established"},
		"another protocol":    {"GET / HTTP/1.1\n", "501", "not a peers protocol connection"},
		"no numbers":          {"HAProxyS 2.1\npeersd\nlb1\n", "501", "third line"},
		"a version to come":   {"HAProxyS 2.2\npeersd\nlb1 12 1\n", "502", "2.2"},
		"to somebody else":    {"HAProxyS 2.1\nlb9\nlb1 12 1\n", "503", `start peersd with -L lb9`},
		"of a stranger":       {"HAProxyS 2.1\npeersd\nlb9 12 1\n", "504", `--peer lb9=ADDRESS:PORT`},
		"of ourselves":        {"HAProxyS 2.1\npeersd\npeersd 12 1\n", "504", "our own name"},
		"too long":            {"HAProxyS 2.1\n" + strings.Repeat("x", protocol.MaxHello) + "\n", "501", "longer than 1024"},
		"over before its end": {"HAProxyS 2.1\npeersd\n", "", "no complete hello"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, &network{}, Config{Names: []string{"peersd", "mirror"}, Peers: []Peer{{Name: "lb1", Address: "lb1:1"}}})
				defer r.stop()
				p := r.connect()
				p.run()
				go p.conn.Write([]byte(c.hello))
				synctest.Wait()
				began := time.Now()
				p.expectOver(c.want != "200" && c.want != "")
				p.expect(c.want)
				if c.want == "" {
					<-p.read
					if d := time.Since(began); d != handshakeTimeout {
						t.Errorf("closed after %v", d)
					}
					p.expect("") // no status: HAProxy would not come again
				}
				r.expectLog(c.log)
				p.conn.Close()
			})
		})
	}
}

// A hello may come in any parts, but not for ever.
func TestHelloInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		p := r.connect()
		p.run()
		for _, b := range []byte("HAProxyS 2.1\npeersd\nlb1 12 1\n") {
			time.Sleep(100 * time.Millisecond)
			p.send(string(b))
		}
		p.expect("200")
		slow := r.connect()
		slow.run()
		began := time.Now()
		for _, b := range []byte("HAProxyS 2.1\npeersd\nlb1 12 1\n") { // a byte a second
			slow.conn.Write([]byte{b})
			time.Sleep(time.Second)
		}
		if d := slow.when.Sub(began); d != handshakeTimeout {
			t.Errorf("closed after %v", d)
		}
		slow.expect("")
	})
}

// Any name is welcome where no peers are configured, and is remembered.
func TestEveryNameIsWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		a, b := r.call("a"), r.call("b")
		a.expect("200")
		b.expect("200")
		a.conn.Close()
		if s := r.status("a"); s.Established || s.Sessions != 1 || s.LastStatus != 200 {
			t.Errorf("%+v", s)
		}
		if s := r.status("b"); !s.Established || s.Version != "2.1" || s.Address != "" {
			t.Errorf("%+v", s)
		}
		if all := r.Status(); len(all) != 2 || all[0].Name != "a" {
			t.Errorf("%+v", all)
		}
	})
}

// What comes behind the hello or the status, with it, is not lost.
func TestWhatComesWithTheHandshake(t *testing.T) {
	ask := string(protocol.AppendMessage(nil, protocol.ResyncRequest))
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		p := r.connect()
		p.deaf.Store(true) // or a confirm would come in between
		p.run()
		p.send("HAProxyS 2.1\npeersd\nlb1 12 1\n" + ask + ask[:1])
		p.expect("200, resync partial")
		p.send(ask[1:])
		time.Sleep(time.Second) // a lesson begins no more often
		p.expect("200, resync partial, resync partial")
	})
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		l := n.listen("lb1:1")
		r := start(t, n, Config{Peers: []Peer{{Name: "lb1", Address: "lb1:1"}}})
		defer r.stop()
		p := answer(t, l)
		p.deaf.Store(true)
		p.run()
		p.send("200\n" + ask + ask[:1])
		p.expect("resync partial")
		p.send(ask[1:])
		time.Sleep(time.Second)
		p.expect("resync partial, resync partial")
	})
}

// Beside a session, the peer dials once more.
func TestSecondConnection(t *testing.T) {
	setUp := func(t *testing.T, do func(r *running, first *remote)) {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, &network{}, Config{})
			defer r.stop()
			first := r.call("lb1")
			time.Sleep(4 * time.Second) // all first heartbeats are over
			first.say(protocol.Heartbeat)
			do(r, first)
		})
	}
	t.Run("the session is alive", func(t *testing.T) {
		setUp(t, func(r *running, first *remote) {
			began := time.Now()
			second := r.call("lb1")
			<-second.read
			second.expect("") // no status: HAProxy would not come again after one
			if d := second.when.Sub(began); d > 50*time.Millisecond {
				t.Errorf("it was closed after %v", d)
			}
			first.expectOver(false)
			first.expect("200, resync request, resync partial")
			time.Sleep(2500 * time.Millisecond)
			// HAProxy may have cleared its sign of life: heartbeats about 10 and
			// 250 ms after the other connection was closed.
			beats := first.beats(second.when)
			if len(beats) < 5 || beats[0] > 0 || beats[1] != 10*time.Millisecond || beats[2] != 250*time.Millisecond {
				t.Errorf("heartbeats at %v", beats)
			}
			if s := r.status("lb1"); s.Collisions != 1 || s.Sessions != 1 {
				t.Errorf("%+v", s)
			}
		})
	})
	t.Run("it is over before it has said whose it is", func(t *testing.T) {
		setUp(t, func(r *running, first *remote) {
			second := r.connect()
			second.conn.Write([]byte("HAProxyS 2.1\npeer"))
			time.Sleep(100 * time.Millisecond)
			over := time.Now()
			second.conn.Close()
			time.Sleep(2500 * time.Millisecond)
			first.expectOver(false)
			if beats := first.beats(over); len(beats) < 5 || beats[0] > 0 || beats[1] != 10*time.Millisecond {
				t.Errorf("heartbeats at %v", beats)
			}
		})
	})
	t.Run("the session is dead", func(t *testing.T) {
		setUp(t, func(r *running, first *remote) {
			first.deaf.Store(true)
			began := time.Now()
			second := r.call("lb1")
			second.expect("")
			time.Sleep(probePatience + 20*time.Millisecond)
			second.expect("200")
			first.expectOver(true)
			if d := second.first().Sub(began); d > probePatience+10*time.Millisecond {
				t.Errorf("it was answered after %v, and HAProxy asks for a lesson for 5 s only", d)
			}
			if s := r.status("lb1"); s.Collisions != 1 || s.Sessions != 2 || !s.Established {
				t.Errorf("%+v", s)
			}
			r.expectLog("the peer has made a new connection")
		})
	})
	t.Run("the session is dead, and a write hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, &network{}, Config{})
			defer r.stop()
			p := r.connect()
			p.conn.Write([]byte("HAProxyS 2.1\npeersd\nlb1 1 1\n"))
			p.conn.Read(make([]byte, 4)) // the status, and then nothing more
			time.Sleep(time.Second)
			began := time.Now()
			second := r.call("lb1")
			time.Sleep(time.Second)
			second.expect("200, resync request")
			if d := second.first().Sub(began); d > probePatience+10*time.Millisecond {
				t.Errorf("answered after %v", d)
			}
		})
	})
	t.Run("the peer gives the second up", func(t *testing.T) {
		setUp(t, func(r *running, first *remote) {
			first.deaf.Store(true)
			second := r.connect()
			second.conn.Write([]byte("HAProxyS 2.1\npeersd\nlb1 12 1\n"))
			time.Sleep(100 * time.Millisecond)
			second.conn.Close()
			time.Sleep(time.Second)
			first.expectOver(false)
			if s := r.status("lb1"); s.Sessions != 1 || !s.Established {
				t.Errorf("%+v", s)
			}
			r.expectLog(goneMeanwhile)
		})
	})
	t.Run("the peer ends the first", func(t *testing.T) {
		setUp(t, func(r *running, first *remote) {
			first.deaf.Store(true)
			second := r.call("lb1")
			time.Sleep(100 * time.Millisecond)
			first.conn.Close()
			time.Sleep(10 * time.Millisecond)
			second.expect("200")
		})
	})
	t.Run("a lesson is on its way", func(t *testing.T) {
		setUp(t, func(r *running, first *remote) {
			first.deaf.Store(true) // it does not confirm
			first.say(protocol.ResyncRequest)
			second := r.call("lb1")
			time.Sleep(100 * time.Millisecond)
			first.say(protocol.Heartbeat) // any message will do
			time.Sleep(10 * time.Millisecond)
			second.expectOver(true)
			second.expect("")
			third := r.call("lb1")
			time.Sleep(probePatience + 20*time.Millisecond) // and none will not
			third.expect("200")
			first.expectOver(true)
		})
	})
	t.Run("a request comes instead of the answer", func(t *testing.T) {
		setUp(t, func(r *running, first *remote) {
			first.deaf.Store(true)
			second := r.call("lb1")
			// It has crossed the ping, and the confirm is of that.
			first.say(protocol.ResyncRequest, protocol.ResyncConfirm, protocol.ResyncConfirm)
			time.Sleep(20 * time.Millisecond)
			second.expectOver(true)
			first.expectOver(false)
		})
	})
	t.Run("it has not said anything yet, and would lose a lesson by a ping", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := start(t, &network{}, Config{})
			defer r.stop()
			first := r.call("lb1")
			second := r.call("lb1")
			first.expect("200")
			time.Sleep(20 * time.Millisecond)
			first.say(protocol.ResyncRequest)
			time.Sleep(10 * time.Millisecond)
			second.expectOver(true)
			first.expect("200, resync partial") // its lesson
			first.expectOver(false)
		})
	})
	t.Run("many at once", func(t *testing.T) {
		setUp(t, func(r *running, first *remote) {
			first.deaf.Store(true)
			var all []*remote
			for range 5 {
				all = append(all, r.call("lb1"))
			}
			time.Sleep(5 * time.Second)
			open := 0
			for _, p := range all {
				if !p.isOver() {
					open++
				}
			}
			if s := r.status("lb1"); open != 1 || !s.Established {
				t.Errorf("%d are open; %+v", open, s)
			}
		})
	})
}

// Who calls and goes before the answer leaves nothing behind.
func TestCallerGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		for range 3 {
			p := r.connect()
			p.conn.Write([]byte("HAProxyS 2.1\npeersd\nlb1 12 1\n"))
			p.conn.Close()
		}
		p := r.call("lb1")
		time.Sleep(20 * time.Millisecond)
		if !strings.HasPrefix(p.texts(), "200") {
			t.Error(p.texts())
		}
		if s := r.status("lb1"); s.Sessions != 1 || !s.Established {
			t.Errorf("%+v", s)
		}
	})
}

// Over a real connection: what a peer is told before it is closed arrives, even
// though it has sent more than was read.
func TestTheLastWordArrives(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error)
	h := New(Config{Names: []string{"peersd"}, Tables: table.NewSet("mypeers", time.Now())})
	go func() { over <- h.Run(ctx, l) }()
	defer func() {
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
	}()
	more := strings.Repeat("\xff", 50_000)
	for _, c := range []struct{ say, want string }{
		{"HAProxyS 2.1\nother\nlb1 1 1\n" + more, "503\n"},
		{"HAProxyS 2.1\npeersd\nlb1 1 1\n\xff\xff" + more, "200\n\x01\x00"},
	} {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.WriteString(nc, c.say); err != nil {
			t.Error(err)
		}
		got, err := io.ReadAll(nc)
		if text := strings.ReplaceAll(string(got), "\x00\x04", ""); text != c.want || err != nil {
			t.Errorf("got %q, %v", text, err)
		}
		nc.Close()
	}
}
