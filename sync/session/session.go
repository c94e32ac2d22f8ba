package session

import (
	"errors"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// The times of a session. HAProxy's are in src/peers.c.
const (
	// heartbeatEvery is how long nothing may have been sent before a
	// heartbeat goes out (HAProxy: 3 s).
	heartbeatEvery = 3 * time.Second
	// silence is after how long without a message the peer is taken for
	// dead. HAProxy's heartbeats come every 3 s, but late at times where it
	// has three or more peers.
	silence = 15 * time.Second
	// settle is how long nothing may have been pushed before a lesson is
	// asked for; settleAtMost is when it is asked for at the latest.
	settle       = 50 * time.Millisecond
	settleAtMost = time.Second
	// confirmAtMost is how long a peer that is being taught is waited for
	// before it is asked for a lesson all the same.
	confirmAtMost = 5 * time.Second
	// againAfter is when a lesson is asked for again of a peer that was not up
	// to date itself; doubled each time, up to againAtMost. HAProxy takes
	// itself for up to date 5 s after its start at the latest.
	againAfter  = 5 * time.Second
	againAtMost = 5 * time.Minute
	// asksWithin is how old a HAProxy can be that asks for a lesson: 5 s, and as
	// long as a lesson may have taken that broke.
	asksWithin = 15 * time.Second
	// openAtMost is how long after it was asked for a lesson is kept open for
	// what is expected of others, and lookEvery how often it is looked for.
	// It is less than confirmAtMost.
	openAtMost = 4 * time.Second
	lookEvery  = 20 * time.Millisecond
)

// nudges are when heartbeats are sent after the handshake, and after another
// connection of the peer was closed. HAProxy 2.6 to 3.4 clear their sign of
// life of the session when they drop an abandoned dial, and may close the
// session up to 2050 ms later where nothing has come since.
var nudges = [...]time.Duration{0, 10 * time.Millisecond, 250 * time.Millisecond, time.Second, 2 * time.Second}

// ErrSilent is returned by [Session.Tick] where the peer has not been heard
// for 15 s.
var ErrSilent = errors.New("nothing heard from the peer for 15 s")

// Config is what a session is made of.
type Config struct {
	// Version that both ends agreed on.
	Version protocol.Version
	// Tables that are mirrored and taught.
	Tables *table.Set
	// Began is the instant from which on nothing that peers acked or pushed was
	// missed; zero is long ago.
	Began time.Time
	// Peer is what earlier sessions with the same peer left, and Origin a
	// number for it among all peers.
	Peer   *Peer
	Origin uint8
	// UpToDate is asked at the end of a lesson that was taught: whether this
	// side knows of nothing that it lacks. nil is yes.
	UpToDate func() bool
	// Expecting is asked before that: whether others may teach this side
	// something any moment. nil is no.
	Expecting func() bool
	// MaxUpdates is how many updates [Session.AppendOutput] appends at most
	// at a time; 0 is 200, HAProxy's tune.peers.max-updates-at-once.
	MaxUpdates int
	// TeachRate is how many updates a second are sent at most, lessons and
	// local changes together; 0 is as many as the peer takes.
	TeachRate int
	// MaxTables and MaxDataTypes are how many tables the peer may define, and
	// how many data types in all of them, an array counting its elements; 0
	// is [DefaultMaxTables] and [DefaultMaxDataTypes].
	MaxTables, MaxDataTypes int
	// Notify is told what happens, nil is nobody. It must not call the
	// session.
	Notify func(Event)
}

// Stats are counts since the session was made.
type Stats struct {
	UpdatesIn     uint64 // updates received
	Added         uint64 // those that were entries not known before
	UpdatesOut    uint64 // updates sent
	Skipped       uint64 // updates received before any definition
	HeartbeatsIn  uint64
	HeartbeatsOut uint64
	AcksIgnored   uint64 // acks of what was never sent
}

// A Session is one session with one peer after the handshake: a state machine
// without I/O and without a clock. See the package comment for how to drive
// it. It is not to be used by two goroutines at once.
type Session struct {
	cfg   Config
	stats Stats

	lastHeard time.Time
	lastSent  time.Time
	nudge     []time.Duration // heartbeats still due after nudgeFrom
	nudgeFrom time.Time

	// cold: it is a HAProxy that was just started, for it asked for a lesson
	// before it said anything else. What it knows it has from us, or has pushed
	// to us, or will.
	met, cold bool

	// What the peer sends.
	tables     map[uint64]*remoteTable // by the peer's id
	byName     map[string]*remoteTable // the same ones
	current    *remoteTable            // the one that updates are of, nil before any
	order      []*remoteTable          // the same ones, for the acks
	refused    map[uint64]string       // names of tables that there was no room for, by id
	since      uint64                  // the turn of the peer's at which the session began
	own        tally                   // of what was defined since
	defined    int                     // definitions since, but for repeated ones
	dictionary protocol.DictionaryReader
	heard      bool // something that may have to be answered
	confirms   int  // owed for lessons that ended
	learning   learning

	// What the peer is sent.
	local    []*localTable
	localOf  []*table.Table // the tables that local was made of
	turn     int            // whose local changes are next
	sent     *localTable    // the one that was defined last, nil before any
	written  protocol.DictionaryWriter
	batch    table.Batch
	out      protocol.Update
	requests requests
	teaching teaching
	pace     pacer
	ping     bool   // one is to be sent
	pongs    uint64 // confirms that came without a lesson
}

// New returns the session that begins at now.
func New(now time.Time, cfg Config) *Session {
	if cfg.MaxUpdates == 0 {
		cfg.MaxUpdates = 200
	}
	if cfg.MaxTables == 0 {
		cfg.MaxTables = DefaultMaxTables
	}
	if cfg.MaxDataTypes == 0 {
		cfg.MaxDataTypes = DefaultMaxDataTypes
	}
	if cfg.Notify == nil {
		cfg.Notify = func(Event) {}
	}
	if cfg.UpToDate == nil {
		cfg.UpToDate = func() bool { return true }
	}
	if cfg.Expecting == nil {
		cfg.Expecting = func() bool { return false }
	}
	s := &Session{cfg: cfg, lastHeard: now, lastSent: now, since: cfg.Peer.turns,
		tables: map[uint64]*remoteTable{}, byName: map[string]*remoteTable{}, refused: map[uint64]string{}}
	s.pace = newPacer(cfg.MaxUpdates, cfg.TeachRate)
	s.Nudge(now)
	s.learning.begin(now)
	cfg.Peer.owes = true
	return s
}

// Stats returns the session's counts.
func (s *Session) Stats() Stats { return s.stats }

// LastHeard is the instant of the last message.
func (s *Session) LastHeard() time.Time { return s.lastHeard }

// Nudge makes heartbeats go out at once and shortly after: another connection
// of the same peer was closed, and HAProxy may have cleared its sign of life of
// this one along with it.
func (s *Session) Nudge(now time.Time) {
	s.nudge, s.nudgeFrom = nudges[:], now
}

// Receive takes messages in the order in which they came, nothing of which is
// kept. The error is an [*protocol.Error] of the first one that is wrong, behind
// which nothing is looked at: it is to be answered with [AppendError] and the
// connection closed.
func (s *Session) Receive(now time.Time, frames ...protocol.Frame) error {
	s.lastHeard = now
	if !s.met && len(frames) > 0 {
		s.met, s.cold = true, frames[0].Type == protocol.ResyncRequest && now.Sub(s.cfg.Began) >= asksWithin
	}
	for len(frames) > 0 {
		n, err := s.receiveUpdates(now, frames)
		if err == nil && n == 0 {
			n, err = 1, s.receive(now, frames[0])
		}
		if err != nil {
			return err
		}
		frames = frames[n:]
	}
	return nil
}

// Heard reports whether something came in, since output was appended last, that
// may have to be answered. Rows of a lesson have not.
func (s *Session) Heard() bool { return s.heard }

// receive takes a message that is no update.
func (s *Session) receive(now time.Time, f protocol.Frame) error {
	s.heard = true
	switch f.Type {
	case protocol.ResyncRequest:
		s.lessonRequested(now)
	case protocol.ResyncFinished, protocol.ResyncPartial:
		return s.lessonOver(now, f.Type == protocol.ResyncFinished)
	case protocol.ResyncConfirm:
		s.confirmed(now)
	case protocol.Heartbeat:
		s.stats.HeartbeatsIn++
	case protocol.ProtocolError, protocol.SizeLimit:
		s.cfg.Notify(Event{Kind: PeerError, Type: f.Type})
	case protocol.DefinitionMessage:
		return s.define(now, f.Payload)
	case protocol.SwitchMessage:
		return s.switchTable(f.Payload)
	case protocol.AckMessage:
		return s.acked(now, f.Payload)
	}
	// Anything else is of a later version: it is skipped, as HAProxy does.
	return nil
}

// Tick reports [ErrSilent] or [ErrStalled] where the peer has to be given up. It
// is to be called at each [Session.Deadline].
func (s *Session) Tick(now time.Time) error {
	switch {
	case now.Sub(s.lastHeard) >= silence:
		return ErrSilent
	case s.pace.stalled(now):
		return ErrStalled
	}
	return nil
}

// Watching reports whether updates are being sent at a pace, so that
// [Session.Watch] is of use.
func (s *Session) Watching() bool { return !s.pace.unpaced() && s.pace.more }

// Watch tells what the kernel says of the way to the peer: the pace follows it. It
// is to be called before output is appended, as long as Watching says so. Where
// it is not, what the peer reads makes no difference.
func (s *Session) Watch(p Path) { s.pace.path = p }

// Deadline is the next instant at which there is something to do though
// nothing comes in: to Tick, and to append output.
func (s *Session) Deadline() time.Time {
	d := s.lastHeard.Add(silence)
	for _, at := range []time.Time{s.heartbeatAt(), s.learning.at(&s.teaching), s.updatesAt(), s.requests.due} {
		if !at.IsZero() && at.Before(d) {
			d = at
		}
	}
	return d
}

// AppendOutput appends what is to be sent at now. It is to be called again
// until it appends nothing: updates come a bounded number at a time.
func (s *Session) AppendOutput(now time.Time, b []byte) []byte {
	before := len(b)
	s.heard = false
	s.beginDue(now)
	b = s.appendHeartbeat(now, b)
	b = s.appendAcks(b)
	for ; s.confirms > 0; s.confirms-- {
		b = protocol.AppendMessage(b, protocol.ResyncConfirm)
	}
	if s.learning.due(now, &s.teaching) {
		s.askForLesson(now)
		b = protocol.AppendMessage(b, protocol.ResyncRequest)
	}
	if s.ping && s.mayPing() {
		b = protocol.AppendMessage(b, protocol.ResyncPartial)
	}
	s.ping = false
	b = s.appendUpdates(now, b)
	s.requests.unsent = false
	if len(b) > before {
		s.lastSent = now
	}
	return b
}

// AppendError appends what a peer that broke the protocol is told before the
// connection is closed; nothing for any other error.
func AppendError(b []byte, err error) []byte {
	var broken *protocol.Error
	if errors.As(err, &broken) {
		b = protocol.AppendMessage(b, broken.Reply)
	}
	return b
}

// updatesAt is when there may be updates to be sent though nothing changes, zero
// where there are none.
func (s *Session) updatesAt() time.Time {
	if at := s.pace.at(); !at.IsZero() {
		return at
	}
	return s.teaching.look
}

func (s *Session) heartbeatAt() time.Time {
	if len(s.nudge) > 0 {
		return s.nudgeFrom.Add(s.nudge[0])
	}
	return s.lastSent.Add(heartbeatEvery)
}

func (s *Session) appendHeartbeat(now time.Time, b []byte) []byte {
	if now.Before(s.heartbeatAt()) {
		return b
	}
	for len(s.nudge) > 0 && !now.Before(s.nudgeFrom.Add(s.nudge[0])) {
		s.nudge = s.nudge[1:]
	}
	s.stats.HeartbeatsOut++
	return protocol.AppendMessage(b, protocol.Heartbeat)
}

// Ping makes a message go out that a living HAProxy answers at once, and
// reports whether it did: a "partial" without a lesson is confirmed by 2.6 to
// 3.4, and otherwise changes nothing. While the peer is being taught, or waits
// for it, that would end its lesson, so then there is no ping; nor before the peer
// has said anything, for a HAProxy that wants a lesson says so first, and a ping
// could cross that.
func (s *Session) Ping() bool {
	s.ping = s.mayPing()
	return s.ping
}

func (s *Session) mayPing() bool {
	return s.met && s.teaching.state == teachingNothing && s.requests.due.IsZero()
}

// Pongs is how many pings were answered.
func (s *Session) Pongs() uint64 { return s.pongs }
