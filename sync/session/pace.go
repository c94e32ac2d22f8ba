package session

import (
	"errors"
	"time"
)

// A pacer says how many updates may be sent when, so that whoever takes them has
// time for its traffic in between: HAProxy takes all that has come before it looks
// after a request (2.6 and 3.0; 3.2 and later no more than max-updates-at-once).
//
// A burst is due when the one before it is paid for, and one that comes late is made
// up for in somewhat longer ones, not in several at once. Where the peer has not read
// the last ones by then, it is not keeping up: bursts wait until it has, and the
// rate falls, to rise again while it does.
type pacer struct {
	most int     // updates in any burst
	some int     // updates in a burst that is in time
	rate float64 // updates/s at most, 0 for as many as are taken

	slow  float64   // the part of rate that the peer keeps up with, lowest to 1
	due   time.Time // when the next burst is paid for
	next  time.Time // not before
	more  bool      // there is something to be sent then
	held  time.Time // since when a burst waits for the peer to read, zero if none does
	bytes int       // of the last burst, if it were some
	path  Path
	hurry bool // there is no time for all that
}

// A Path is what the kernel says of the way to a peer.
type Path struct {
	// Unread is how many bytes were written that the peer has not read yet, those
	// on their way included.
	Unread int
	// RTT is the shortest time for a byte and its ack.
	RTT time.Duration
}

const (
	// fewest is how many updates are worth a burst.
	fewest = 16
	// catchUp is how far behind its rate a pacer may be and still make up for it:
	// as late as timers are on a busy machine.
	catchUp = 50 * time.Millisecond
	// catchUpIn is the delay at which bursts are twice as long, and no longer. They are
	// apart at least, which is less than timers can tell, so that there are no two at
	// once; but for those that can't be longer.
	catchUpIn = 8 * time.Millisecond
	apart     = 700 * time.Microsecond
	// littleUnread is how many bytes may always be unread: HAProxy reads up to
	// 16 KiB at a time.
	littleUnread = 16 << 10
	// lookAgain is how long a burst waits before the path is looked at again.
	lookAgain = time.Millisecond
	// slower is what becomes of the rate where a burst has to wait, down to lowest
	// of what is wanted, and faster how much of that comes back in a second in
	// which none has to.
	slower = 0.8
	lowest = 1.0 / 32
	faster = 0.5
	// heldAtMost is how long a peer may not read what it was sent.
	heldAtMost = 10 * time.Second
)

// ErrStalled is returned by [Session.Tick] where the peer has read nothing for 10 s
// though there is more for it.
var ErrStalled = errors.New("the peer has not read what it was sent for 10 s")

// newPacer sends at most so many updates at once, and no more than those of a
// millisecond, which is what timers can tell apart: a request waits for as long as the
// burst takes that is before it.
func newPacer(most, rate int) pacer {
	return pacer{most: most, some: min(most, max(rate/1000, fewest)), rate: float64(rate), slow: 1}
}

func (p *pacer) unpaced() bool { return p.rate == 0 || p.hurry }

// hurryUp makes it send whatever is taken from now on, and wait for nothing.
func (p *pacer) hurryUp() { p.hurry, p.held = true, time.Time{} }

// idle is told that there is nothing to be sent.
func (p *pacer) idle() { p.more, p.held = false, time.Time{} }

// burst is how many updates may be sent at now, of some that there are.
func (p *pacer) burst(now time.Time) int {
	if p.unpaced() {
		return p.most
	}
	if !p.more && p.due.Before(now) {
		p.due = now // there was nothing to be late with
	}
	p.more = true
	if now.Before(p.next) {
		return 0
	}
	if p.path.Unread > p.unreadAtMost() {
		if p.held.IsZero() {
			p.held = now
			p.slow = max(p.slow*slower, lowest)
		}
		p.next = now.Add(lookAgain)
		p.due = p.next
		return 0
	}
	late := float64(max(now.Sub(p.due), 0)) / float64(catchUpIn)
	return min(p.some+int(float64(p.some)*min(late, 1)), p.most)
}

// unreadAtMost is how many bytes may be unread where the peer keeps up: two bursts,
// and what goes out while the first byte comes back as an ack.
func (p *pacer) unreadAtMost() int {
	perSecond := float64(p.bytes) * p.rate * p.slow / float64(p.some)
	return max(littleUnread, 2*p.bytes) + int(2*perSecond*p.path.RTT.Seconds())
}

// sent takes note that n updates of a burst were sent, in so many bytes.
func (p *pacer) sent(now time.Time, n, bytes int) {
	if p.more = n > 0; p.unpaced() || n == 0 {
		return
	}
	if n >= p.some {
		p.bytes = bytes * p.some / n
	}
	seconds := float64(n) / (p.rate * p.slow)
	if p.held.IsZero() {
		p.slow = min(p.slow+faster*seconds, 1)
	}
	p.held = time.Time{}
	if behind := now.Add(-catchUp); p.due.Before(behind) {
		p.due = behind
	}
	p.due = p.due.Add(time.Duration(seconds * float64(time.Second)))
	if p.next = p.due; p.some < p.most && p.next.Before(now.Add(apart)) {
		p.next = now.Add(apart)
	}
}

// at is when there may be something to be sent, zero where that is not known.
func (p *pacer) at() time.Time {
	if p.unpaced() || !p.more {
		return time.Time{}
	}
	return p.next
}

// stalled reports whether a burst has waited for too long.
func (p *pacer) stalled(now time.Time) bool {
	return !p.held.IsZero() && now.Sub(p.held) >= heldAtMost
}
