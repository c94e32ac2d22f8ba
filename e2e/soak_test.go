package e2e

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/internal/testkit"
	"github.com/peersd/peersd/protocol"
)

// TestSoak lets faults happen to a peersd and two HAProxys of different lines, one
// after the other as chance has it, while both HAProxys change entries all the time.
//
// It lasts for SOAK, a minute without (make soak: an hour). PEERSD_SEED is what chance
// follows from.
func TestSoak(t *testing.T) {
	t.Parallel()
	lasts := time.Minute
	if text := os.Getenv("SOAK"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatalf("SOAK is no duration: %v", err)
		}
	}
	s := newSoak(t)
	first := min(lasts/3, time.Minute)
	s.run(first)
	s.baseline = s.quiet()
	s.run(lasts - first)
	s.quiet()
	t.Logf("%d faults: %v", s.faults, s.counts)
}

// A soak is a peersd and two HAProxys, the connections between them, and a third
// peer, which the test plays.
type soak struct {
	t      *testing.T
	random *rand.Rand
	d      mirror
	host   string // of peersd
	ends   [2]*soaked
	pupil  *pupil

	baseline map[string]int // what peersd took after the first faults, nil before
	next     int            // the fault to come, of soakFaults: the first is that peersd is killed
	faults   int
	counts   map[string]int
}

// A soaked HAProxy is one of them, and its connections.
type soaked struct {
	*node
	wire  *wire
	cut   *cutter
	chop  *chopper
	chops atomic.Bool // connections that are made now
	pause func()      // its changes
}

// soakKeys are changed, five of them every 20 ms, round and round.
const soakKeys, soakChanges = 500, 5

func newSoak(t *testing.T) *soak {
	s := &soak{t: t, random: random(t), host: haproxytest.Host(t), counts: map[string]int{}}
	for i, line := range s.random.Perm(len(haproxytest.Lines))[:len(s.ends)] {
		r, err := haproxytest.Find(haproxytest.Lines[line])
		if err != nil {
			testkit.Skip(t, err)
		}
		t.Logf("lb%d is HAProxy %s", i+1, r.Version)
		s.ends[i] = s.start(r, i+1)
	}
	s.pupil = newPupil(t, s.host)
	s.d = mirror{newPlain(t, s.host, len(s.ends), "--peer", "lb3="+address(s.host, portLB+2), "--log-level", "info")}
	s.d.start()
	for _, e := range s.ends {
		inTheEnd(t, "it asks for no lesson any more", e.complete)
		e.mustChange()
		e.goOn()
	}
	t.Cleanup(func() {
		for _, e := range s.ends {
			e.pause()
		}
	})
	return s
}

func (s *soak) start(r haproxytest.Release, n int) *soaked {
	host := haproxytest.Host(s.t)
	e := &soaked{wire: newWire(s.t, host, n, s.host), pause: func() {}}
	seeds := func() *rand.Rand { return rand.New(rand.NewPCG(s.random.Uint64(), 0)) }
	e.cut, e.chop = &cutter{random: seeds()}, &chopper{random: seeds()}
	bent := func(c *net.TCPConn) end {
		if e.chops.Load() {
			return e.chop.before(c)
		}
		return e.cut.before(c)
	}
	e.wire.bend(bent, bent)
	e.wire.open()
	e.node = startNode(s.t, r, host, n, soakKeys)
	return e
}

// goOn lets changes go on.
func (e *soaked) goOn() { e.pause = e.changing(soakChanges) }

// reconnect makes connections be made anew.
func (e *soaked) reconnect() {
	e.wire.shut()
	e.wire.open()
}

// soakFaults are what may happen. Each ends with all as it should be, but for what
// is made up for later. That peersd is killed is rare, after the first time: it is to
// grow old.
var soakFaults = []struct {
	name   string
	weight int
	happen func(*soak)
}{
	{"peersd is killed", 1, (*soak).killPeersd},
	{"HAProxy is killed", 20, (*soak).killHAProxy},
	{"peersd stands still", 20, func(s *soak) { s.standStill(func(g syscall.Signal) { s.d.cmd.Process.Signal(g) }) }},
	{"HAProxy stands still", 20, func(s *soak) { e := s.any(); s.standStill(func(g syscall.Signal) { e.Signal(g) }) }},
	{"nothing comes through any more", 20, func(s *soak) { s.any().wire.freeze() }},
	{"connections are refused", 20, func(s *soak) { w := s.any().wire; w.shut(); s.pass(5 * time.Second); w.open() }},
	{"connections are cut", 20, func(s *soak) { c := s.any().cut; c.start(); s.pass(5 * time.Second); c.stop() }},
	{"segments are chopped", 20, (*soak).chop},
	{"lesson after lesson", 20, (*soak).lessons},
	{"garbage", 20, (*soak).garbage},
}

// any is one of the HAProxys.
func (s *soak) any() *soaked { return s.ends[s.random.IntN(len(s.ends))] }

// pass lets time pass, as much as that at most.
func (s *soak) pass(atMost time.Duration) { time.Sleep(time.Duration(s.random.Int64N(int64(atMost)))) }

// run lets faults happen for so long.
func (s *soak) run(lasts time.Duration) {
	s.t.Helper()
	for end := time.Now().Add(lasts); time.Now().Before(end); s.next = s.choose() {
		f := soakFaults[s.next]
		s.faults++
		s.counts[f.name]++
		f.happen(s)
		if s.random.IntN(4) == 0 {
			s.left("after " + f.name)
		} else {
			s.pass(2 * time.Second)
		}
	}
}

// choose picks one of the faults by their weights.
func (s *soak) choose() int {
	sum := 0
	for _, f := range soakFaults {
		sum += f.weight
	}
	n := s.random.IntN(sum)
	for i, f := range soakFaults {
		if n -= f.weight; n < 0 {
			return i
		}
	}
	panic("the weights are less than their sum")
}

// left leaves everything alone until all are equal, which has to be so soon.
// Lifetimes are longer by as much as anything was under way.
func (s *soak) left(when string) {
	s.t.Helper()
	for _, e := range s.ends {
		e.pause()
	}
	inTheEnd(s.t, fmt.Sprintf("all is equal, %s, the %dth fault", when, s.faults), func() error {
		return mirrors(s.d, time.Minute, s.ends[0].node, s.ends[1].node)
	})
	for _, e := range s.ends {
		e.goOn()
	}
}

// quiet leaves everything alone, and wants that peersd takes what it took at the
// first quiet moment.
func (s *soak) quiet() map[string]int {
	s.t.Helper()
	s.left("when it was quiet")
	inTheEnd(s.t, "there are all sessions", func() error {
		return errors.Join(s.d.established("lb1"), s.d.established("lb2"), s.d.established("lb3"))
	})
	now := s.d.activity()
	s.t.Logf("after %d faults: %v", s.faults, now)
	if s.baseline != nil {
		s.d.leaves(s.baseline)
	}
	return now
}

// killPeersd kills it, after it has shown that it has not grown.
func (s *soak) killPeersd() {
	if s.baseline != nil {
		s.quiet()
	}
	s.d.kill()
	s.pass(time.Second)
	s.d.start()
}

// killHAProxy kills one of them, of which peersd is not learning: what was pushed and
// not taught yet, anybody's lesson may overrule. What peersd had of it comes back;
// what was under way is lost. Changes go on when that is over: a lesson overwrites
// what it meets.
func (s *soak) killHAProxy() {
	e := s.any()
	inTheEnd(s.t, "the lesson of "+e.name()+" is over", func() error { return s.d.established(e.name()) })
	had, err := see(s.d)
	if err != nil {
		s.t.Fatal(err)
	}
	e.Kill()
	e.pause()
	e.restart()
	inTheEnd(s.t, fmt.Sprintf("%s has what peersd had, at the %dth fault", e.name(), s.faults), func() error {
		there, err := see(e)
		return errors.Join(err, e.complete(), e.notBefore(there, had))
	})
	e.forget(e)
	e.goOn()
}

// standStill stops a process for a while.
func (s *soak) standStill(signal func(syscall.Signal)) {
	signal(syscall.SIGSTOP)
	s.pass(8 * time.Second)
	signal(syscall.SIGCONT)
}

// chop has the segments of one HAProxy's connections chopped.
func (s *soak) chop() {
	e := s.any()
	e.chops.Store(true)
	e.reconnect()
	s.pass(5 * time.Second)
	e.chops.Store(false)
	e.reconnect()
}

// lessons has one HAProxy killed in each of its lessons, and the pupil ask for one
// after the other.
func (s *soak) lessons() {
	s.pupil.asking.Store(true)
	for range 3 {
		s.killHAProxy()
	}
	s.pupil.asking.Store(false)
}

// garbage is sent by connections that come at once, some of them under the name of
// a peer that is there.
func (s *soak) garbage() {
	messages := badMessages()
	for range 50 {
		nc, err := net.Dial("tcp", address(s.host, portPeersd))
		if err != nil {
			s.t.Fatal(err)
		}
		bad := []byte(badHellos[s.random.IntN(len(badHellos))].hello)
		if s.random.IntN(2) == 0 {
			hello := protocol.Hello{Version: protocol.Version21, Remote: "peersd", Local: fmt.Sprint("lb", 1+s.random.IntN(4)), PID: 1}
			bad = append(protocol.AppendHello(nil, hello), messages[s.random.IntN(len(messages))].bytes...)
		}
		go func() {
			defer nc.Close()
			nc.SetDeadline(time.Now().Add(2 * time.Second))
			nc.Write(bad)
			io.Copy(io.Discard, nc)
		}()
	}
}

// A pupil is a third peer, which has nothing and is up to date; it asks for lesson
// after lesson as long as it is to.
type pupil struct{ asking atomic.Bool }

func newPupil(t *testing.T, host string) *pupil {
	p, end, over := &pupil{}, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for !isClosed(end) {
			if c, err := play(host, "lb3"); err == nil {
				p.learn(c, end)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	t.Cleanup(func() { close(end); <-over })
	return p
}

// learn is one session of the pupil's.
func (p *pupil) learn(c *player, end chan struct{}) {
	defer c.nc.Close()
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		select {
		case <-end:
			return
		case <-c.ended:
			return
		case <-tick.C:
		}
		if !p.asking.Load() {
			continue
		}
		if c.ask() != nil {
			return
		}
		select {
		case <-end:
		case <-c.ended:
			return
		case <-c.whole:
		}
	}
}
