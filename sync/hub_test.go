package peersync

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

func TestUpToDate(t *testing.T) {
	for _, c := range []struct {
		synced                 bool
		learner, other, silent bool // stale
		want                   bool
	}{
		{want: false},
		{synced: true, want: true},
		{synced: true, learner: true, want: true}, // it knows itself best
		{synced: true, other: true, want: false},
		{synced: true, silent: true, want: false},
		{synced: true, learner: true, other: true, silent: true, want: false},
		{learner: true, other: true, silent: true, want: false},
	} {
		h := New(Config{Names: []string{"peersd"}})
		learner, other, silent := mustLink(t, h, "learner"), mustLink(t, h, "other"), mustLink(t, h, "silent")
		if !learner.stale.Load() {
			t.Error("who has not taught us anything is not stale")
		}
		if c.synced {
			h.learned()
		}
		learner.stale.Store(c.learner)
		other.stale.Store(c.other)
		silent.stale.Store(c.silent)
		if got := h.upToDate(learner); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// Whoever has just started knows nothing that it was not taught: it is not asked,
// and others are not told that something may be missing. But a peersd that has just
// started too may have missed what it has pushed before.
func TestUpToDateAfterStart(t *testing.T) {
	for name, c := range map[string]struct {
		age time.Duration
		got string
	}{
		"both":    {10 * time.Second, "200, resync finished, resync request"},
		"HAProxy": {20 * time.Second, "200, resync finished"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, &network{}, Config{})
				defer r.stop()
				time.Sleep(c.age)
				a := r.call("a")
				a.say(protocol.Heartbeat)
				time.Sleep(100 * time.Millisecond)
				a.say(protocol.ResyncFinished)
				a.expect("200, resync request, resync confirm")

				b := r.call("b")
				b.say(protocol.ResyncRequest)
				time.Sleep(10 * time.Second)
				b.expect(c.got)
				a.say(protocol.ResyncRequest)
				time.Sleep(5 * time.Second) // it is kept open for what b may teach
				complete := strings.HasSuffix(c.got, "finished")
				a.expect("200, resync request, resync confirm, " + map[bool]string{true: "resync finished", false: "resync partial"}[complete])
			})
		})
	}
}

func mustLink(t *testing.T, h *Hub, name string) *link {
	t.Helper()
	l, err := h.link(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// From the beginning to the end, what is said of being up to date.
func TestUpToDateOverTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		a := r.call("a")
		a.say(protocol.Heartbeat) // it was there already
		a.say(protocol.ResyncRequest)
		a.expect("200, resync partial") // nothing is known
		time.Sleep(100 * time.Millisecond)
		a.expect("200, resync partial, resync request")
		a.say(protocol.ResyncFinished)

		b := r.call("b")
		b.say(protocol.Heartbeat)
		b.say(protocol.ResyncRequest)
		b.expect("200, resync finished") // a has taught us all there is
		time.Sleep(100 * time.Millisecond)
		b.say(protocol.ResyncPartial) // b itself was not up to date, so it may lack something

		time.Sleep(time.Second) // a lesson begins no more often
		a.say(protocol.ResyncRequest)
		time.Sleep(100 * time.Millisecond)
		a.expect("200, resync partial, resync request, resync confirm, resync partial")
		time.Sleep(5 * time.Second)
		b.expect("200, resync finished, resync request, resync confirm, resync request") // once more
		b.say(protocol.ResyncFinished)
		a.say(protocol.ResyncRequest)
		a.expect("200, resync partial, resync request, resync confirm, resync partial, resync finished")

		// b is gone: who knows what it has learned meanwhile?
		b.conn.Close()
		time.Sleep(time.Second)
		synctest.Wait()
		a.say(protocol.ResyncRequest)
		a.expect("200, resync partial, resync request, resync confirm, resync partial, resync finished, resync partial")
	})
}

// Nothing is left when Run returns, and it returns soon, whatever is under way.
func TestShutdown(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, r *running){
		"nothing":                  func(*testing.T, *running) {},
		"a session":                func(t *testing.T, r *running) { r.call("lb1") },
		"a hello that is awaited":  func(t *testing.T, r *running) { r.connect() },
		"a status that is awaited": func(t *testing.T, r *running) { answer(t, r.net.listen("lb1:1")) },
		"a connection that is awaited": func(t *testing.T, r *running) {
			r.net.listen("lb1:1")
			time.Sleep(time.Second)
		},
		"a session that stalls": func(t *testing.T, r *running) {
			p := r.connect()
			go p.conn.Write([]byte("HAProxyS 2.1\npeersd\nlb1 1 1\n"))
			p.conn.Read(make([]byte, 4)) // the status, and nothing of what follows
		},
		"a collision": func(t *testing.T, r *running) {
			r.call("lb1").deaf.Store(true)
			go r.call("lb1")
			time.Sleep(100 * time.Millisecond)
		},
		"a refusal that nobody reads": func(t *testing.T, r *running) {
			p := r.connect()
			p.conn.Write([]byte("HAProxyS 2.1\nother\nlb1 1 1\n"))
		},
		"the reply to an error that nobody reads": func(t *testing.T, r *running) {
			p := r.connect()
			p.conn.Write([]byte("HAProxyS 2.1\npeersd\nlb1 1 1\n"))
			p.conn.Read(make([]byte, 6))
			p.conn.Write([]byte{0xff, 0xff})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, &network{}, Config{Peers: []Peer{{"lb1", "lb1:1"}}})
				prepare(t, r)
				synctest.Wait()
				began := time.Now()
				r.stop()
				if d := time.Since(began); d > 1100*time.Millisecond {
					t.Errorf("it took %v", d)
				}
			})
		})
	}
}

// A listener that fails for a moment is tried again, and one that is gone for
// good ends it all.
func TestListenerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		for range 3 {
			r.in.errors <- errors.New("too many open files")
		}
		r.call("lb1").expect("200")
		r.expectLog("too many open files")
	})
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{Names: []string{"peersd"}})
		l := newListener()
		l.Close()
		if err := h.Run(t.Context(), l, newListener()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Run: %v", err)
		}
	})
}

// What has ended is dropped though nobody asks.
func TestClean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		for i := range 1000 {
			r.set("t1", fmt.Sprintf("10.0.%d.%d", i/250, i%250), 1)
		}
		tb := r.tables.Tables()[0]
		time.Sleep(59 * time.Second)
		if n := tb.Stats().Entries; n != 1000 {
			t.Errorf("%d entries after 59 s", n)
		}
		time.Sleep(1200 * time.Millisecond)
		if n := tb.Stats().Entries; n != 0 {
			t.Errorf("%d entries after 60 s", n)
		}
	})
}

// Entries that are lost for want of room are told of, once a minute at most.
func TestLossesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		for i := range 7 {
			r.tables.Limit(fmt.Sprint("t", i), table.Limits{Size: 10, NoPurge: i == 0})
		}
		time.Sleep(cleanEvery / 2) // what is lost at once is lost between two turns of the cleaner
		lose := func(tables, entries int) {
			for i := range tables {
				for k := range entries {
					r.set(fmt.Sprint("t", i), fmt.Sprintf("10.0.%d.%d", time.Now().Second(), k), 1)
				}
			}
			time.Sleep(time.Second)
		}
		told := func(want int) {
			t.Helper()
			if n := strings.Count(r.log.String(), "for want of room"); n != want {
				t.Fatalf("told %d times, not %d:\n%s", n, want, r.log)
			}
		}
		lose(1, 10)
		told(0)
		lose(2, 5)
		r.expectLog(`"tables":"t0 (0 evicted, 5 refused)"`)
		told(1)
		lose(2, 11)
		told(1) // less than a minute later
		time.Sleep(time.Minute)
		told(2)
		r.expectLog(`"tables":"t0 (0 evicted, 11 refused), t1 (6 evicted, 0 refused)"`)
		time.Sleep(time.Minute)
		told(2) // nothing new
		r.tables.LimitMemory(1 << 30)
		lose(1, 11)
		lose(7, 11)
		time.Sleep(time.Minute)
		told(4)
		r.expectLog(`t4 (1 evicted, 0 refused), and 2 more","memory":`)
		r.expectLog(`"limit":1073741824`)
	})
}

// Two peersds that dial each other find together, whenever they start, and the
// first session stays.
func TestTwoHubs(t *testing.T) {
	for _, after := range []time.Duration{0, time.Microsecond, 150 * time.Millisecond, 200 * time.Millisecond, 777 * time.Millisecond, 3 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{}
				a := start(t, n, Config{Names: []string{"a"}, Peers: []Peer{{"b", "b:1"}}})
				defer a.stop()
				a.set("t1", "10.0.0.1", 1)
				time.Sleep(after)
				b := start(t, n, Config{Names: []string{"b"}, Peers: []Peer{{"a", "a:1"}}})
				defer b.stop()
				b.set("t2", "10.0.0.2", 2)
				time.Sleep(5 * time.Second)
				const want = "t1 10.0.0.1=1, t2 10.0.0.2=2"
				if a.dump() != want || b.dump() != want {
					t.Errorf("a has %s; b has %s", a.dump(), b.dump())
				}
				time.Sleep(40 * time.Second)
				if s, u := a.status("b"), b.status("a"); s.Sessions != 1 || u.Sessions != 1 || !s.Established || !u.Established {
					t.Errorf("a: %+v\nb: %+v\n%s\n%s", s, u, a.log, b.log)
				}
				a.set("t1", "10.0.0.1", 11)
				if got := b.dump(); got != "t1 10.0.0.1=11, t2 10.0.0.2=2" {
					t.Errorf("after a change on a, b has %s", got)
				}
			})
		})
	}
}

// A peer that asks while others may still teach us gets what they bring, too.
func TestLessonWaitsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		r := start(t, n, Config{Peers: []Peer{{"a", "a:1"}, {"b", "b:1"}}})
		defer r.stop()
		l := n.listen("a:1")
		a := answer(t, l) // it was found with the second dial
		a.status(protocol.StatusSuccess)
		b := r.call("b")
		b.say(protocol.ResyncRequest)
		b.expect("200")
		a.send(define("t1") + update(1, "10.0.0.1", 1))
		time.Sleep(100 * time.Millisecond)
		b.expect("200, table definition") // a's lesson will tell the lifetime
		a.say(protocol.ResyncFinished)
		time.Sleep(25 * time.Millisecond)
		b.expect("200, table definition, timed update, resync finished")
	})
	// But not for one that has been there for long, and teaches nothing.
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		a := r.call("a")
		time.Sleep(expectedAtMost)
		a.say(protocol.Heartbeat)
		b := r.call("b")
		b.say(protocol.ResyncRequest)
		b.expect("200, resync partial")
	})
	// Nor for longer than they are there.
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		a := r.call("a")
		b := r.call("b")
		b.say(protocol.ResyncRequest)
		b.expect("200")
		a.conn.Close()
		time.Sleep(25 * time.Millisecond)
		b.expect("200, resync partial")
	})
}

func TestNames(t *testing.T) {
	h := New(Config{Names: []string{"a", "b"}})
	if got := h.Names(); len(got) != 2 || got[0] != "a" {
		t.Error(got)
	}
}
