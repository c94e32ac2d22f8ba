package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/internal/haproxytest"
)

// startWired starts lb1 and peersd, without entries, at the ends of a wire that is
// bent at both.
func startWired(t *testing.T, r haproxytest.Release, keys int, newDaemon daemonMaker, atPeersd, atHAProxy bend) (*node, mirror) {
	host, hostPeersd := haproxytest.Host(t), haproxytest.Host(t)
	w := newWire(t, host, 1, hostPeersd)
	w.bend(atPeersd, atHAProxy)
	w.open()
	lb := startNode(t, r, host, 1, keys)
	d := newDaemon(t, hostPeersd, 1)
	d.start()
	return lb, mirror{d}
}

// Messages come cut and joined anywhere, the handshake too: that changes nothing of
// lessons, either way, and of live updates.
func segments(t *testing.T) {
	haproxytest.EachAtOnce(t, func(t *testing.T, r haproxytest.Release) {
		const keys = 200
		c := &chopper{random: random(t)}
		lb, d := startWired(t, r, keys, newDaemon, c.before, c.before)
		began := time.Now()
		mirrored := func(when string) {
			t.Helper()
			inTheEnd(t, when, func() error {
				return errors.Join(lb.complete(), d.established("lb1"), mirrors(d, time.Since(began), lb))
			})
		}
		lb.mustChange()
		mirrored("live updates have come")

		d.kill()
		d.start()
		mirrored("peersd has learned")
		lb.mustChange(keys / 2)
		mirrored("more live updates have come")

		was := lb.record()
		lb.restart()
		inTheEnd(t, "HAProxy has learned", func() error {
			there, err := see(lb)
			return errors.Join(err, was.in(there))
		})
		lb.mustChange(keys / 2)
		mirrored("live updates have come again")
		if got := d.peerField("lb1", "proto_err"); got != "0" {
			t.Errorf("proto_err=%s", got)
		}
	})
}

// activity is what `show activity` says, by name.
func (d *daemon) activity() map[string]int {
	d.t.Helper()
	var text strings.Builder
	if err := admin.Do(d.socket, "show activity", &text); err != nil {
		d.t.Fatal(err)
	}
	all := map[string]int{}
	for line := range strings.Lines(text.String()) {
		var n int
		name, number, _ := strings.Cut(line, ": ")
		fmt.Sscan(number, &n)
		all[name] = n
	}
	return all
}

// leaves wants that a daemon, without the race detector, takes in the end no more than
// it did before. Its memory may differ by growth, in bytes: Go gives back what was used
// in between as it likes, the stacks and buffers of fifty connections among it. One MiB
// was seen. A fault that left one reader of a connection behind, 33 KB, would take 40 MB
// in an hour.
func (d *daemon) leaves(before map[string]int) {
	d.t.Helper()
	const growth = 4 << 20
	eventually(d.t, 10*time.Second, "it takes no more than before", func() error {
		now := d.activity()
		if now["goroutines"] > before["goroutines"] || now["open_files"] > before["open_files"] || now["resident"] > before["resident"]+growth {
			return fmt.Errorf("%v, and before %v", now, before)
		}
		return nil
	})
	d.t.Logf("before: %v, after: %v", before, d.activity())
}

// The connection is cut 200 times in a row, by FIN and by RST, within messages and
// between, while HAProxy's entries change. Nothing is lost, and nothing is left.
func reconnects(t *testing.T) {
	const cuts, keys = 200, 100
	haproxytest.EachAtOnce(t, func(t *testing.T, r haproxytest.Release) {
		c := &cutter{random: random(t)}
		c.stop()
		lb, d := startWired(t, r, keys, newPlain, c.before, c.before)
		lb.mustChange()
		began := time.Now()
		mirrored := func() error {
			return errors.Join(d.established("lb1"), mirrors(d, time.Since(began), lb))
		}
		// It takes the longest of all, and is not to begin last: it waits for no turn.
		eventually(t, 20*time.Second, "peersd mirrors it", func() error { return errors.Join(lb.complete(), mirrored()) })
		before := d.activity()

		sessions := func() int { return strings.Count(d.log.String(), "session established") }
		pause := lb.changing(5)
		c.start()
		eventually(t, 100*time.Second, "there are so many sessions", func() error {
			time.Sleep(100 * time.Millisecond)
			if n := sessions(); n < cuts {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
		t.Logf("%d sessions in %v", sessions(), time.Since(began).Round(time.Millisecond))
		c.stop()
		inTheEnd(t, "there is a session", func() error { return d.established("lb1") })
		pause()
		inTheEnd(t, "peersd mirrors it again", mirrored)
		lb.mustChange()
		inTheEnd(t, "it goes on", mirrored)
		d.leaves(before)
	})
}
