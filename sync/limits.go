package peersync

import (
	"cmp"
	"sync"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/sync/session"
	"github.com/rs/zerolog"
)

// Limits bound what peers can take of this side. Where one is 0, that is for the
// default.
type Limits struct {
	// Handshakes are connections that are not through their handshake; 0 is
	// 512. HandshakesPerAddress are those of one address; 0 is 64. Where there
	// is one too many, the one that has waited longest is closed.
	Handshakes, HandshakesPerAddress int
	// Sessions at a time, and names that are remembered where every name is
	// welcome; 0 is [DefaultSessions].
	Sessions int
	// Tables that a peer may define, and DataTypes of all of them, an array
	// counting its elements; 0 is 1024 and 16384.
	Tables, DataTypes int
	// Message is the longest payload of a message that is received, in bytes;
	// 0 is 16384, HAProxy's default tune.bufsize.
	Message int
	// LearnRate is how many new entries a peer may add a second, over ten
	// seconds, before it is made to wait; 0 is 1,000,000, less than 0 any
	// number.
	LearnRate int
}

// DefaultSessions is how many sessions there may be where nothing is said.
const DefaultSessions = 1024

// AnyRate is the LearnRate of peers that never have to wait.
const AnyRate = -1

// A limit is one of the Limits, and what is known of it being reached.
type limit struct {
	flag string // of `peersd serve`
	says string // what happens where it is reached

	mu      sync.Mutex
	value   int
	reached uint64
	last    string // who reached it

	// Of what was told in the log.
	told uint64
	next time.Time // not before
}

// limits are all of them.
type limits struct {
	handshakes, perAddress, sessions, tables, dataTypes, message, learnRate limit
}

// describe says what each of them is.
func (l *limits) describe() {
	for _, d := range []struct {
		limit      *limit
		flag, says string
	}{
		{&l.handshakes, "--max-handshakes", "connections were closed before their handshake was over, as too many were waiting"},
		{&l.perAddress, "--max-handshakes-per-address", "connections were closed before their handshake was over, as too many of one address were waiting"},
		{&l.sessions, "--max-sessions", "connections were closed without an answer, as there are too many sessions"},
		{&l.tables, "--max-tables", "sessions were ended, as the peer defined too many tables, or the same ones anew too often"},
		{&l.dataTypes, "--max-data-types", "sessions were ended, as the peer's tables have too many data types"},
		{&l.message, "--max-message", "sessions were ended, as the peer sent a message that is too long"},
		{&l.learnRate, "--learn-rate", "a peer that adds entries faster than it may was made to wait"},
	} {
		d.limit.flag, d.limit.says = d.flag, d.says
	}
}

// set is for sessions from now on.
func (l *limits) set(v Limits) {
	l.handshakes.set(v.Handshakes, 512)
	l.perAddress.set(v.HandshakesPerAddress, 64)
	l.sessions.set(v.Sessions, DefaultSessions)
	l.tables.set(v.Tables, session.DefaultMaxTables)
	l.dataTypes.set(v.DataTypes, session.DefaultMaxDataTypes)
	l.message.set(v.Message, protocol.MaxPayload)
	l.learnRate.set(v.LearnRate, 1_000_000)
}

func (l *limit) set(value, otherwise int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.value = cmp.Or(value, otherwise)
}

// all are the limits in the order in which they are shown.
func (l *limits) all() []*limit {
	return []*limit{&l.handshakes, &l.perAddress, &l.sessions, &l.tables, &l.dataTypes, &l.message, &l.learnRate}
}

// bound is the limit itself.
func (l *limit) bound() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value
}

// reach counts that who has reached the limit: a peer's name, or an address.
func (l *limit) reach(who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reached++
	l.last = who
}

func (l *limit) count() (reached uint64, last string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reached, l.last
}

// limitsEvery is how often the log tells of a limit, at most.
const limitsEvery = time.Minute

// tell says in the log which limits were reached since it did so last.
func (l *limits) tell(now time.Time, log *zerolog.Logger) {
	for _, l := range l.all() {
		reached, last := l.count()
		if reached == l.told || now.Before(l.next) {
			continue
		}
		log.Warn().Uint64("times", reached-l.told).Int("limit", l.bound()).Str("last", last).
			Msg(l.says + "; raise " + l.flag + " if that is meant to be")
		l.told, l.next = reached, now.Add(limitsEvery)
	}
}

// A LimitStatus is what is known of one of the [Limits] at one moment.
type LimitStatus struct {
	Flag  string // of `peersd serve`
	Value int
	// Used is how much of it is in use now, of an address or a peer the most;
	// -1 where there is no such thing.
	Used    int
	Reached uint64 // how often
}

// Limits returns what is known of all limits.
func (h *Hub) Limits() (all []LimitStatus) {
	l, used := &h.limits, h.used()
	for _, limit := range l.all() {
		s := LimitStatus{Flag: limit.flag, Value: max(limit.bound(), 0), Used: -1}
		s.Reached, _ = limit.count()
		if n, ok := used[limit]; ok {
			s.Used = n
		}
		all = append(all, s)
	}
	return all
}

// used is how much of limits is in use.
func (h *Hub) used() map[*limit]int {
	handshakes, ofAddress := h.handshakes.count()
	sessions, tables, types := 0, 0, 0
	for _, l := range h.snapshot() {
		established, t, d := l.uses()
		if established {
			sessions++
		}
		tables, types = max(tables, t), max(types, d)
	}
	l := &h.limits
	return map[*limit]int{&l.handshakes: handshakes, &l.perAddress: ofAddress,
		&l.sessions: sessions, &l.tables: tables, &l.dataTypes: types}
}

// uses is whether there is a session, and what the peer has defined.
func (l *link) uses() (established bool, tables, dataTypes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.conn; c != nil {
		established = true
		c.mu.Lock() // its session has the peer
		defer c.mu.Unlock()
	}
	tables, dataTypes = l.memory.Defined()
	return established, tables, dataTypes
}

// A bucket is what a peer may add before it has to wait: it fills all the time,
// up to what comes in within burst. It belongs to whoever reads from the peer.
type bucket struct {
	rate int     // entries a second, below 0 any number
	left float64 // entries; below 0 where more were added
	at   time.Time
}

const burst = 10 // seconds

// take returns how long a peer has to wait that has added n entries.
func (b *bucket) take(now time.Time, n int) time.Duration {
	if n == 0 || b.rate < 0 {
		return 0
	}
	rate := float64(b.rate)
	if b.at.IsZero() {
		b.left = burst * rate
	}
	b.left = min(b.left+now.Sub(b.at).Seconds()*rate, burst*rate) - float64(n)
	b.at = now
	return time.Duration(max(-b.left/rate, 0) * float64(time.Second))
}
