package peersync

import (
	"errors"
	"time"
)

// errTooManySessions: the connection is closed without a status, so that HAProxy
// dials again.
var errTooManySessions = errors.New("there are too many sessions")

// link returns the link of the peer whose name a guest says, which is to leave it in
// the end. The error is a [protocol.HandshakeError] where the guest is not welcome.
func (h *Hub) link(g guest) (*link, error) {
	l, forgotten, err := h.enter(g)
	if forgotten != nil {
		forgotten.forget("as many others came since it was here")
	}
	return l, err
}

// enter is link, but for what has to be done with none of its locks held: another
// peer may have to be forgotten.
func (h *Hub) enter(g guest) (l, forgotten *link, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.welcome(g); err != nil {
		return nil, nil, err
	}
	if l = h.links[g.name]; l == nil {
		if len(h.links) >= h.limits.sessions.bound() {
			if forgotten = h.forgettable(); forgotten == nil {
				h.limits.sessions.reach(g.name)
				return nil, nil, errTooManySessions
			}
			delete(h.links, forgotten.name)
			h.origins.giveBack(forgotten.origin)
		}
		l = newLink(h, g.name, nil)
		h.links[g.name] = l
	}
	l.users++
	return l, forgotten, nil
}

// leave ends what link began.
func (h *Hub) leave(l *link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l.users--
	l.left = time.Now()
}

// forgettable is the peer that was away for the longest time, of those that have
// never defined a table where there are such, or else somebody who only says names
// would have all others forgotten, and never one that is known by name. It is nil
// where there is none. h.mu is held.
func (h *Hub) forgettable() (best *link) {
	for _, l := range h.links {
		switch {
		case l.users > 0, l.peer() != nil:
		case best == nil, best.defined.Load() && !l.defined.Load():
			best = l
		case best.defined.Load() == l.defined.Load() && l.left.Before(best.left):
			best = l
		}
	}
	return best
}

// forget undoes what the peer, which is known no more, has left behind.
func (l *link) forget(why string) {
	l.log.Debug().Msg("forgotten: " + why)
	l.mu.Lock()
	l.memory.Forget(l.hub.tables)
	l.mu.Unlock()
	l.hub.shapes.forget(l.name)
}

// origins counts how many links have a number.
type origins struct {
	links [256]int
	last  uint8
}

// take returns a number from 1 on that as few links have as any other, and that
// was taken the longest time ago: entries may still be marked with it.
func (o *origins) take() uint8 {
	next := func(n uint8) uint8 { return n%255 + 1 }
	best := next(o.last)
	for n := next(best); n != next(o.last); n = next(n) {
		if o.links[n] < o.links[best] {
			best = n
		}
	}
	o.links[best]++
	o.last = best
	return best
}

func (o *origins) giveBack(n uint8) { o.links[n]-- }
