package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/protocol"
)

// reached is how often a limit was reached, by `show limits`.
func (d *daemon) reached(flag string) (n int) {
	d.t.Helper()
	out, err := d.try("show", "limits")
	if err != nil {
		d.t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m) (\d+)  ` + flag + `$`).FindStringSubmatch(out)
	if m == nil {
		d.t.Fatalf("no %s in:\n%s", flag, out)
	}
	n, _ = strconv.Atoi(m[1])
	return n
}

// A crowd are connections to peersd that say nothing, from several addresses, of
// which one is HAProxy's own. Each is there until peersd closes it.
type crowd struct {
	t     *testing.T
	count atomic.Int32
	stop  chan struct{}
	wg    sync.WaitGroup
}

func startCrowd(t *testing.T, host string) *crowd {
	c := &crowd{t: t, stop: make(chan struct{})}
	for i := range 20 {
		from := net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i))}
		c.wg.Go(func() {
			for {
				select {
				case <-c.stop:
					return
				default:
				}
				c.join(net.Dialer{LocalAddr: &from, Timeout: patience}, host)
			}
		})
	}
	return c
}

func (c *crowd) join(from net.Dialer, host string) {
	nc, err := from.Dial("tcp", address(host, portPeersd))
	if err != nil {
		c.t.Errorf("connection %d: %v", c.count.Load(), err)
		return
	}
	c.count.Add(1)
	c.wg.Go(func() {
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(4 * patience))
		if b, err := io.ReadAll(nc); len(b) > 0 || errors.Is(err, net.ErrClosed) {
			c.t.Errorf("one that says nothing is answered %q, %v", b, err)
		}
	})
	time.Sleep(5 * time.Millisecond) // with 20 of them, some thousand a second
}

// grown waits until there were so many.
func (c *crowd) grown(to int32) {
	c.t.Helper()
	eventually(c.t, time.Minute, fmt.Sprint("a crowd of ", to), func() error {
		if n := c.count.Load(); n < to {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
}

func (c *crowd) leave() {
	close(c.stop)
	c.wg.Wait()
}

// Whoever says nothing keeps nobody out: beside 10,000 connections that do, a
// HAProxy that peersd does not dial gets its session and its lesson in time.
func TestSilentCrowd(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		d := newPlain(t, host, 0)
		d.start()
		crowd := startCrowd(t, host)
		crowd.grown(3000) // until memory is what it is under such load
		before := d.footprint()

		lb1 := r.Start(t, "lb1", gpc0Config(host, "t1"))
		eventually(t, completeAfter, "the session is there", func() error { return d.established("lb1") })
		lb1.MustCommand(t, "set table t1 key k data.gpc0 7")
		want := map[string]string{"k": "7"}
		eventually(t, patience, "peersd has it", func() error { return hasGPC0(d, "t1", want) })
		lb1 = restartHAProxy(t, lb1)
		eventually(t, completeAfter, "it has it back", func() error { return hasGPC0(hap{lb1}, "t1", want) })

		crowd.grown(13_000)
		if v := d.peerField("lb1", "new_conn"); v != "2" {
			t.Errorf("lb1 has had %s sessions, not 2", v)
		}
		crowd.leave()
		if n := d.reached("--max-handshakes") + d.reached("--max-handshakes-per-address"); n < 12_000 {
			t.Errorf("%d connections were closed for others", n)
		}
		if n := strings.Count(d.log.String(), "; raise --max-handshakes"); n < 1 || n > 2 {
			t.Errorf("the log tells of it %d times", n)
		}
		eventually(t, patience, "all is given back", func() error {
			after := d.footprint()
			if after.files > before.files || after.memory > before.memory+4<<10 {
				return fmt.Errorf("%+v, and before it was %+v", after, before)
			}
			return nil
		})
	})
}

// A byte a second is not enough, neither of a hello nor of a message.
func TestByteASecond(t *testing.T) {
	t.Parallel()
	host := haproxytest.Host(t)
	d := startDaemon(t, host, 0)
	trickle := func(p *fakePeer, b []byte) {
		for _, c := range b {
			if _, err := p.Write([]byte{c}); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}
	began := time.Now()
	slow := dialPeersd(t, host)
	go trickle(slow, []byte("HAProxyS 2.1\npeersd\nlb1 1 1\n"))
	p := mustCall(t, host, "lb2", protocol.Version21)
	p.SetDeadline(time.Now().Add(30 * time.Second))
	go trickle(p, frame(protocol.UpdateMessage, make([]byte, 30)))

	if status := slow.line(); status != "" {
		t.Errorf("status %q", status)
	}
	if took := time.Since(began); took < 4*time.Second || took > 10*time.Second {
		t.Errorf("the hello was waited for for %v", took)
	}
	d.says(t, slow, "no complete hello")
	if reply := p.ended(); reply != noReply {
		t.Errorf("answered with %v", reply)
	}
	if took := time.Since(began); took < 14*time.Second || took > 25*time.Second {
		t.Errorf("the message was waited for for %v", took)
	}
	d.says(t, p, "nothing heard from the peer for 15 s")
}

// What a HAProxy does at each change of table is free: it defines it again.
func TestSameDefinitionAfterEveryUpdate(t *testing.T) {
	host := haproxytest.Host(t)
	d := startDaemon(t, host, 0)
	p := mustCall(t, host, "lb1", protocol.Version21)
	const n = 20_000
	var b []byte
	for i := range n {
		for id, name := range []string{"t1", "t2"} {
			def := gpc0Table(name)
			def.ID = uint64(id)
			b = append(protocol.AppendDefinition(b, def), gpc0Update(uint32(i+1), "key", uint64(i))...)
		}
	}
	go io.Copy(io.Discard, p.TCPConn)
	p.send(b)
	eventually(t, 2*patience, "all of it is taken", func() error {
		return hasGPC0(d, "t2", map[string]string{"key": fmt.Sprint(n - 1)})
	})
	if got := d.peerField("lb1", "new_conn") + " " + d.peerField("lb1", "proto_err"); got != "1 0" {
		t.Errorf("new_conn and proto_err: %s", got)
	}
}

// Who asks for lesson after lesson gets one a second, and others get theirs.
func TestLessonAfterLesson(t *testing.T) {
	host := haproxytest.Host(t)
	d := startDaemon(t, host, 0)
	full := mustCall(t, host, "lb1", protocol.Version21)
	full.teach(protocol.ResyncFinished, protocol.AppendDefinition(nil, gpc0Table("t1")), gpc0Update(1, "key", 1))

	p := mustCall(t, host, "lb2", protocol.Version21)
	began, stop := time.Now(), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for !isClosed(stop) {
			p.Write(bytes.Repeat(message(protocol.ResyncRequest), 10))
			time.Sleep(time.Millisecond)
		}
	})
	for range 3 {
		p.until(protocol.ResyncFinished, protocol.ResyncPartial)
		p.send(message(protocol.ResyncConfirm))
	}
	if took := time.Since(began); took < 1900*time.Millisecond {
		t.Errorf("three lessons in %v", took)
	}
	other := mustCall(t, host, "lb3", protocol.Version21)
	asked := time.Now()
	if got := other.lesson(); len(got) != 1 || time.Since(asked) > patience {
		t.Errorf("%d rows for another one after %v", len(got), time.Since(asked))
	}
	close(stop)
	wg.Wait()
	d.says(t, p, "session closed: by the peer")
	lines := 0
	for line := range strings.Lines(d.log.String()) {
		if strings.Contains(line, `"peer":"lb2"`) && strings.Contains(line, `"level":"info"`) && strings.Contains(line, "lesson") {
			lines++
		}
	}
	if lines > 4 { // lb2 is asked for its own, too
		t.Errorf("%d lines of the log are about lessons of lb2", lines)
	}
}

// Whatever a peer defines, and however many names it goes by, nothing is left but
// what the limits let stay.
func TestHostilePeersLeaveNothing(t *testing.T) {
	host := haproxytest.Host(t)
	d := newPlain(t, host, 0, "--log-level", "error", "--max-sessions", "50")
	d.start()
	requests := bytes.Repeat(message(protocol.ResyncRequest), 10_000)
	all := [][]byte{manyTables(1100), manyTypes(17_000), otherDefinitions(2500), requests,
		slices.Concat(manyTables(100), gpc0Update(1, "key", 1)), // may stay, until other names come
		slices.Concat([]byte{10, 0x8f}, varints(math.MaxUint32))}
	names := 0
	round := func(n int) {
		var wg sync.WaitGroup
		for _, bad := range all {
			first := names
			names += n
			wg.Go(func() {
				for i := range n {
					hello := fmt.Sprintf("HAProxyS 2.1\npeersd\nname%d 1 1\n", first+i)
					if err := once(host, append([]byte(hello), bad...)); err != nil {
						t.Errorf("%s: %v", hello, err)
					}
				}
			})
		}
		wg.Wait()
	}
	round(20)
	before := d.footprint()
	round(40)
	// What a session took for a moment goes back to the kernel bit by bit.
	eventually(t, 30*time.Second, "nothing more is left", func() error {
		after := d.footprint()
		if after.files > before.files || after.memory > before.memory+8<<10 {
			return fmt.Errorf("%+v, and before it was %+v", after, before)
		}
		return nil
	})
	for flag, want := range map[string]int{"--max-tables": 120, "--max-data-types": 60, "--max-message": 60} {
		if n := d.reached(flag); n != want {
			t.Errorf("%s was reached %d times, not %d", flag, n, want)
		}
	}
	out, err := d.try("show", "table")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out, "\n"); n > 100 { // they are all the same ones
		t.Errorf("%d tables are left", n)
	}
}

// One session too many is not answered, so that HAProxy dials again.
func TestOneSessionTooMany(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		d := startDaemon(t, host, 0, "--max-sessions", "1")
		first := mustCall(t, host, "lb7", protocol.Version21)
		r.Start(t, "lb1", gpc0Config(host, "t1"))
		eventually(t, completeAfter, "it is turned away", func() error {
			if n := d.reached("--max-sessions"); n == 0 {
				return errors.New("it has not come yet")
			}
			return nil
		})
		first.Close()
		eventually(t, 3*completeAfter, "it comes again", func() error { return d.established("lb1") })
	})
}

// A HAProxy that brings more new entries than it may is read from more slowly; it
// keeps its session, and nothing is lost.
func TestLearnRate(t *testing.T) {
	const n = 15_000 // five seconds' worth more than ten seconds'
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		p := startHAProxy(t, r, nil, "backend t1\n    stick-table type string len 32 size 100k expire 1h store gpc0 peers mypeers\n")
		want := map[string]string{}
		for first := 0; first < n; first += 100 {
			var commands []string
			for i := range 100 {
				key := fmt.Sprint("k", first+i)
				want[key] = "1"
				commands = append(commands, setCommand("t1", key, "gpc0 1"))
			}
			p.mustSet(strings.Join(commands, ";"))
		}
		began := time.Now()
		p.d = startDaemon(t, p.host, 1, "--learn-rate", "1000")
		eventually(t, 6*patience, "the lesson is over", func() error { return p.d.established("lb1") })
		if took := time.Since(began); took < 4*time.Second {
			t.Errorf("it took %v", took)
		}
		if n := p.d.reached("--learn-rate"); n == 0 {
			t.Error("the limit was not reached")
		}
		if err := hasGPC0(p.d, "t1", want); err != nil {
			t.Errorf("after the lesson: %.200v", err)
		}
		if v := p.d.peerField("lb1", "new_conn"); v != "1" {
			t.Errorf("there were %s sessions", v)
		}
	})
}
