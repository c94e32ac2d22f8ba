package peersync

import (
	"net"
	"net/netip"
	"slices"
	"sync"
)

// A handshake is one on a connection that was accepted. It lasts until the
// status is due, or the connection is closed.
type handshake struct {
	nc      net.Conn
	address string // many connections of which are one's who makes too many
	said    bool   // the hello has come, and nothing is wrong with it
	madeWay bool   // the connection was closed for a newer one
}

// handshakes are those under way, oldest first. Where there are too many, the
// oldest one is closed, not the newest: a HAProxy says its hello at once, so that
// others, who say nothing, can't keep it out. They get no status, for HAProxy does
// not dial again after one.
type handshakes struct {
	limits *limits

	mu  sync.Mutex
	all []*handshake
}

// begin adds a connection, and closes another one where there are too many.
func (h *handshakes) begin(nc net.Conn) *handshake {
	s := &handshake{nc: nc, address: addressOf(nc)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.limits.perAddress.bound() <= h.of(s.address) {
		h.closeOldest(&h.limits.perAddress, func(o *handshake) bool { return o.address == s.address })
	} else if h.limits.handshakes.bound() <= len(h.all) {
		h.closeOldest(&h.limits.handshakes, func(*handshake) bool { return true })
	}
	h.all = append(h.all, s)
	return s
}

// of is how many there are of an address.
func (h *handshakes) of(address string) (n int) {
	for _, s := range h.all {
		if s.address == address {
			n++
		}
	}
	return n
}

// closeOldest closes the oldest of some: of those that have not said a hello yet,
// if there are such.
func (h *handshakes) closeOldest(l *limit, some func(*handshake) bool) {
	i := slices.IndexFunc(h.all, func(s *handshake) bool { return some(s) && !s.said })
	if i < 0 {
		i = slices.IndexFunc(h.all, some)
	}
	s := h.all[i]
	h.all = slices.Delete(h.all, i, i+1)
	s.madeWay = true
	s.nc.Close()
	l.reach(s.nc.RemoteAddr().String())
}

// hello notes that the hello has come.
func (h *handshakes) hello(s *handshake) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.said = true
}

// end takes a handshake out, and reports false where its connection was closed
// for a newer one. It may be called more than once.
func (h *handshakes) end(s *handshake) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = slices.DeleteFunc(h.all, func(o *handshake) bool { return o == s })
	return !s.madeWay
}

// count is how many there are, in all and at most of one address.
func (h *handshakes) count() (all, ofAddress int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	counts := map[string]int{}
	for _, s := range h.all {
		counts[s.address]++
		ofAddress = max(ofAddress, counts[s.address])
	}
	return len(h.all), ofAddress
}

// addressOf is the address of the other end: of IPv6 the network, since one
// machine has as many addresses there as it likes.
func addressOf(nc net.Conn) string {
	at, err := netip.ParseAddrPort(nc.RemoteAddr().String())
	if err != nil {
		return nc.RemoteAddr().String()
	}
	a := at.Addr().Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).Masked().String()
}
