package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/internal/netlab"
	"github.com/peersd/peersd/internal/testkit"
)

// A remoteSite is a network with lb1 and lb2, at the other end of a link from the
// one with peersd. The link is all that the test does something to.
type remoteSite struct {
	t        *testing.T
	link     *netlab.Link
	lb1, lb2 *node
	d        mirror
	began    time.Time // what the test does to it
}

// Whatever is lost on the link follows from it, and the order of packets.
const linkSeed = 4

// newSite starts all but peersd, with so many keys in lb1, which are set; lb2 has a
// few.
func newSite(t *testing.T, r haproxytest.Release, keys, digits int, args ...string) *remoteSite {
	link, err := netlab.New(linkSeed)
	if errors.Is(err, netlab.ErrUnavailable) {
		testkit.Skip(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Close() })
	s := &remoteSite{t: t, link: link}
	start := func(n, keys int) *node {
		lb := r.StartWith(t, haproxytest.Options{
			Name: fmt.Sprint("lb", n), Config: nodeConfig(n, link.A.Address, link.B.Address), Enter: link.A.Enter,
		})
		nd := newNode(t, lb, n, keys, digits)
		nd.mustChange()
		return nd
	}
	s.lb1, s.lb2 = start(1, keys), start(2, 100)
	args = append([]string{"--peer", "lb1=" + address(link.A.Address, portLB), "--peer", "lb2=" + address(link.A.Address, portLB+1)}, args...)
	s.d = mirror{newDaemon(t, link.B.Address, 0, args...)}
	s.d.within = link.B.Do
	return s
}

// settled waits until all have what they are to have, and neither HAProxy asks for a
// lesson any more.
func (s *remoteSite) settled() {
	s.t.Helper()
	inTheEnd(s.t, "peersd mirrors both", func() error {
		return errors.Join(s.lb1.complete(), s.lb2.complete(), mirrors(s.d, 0, s.lb1, s.lb2))
	})
}

// cut cuts the link, for so long, and meanwhile both HAProxys change entries.
func (s *remoteSite) cut(lasts time.Duration) {
	s.t.Helper()
	s.link.Set(netlab.Faults{Cut: true})
	for range 10 {
		s.lb1.mustChange(20)
		s.lb2.mustChange(20)
		time.Sleep(lasts / 10)
	}
	s.link.Set(netlab.Faults{})
}

// equal wants, in the end, that peersd has all that was set, and then what is set
// next. Lifetimes are longer by as much as something was under way, and once more
// where it is taught back.
func (s *remoteSite) equal() {
	s.t.Helper()
	slack := 2 * time.Since(s.began)
	inTheEnd(s.t, "peersd has everything of both", func() error { return mirrors(s.d, slack, s.lb1, s.lb2) })
	s.lb1.mustChange(100)
	s.lb2.mustChange(100)
	inTheEnd(s.t, "changes go on", func() error { return mirrors(s.d, slack, s.lb1, s.lb2) })
}

// has waits until lb1 has what it had.
func (s *remoteSite) has(was record) {
	s.t.Helper()
	inTheEnd(s.t, "lb1 has everything back", func() error {
		if err := counted(s.lb1, 2*len(was.node.keys)); err != nil {
			return err
		}
		there, err := see(s.lb1)
		return errors.Join(err, was.in(there))
	})
}

// counted reports that a HAProxy has fewer entries than that in all, which is cheap
// to find out.
func counted(n *node, least int) error {
	text, err := n.Command("show table")
	if err != nil {
		return err
	}
	all := 0
	for line := range strings.Lines(text) {
		var used int
		if _, count, ok := strings.Cut(line, "used:"); ok {
			fmt.Sscan(count, &used)
		}
		all += used
	}
	if all < least {
		return fmt.Errorf("%s has %d of %d entries", n.name(), all, least)
	}
	return nil
}

// silences is how many sessions peersd has given up because nothing was heard.
func (s *remoteSite) silences() (n int) {
	return strings.Count(s.d.log.String(), "nothing heard from the peer")
}

func cutWhileIdle(lasts time.Duration) func(*testing.T, haproxytest.Release) {
	return func(t *testing.T, r haproxytest.Release) {
		var s *remoteSite
		busy(func() { s = newSite(t, r, heldKeys, longKeys); s.d.start() })
		s.settled()
		s.began = time.Now()
		s.cut(lasts)
		s.equal()
		if got := s.silences(); (got > 0) != (lasts > 15*time.Second) {
			t.Errorf("%d sessions were given up in silence", got)
		}
		was := s.lb1.record()
		s.lb1.restart()
		s.has(was)
	}
}

// The link is cut when a part of what lb1 teaches has come.
func cutWhilePeersdLearns(lasts time.Duration) func(*testing.T, haproxytest.Release) {
	return func(t *testing.T, r haproxytest.Release) {
		var s *remoteSite
		busy(func() {
			s = newSite(t, r, heldKeys, longKeys)
			s.link.Set(netlab.Faults{Delay: 200 * time.Millisecond}) // slow start is slow
			s.d.start()
		})
		s.began = time.Now()
		s.partly(s.d, s.lb1)
		s.cut(lasts)
		s.equal()
	}
}

// The link is cut when a part of what lb1 is taught has come. Where that is for
// long, HAProxy gives it up, and has it when it is started again.
func cutWhileHAProxyLearns(lasts time.Duration) func(*testing.T, haproxytest.Release) {
	return func(t *testing.T, r haproxytest.Release) {
		var s *remoteSite
		busy(func() {
			s = newSite(t, r, heldKeys, longKeys, "--teach-rate", heldRate)
			s.d.start()
		})
		s.settled()
		was := s.lb1.record()
		s.lb1.restart()
		s.began = time.Now()
		s.partly(s.lb1, s.lb1)
		s.link.Set(netlab.Faults{Cut: true})
		time.Sleep(lasts)
		s.link.Set(netlab.Faults{})
		if lasts > givesUpAfter {
			inTheEnd(t, "lb1 has a session again", func() error { return s.d.established("lb1") })
			s.lb1.restart()
		}
		s.has(was)
		s.equal()
	}
}

// partly waits until s has some of n's entries, and wants that these are not all.
func (s *remoteSite) partly(who shower, n *node) {
	s.t.Helper()
	eventually(s.t, 10*time.Second, "a part of the lesson has arrived", func() error {
		got, err := owned(who, n)
		if got == 0 && err == nil {
			err = errors.New("nothing has")
		}
		if got == 2*len(n.keys) {
			s.t.Fatal("all of it has arrived")
		}
		return err
	})
}

// Through a link that loses one packet in twenty, and takes 50 ms, peersd learns
// 50,000 entries, is sent changes, and teaches all of it to a HAProxy that was
// killed, though the other one goes on with changes.
func lossy(t *testing.T, r haproxytest.Release) {
	const keys, digits, changes = 25_000, 6, 2000
	var s *remoteSite
	busy(func() {
		s = newSite(t, r, keys, digits)
		s.link.Set(netlab.Faults{Loss: 0.05, Delay: 50 * time.Millisecond})
		s.d.start()
	})
	s.began = time.Now()
	inTheEnd(t, "all lessons are over", func() error {
		return errors.Join(s.lb1.complete(), s.lb2.complete(), s.d.established("lb1"), s.d.established("lb2"))
	})
	t.Logf("all lessons were over after %v", time.Since(s.began).Round(time.Millisecond))
	s.lb1.mustChange(changes)
	inTheEnd(t, "all changes have come", func() error {
		there, err := see(s.d)
		return errors.Join(err, s.lb1.record().in(there))
	})

	was, killed := s.lb1.record(), time.Now()
	s.lb1.restart()
	for range 10 {
		s.lb2.mustChange(20)
		time.Sleep(100 * time.Millisecond)
	}
	s.has(was)
	t.Logf("lb1 had everything back after %v", time.Since(killed).Round(time.Millisecond))
	slack := 2 * time.Since(s.began)
	inTheEnd(t, "peersd mirrors both", func() error { return mirrors(s.d, slack, s.lb1, s.lb2) })
	passed, lost := s.link.Packets()
	t.Logf("%d packets came through, and %d did not", passed, lost)
}

// A link between HAProxys and peersd is cut, or loses packets: no FIN comes, and no
// RST. When it is healed, nothing is lost.
func links(t *testing.T) {
	cases := map[string]func(*testing.T, haproxytest.Release){
		"cut for 3 s while idle":               cutWhileIdle(3 * time.Second),
		"cut for 30 s while idle":              cutWhileIdle(30 * time.Second),
		"cut for 3 s while peersd learns":      cutWhilePeersdLearns(3 * time.Second),
		"cut for 30 s while peersd learns":     cutWhilePeersdLearns(30 * time.Second),
		"cut for 3 s while HAProxy learns":     cutWhileHAProxyLearns(3 * time.Second),
		"cut for 30 s while HAProxy learns":    cutWhileHAProxyLearns(30 * time.Second),
		"one packet in twenty lost, and 50 ms": lossy,
	}
	haproxytest.EachAtOnce(t, func(t *testing.T, r haproxytest.Release) {
		together(t, cases, func(t *testing.T, f func(*testing.T, haproxytest.Release)) { f(t, r) })
	})
}
