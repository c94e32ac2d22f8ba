package peersync

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peersd/peersd/table"
	"github.com/rs/zerolog"
)

// Config says who takes part, and how. What of it may be changed by [Hub.Apply] is
// said there.
type Config struct {
	// Names that peers may call us by; the first one is what we say of
	// ourselves first. There has to be one.
	Names []string
	// Peers that are known by name, and who else is allowed: [Members], beside
	// which [Hub.SetMembers] may set those of other sources.
	Peers []Peer
	Allow Allow
	// CheckName reports that a caller may not go by the name that it says, for what
	// is known of its connection; nil is for any name.
	CheckName func(nc net.Conn, name string) error
	// Tables that are mirrored and taught, and those of them that are declared.
	Tables   *table.Set
	Declared []Declared
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

// A Hub is one daemon's side of a peers section.
type Hub struct {
	cfg    atomic.Pointer[Config]
	log    zerolog.Logger // of the Config
	tables *table.Set     // likewise
	began  time.Time
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	shapes shapes
	limits limits
	// refusals is the log of connections that are refused, which anybody can bring
	// about: refusalsAMinute lines at most.
	refusals zerolog.Logger

	handshakes handshakes
	misnamed   misnamed

	finder       Finder // of peers that no other source has, nil without one
	finderSource string // whose members are the finder's

	setting      sync.Mutex // one Apply or SetMembers at a time, and taken before all others
	declarations atomic.Pointer[map[string]Declared]

	mu        sync.Mutex
	running   context.Context // of Run, nil before and after it
	fail      func(error)     // ends Run
	members   map[string]Members
	listeners []net.Listener
	links     map[string]*link
	origins   origins
	synced    bool // a lesson of a peer that was up to date was learned
	wg        sync.WaitGroup
}

const refusalsAMinute = 200

// New returns a Hub that does nothing yet.
func New(cfg Config) *Hub {
	h := &Hub{
		log: cfg.Log, tables: cfg.Tables, began: time.Now(), dial: new(net.Dialer).DialContext,
		members: map[string]Members{}, links: map[string]*link{},
	}
	h.refusals = cfg.Log.Sample(&zerolog.BurstSampler{Burst: refusalsAMinute, Period: time.Minute})
	h.limits.describe()
	h.handshakes.limits = &h.limits
	h.Apply(cfg)
	return h
}

// Apply makes the hub go by another Config from now on, but for its Tables and its
// Log. Sessions are touched as [Hub.SetMembers] says, and by nothing else: what
// they go by they have from their beginning, the names by which they know us too.
func (h *Hub) Apply(cfg Config) {
	h.setting.Lock()
	defer h.setting.Unlock()
	h.cfg.Store(&cfg)
	h.limits.set(cfg.Limits)
	h.declare(cfg.Declared)
	h.apply(ofConfig, Members{cfg.Peers, cfg.Allow})
}

// Run accepts on listeners and dials the configured peers until ctx is done,
// then closes everything that it opened, the listeners too, and returns when
// all of it is over. The error is that of a listener that failed. See
// [Hub.SetMembers] and [Hub.SetListeners] for what comes and goes meanwhile.
func (h *Hub) Run(ctx context.Context, listeners ...net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	h.begin(ctx, cancel, listeners)
	h.wg.Go(func() { h.clean(ctx) })
	<-ctx.Done()
	h.end()
	h.wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (h *Hub) begin(ctx context.Context, fail func(error), listeners []net.Listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running, h.fail = ctx, fail
	h.listeners = append(h.listeners, listeners...)
	for _, l := range h.listeners {
		h.keepListening(l)
	}
	for _, l := range h.links {
		if l.peer() != nil {
			h.keepDialling(l)
		}
	}
}

// end closes the listeners, and nothing begins any more.
func (h *Hub) end() {
	h.mu.Lock()
	h.running = nil
	h.mu.Unlock()
	h.SetListeners()
}

// listen accepts connections until the listener is closed.
func (h *Hub) listen(ctx context.Context, l net.Listener) error {
	for pause := time.Duration(0); ; {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			h.wg.Go(func() { h.accept(ctx, c) })
		case ctx.Err() != nil, !h.listensOn(l):
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			// Out of file descriptors, for one: it passes.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			h.log.Error().Err(err).Stringer("address", l.Addr()).Msg("can't accept a connection, trying again")
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
		if l != learner && l.stale.Load() && !l.gone() {
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
