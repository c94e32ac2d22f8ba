package session

import "time"

// A pacer says when how many updates may be sent, so that whoever takes them has
// time for its traffic in between.
type pacer struct {
	most int     // updates in a burst
	rate float64 // updates/s, 0 for as many as are taken
	due  time.Time
	more bool // there may be something to be sent at due
}

// catchUp is how far behind its rate a pacer may be and still make up for it: as
// long as timers are late, and no longer.
const catchUp = 5 * time.Millisecond

// burst is how many updates may be sent at now.
func (p *pacer) burst(now time.Time) int {
	if p.rate > 0 && now.Before(p.due) {
		p.more = true
		return 0
	}
	return p.most
}

// sent takes note that n updates of a burst were sent.
func (p *pacer) sent(now time.Time, n int) {
	p.more = n > 0
	if p.rate == 0 || n == 0 {
		return
	}
	if behind := now.Add(-catchUp); p.due.Before(behind) {
		p.due = behind
	}
	p.due = p.due.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
}

// at is when there may be something to be sent, zero where that is not known.
func (p *pacer) at() time.Time {
	if p.rate == 0 || !p.more {
		return time.Time{}
	}
	return p.due
}
