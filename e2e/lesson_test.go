package e2e

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/protocol"
)

// The tests of lessons have a peersd that knows many entries of one table, and
// teaches them slowly to a HAProxy that has just started.

// bigEntries are taught in more than the 5 s after which HAProxy 3.3 and later
// close a connection of their own on which they had nothing to say.
const (
	bigEntries = 16_000
	bigRate    = 2000 // entries/s
)

// bigConfig is a HAProxy with that table, and another one for its own changes.
func bigConfig(host, hostPeersd string) string {
	return fmt.Sprintf(`
peers mypeers
    peer lb1 %s:%d
    peer peersd %s:%d
    table big type string len 32 size 100k expire 1h store gpc0
    table own type string len 32 size 100k expire 1h store gpc0
`, host, portLB, hostPeersd, portPeersd) + defaults
}

// teachBig lets the peer "loader" teach peersd the entries of big. It stays, so
// that nothing may be missing of it.
func teachBig(t testing.TB, hostPeersd string) {
	t.Helper()
	var lesson []byte
	own := gpc0Table("/own")
	own.ID = 2
	lesson = protocol.AppendDefinition(lesson, own) // without entries
	lesson = protocol.AppendDefinition(lesson, gpc0Table("/big"))
	for i := range bigEntries {
		lesson = append(lesson, gpc0Update(uint32(i+1), fmt.Sprint("k", i), uint64(i))...)
	}
	p := mustCall(t, hostPeersd, "loader", protocol.Version21)
	p.teach(protocol.ResyncFinished, lesson)
	p.stay()
}

// stay sends heartbeats until the connection is closed.
func (p *fakePeer) stay() {
	p.SetDeadline(time.Time{})
	go func() {
		for {
			if _, err := p.Write(message(protocol.Heartbeat)); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}()
}

// hasBig reports what a HAProxy lacks of it.
func hasBig(lb hap) error {
	got, err := lb.table("mypeers/big")
	if err != nil {
		return err
	}
	if len(got.Entries) != bigEntries {
		return fmt.Errorf("%d of %d entries", len(got.Entries), bigEntries)
	}
	for _, e := range got.Entries {
		if v, _ := e.Get("gpc0"); "k"+v != e.Key {
			return fmt.Errorf("%s has gpc0 %s", e.Key, v)
		}
	}
	return nil
}

// A lesson may last longer than HAProxy 3.3 and later keep a connection of their
// own on which they say nothing: while they learn they ack nothing, push nothing,
// and send no heartbeats either when they have something to push.
func TestLessonOfManySeconds(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		together(t, map[string]bool{
			"HAProxy can be dialled":       true,
			"HAProxy can't be dialled yet": false,
		}, func(t *testing.T, dialled bool) {
			host, hostPeersd := haproxytest.Host(t), haproxytest.Host(t)
			w := newWire(t, host, 1, hostPeersd)
			w.toPeersd.open()
			d := startDaemon(t, hostPeersd, 1, "--peer", "loader="+address(hostPeersd, portLB+1), "--teach-rate", strconv.Itoa(bigRate))
			teachBig(t, hostPeersd)
			lb := hap{r.Start(t, "lb1", bigConfig(host, host))}
			eventually(t, patience, "HAProxy has called", func() error {
				if d.peerField("lb1", "teaching") == "" {
					return fmt.Errorf("it is not taught")
				}
				return nil
			})
			if dialled {
				w.toHAProxy.open()
			}
			over, own := time.Now().Add(2*bigEntries/bigRate*time.Second), map[string]string{}
			for i := 0; hasBig(lb) != nil && time.Now().Before(over); i++ {
				lb.MustCommand(t, fmt.Sprintf("set table mypeers/own key k%d data.gpc0 %d", i, i))
				own[fmt.Sprint("k", i)] = strconv.Itoa(i)
				time.Sleep(100 * time.Millisecond)
			}
			if err := hasBig(lb); err != nil {
				t.Error(err)
			}
			if n := d.peerField("lb1", "new_conn"); n != "1" && n != "2" {
				t.Errorf("%s sessions", n)
			}
			// It pushes that after the lesson, without its age.
			eventually(t, patience, "what it changed meanwhile is known", func() error { return hasGPC0(d, "mypeers/own", own) })
		})
	})
}

// A peer that asks for lessons and reads nothing costs nobody else anything: the
// others have their lesson in the time that it takes, and it is given up.
func TestPeersThatReadNothing(t *testing.T) {
	t.Parallel()
	host := haproxytest.Host(t)
	d := newPlain(t, host, 0)
	d.start()
	teachBig(t, host)
	before := d.footprint()
	const deaf = 20
	for i := range deaf {
		p := mustCall(t, host, fmt.Sprint("deaf", i), protocol.Version21)
		p.SetReadBuffer(4096)
		for range 10 {
			p.send(message(protocol.ResyncRequest))
		}
		p.stay()
	}
	for i := range 5 {
		p := mustCall(t, host, fmt.Sprint("reader", i), protocol.Version21)
		if got := p.lesson(); len(got) != bigEntries {
			t.Errorf("the lesson has %d of %d entries", len(got), bigEntries)
		}
		p.Close()
	}
	if after := d.footprint(); after.memory > before.memory+8<<10 {
		t.Errorf("%d KiB before, and now %d", before.memory, after.memory)
	}
	eventually(t, 30*time.Second, "all that read nothing are given up", func() error {
		if n := strings.Count(d.log.String(), "the peer has not read what it was sent"); n != deaf {
			return fmt.Errorf("%d of %d are", n, deaf)
		}
		return nil
	})
}

// What is changed on peersd does not wait for the end of a lesson, whichever table
// it is of.
func TestChangesInALesson(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		d := startDaemon(t, host, 1, "--peer", "loader="+address(host, portLB+1), "--teach-rate", strconv.Itoa(bigRate))
		teachBig(t, host)
		lb := hap{r.Start(t, "lb1", bigConfig(host, host))}
		eventually(t, patience, "HAProxy is taught", func() error {
			if d.peerField("lb1", "teaching") == "" {
				return errors.New("it is not")
			}
			return nil
		})
		for i, table := range []string{"own", "big"} {
			value := strconv.Itoa(10 + i)
			d.must(fmt.Sprintf("set table mypeers/%s key ban%d data.gpc0 %s", table, i, value))
			eventually(t, time.Second, "HAProxy has the change", func() error {
				answer := lb.MustCommand(t, fmt.Sprintf("show table mypeers/%s key ban%d", table, i))
				if !strings.Contains(answer, "gpc0="+value) {
					return fmt.Errorf("%q", answer)
				}
				return nil
			})
		}
		if d.peerField("lb1", "teaching") == "" {
			t.Error("the lesson was over before")
		}
	})
}
