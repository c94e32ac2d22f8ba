package peersync

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/peersd/peersd/table"
	"github.com/rs/zerolog"
)

// Config says who takes part.
type Config struct {
	// Names that peers may call us by; the first one is what we say of
	// ourselves first. There has to be one.
	Names []string
	// Peers to dial, and to accept. Without any, every name is accepted.
	Peers []Peer
	// Tables that are mirrored and taught.
	Tables *table.Set
	// MaxUpdates is how many updates are sent to a peer at once; 0 is 200.
	MaxUpdates int
	// TeachRate is how many updates a second a peer is sent at most; 0 is as
	// many as it takes.
	TeachRate int
	// Limits of what peers can take.
	Limits Limits
	// Log gets a line for each thing that an operator may want to know of.
	Log zerolog.Logger
}

// A Peer is one to dial.
type Peer struct {
	Name    string
	Address string // host:port
}

// A Hub is one daemon's side of a peers section.
type Hub struct {
	cfg    Config
	began  time.Time
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	shapes shapes
	limits limits
	// refusals is the log of connections that are refused, which anybody can bring
	// about: refusalsAMinute lines at most.
	refusals zerolog.Logger

	handshakes handshakes
	misnamed   misnamed

	mu      sync.Mutex
	links   map[string]*link
	origins origins
	synced  bool // a lesson of a peer that was up to date was learned
	wg      sync.WaitGroup
}

const refusalsAMinute = 200

// New returns a Hub that does nothing yet.
func New(cfg Config) *Hub {
	h := &Hub{cfg: cfg, began: time.Now(), dial: new(net.Dialer).DialContext, links: map[string]*link{}}
	h.refusals = cfg.Log.Sample(&zerolog.BurstSampler{Burst: refusalsAMinute, Period: time.Minute})
	h.limits.set(cfg.Limits)
	h.handshakes.limits = &h.limits
	for _, p := range cfg.Peers {
		h.links[p.Name] = newLink(h, p.Name, p.Address)
	}
	return h
}

// Run accepts on listeners and dials the configured peers until ctx is done,
// then closes everything that it opened, the listeners too, and returns when
// all of it is over. The error is that of a listener that failed.
func (h *Hub) Run(ctx context.Context, listeners ...net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, l := range listeners {
		h.wg.Go(func() { cancel(h.listen(ctx, l)) })
		stop := context.AfterFunc(ctx, func() { l.Close() })
		defer stop()
	}
	for _, l := range h.snapshot() {
		if l.address != "" {
			h.wg.Go(func() { l.dialForever(ctx) })
		}
	}
	h.wg.Go(func() { h.clean(ctx) })
	<-ctx.Done()
	for _, l := range listeners {
		l.Close()
	}
	h.wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// listen accepts connections until the listener is closed.
func (h *Hub) listen(ctx context.Context, l net.Listener) error {
	for pause := time.Duration(0); ; {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			h.wg.Go(func() { h.accept(ctx, c) })
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			// Out of file descriptors, for one: it passes.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			h.cfg.Log.Error().Err(err).Stringer("address", l.Addr()).Msg("can't accept a connection, trying again")
			sleep(ctx, pause)
		}
	}
}

// sleep reports whether the time passed before ctx was done.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// snapshot returns the links in the order of their names.
func (h *Hub) snapshot() []*link {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]*link, 0, len(h.links))
	for _, l := range h.links {
		all = append(all, l)
	}
	slices.SortFunc(all, func(a, b *link) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return all
}

// learned is told that the lesson of a peer that was up to date is over.
func (h *Hub) learned() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.synced = true
}

// upToDate reports whether learner can be told that it has learned all there
// is: some peer has taught us all that it knew, and there is no other peer of
// which we may have missed something, because its session is broken or its
// lesson still to come. Where it can't be told, it asks somebody else too.
func (h *Hub) upToDate(learner *link) bool {
	h.mu.Lock()
	synced := h.synced
	h.mu.Unlock()
	if !synced {
		return false
	}
	for _, l := range h.snapshot() {
		if l != learner && l.stale.Load() {
			return false
		}
	}
	return true
}

// expecting reports whether another peer than learner may teach us something
// any moment, which the learner then lacks.
func (h *Hub) expecting(learner *link) bool {
	now := time.Now().UnixNano()
	for _, l := range h.snapshot() {
		if l != learner && l.expected.Load() > now {
			return true
		}
	}
	return false
}

// Wake makes all sessions look for local changes to push.
func (h *Hub) Wake() {
	for _, l := range h.snapshot() {
		l.mu.Lock()
		if l.conn != nil {
			l.conn.wakeUp()
		}
		l.mu.Unlock()
	}
}

// pid is what our hellos say.
var pid = os.Getpid()
