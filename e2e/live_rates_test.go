package e2e

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
)

// Rates fall by themselves, in the same way on both sides, until two periods
// after the last request nothing is left of them.
func TestLiveRates(t *testing.T) {
	const (
		period = 2 * time.Second
		table  = "mypeers/rates"
		config = `
frontend fe
    bind HOST:8080
    http-request track-sc0 req.hdr(x-user) table mypeers/rates
    http-request sc-inc-gpc0(0)
    http-request return status 200
`
	)
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		p := startHAProxy(t, r, []string{"table rates type string len 16 size 1k expire 1h store gpc0_rate(1s),http_req_rate(2s)"}, config)
		p.startPeersd()
		request := func(user string, times int) {
			for range times {
				p.get(200, "/", "x-user", user)
			}
			p.mirrored("after the requests of "+user, table)
		}
		began := time.Now()
		request("lone", 1)
		request("busy", 40)
		sent := time.Now()
		request("again", 40)

		steps := []struct {
			at time.Duration
			do func()
		}{
			{period * 3 / 4, func() { request("again", 20) }},
			{period * 5 / 4, func() { // now a lesson brings the ages, and what is left of lifetimes
				p.d.stop()
				p.startPeersd()
				p.mirrored("after a lesson", table)
			}},
		}
		rate := func(reading haproxytest.Table, user string) string {
			v, _ := reading.ByKey()[user].Get("http_req_rate(2000)")
			return v
		}
		seen := map[string]bool{} // of the rate of busy, in peersd
		for over := false; !over; time.Sleep(50 * time.Millisecond) {
			if len(steps) > 0 && time.Since(sent) > steps[0].at {
				steps[0].do()
				steps = steps[1:]
			}
			atLeast := time.Since(sent)
			before, theirs, after := p.ours(table), p.lb.MustTable(t, table), p.ours(table)
			atMost := time.Since(began)
			if err := bracketed(before, theirs, after); err != nil {
				t.Fatalf("%v after the requests: %v", atLeast, err)
			}
			seen[rate(after, "busy")] = true
			over = atLeast > period*205/100
			for side, reading := range map[string]haproxytest.Table{"HAProxy": theirs, "peersd": after} {
				lone, busy := rate(reading, "lone"), rate(reading, "busy")
				if over && (lone != "0" || busy != "0") {
					t.Errorf("%s reads %s and %s where both are over", side, lone, busy)
				}
				// A single request counts as 1 to the very end.
				if atMost < 2*period && lone != "1" {
					t.Errorf("%s reads %s of one request after %v", side, lone, atLeast)
				}
			}
		}
		if len(seen) < 3 {
			t.Errorf("the rate was not seen falling: %v", seen)
		}
	})
}

// ours is what peersd prints of a table.
func (p *pair) ours(name string) haproxytest.Table {
	p.t.Helper()
	table, err := p.d.table(name)
	if err != nil {
		p.t.Fatal(err)
	}
	return table
}

// bracketed reports the first of HAProxy's rates that is not between what peersd
// reads before and after: while nobody makes requests they only fall. The slack
// is for rounding, and for the ms that the last update was under way.
func bracketed(before, theirs, after haproxytest.Table) error {
	const slack = 2
	earlier, later := before.ByKey(), after.ByKey()
	for _, e := range theirs.Entries {
		for _, f := range e.Data {
			var values [3]int
			for i, entry := range []haproxytest.Entry{earlier[e.Key], e, later[e.Key]} {
				text, _ := entry.Get(f.Name)
				v, err := strconv.Atoi(text)
				if err != nil {
					return fmt.Errorf("%s of %s: %w", f.Name, e.Key, err)
				}
				values[i] = v
			}
			if values[1] > values[0]+slack || values[1] < values[2]-slack {
				return fmt.Errorf("%s of %s reads %d between our %d and %d", f.Name, e.Key, values[1], values[0], values[2])
			}
		}
	}
	return nil
}
