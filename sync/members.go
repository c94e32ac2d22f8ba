package peersync

import (
	"context"
	"maps"
	"net"
	"slices"
	"sync"
)

// Members are who takes part, as one source has it: haproxy.cfg, say, or DNS.
type Members struct {
	// Peers by name: those with an address are dialled, and all are accepted.
	Peers []Peer
	// Allow says who else is accepted.
	Allow Allow
}

// A Peer is one that is known by name.
type Peer struct {
	Name    string
	Address string // to dial, host:port; "" where it is only accepted
	// Shard is the part of each table that it is taught, see [table.Set.Cut]; 0 for all.
	Shard int
	// Gone is one that nobody expects back: what we may lack of it is lost, and no
	// lesson of ours is less for it.
	Gone bool
	// Dialer makes the connection, where it is not a plain one over TCP to Address,
	// which is for people then. A peer whose dialer is not the same any more (==) is
	// dialled anew.
	Dialer Dialer
}

// A Dialer makes connections to one peer, and can be compared (==). The handshake of
// one that has a HandshakeContext, as those with TLS have, is done later.
type Dialer interface {
	Dial(ctx context.Context) (net.Conn, error)
}

// ofConfig is the source that is the [Config].
const ofConfig = ""

// SetMembers makes members those that a source has, in the place of what it had
// before. Other sources' stay; where two have a peer of one name, the [Config]'s
// counts, and else that of the source whose name sorts first. It may be called at
// any time, before [Hub.Run] too, and returns when it is done, within a second:
//
//   - a peer that is new is dialled;
//   - one that no source has any more loses its session, and what it has defined is
//     forgotten. Whoever should only lose its address keeps its place without one;
//   - one that is to be dialled at another address, or otherwise, loses its session,
//     and is dialled there at once; so does one that has another shard. One that is to
//     be dialled no more keeps it;
//   - one that has no place of its own and is not allowed any more loses its session;
//   - nothing happens to the sessions of the others.
func (h *Hub) SetMembers(source string, m Members) {
	h.setting.Lock()
	defer h.setting.Unlock()
	h.apply(source, m)
}

// apply is SetMembers. h.setting is held.
func (h *Hub) apply(source string, m Members) {
	gone, moved := h.setMembers(source, m)
	var wg sync.WaitGroup
	for _, l := range gone {
		wg.Go(func() {
			l.remove()
			l.forget("it is in no configuration any more")
		})
	}
	for _, l := range moved {
		wg.Go(l.redirect)
	}
	for _, l := range h.snapshot() {
		if l.unwelcome() {
			wg.Go(func() { l.end(errUnwelcome) })
		}
	}
	wg.Wait()
}

// setMembers returns the links that are gone, and those whose peer is to be dialled
// otherwise.
func (h *Hub) setMembers(source string, m Members) (gone, moved []*link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(m.Peers) == 0 && m.Allow.nobody() {
		delete(h.members, source)
	} else {
		h.members[source] = m
	}
	peers := h.peers()
	for name, l := range h.links {
		if _, ok := peers[name]; !ok && l.peer() != nil {
			delete(h.links, name)
			h.origins.giveBack(l.origin)
			gone = append(gone, l)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(peers)) {
		p := peers[name]
		l := h.links[name]
		switch {
		case l == nil:
			l = newLink(h, name, &p)
			h.links[name] = l
		case l.peer() != nil && *l.peer() == p:
			continue
		default:
			if l.address() != "" && p.Address != "" || l.shard() != p.Shard {
				moved = append(moved, l)
			}
			l.known.Store(&p)
		}
		h.keepDialling(l)
	}
	return gone, moved
}

// peers are those of all sources. h.mu is held.
func (h *Hub) peers() map[string]Peer {
	all := map[string]Peer{}
	for _, source := range slices.Sorted(maps.Keys(h.members)) {
		for _, p := range h.members[source].Peers {
			if _, ok := all[p.Name]; !ok {
				all[p.Name] = p
			}
		}
	}
	return all
}

// keepDialling begins to dial a peer, where it is to be dialled and is not yet.
// h.mu is held.
func (h *Hub) keepDialling(l *link) {
	if h.running == nil || l.dialling || l.peer().Address == "" {
		return
	}
	l.dialling = true
	ctx := h.running
	h.wg.Go(func() { l.dialForever(ctx) })
}

// SetListeners makes listeners those that connections are accepted on; the hub
// closes those that are gone, which costs no session. It may be called at any time.
func (h *Hub) SetListeners(listeners ...net.Listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.listeners
	h.listeners = slices.Clone(listeners)
	for _, l := range was {
		if !slices.Contains(listeners, l) {
			l.Close()
		}
	}
	for _, l := range listeners {
		if !slices.Contains(was, l) {
			h.keepListening(l)
		}
	}
}

// keepListening begins to accept. h.mu is held.
func (h *Hub) keepListening(l net.Listener) {
	if h.running == nil {
		return
	}
	ctx := h.running
	h.wg.Go(func() {
		if err := h.listen(ctx, l); err != nil {
			h.fail(err)
		}
	})
}

// Listening are the addresses that are listened on.
func (h *Hub) Listening() (all []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range h.listeners {
		all = append(all, l.Addr().String())
	}
	return all
}

func (h *Hub) listensOn(l net.Listener) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.listeners, l)
}

// remove ends what is under way with the peer, for good.
func (l *link) remove() {
	l.mu.Lock()
	l.removed = true
	l.mu.Unlock()
	l.end(errRemoved)
	l.look()
}

// redirect makes the peer be dialled anew, where it is to be dialled now.
func (l *link) redirect() {
	l.end(errMoved)
	l.look()
}

// look makes who dials look at once for what is to be dialled now.
func (l *link) look() {
	select {
	case l.moved <- struct{}{}:
	default: // it is about to
	}
}

// end ends the session, if there is one, and gives up a dial, whatever that waits
// for.
func (l *link) end(why goodbye) {
	l.mu.Lock()
	if l.cancelDial != nil {
		l.cancelDial()
	}
	a, c := l.attempt, l.conn
	l.mu.Unlock()
	if a != nil {
		a.giveUp()
	}
	if c != nil {
		c.leave(why)
		<-c.done
	}
}
