package discover

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	peersync "github.com/peersd/peersd/sync"
	"github.com/rs/zerolog"
)

// Config says where peers are to be found, and what is done with them.
type Config struct {
	// Places that don't change.
	Places []Place
	// File has more places, and is read again when it changes; "" is none. Parse
	// reads what is in it.
	File  string
	Parse func(text []byte) ([]Place, error)
	// Names returns ours.
	Names func() []string
	// ForgetAfter is how long a peer is remembered that is neither to be found any
	// more nor connected.
	ForgetAfter time.Duration
	// MostPeers is how many are known at a time.
	MostPeers int
	// Resolver is asked for places.
	Resolver Resolver
	// Connected reports whether there is a session with a peer.
	Connected func(name string) bool
	// Apply is told all peers, in the order of their names, each time that they
	// change. Those without an address are not to be dialled.
	Apply func([]peersync.Peer)
	Log   zerolog.Logger
}

// A Discovery finds peers as its [Config] says.
type Discovery struct {
	cfg Config
	ask questions
	is  func(ctx context.Context, address netip.AddrPort, name string) (bool, error)

	file fileState
	ctx  context.Context // of Run
	wg   sync.WaitGroup

	mu      sync.Mutex
	roster  roster
	found   chan struct{} // closed when endpoints come, and replaced
	applied []peersync.Peer
}

// New returns a Discovery that does nothing yet. The error is that of the file.
func New(cfg Config) (*Discovery, error) {
	d := &Discovery{
		cfg: cfg, ask: cfg.Resolver, is: Prober{new(net.Dialer).DialContext}.Is,
		roster: newRoster(cfg), found: make(chan struct{}),
	}
	return d, d.readFile()
}

// lookEvery is how often is looked at who is connected, and at the file.
const lookEvery = time.Second

// Run finds peers until ctx is done.
func (d *Discovery) Run(ctx context.Context) {
	d.mu.Lock()
	d.ctx = ctx
	d.setPlaces()
	d.mu.Unlock()
	for ctx.Err() == nil {
		wait(ctx, lookEvery, nil)
		changed := d.fileChanged()
		d.mu.Lock()
		if changed {
			d.setPlaces()
		}
		d.settle()
		d.mu.Unlock()
	}
	d.wg.Wait()
}

// setPlaces begins to watch new places, and forgets those that are none any more.
// d.mu is held.
func (d *Discovery) setPlaces() {
	come, gone := d.roster.setPlaces(slices.Concat(d.cfg.Places, d.file.places))
	for _, p := range gone {
		p.cancel()
	}
	for _, p := range come {
		var ctx context.Context
		ctx, p.cancel = context.WithCancel(d.ctx)
		if p.Peer.Name == "" {
			d.wg.Go(func() { d.watch(ctx, p) })
		}
	}
	d.setEndpoints()
}

// setEndpoints is called when those of some place have changed. d.mu is held.
func (d *Discovery) setEndpoints() {
	come, gone := d.roster.setEndpoints()
	for _, e := range gone {
		e.cancel()
	}
	for _, e := range come {
		var ctx context.Context
		ctx, e.cancel = context.WithCancel(d.ctx)
		d.wg.Go(func() { d.introduce(ctx, e) })
	}
	if len(come) > 0 {
		close(d.found)
		d.found = make(chan struct{})
	}
	d.settle()
}

// settle tells the hub where the peers have changed. d.mu is held.
func (d *Discovery) settle() {
	peers := d.roster.settle(time.Now(), d.cfg.Connected)
	if !slices.Equal(peers, d.applied) {
		d.applied = peers
		d.cfg.Apply(slices.Clone(peers))
	}
}

// watch looks a place up, again and again.
func (d *Discovery) watch(ctx context.Context, p *place) {
	var w watch
	for {
		began := time.Now()
		found, ttl, err := p.lookup(ctx, d.ask)
		if ctx.Err() != nil {
			return
		}
		d.mu.Lock()
		p.tell(&d.cfg.Log, found, err)
		if ctx.Err() == nil {
			p.update(found, err)
			d.setEndpoints()
		}
		d.mu.Unlock()
		wait(ctx, w.next(ttl, err), p.kick)
		// However many reasons there are to look it up at once.
		wait(ctx, time.Until(began.Add(leastTTL)), nil)
	}
}

// welcomeWithin is how long a caller may have to wait whose address is not known
// yet. HAProxy gives up a handshake after 5 s.
const welcomeWithin = 2 * time.Second

// Welcome is for [peersync.Finder]. A caller is a peer where it calls from this host,
// or from an address that has been found, or is accepted anyway. A HAProxy may call
// before the DNS was asked again; so that is done at once, and waited for.
func (d *Discovery) Welcome(ctx context.Context, name string, from netip.Addr, accepted bool) bool {
	ctx, cancel := context.WithTimeout(ctx, welcomeWithin)
	defer cancel()
	from = from.Unmap()
	for first := true; ; first = false {
		d.mu.Lock()
		has := d.roster.has(from)
		if first && !has {
			d.roster.kick()
		}
		if has || accepted || from.IsLoopback() || !from.IsValid() {
			welcome := d.roster.called(time.Now(), name, from)
			d.settle()
			d.mu.Unlock()
			return welcome
		}
		found := d.found
		d.mu.Unlock()
		select {
		case <-found:
		case <-ctx.Done():
			return false
		}
	}
}

// named: the peer at an endpoint has that name.
func (d *Discovery) named(e *endpoint, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.name == name {
		return
	}
	e.name, e.warned = name, false
	if slices.Contains(d.cfg.Names(), name) {
		d.cfg.Log.Debug().Stringer("address", e.address).Msg("not a peer: it has our own name")
	} else {
		d.cfg.Log.Info().Str("peer", name).Stringer("address", e.address).Msg("peer found")
	}
	d.settle()
}

// nameless: the peer at an endpoint has none of the names that were tried.
func (d *Discovery) nameless(e *endpoint, tried []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.name != "" || !e.warned {
		d.cfg.Log.Info().Stringer("address", e.address).Strs("tried", tried).
			Msg("the peer there can't be dialled before it has called us: the protocol needs its name, and it has none of those that were tried; add its name with NAME=ADDRESS:PORT, or call it by its host's name with -L")
	}
	e.name, e.warned = "", true
	d.settle()
}

// doubtEvery is how often the place of an endpoint where nobody answers is looked up,
// even if its TTL is longer.
const doubtEvery = 10 * time.Second

// unanswered: nobody answers at an endpoint.
func (d *Discovery) unanswered(e *endpoint, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if text := short(err).Error(); text != e.failure {
		e.failure = text
		d.cfg.Log.Debug().Stringer("address", e.address).Msg("nobody says a name there yet: " + text)
	}
	if now := time.Now(); now.Sub(e.doubted) >= doubtEvery {
		e.doubted = now
		d.roster.kickFor(e.address.String())
	}
}

func (d *Discovery) nameOf(e *endpoint) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return e.name
}

func (d *Discovery) candidates(e *endpoint) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.roster.candidates(e)
}
