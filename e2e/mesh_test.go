package e2e

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
)

// startMesh starts lb1 and lb2, which know each other, and peersd. Two HAProxys
// lose their first sessions to each other's dials: it waits for one that lasts.
func startMesh(t *testing.T, r haproxytest.Release) (lb1, lb2 *keeper, d mirror) {
	t.Helper()
	host := haproxytest.Host(t)
	lb1 = startKeeper(t, r, host, 1, peerLine("lb2", host, portLB+1))
	lb2 = startKeeper(t, r, host, 2, peerLine("lb1", host, portLB))
	d = mirror{startDaemon(t, host, 2)}
	eventually(t, 15*time.Second, "lb1 and lb2 have a session", func() error {
		peer := haproxyPeer(t, lb1.Process, "lb2")
		if age, err := time.ParseDuration(peer["last_hdshk"]); peer["last_status"] != "ESTA" || err != nil || age < 3*time.Second {
			return fmt.Errorf("it is %v", peer)
		}
		return nil
	})
	return lb1, lb2, d
}

// Two HAProxys and peersd hold the same, and again after both HAProxys were
// killed at once.
func TestMesh(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		together(t, map[string]time.Duration{
			"restarted together":         0,
			"restarted after each other": 500 * time.Millisecond,
		}, func(t *testing.T, apart time.Duration) {
			lb1, lb2, d := startMesh(t, r)
			lb1.fill()
			lb2.fill()
			for _, lb := range []*keeper{lb1, lb2, lb1} { // both change the same entries
				// Each change is let arrive everywhere: two that are under way at
				// once, on two connections, have no order.
				lb.request("shared", "10.9.9.9")
				equal(t, "lb1 and lb2 are the same", lb1, lb2)
				equal(t, "lb1 and peersd are the same", lb1, d)
			}
			lb1.aged(1500 * time.Millisecond)
			was := mustLook(t, lb1)

			lb1.Kill()
			lb2.Kill()
			began := time.Now()
			lb1.restart()
			time.Sleep(time.Until(began.Add(apart)))
			lb2.restart()
			lb1.back(was, lb1.Started())
			lb2.back(was, lb2.Started())
			equal(t, "lb1 and peersd are the same again", lb1, d)
			equal(t, "lb2 and peersd are the same again", lb2, d)
			lb2.mark()
			eventually(t, 2*time.Second, "it goes on", func() error { return errors.Join(lb2.marked(lb1), lb2.marked(d)) })
		})
	})
}

// A peersd that starts asks all HAProxys. Where two know the same entry, each
// from its own changes, the later change is the right one, in whichever order
// they teach, and whether or not peersd was there when it was made.
func TestStalerCopy(t *testing.T) {
	type order struct{ whileUp, lb2First bool }
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		together(t, map[string]order{
			"changes while peersd is up, lb1 teaches first":   {true, false},
			"changes while peersd is up, lb2 teaches first":   {true, true},
			"changes while peersd is down, lb1 teaches first": {false, false},
			"changes while peersd is down, lb2 teaches first": {false, true},
		}, func(t *testing.T, o order) {
			hostPeersd := haproxytest.Host(t)
			var lbs [2]*keeper
			var wires [2]*wire
			for i := range lbs {
				host := haproxytest.Host(t)
				wires[i] = newWire(t, host, i+1, hostPeersd)
				wires[i].open()
				lbs[i] = startKeeper(t, r, host, i+1)
			}
			d := mirror{startDaemon(t, hostPeersd, 2)}
			taught := func(i int) error { return d.established(fmt.Sprint("lb", i+1)) }
			for i := range lbs {
				eventually(t, 7*time.Second, "it asks for no lesson any more", lbs[i].complete)
			}
			if !o.whileUp {
				d.kill()
			}
			lbs[0].set("users", "later-on-lb2", 1)
			lbs[1].set("users", "later-on-lb1", 1)
			for _, lb := range lbs {
				lb.aged(500 * time.Millisecond)
			}
			lbs[0].set("users", "later-on-lb1", 2)
			lbs[1].set("users", "later-on-lb2", 2)
			want := func() error { return holds(d, map[string]string{"later-on-lb1": "2", "later-on-lb2": "2"}) }
			if o.whileUp {
				eventually(t, 2*time.Second, "peersd has the later changes", want)
				d.kill()
			}
			for _, w := range wires {
				w.shut()
			}

			first, second := 0, 1
			if o.lb2First {
				first, second = 1, 0
			}
			d.start()
			for _, i := range []int{first, second} {
				wires[i].open()
				eventually(t, 7*time.Second, "its lesson is over", func() error { return taught(i) })
				lbs[i].mark()
				eventually(t, 2*time.Second, "it goes on", func() error { return lbs[i].marked(d) })
			}
			if err := want(); err != nil {
				t.Error(err)
			}
		})
	})
}

// holds reports what gpt0 of users is not as wanted.
func holds(s shower, want map[string]string) error {
	t, err := s.table("mypeers/users")
	if err != nil {
		return err
	}
	for key, gpt0 := range want {
		if got, _ := t.ByKey()[key].Get("gpt0"); got != gpt0 {
			return fmt.Errorf("%s has gpt0=%q, not %s", key, got, gpt0)
		}
	}
	return nil
}

// A HAProxy that stands still for longer than its own sessions may is taken
// back, and what it does then is not lost.
func TestStoppedHAProxy(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		lb := startKeeper(t, r, host, 1)
		d := mirror{startDaemon(t, host, 1)}
		lb.fill()
		equal(t, "peersd mirrors it", lb, d)

		if err := lb.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(7 * time.Second)
		if err := lb.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		lb.mark()
		eventually(t, 5*time.Second, "it goes on", func() error { return lb.marked(d) })
		equal(t, "peersd mirrors it again", lb, d)
		t.Logf("sessions: %d", strings.Count(d.log.String(), "session established"))
	})
}
