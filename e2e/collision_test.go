package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
)

// HAProxy and peersd dial each other. Whatever comes of it (a dial that is
// given up for the other's, two at the same instant, or HAProxy's retry of a
// refused connect when there has long been a session), the session that is
// established first stays.
func TestBothDial(t *testing.T) {
	const starts, atOnce, farthest = 20, 10, 1200 * time.Millisecond
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		counts := make(map[string]*atomic.Int32)
		for _, message := range settlements {
			counts[message] = &atomic.Int32{}
		}
		for first := 0; first < starts; first += atOnce {
			// Gaps of all lengths; in one half of them HAProxy is first.
			gaps := map[string]time.Duration{}
			for i := first; i < first+atOnce; i++ {
				const step = 2 * farthest / starts
				gap := time.Duration(i)*step + rand.N(step) - farthest
				gaps[fmt.Sprintf("peersd %v after HAProxy", gap.Round(time.Millisecond))] = gap
			}
			together(t, gaps, func(t *testing.T, gap time.Duration) {
				d := bothDial(t, r, gap)
				for message, n := range counts {
					n.Add(int32(strings.Count(d.log.String(), message)))
				}
			})
		}
		for _, message := range settlements {
			t.Logf("HAProxy %s: in %d starts peersd logged %d times: %s", r.Line, starts, counts[message].Load(), message)
		}
	})
}

// settlements are what peersd logs of how it was settled who stays.
var settlements = []string{
	`"dialed":true`,
	`"dialed":false`,
	"the peer closed it right after its hello",
	"the session with that peer is alive",
}

// bothDial starts peersd some time after HAProxy is ready, or HAProxy some time
// after peersd where gap is negative, and wants one session that stays.
func bothDial(t *testing.T, r haproxytest.Release, gap time.Duration) *daemon {
	var (
		host    = haproxytest.Host(t)
		d       = newDaemon(t, host, 1)
		lb      *haproxytest.Process
		err     error
		started = make(chan struct{})
	)
	go func() {
		defer close(started)
		time.Sleep(max(-gap, 0))
		lb, err = haproxytest.Start(r, haproxytest.Options{
			Name:   "lb1",
			Config: peersSection(host, 1, "table t1 type string len 32 size 1k expire 1h store gpc0"),
		})
	}()
	if gap > 0 {
		<-started
		time.Sleep(gap)
	}
	d.start()
	<-started
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lb.Kill)

	const established, closed = "session established", "session closed"
	count := func(message string) int { return strings.Count(d.log.String(), message) }
	eventually(t, 5*time.Second, "there is a session", func() error {
		if count(established) == 0 {
			return errors.New("none was established")
		}
		return nil
	})
	// A HAProxy may dial once more a second later, and closes a session that it
	// takes for dead up to 2050 ms after that, or after 5 s in which nothing
	// came.
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if count(closed) != 0 {
			t.Fatal("the session was closed")
		}
	}
	if n := count(established); n != 1 {
		t.Errorf("there were %d sessions", n)
	}
	peer := haproxyPeer(t, lb, "peersd")
	for field, want := range map[string]string{"last_status": "ESTA", "no_hbt": "0", "proto_err": "0"} {
		if got := peer[field]; got != want {
			t.Errorf("HAProxy has %s=%s, not %s, in %v", field, got, want, peer)
		}
	}
	return d
}

// haproxyPeer is what HAProxy's `show peers` says of one.
func haproxyPeer(t *testing.T, lb *haproxytest.Process, name string) map[string]string {
	t.Helper()
	_, block, _ := strings.Cut(lb.MustCommand(t, "show peers"), " id="+name+"(")
	block, _, _ = strings.Cut(block, "shared tables:")
	fields := map[string]string{}
	for _, m := range regexp.MustCompile(`(\w+)=(\S+)`).FindAllStringSubmatch(block, -1) {
		fields[m[1]] = m[2]
	}
	return fields
}
