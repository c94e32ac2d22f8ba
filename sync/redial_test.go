package peersync

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peersd/peersd/protocol"
)

// teachMuch is a Hub that was started some time ago, knows 10,000 entries, of a peer
// that stays, and teaches 1,000 a second.
func teachMuch(t *testing.T, n *network, peers ...Peer) *running {
	r := start(t, n, Config{TeachRate: 1000, Peers: append(peers, Peer{Name: "a", Address: "a:1"})})
	time.Sleep(20 * time.Second)
	var lesson strings.Builder
	lesson.WriteString(define("t1"))
	for i := range 10_000 {
		lesson.WriteString(update(uint32(i+1), fmt.Sprintf("10.0.%d.%d", i/250, i%250), uint64(i)))
	}
	a := r.call("a")
	a.send(lesson.String())
	time.Sleep(100 * time.Millisecond)
	a.say(protocol.ResyncFinished)
	go func() {
		beat := protocol.AppendMessage(nil, protocol.Heartbeat)
		for {
			select {
			case <-a.read: // up to the end
				return
			case <-time.After(time.Second):
				a.conn.Write(beat)
			}
		}
	}()
	return r
}

// A HAProxy that has made the connection itself, and acks nothing, would close it
// before a long lesson is over: it is dialled.
func TestRedialForLongLesson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		l := n.listen("b:1")
		n.block() // it is down
		r := teachMuch(t, n, Peer{Name: "b", Address: "b:1"})
		defer r.stop()
		b := r.call("b")
		b.say(protocol.ResyncRequest)
		n.unblock()
		again := answer(t, l)
		again.status(protocol.StatusSuccess)
		b.expectOver(true)
		again.say(protocol.ResyncRequest)
		time.Sleep(11 * time.Second)
		again.expectOver(false)
		expectEnd(t, again, 10_000)
		if s := r.status("b"); !s.Learned || s.Sessions != 2 || s.Collisions != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Where the peer can't be dialled, the lesson has to be over before that.
func TestHurryForLongLesson(t *testing.T) {
	for name, peers := range map[string][]Peer{
		"its address is not known": {{Name: "b", Address: ""}},
		"it does not listen":       {{Name: "b", Address: "b:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := teachMuch(t, &network{}, peers...)
				defer r.stop()
				b, began := r.call("b"), time.Now()
				b.say(protocol.ResyncRequest)
				time.Sleep(4 * time.Second)
				b.expectOver(false)
				expectEnd(t, b, 10_000)
				if at := r.status("b").LastHeard.Sub(began); at > time.Second {
					t.Errorf("the lesson was confirmed after %v", at)
				}
				r.expectLog("the lesson is given in a hurry")
			})
		})
	}
}

// Nothing of that is done where there is no need.
func TestNoRedial(t *testing.T) {
	for name, c := range map[string]struct {
		dialled, acks bool
	}{
		"the peer was dialled":           {dialled: true},
		"it acks, as HAProxy before 3.3": {acks: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{}
				l := n.listen("b:1")
				if !c.dialled {
					n.block()
				}
				r := teachMuch(t, n, Peer{Name: "b", Address: "b:1"})
				defer r.stop()
				var b *remote
				if c.dialled {
					b = answer(t, l)
					b.status(protocol.StatusSuccess)
				} else {
					b = r.call("b")
				}
				b.say(protocol.ResyncRequest)
				for range 11 {
					time.Sleep(time.Second)
					if c.acks {
						b.send(string(protocol.AppendAck(nil, protocol.Ack{TableID: 1, UpdateID: 1})))
					} else {
						b.say(protocol.Heartbeat)
					}
				}
				b.expectOver(false)
				if s := r.status("b"); s.Sessions != 1 {
					t.Errorf("%d sessions", s.Sessions)
				}
			})
		})
	}
}

// expectEnd: p was taught n entries, and told that this is all.
func expectEnd(t *testing.T, p *remote, n int) {
	t.Helper()
	synctest.Wait()
	got := p.texts()
	if k := strings.Count(got, "timed update"); k != n || !strings.HasSuffix(got, "resync finished") {
		t.Errorf("it got %d entries, not %d, and in the end %q", k, n, got[max(0, len(got)-50):])
	}
}
