package e2e

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/protocol"
)

// A heldLesson is one between lb1 and peersd that is held in its middle: a part of
// it has arrived, and nothing more comes through before the gate is opened. lb2 has
// entries of its own, which it teaches peersd; lb1 and lb2 don't know each other.
type heldLesson struct {
	t        *testing.T
	lb1, lb2 *node
	d        mirror
	host     string // of lb1
	gate     *gate
	began    time.Time
	due      record // what lb1 is to have in the end
	gaveUp   bool   // lb1 has, and has it when it is started again
}

const (
	// heldKeys of each HAProxy make a lesson of 75 KB.
	heldKeys = 400
	// heldAfter is how much of it comes through. Its rest is more than HAProxy's
	// sockets hold, and than peersd sends to somebody who does not read at this rate,
	// in entries a second: who teaches has not finished.
	heldAfter = 10_000
	heldRate  = "1000"
)

// startHeld starts lb2 and peersd, both without entries.
func startHeld(t *testing.T, r haproxytest.Release) *heldLesson {
	host, hostPeersd := haproxytest.Host(t), haproxytest.Host(t)
	l := &heldLesson{t: t, gate: newGate(t, heldAfter), host: host}
	l.d = mirror{startDaemon(t, hostPeersd, 2, "--teach-rate", heldRate)}
	// Somebody who is up to date is there as lb1. So lb2 is told that it has all there
	// is to learn, and asks no more.
	first := mustCall(t, hostPeersd, "lb1", protocol.Version21)
	first.teach(protocol.ResyncFinished)
	l.lb2 = startNode(t, r, hostPeersd, 2, heldKeys)
	eventually(t, 10*time.Second, "lb2 asks for no lesson any more", l.lb2.complete)
	first.Close()
	return l
}

// peersdTeaches returns the lesson of lb1, which has just been started, and of which
// peersd has everything from lb2.
func peersdTeaches(t *testing.T, r haproxytest.Release) *heldLesson {
	l := startHeld(t, r)
	l.lb2.mustChange()
	l.due = l.lb2.record()
	eventually(t, 10*time.Second, "peersd mirrors lb2", func() error { return mirrors(l.d, 0, l.lb2) })

	l.wire(nil, l.gate.before)
	l.lb1 = startNode(t, r, l.host, 1, heldKeys)
	l.hold()
	if left := l.d.peerField("lb1", "tables_left"); left == "" || left == "0" {
		t.Fatalf("peersd has %q tables left to teach", left)
	}
	l.some(l.lb1, l.lb2)
	return l
}

// haproxyTeaches returns the lesson of a peersd that was started again.
func haproxyTeaches(t *testing.T, r haproxytest.Release) *heldLesson {
	l := startHeld(t, r)
	w := newWire(t, l.host, 1, l.lb2.host)
	w.open()
	l.lb1 = startNode(t, r, l.host, 1, heldKeys)
	eventually(t, 10*time.Second, "lb1 asks for no lesson any more", l.lb1.complete)
	l.lb1.mustChange()
	l.lb2.mustChange()
	l.due = l.lb1.record()
	// What is acked is not pushed again: all of it comes in the lesson.
	eventually(t, 10*time.Second, "peersd mirrors both", func() error { return mirrors(l.d, 0, l.lb1, l.lb2) })
	l.d.kill()
	w.shut()

	l.wire(l.gate.before, nil)
	l.d.start()
	l.hold()
	if state := l.d.peerField("lb1", "learn_state"); state != "PROCESSING" {
		t.Fatalf("the lesson of lb1 is %s", state)
	}
	l.some(l.d, l.lb1)
	return l
}

// idle returns no lesson: all three hold the same, but that lb1 and lb2 don't know
// each other's.
func idle(t *testing.T, r haproxytest.Release) *heldLesson {
	l := startHeld(t, r)
	l.wire(nil, nil)
	l.lb1 = startNode(t, r, l.host, 1, heldKeys)
	eventually(t, 10*time.Second, "lb1 asks for no lesson any more", l.lb1.complete)
	l.lb1.mustChange()
	l.lb2.mustChange()
	l.due = l.lb1.record()
	eventually(t, 10*time.Second, "peersd mirrors both", func() error { return mirrors(l.d, 0, l.lb1, l.lb2) })
	return l
}

// wire connects lb1 with peersd.
func (l *heldLesson) wire(atPeersd, atHAProxy bend) {
	w := newWire(l.t, l.host, 1, l.lb2.host)
	w.toPeersd.narrow, w.toHAProxy.narrow = true, true
	w.bend(atPeersd, atHAProxy)
	w.open()
	l.began = time.Now()
}

// hold waits until nothing more comes through.
func (l *heldLesson) hold() {
	l.t.Helper()
	select {
	case <-l.gate.closed:
	case <-time.After(20 * time.Second):
		l.t.Fatal("there is no lesson")
	}
}

// some waits until s has some of the entries of n, and wants that these are not all.
func (l *heldLesson) some(s shower, n *node) {
	l.t.Helper()
	eventually(l.t, 5*time.Second, "a part of the lesson has arrived", func() error {
		got, err := owned(s, n)
		if err == nil && (got == 0 || got == 2*heldKeys) {
			err = fmt.Errorf("%d of %d entries", got, 2*heldKeys)
		}
		return err
	})
}

// owned is how many of n's entries s has.
func owned(s shower, n *node) (entries int, err error) {
	there, err := see(s)
	for _, t := range there {
		for _, e := range t.Entries {
			if n.owns(e.Key) {
				entries++
			}
		}
	}
	return entries, err
}

// whole wants, in the end, that nothing is lost: what was set in each HAProxy is
// there and in peersd, and lb1 has all of it where it is the one that learns. Then
// all go on.
//
// Lifetimes count from their arrival, so that they are longer by as much as something
// was under way, and once more where it is taught back.
func (l *heldLesson) whole() {
	l.t.Helper()
	slack := 2 * time.Since(l.began)
	inTheEnd(l.t, "peersd has everything of both", func() error {
		return mirrors(l.d, slack, l.lb1, l.lb2)
	})
	if l.gaveUp {
		l.lb1.restart()
	}
	inTheEnd(l.t, "lb1 has everything", func() error {
		there, err := see(l.lb1)
		if err = errors.Join(err, l.due.in(there)); err != nil {
			peers, _ := l.lb1.Command("show peers") // its flags say how it gave up
			err = fmt.Errorf("%w\n%s", err, peers)
		}
		return err
	})
	l.lb1.mustChange(100)
	l.lb2.mustChange(100)
	inTheEnd(l.t, "changes go on", func() error { return mirrors(l.d, slack, l.lb1, l.lb2) })
}

// stop makes a process stand still, and meanwhile the HAProxys that don't change
// entries.
func (l *heldLesson) stop(signal func(syscall.Signal), lasts time.Duration, running ...*node) {
	signal(syscall.SIGSTOP)
	l.gate.open()
	for range 10 {
		for _, n := range running {
			n.mustChange(20)
		}
		time.Sleep(lasts / 10)
	}
	signal(syscall.SIGCONT)
}

// givesUpAfter is the longest that a HAProxy learns from somebody who says nothing,
// and then waits for somebody else.
const givesUpAfter = 15 * time.Second

func peersdKilled(l *heldLesson) {
	l.d.kill()
	l.gate.lose()
	l.d.start()
}

func peersdStopped(lasts time.Duration) func(*heldLesson) {
	return func(l *heldLesson) {
		l.stop(func(s syscall.Signal) { l.d.cmd.Process.Signal(s) }, lasts, l.lb1, l.lb2)
		l.gaveUp = l.due.node == l.lb2 && lasts > givesUpAfter
	}
}

func haproxyStopped(lasts time.Duration) func(*heldLesson) {
	return func(l *heldLesson) { l.stop(func(s syscall.Signal) { l.lb1.Signal(s) }, lasts, l.lb2) }
}

// haproxyKilled: where lb1 was the one who taught, nobody has what it had not taught
// yet. It is lost, and what peersd got is due.
func haproxyKilled(l *heldLesson) {
	l.lb1.Kill()
	l.gate.lose()
	if l.due.node == l.lb1 {
		eventually(l.t, 5*time.Second, "the session is over", func() error {
			if v := l.d.peerField("lb1", "version"); v != "" {
				return fmt.Errorf("version %s", v)
			}
			return nil
		})
		l.lb1.forget(l.d)
		l.due = l.lb1.record()
	}
	l.lb1.restart()
}

// Whatever happens to peersd or to a HAProxy, in the middle of a lesson or while
// there is none, in the end both have everything: lb1 of what lb2 had, though peersd
// that teaches it begins with nothing, and peersd of what lb1 has. While one of them
// stands still, the others go on.
func killedAndStopped(t *testing.T) {
	faults := map[string]func(*heldLesson){
		"peersd is killed":              peersdKilled,
		"peersd stands still for 2 s":   peersdStopped(2 * time.Second),
		"peersd stands still for 7 s":   peersdStopped(7 * time.Second),
		"peersd stands still for 30 s":  peersdStopped(30 * time.Second),
		"HAProxy is killed":             haproxyKilled,
		"HAProxy stands still for 2 s":  haproxyStopped(2 * time.Second),
		"HAProxy stands still for 7 s":  haproxyStopped(7 * time.Second),
		"HAProxy stands still for 30 s": haproxyStopped(30 * time.Second),
	}
	lessons := map[string]func(*testing.T, haproxytest.Release) *heldLesson{
		"peersd teaches":  peersdTeaches,
		"HAProxy teaches": haproxyTeaches,
		"idle":            idle,
	}
	haproxytest.EachAtOnce(t, func(t *testing.T, r haproxytest.Release) {
		together(t, lessons, func(t *testing.T, begin func(*testing.T, haproxytest.Release) *heldLesson) {
			together(t, faults, func(t *testing.T, f func(*heldLesson)) {
				var l *heldLesson
				busy(func() { l = begin(t, r) })
				f(l)
				l.whole()
			})
		})
	})
}
