package session

import (
	"bytes"
	"slices"
	"time"
	"weak"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// learning is how far this side is with the lesson that it asks of the peer.
//
// A HAProxy sends again, untimed, what was not acked when it is asked for a
// lesson. So what it pushes by itself is taken and acked first, and the lesson
// asked for when that is over: there is no replay then, and the last word on
// each entry is timed.
type learning struct {
	state   learnState
	began   time.Time // when the session began, the peer's lesson ended, or it confirmed that
	quiet   time.Time // since when nothing was pushed
	from    time.Time // when the lesson was asked for, or what comes in it may have been under way before
	updates uint64    // of the lesson
	// again is when to ask once more: a peer that was not up to date itself
	// may have more to teach later. Zero is never. wait is for how long.
	again time.Time
	wait  time.Duration
}

type learnState int

const (
	settling learnState = iota // taking what the peer pushes by itself
	asked                      // the lesson is on its way
	learned                    // it is over
)

func (l *learning) begin(now time.Time) { l.began, l.quiet = now, now }

// at is when to ask for the lesson, zero where it was asked for already. A
// peer that is being taught is left alone until it has confirmed: a HAProxy
// that learns pushes nothing.
func (l *learning) at(t *teaching) time.Time {
	switch {
	case l.state == asked:
		return time.Time{}
	case l.state == learned:
		return l.again
	}
	switch t.state {
	case teachingTables: // for as long as that takes
		return time.Time{}
	case teachingUnanswered:
		return l.began.Add(confirmAtMost)
	}
	at, latest := l.quiet.Add(settle), l.began.Add(settleAtMost)
	if latest.Before(at) {
		return latest
	}
	return at
}

func (l *learning) due(now time.Time, t *teaching) bool {
	at := l.at(t)
	return !at.IsZero() && !now.Before(at)
}

func (s *Session) askForLesson(now time.Time) {
	s.learning.state, s.learning.updates, s.learning.from = asked, 0, now.Add(-s.cfg.Peer.handedBack(now))
	for _, r := range s.order {
		r.lessoned = false
		r.source.LessonAsked(s.learning.from)
	}
	s.cfg.Notify(Event{Kind: LessonAsked})
}

// A remoteTable is a table as the peer has defined it on this session.
type remoteTable struct {
	id      uint64
	name    string
	payload []byte // of the definition: HAProxy repeats it at each change of table
	source  *table.Source
	// last is the id of the last update received.
	last uint32
	// toAck is the id of the last update that is to be acked, where owed.
	toAck uint32
	owed  bool
	// held: nothing more is acked before the lesson is over, for something
	// was pushed that only the lesson, or the replay behind it, can settle.
	held bool
	// The lesson began with the id first, where it has begun, and covered it
	// and the next ones up to first+covered: an untimed update of these after
	// the lesson is a replay.
	lessoned       bool
	first, covered uint32
}

// farthest is how far ahead of the first id of a lesson others are taken for
// such as will be pushed. HAProxy begins with what was not acked, and numbers
// what it has learned itself 2^31 ahead.
const farthest = 1 << 30

// taught takes note of the id of a lesson's row.
func (r *remoteTable) taught(id uint32) {
	if !r.lessoned {
		r.lessoned, r.first, r.covered = true, id, 0
	}
	if ahead := id - r.first; ahead < farthest {
		r.covered = max(r.covered, ahead)
	}
}

// replayed reports whether the lesson has covered the update id.
func (r *remoteTable) replayed(id uint32) bool { return r.lessoned && id-r.first <= r.covered }

func (s *Session) define(now time.Time, payload []byte) error {
	// The common case first: the same definition again.
	if id, n := protocol.ParseVarint(payload); n > 0 {
		if r := s.tables[id]; r != nil && bytes.Equal(r.payload, payload) {
			s.current = r
			return nil
		}
	}
	s.current = nil
	def, err := protocol.ParseDefinition(payload)
	if err != nil {
		return err
	}
	if s.refused[def.ID] != def.Name { // that there was no room for it costs nothing
		err = s.count()
	}
	own := s.own
	if err == nil {
		err = s.admit(def)
	}
	if err != nil {
		return err
	}
	t := s.cfg.Tables.Define(now, s.cfg.Peer.Definition(def.Name), def)
	if t == nil {
		// As HAProxy does with a definition that it refuses: the updates that follow
		// are skipped. There may be room when it comes again.
		s.own = own
		s.forget(def.ID, def.Name)
		s.refused[def.ID] = def.Name
		return nil
	}
	delete(s.refused, def.ID)
	s.cfg.Peer.define(def, t)
	r := &remoteTable{id: def.ID, name: def.Name, payload: bytes.Clone(payload), source: t.Source(def)}
	r.source.Origin = s.cfg.Origin
	r.source.Acked(s.cfg.Peer.acked[weak.Make(t)])
	if s.learning.state == asked {
		r.source.LessonAsked(s.learning.from)
	}
	if old := s.byName[def.Name]; old != nil && old.source.Table() == t {
		r.last, r.toAck, r.owed = old.last, old.toAck, old.owed
		r.held, r.lessoned, r.first, r.covered = old.held, old.lessoned, old.first, old.covered
	}
	s.remember(r)
	s.current = r
	s.cfg.Notify(Event{Kind: Defined, Table: t, Definition: def})
	return nil
}

// remember makes r the table of its id and of its name: as for HAProxy, a table
// has one id, its last.
func (s *Session) remember(r *remoteTable) {
	s.forget(r.id, r.name)
	s.tables[r.id], s.byName[r.name] = r, r
	s.order = append(s.order, r)
}

// forget forgets the tables that have that id, or that name, so far.
func (s *Session) forget(id uint64, name string) {
	for _, old := range []*remoteTable{s.tables[id], s.byName[name]} {
		if old != nil {
			delete(s.tables, old.id)
			delete(s.byName, old.name)
			s.order = slices.DeleteFunc(s.order, func(r *remoteTable) bool { return r == old })
		}
	}
}

func (s *Session) switchTable(payload []byte) error {
	id, err := protocol.ParseSwitch(payload)
	if err != nil {
		return err
	}
	s.current = s.tables[id]
	return nil
}

// judge tells what an update means by the time at which it comes.
func (l *learning) judge(now time.Time, r *remoteTable, u *protocol.Update, v protocol.Version) table.How {
	switch l.state {
	case settling:
		l.quiet = now
		if u.Timed || v < protocol.Version21 {
			// Of another peersd a change with its own lifetime; of 2.0 there
			// are no lifetimes to wait for.
			return table.Live
		}
		return table.Pushed
	case asked:
		if !u.Timed && v >= protocol.Version21 {
			return table.Pushed // was under way when the lesson was asked for
		}
		l.updates++
		r.taught(u.ID)
		return table.Taught
	}
	if !u.Timed && r.replayed(u.ID) {
		return table.Replayed
	}
	return table.Live
}

func (s *Session) lessonOver(now time.Time, upToDate bool) error {
	if s.confirms++; s.confirms > maxConfirms {
		return &protocol.Error{Reply: protocol.ProtocolError, Reason: "it ends lesson after lesson without reading the answers"}
	}
	if s.learning.state == asked {
		for _, r := range s.order {
			r.held = false
		}
		s.learned(now, upToDate)
		s.cfg.Notify(Event{Kind: Learned, UpToDate: upToDate, Updates: s.learning.updates})
	}
	return nil
}

// maxConfirms is how many confirms can be owed to a peer that does not read.
const maxConfirms = 16

// learned: the peer's lesson is over.
func (s *Session) learned(now time.Time, upToDate bool) {
	l := &s.learning
	l.state, l.again = learned, time.Time{}
	s.cfg.Peer.owes = !upToDate
	if !upToDate {
		l.wait = min(max(2*l.wait, againAfter), againAtMost)
		l.again = now.Add(l.wait)
	}
}

// Learned reports whether the peer's lesson is over.
func (s *Session) Learned() bool { return s.learning.state == learned }

func (s *Session) appendAcks(b []byte) []byte {
	for _, r := range s.order {
		if r.owed {
			r.owed = false
			b = protocol.AppendAck(b, protocol.Ack{TableID: r.id, UpdateID: r.toAck})
		}
	}
	return b
}
