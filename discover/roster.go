package discover

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	peersync "github.com/peersd/peersd/sync"
	"github.com/rs/zerolog"
)

// A roster is what is known of places, of endpoints, and of peers.
type roster struct {
	names       func() []string // ours
	forgetAfter time.Duration
	most        int // peers
	log         zerolog.Logger

	places    map[Place]*place
	endpoints map[netip.AddrPort]*endpoint
	peers     map[string]*peer
	full      time.Time // when the log was told that there are too many
}

// A place is one that is watched.
type place struct {
	Place
	cancel  context.CancelFunc
	kick    chan struct{} // one slot: it is to be looked up now
	found   []Endpoint    // by the last answer
	failure string        // why there was none, for the log
}

// An endpoint is an address where a peer is to be found.
type endpoint struct {
	address netip.AddrPort
	cancel  context.CancelFunc
	said    chan struct{} // one slot: who called from there has said its name
	hints   []string
	name    string    // "" where it isn't known
	warned  bool      // that it isn't
	failure string    // why it gives no answer, for the log
	doubted time.Time // when its place was looked up for that
}

// A peer is one that has a name.
type peer struct {
	peersync.Peer            // without an address where it is not to be found any more
	from          netip.Addr // where it called from last, if it ever did
	connected     bool
	gone          bool      // nobody expects it back
	away          time.Time // since when it is neither to be found nor connected
}

func newRoster(cfg Config) roster {
	return roster{
		names: cfg.Names, forgetAfter: cfg.ForgetAfter, most: cfg.MostPeers, log: cfg.Log,
		places: map[Place]*place{}, endpoints: map[netip.AddrPort]*endpoint{}, peers: map[string]*peer{},
	}
}

// setPlaces returns which of them have come, and which have gone.
func (r *roster) setPlaces(all []Place) (come, gone []*place) {
	for _, p := range all {
		if r.places[p] == nil {
			r.places[p] = &place{Place: p, kick: make(chan struct{}, 1)}
			come = append(come, r.places[p])
		}
	}
	for is, p := range r.places {
		if !slices.Contains(all, is) {
			delete(r.places, is)
			gone = append(gone, p)
		}
	}
	return come, gone
}

// setEndpoints makes the endpoints those of all places, and returns which have
// come, and which have gone.
func (r *roster) setEndpoints() (come, gone []*endpoint) {
	hints := map[netip.AddrPort][]string{}
	for _, p := range r.places {
		for _, f := range p.found {
			hints[f.Address] = append(hints[f.Address], f.Hints...)
		}
	}
	for a, e := range r.endpoints {
		if _, is := hints[a]; !is {
			delete(r.endpoints, a)
			gone = append(gone, e)
		}
	}
	for a, h := range hints {
		if r.endpoints[a] == nil {
			r.endpoints[a] = &endpoint{address: a, said: make(chan struct{}, 1)}
			come = append(come, r.endpoints[a])
		}
		slices.Sort(h)
		r.endpoints[a].hints = slices.Compact(h)
	}
	return come, gone
}

// has reports whether there is an endpoint of that address.
func (r *roster) has(a netip.Addr) bool {
	for e := range r.endpoints {
		if e.Addr() == a {
			return true
		}
	}
	return false
}

// kick makes all places be looked up at once.
func (r *roster) kick() {
	for _, p := range r.places {
		signal(p.kick)
	}
}

func signal(slot chan struct{}) {
	select {
	case slot <- struct{}{}:
	default:
	}
}

// called notes that a peer has said its name, and reports whether there is room
// for it.
func (r *roster) called(now time.Time, name string, from netip.Addr) bool {
	p := r.peers[name]
	if p == nil {
		if p = r.add(now, name); p == nil {
			return false
		}
	}
	p.from, p.away, p.gone = from, time.Time{}, false
	for _, e := range r.endpoints {
		if e.name == "" && mayBe(e, p) {
			signal(e.said)
		}
	}
	return true
}

// mayBe reports whether it may have been the peer at e that called: what is on our
// host may call us from the loopback address, and be found under another one.
func mayBe(e *endpoint, p *peer) bool {
	return p.from == e.address.Addr() || p.from.IsLoopback() && p.Address == ""
}

// candidates are the names that the peer at e may have, the most likely first.
func (r *roster) candidates(e *endpoint) (names []string) {
	if e.name != "" {
		names = append(names, e.name)
	}
	for _, name := range slices.Sorted(maps.Keys(r.peers)) {
		if mayBe(e, r.peers[name]) {
			names = append(names, name)
		}
	}
	return append(names[:min(len(names), mostCallers)], e.hints...)
}

// mostCallers is how many names an endpoint is asked for as somebody has said them.
const mostCallers = 32

// add adds a peer. Where there are too many, the one that is away for the longest
// time makes room; nil is where all are here.
func (r *roster) add(now time.Time, name string) *peer {
	if len(r.peers) >= r.most && !r.forgetOldest() {
		if now.Sub(r.full) > time.Minute {
			r.full = now
			r.log.Warn().Str("peer", name).Int("limit", r.most).Msg("there are too many peers: those that come are not taken; raise --max-sessions if that is meant to be")
		}
		return nil
	}
	r.peers[name] = &peer{Peer: peersync.Peer{Name: name}}
	return r.peers[name]
}

func (r *roster) forgetOldest() bool {
	oldest := ""
	for name, p := range r.peers {
		if !p.away.IsZero() && (oldest == "" || p.away.Before(r.peers[oldest].away)) {
			oldest = name
		}
	}
	delete(r.peers, oldest)
	return oldest != ""
}

// goneAfter is how long a peer that can't be found any more may take to come back by
// itself before nobody expects that.
const goneAfter = 10 * time.Second

// settle brings what is known of the peers up to date, and returns them.
func (r *roster) settle(now time.Time, connected func(name string) bool) (all []peersync.Peer) {
	here := r.here()
	for _, name := range slices.Sorted(maps.Keys(here)) {
		if r.peers[name] == nil {
			r.add(now, name)
		}
	}
	for name, p := range r.peers {
		is := connected(name)
		if p.connected && !is {
			r.kickFor(p.Address)
		}
		p.connected = is
		if at, found := here[name]; found {
			p.Peer = at
		} else {
			if p.Address != "" {
				r.log.Info().Str("peer", name).Str("address", p.Address).Msg("not to be found any more, and not dialled")
			}
			p.Peer = peersync.Peer{Name: name}
		}
		switch {
		case p.connected || p.Address != "":
			p.away, p.gone = time.Time{}, false
		case p.away.IsZero():
			p.away = now
		case now.Sub(p.away) >= r.forgetAfter:
			delete(r.peers, name)
			r.log.Info().Str("peer", name).Msg("the peer is forgotten")
		case now.Sub(p.away) >= goneAfter:
			if !p.gone {
				r.log.Info().Str("peer", name).Stringer("after", r.forgetAfter).Msg("the peer is gone, and will be forgotten if it does not come back")
			}
			p.gone, p.Gone = true, true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.peers)) {
		all = append(all, r.peers[name].Peer)
	}
	return all
}

// here are the peers that are to be found, by their names. One that has several
// addresses stays where it is.
func (r *roster) here() map[string]peersync.Peer {
	all := map[string]peersync.Peer{}
	for p := range r.places {
		if p.Peer.Name != "" {
			all[p.Peer.Name] = p.Peer
		}
	}
	found, ours := map[string][]string{}, r.names()
	for a, e := range r.endpoints {
		if e.name != "" && all[e.name].Name == "" && !slices.Contains(ours, e.name) {
			found[e.name] = append(found[e.name], a.String())
		}
	}
	for name, several := range found {
		address := slices.Min(several)
		if p := r.peers[name]; p != nil && slices.Contains(several, p.Address) {
			address = p.Address
		}
		all[name] = peersync.Peer{Name: name, Address: address}
	}
	return all
}

// kickFor looks up where the peer was that has left: another one may be there.
func (r *roster) kickFor(address string) {
	for _, p := range r.places {
		if slices.ContainsFunc(p.found, func(f Endpoint) bool { return f.Address.String() == address }) {
			signal(p.kick)
		}
	}
}

// update takes what was found. With an error something may be lacking: then nothing
// goes, as long as there is room.
func (p *place) update(found []Endpoint, err error) {
	if err == nil {
		p.found = found
		return
	}
	for _, f := range found {
		known := func(o Endpoint) bool { return o.Address == f.Address }
		if len(p.found) < mostEndpoints && !slices.ContainsFunc(p.found, known) {
			p.found = append(p.found, f)
		}
	}
}

// tell says in the log why a place can't be looked up, once, and when it can be
// again.
func (p *place) tell(log *zerolog.Logger, found []Endpoint, err error) {
	failure := ""
	switch {
	case err != nil:
		failure = strings.TrimSpace(err.Error())
	case len(found) == 0:
		failure = "it has no addresses"
	}
	if failure == p.failure {
		return
	}
	p.failure = failure
	switch {
	case err != nil:
		log.Warn().Stringer("place", p).Msg("can't look it up, and keep what is known: " + failure)
	case failure != "":
		log.Info().Stringer("place", p).Msg("there is no peer to be found: " + failure)
	default:
		log.Info().Stringer("place", p).Int("addresses", len(found)).Msg("looked up again")
	}
}
