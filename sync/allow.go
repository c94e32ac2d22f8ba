package peersync

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/peersd/peersd/protocol"
)

// Allow says who is accepted but the peers that are known by name.
type Allow struct {
	// Any is everybody, from anywhere.
	Any bool
	// Trusted is every name that comes from this machine, and from elsewhere with
	// a certificate that was verified.
	Trusted bool
	// Names from anywhere.
	Names []string
	// From are networks from which every name may come.
	From []netip.Prefix
}

func (a Allow) nobody() bool { return !a.Any && !a.Trusted && len(a.Names) == 0 && len(a.From) == 0 }

// A VerifiedConn is a connection whose listener may know that the other end is who
// it says, by a certificate. It is asked when the hello has come.
type VerifiedConn interface{ Verified() bool }

// A guest is who is at the other end of a connection that was accepted.
type guest struct {
	name     string
	address  netip.Addr // the zero value where it is no network's
	verified bool
}

func newGuest(name string, nc net.Conn) guest {
	g := guest{name: name}
	if at, err := netip.ParseAddrPort(nc.RemoteAddr().String()); err == nil {
		g.address = at.Addr().Unmap().WithZone("")
	}
	if v, ok := nc.(VerifiedConn); ok {
		g.verified = v.Verified()
	}
	return g
}

// near reports whether the guest is on this machine, as the other end of a UNIX
// socket is.
func (g guest) near() bool { return !g.address.IsValid() || g.address.IsLoopback() }

func (a Allow) allows(g guest) bool {
	return a.Any || a.Trusted && (g.near() || g.verified) || slices.Contains(a.Names, g.name) ||
		slices.ContainsFunc(a.From, func(p netip.Prefix) bool { return g.address.IsValid() && p.Contains(g.address) })
}

// welcome says why a guest is not. h.mu is held.
func (h *Hub) welcome(g guest) error {
	if l := h.links[g.name]; l != nil && l.peer() != nil {
		return nil
	}
	trusted := false
	for _, m := range h.members {
		if m.Allow.allows(g) {
			return nil
		}
		trusted = trusted || m.Allow.Trusted
	}
	reason := fmt.Sprintf("no peer of the name %q is known; add it to the peers section, or --peer %[1]s=ADDRESS:PORT, or --allow %[1]s", g.name)
	if trusted {
		reason = fmt.Sprintf("%q comes from another machine, %v, and nothing says that it may; add it to the peers section, or --peer %[1]s=ADDRESS:PORT, or --allow %[1]s, or --allow %[2]v", g.name, g.address)
	}
	return &protocol.HandshakeError{Status: protocol.StatusRemote, Reason: reason}
}

// unwelcome reports whether the peer, which has no place of its own, has a session
// that it would not get any more.
func (l *link) unwelcome() bool {
	l.mu.Lock()
	c := l.conn
	l.mu.Unlock()
	if c == nil {
		return false
	}
	g := newGuest(l.name, c.nc)
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	return l.hub.links[l.name] == l && l.hub.welcome(g) != nil
}
