package peersync

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peersd/peersd/protocol"
)

// finds is a Finder that knows some, and takes a second to say so.
type finds struct {
	*Hub
	known map[string]bool
	asked []string
}

func (f *finds) Welcome(_ context.Context, name string, _ netip.Addr, accepted bool) bool {
	f.asked = append(f.asked, fmt.Sprint(name, " ", accepted))
	if accepted || !f.known[name] {
		return false
	}
	time.Sleep(time.Second)
	f.SetMembers("found", Members{Peers: []Peer{{Name: name}}})
	return true
}

// Who is not known is looked for, and who is not found gets no status: it may be found
// when it calls the next time, and HAProxy does not call again after one.
func TestFinder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{Peers: []Peer{{Name: "a"}}, Allow: Allow{Names: []string{"b"}}})
		defer r.stop()
		f := &finds{Hub: r.Hub, known: map[string]bool{"c": true}}
		r.SetFinder("found", f)
		r.call("a").expect("200")
		r.call("b").expect("200")
		c := r.call("c")
		time.Sleep(2 * time.Second)
		c.expect("200, resync request")
		if !r.Connected("c") || r.Connected("d") {
			t.Error("c is not connected, or d is")
		}
		d := r.call("d")
		d.expect("")
		d.expectOver(true)
		r.expectLog(`\"d\" comes from`)
		// One that it has found itself is its own matter, wherever it calls from now.
		c.conn.Close()
		synctest.Wait()
		r.call("c").expect("200")
		want := "[b true c false d false c true]"
		if got := fmt.Sprint(f.asked); got != want {
			t.Errorf("asked for %s, want %s", got, want)
		}
	})
}

// What we may lack of a peer that is not expected back is no reason to tell others that
// they have not learned all there is.
func TestGone(t *testing.T) {
	for gone, want := range map[bool]string{
		false: "200, table definition, resync partial, resync request",
		true:  "200, table definition, resync finished",
	} {
		t.Run(fmt.Sprint(gone), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, &network{}, Config{Peers: []Peer{{Name: "a"}, {Name: "b"}}})
				defer r.stop()
				a, b := r.call("a"), r.call("b")
				for _, p := range []*remote{a, b} {
					p.send(define("t1"))
					time.Sleep(time.Second)
					p.say(protocol.ResyncFinished)
				}
				b.conn.Close()
				time.Sleep(30 * time.Second)
				r.Apply(Config{Names: []string{"peersd"}, Peers: []Peer{{Name: "a"}, {Name: "b", Gone: gone}}})
				a.conn.Close()
				time.Sleep(30 * time.Second)
				a = r.call("a")
				a.say(protocol.ResyncRequest)
				time.Sleep(5 * time.Second)
				a.expect(want)
			})
		})
	}
}
