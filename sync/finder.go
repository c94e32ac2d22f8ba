package peersync

import (
	"context"
	"fmt"
	"net/netip"
)

// A Finder knows where there are peers whose names it does not know before they have
// called.
type Finder interface {
	// Welcome is told who has called, and whether it is accepted anyway; from is
	// the zero value where it is no network's. It reports whether the caller is a
	// peer, for which it may take its time, and has made it a member then.
	Welcome(ctx context.Context, name string, from netip.Addr, accepted bool) bool
}

// SetFinder has f asked for those who call that no other source than f's own has. It
// may be called before [Hub.Run] only.
func (h *Hub) SetFinder(source string, f Finder) { h.finder, h.finderSource = f, source }

// find lets the finder know of a guest. The error is that it has not found it, which
// may be different soon: HAProxy is to dial again.
func (h *Hub) find(ctx context.Context, g guest) error {
	if h.finder == nil || h.hasElsewhere(g.name) {
		return nil
	}
	h.mu.Lock()
	accepted := h.welcome(g) == nil
	h.mu.Unlock()
	if h.finder.Welcome(ctx, g.name, g.address, accepted) || accepted {
		return nil
	}
	return fmt.Errorf("%q comes from %v, where no peer is to be found now; see that the DNS has it before it is ready, or add --allow %[2]v", g.name, g.address)
}

// hasElsewhere reports whether another source than the finder's has a peer.
func (h *Hub) hasElsewhere(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for source, m := range h.members {
		if source == h.finderSource {
			continue
		}
		for _, p := range m.Peers {
			if p.Name == name {
				return true
			}
		}
	}
	return false
}

// Connected reports whether there is a session with a peer.
func (h *Hub) Connected(name string) bool {
	h.mu.Lock()
	l := h.links[name]
	h.mu.Unlock()
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn != nil
}
