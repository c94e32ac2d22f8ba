package peersync

import (
	"errors"
	"fmt"
	"time"

	"github.com/peersd/peersd/protocol"
)

// errTooManySessions: the connection is closed without a status, so that HAProxy
// dials again.
var errTooManySessions = errors.New("there are too many sessions")

// link returns the link of the peer of that name for a connection that says it,
// which is to leave it in the end. The error is a [protocol.HandshakeError] where
// the name is not welcome.
func (h *Hub) link(name string) (*link, error) {
	l, forgotten, err := h.enter(name)
	if forgotten != nil {
		forgotten.forget()
	}
	return l, err
}

// enter is link, but for what has to be done with none of its locks held: another
// peer may have to be forgotten.
func (h *Hub) enter(name string) (l, forgotten *link, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l = h.links[name]; l == nil {
		if len(h.cfg.Peers) > 0 {
			return nil, nil, &protocol.HandshakeError{
				Status: protocol.StatusRemote,
				Reason: fmt.Sprintf("no peer of the name %q is known; add --peer %[1]s=ADDRESS:PORT, or start without any --peer to welcome every name", name),
			}
		}
		if len(h.links) >= h.limits.sessions.value {
			if forgotten = h.forgettable(); forgotten == nil {
				h.limits.sessions.reach(name)
				return nil, nil, errTooManySessions
			}
			delete(h.links, forgotten.name)
			h.origins.giveBack(forgotten.origin)
		}
		l = newLink(h, Peer{Name: name})
		h.links[name] = l
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
// would have all others forgotten. It is nil where all are here. h.mu is held.
func (h *Hub) forgettable() (best *link) {
	for _, l := range h.links {
		switch {
		case l.users > 0:
		case best == nil, best.defined.Load() && !l.defined.Load():
			best = l
		case best.defined.Load() == l.defined.Load() && l.left.Before(best.left):
			best = l
		}
	}
	return best
}

// forget undoes what the peer, which is known no more, has left behind.
func (l *link) forget() {
	l.log.Debug().Msg("forgotten, for as many others came since it was here")
	l.mu.Lock()
	l.peer.Forget(l.hub.cfg.Tables)
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
