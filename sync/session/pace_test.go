package session

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// A reader is whoever is at the other end of a pacer in a test.
type reader struct {
	perSecond int // bytes that it reads
	rtt       time.Duration
	unread    float64
	read      time.Time // when it did last
}

func (r *reader) path(now time.Time) Path {
	r.unread = max(0, r.unread-float64(r.perSecond)*now.Sub(r.read).Seconds())
	r.read = now
	return Path{Unread: int(r.unread), RTT: r.rtt}
}

const bytesEach = 20

// run lets a pacer send to r for as long as lasts, with timers that are late by up
// to late, and returns how many updates were sent and the most that was unread.
func run(p *pacer, r *reader, now time.Time, lasts, late time.Duration) (sent, unread int, end time.Time) {
	r.read = now
	for end = now.Add(lasts); now.Before(end); {
		p.path = r.path(now)
		n := p.burst(now)
		p.sent(now, n, n*bytesEach)
		sent += n
		r.unread += float64(n * bytesEach)
		unread = max(unread, int(r.unread))
		if n == 0 {
			p.more = true
		}
		next := now.Add(late)
		if at := p.at(); at.After(now) {
			next = at.Add(late)
		}
		now = next
	}
	return sent, unread, now
}

// What is sent is the rate, though timers are late, and never more in a moment than
// makes up for that.
func TestPace(t *testing.T) {
	for _, rate := range []int{1000, 50_000, 125_000, 1_000_000} {
		for _, late := range []time.Duration{time.Microsecond, 300 * time.Microsecond, time.Millisecond} {
			p := newPacer(200, rate)
			sent, _, now := run(&p, &reader{perSecond: math.MaxInt32}, time.Unix(0, 0), 2*time.Second, late)
			possible := min(rate, int(200*time.Second/late))
			most := 200 + int(catchUp.Seconds()*float64(rate)) + 1 // in a moment
			if sent > 2*rate+most || sent < 2*possible*9/10 {
				t.Errorf("%d/s, timers late by %v: %d in 2 s", rate, late, sent)
			}
			// After a pause it doesn't make up for that.
			now = now.Add(time.Hour)
			burst := 0
			for n := p.burst(now); n > 0; n = p.burst(now) {
				p.sent(now, n, n*bytesEach)
				burst += n
			}
			if burst > most {
				t.Errorf("%d/s: %d at once, not at most %d", rate, burst, most)
			}
		}
	}
}

// Where nobody sets a pace there is none.
func TestUnpaced(t *testing.T) {
	p := newPacer(200, 0)
	p.path = Path{Unread: math.MaxInt}
	for range 10 {
		if n := p.burst(time.Unix(0, 0)); n != 200 {
			t.Fatalf("a burst of %d", n)
		}
		p.sent(time.Unix(0, 0), 200, 4000)
	}
	if !p.at().IsZero() || p.stalled(time.Unix(1000, 0)) {
		t.Error("it waits for something")
	}
}

// A peer that reads slowly gets what it can read, without much of it lying about.
func TestPaceFollowsThePeer(t *testing.T) {
	for _, c := range []struct {
		reads int // updates/s
		rtt   time.Duration
	}{
		{1_000_000, 0}, {120_000, 0}, {60_000, 0}, {20_000, 0}, {5_000, 0},
		{1_000_000, 100 * time.Millisecond}, {60_000, 100 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%d/s, %v", c.reads, c.rtt), func(t *testing.T) {
			const rate = 125_000
			p := newPacer(200, rate)
			r := &reader{perSecond: c.reads * bytesEach, rtt: c.rtt}
			sent, unread, now := run(&p, r, time.Unix(0, 0), 5*time.Second, 200*time.Microsecond)
			want := 5 * min(c.reads, rate)
			if sent < want*7/10 || sent > want+want/5+2000 {
				t.Errorf("%d were sent in 5 s, and %d could be read", sent, want)
			}
			if most := littleUnread + 200*bytesEach + int(2*c.rtt.Seconds()*rate*bytesEach); unread > most {
				t.Errorf("%d bytes were unread, not at most %d", unread, most)
			}
			// When it has time again, the rate is back soon.
			r.perSecond = math.MaxInt32
			_, _, now = run(&p, r, now, 2*time.Second, 200*time.Microsecond)
			if sent, _, _ = run(&p, r, now, time.Second, 200*time.Microsecond); sent < rate*9/10 {
				t.Errorf("when it could read all again, it was sent %d/s", sent)
			}
		})
	}
}

// A peer that does not read is given up, but not one that is sent nothing.
func TestPaceStalls(t *testing.T) {
	p := newPacer(200, 125_000)
	r := &reader{}
	_, unread, now := run(&p, r, time.Unix(0, 0), heldAtMost-time.Second, time.Millisecond)
	if p.stalled(now) {
		t.Error("it is given up too early")
	}
	if unread > littleUnread+200*bytesEach {
		t.Errorf("%d bytes were sent", unread)
	}
	_, _, now = run(&p, r, now, 2*time.Second, time.Millisecond)
	if !p.stalled(now) {
		t.Error("it is not given up")
	}
	inHurry := p
	if inHurry.hurryUp(); inHurry.stalled(now) {
		t.Error("it is given up for what it did not read before there was a hurry")
	}
	if p.idle(); p.stalled(now) || !p.at().IsZero() {
		t.Error("it is given up though there is nothing for it")
	}
}
