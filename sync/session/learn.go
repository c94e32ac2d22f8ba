package session

import (
	"bytes"
	"slices"
	"time"

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
	began   time.Time // when the session began, or the peer confirmed a lesson
	quiet   time.Time // since when nothing was pushed
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
	if t.state != teachingNothing {
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

func (l *learning) ask() { l.state, l.updates = asked, 0 }

// A remoteTable is a table as the peer has defined it on this session.
type remoteTable struct {
	id      uint64
	payload []byte // of the definition: HAProxy repeats it at each change of table
	source  *table.Source
	// last is the id of the last update received.
	last uint32
	// toAck is the id of the last update that is to be acked, where owed.
	toAck uint32
	owed  bool
	// lesson is the highest id of the lesson, where there was one: an
	// untimed update up to it, after the lesson, is a replay.
	lesson   uint32
	lessoned bool
}

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
	was := s.cfg.Peer.Definition(def.Name)
	t := s.cfg.Tables.Define(now, was, def)
	s.cfg.Peer.define(def)
	r := &remoteTable{id: def.ID, payload: bytes.Clone(payload), source: t.Source(def)}
	if old := s.tables[def.ID]; old != nil {
		if old.source.Table() == t {
			r.last, r.toAck, r.owed = old.last, old.toAck, old.owed
			r.lesson, r.lessoned = old.lesson, old.lessoned
		}
		s.order = slices.DeleteFunc(s.order, func(r *remoteTable) bool { return r == old })
	}
	s.tables[def.ID] = r
	s.order = append(s.order, r)
	s.current = r
	s.update.Values = slices.Grow(s.update.Values[:0], r.source.Layout().Words)
	s.cfg.Notify(Event{Kind: Defined, Table: t, Definition: def})
	return nil
}

func (s *Session) switchTable(payload []byte) error {
	id, err := protocol.ParseSwitch(payload)
	if err != nil {
		return err
	}
	s.current = s.tables[id]
	return nil
}

func (s *Session) receiveUpdate(now time.Time, f protocol.Frame) error {
	r := s.current
	if r == nil {
		s.stats.Skipped++
		return nil
	}
	u := &s.update
	layout := r.source.Layout()
	u.Values = slices.Grow(u.Values[:0], layout.Words)[:layout.Words]
	if err := protocol.ParseUpdate(f.Type, f.Payload, layout, &s.dictionary, r.last, u); err != nil {
		return err
	}
	s.stats.UpdatesIn++
	r.last = u.ID
	how := s.learning.judge(now, r, u, s.cfg.Version)
	if how != table.Taught {
		// Rows of a lesson are not acked: a HAProxy that teaches ignores
		// acks, and one that comes too late would be taken for another's.
		r.toAck, r.owed = u.ID, true
	}
	r.source.Merge(now, u, how)
	return nil
}

// judge tells what an update means by the time at which it comes.
func (l *learning) judge(now time.Time, r *remoteTable, u *protocol.Update, v protocol.Version) table.How {
	switch l.state {
	case settling:
		l.quiet = now
		if u.Timed {
			return table.Live // of another peersd: a change with its own lifetime
		}
		return table.Pushed
	case asked:
		if !u.Timed && v >= protocol.Version21 {
			return table.Pushed // was under way when the lesson was asked for
		}
		l.updates++
		if !r.lessoned || protocol.Before(r.lesson, u.ID) {
			r.lesson, r.lessoned = u.ID, true
		}
		return table.Taught
	}
	if !u.Timed && r.lessoned && !protocol.Before(r.lesson, u.ID) {
		return table.Replayed
	}
	return table.Live
}

func (s *Session) lessonOver(now time.Time, upToDate bool) {
	s.confirms++
	if s.learning.state == asked {
		s.learning.over(now, upToDate)
		s.cfg.Notify(Event{Kind: Learned, UpToDate: upToDate, Updates: s.learning.updates})
	}
}

func (l *learning) over(now time.Time, upToDate bool) {
	l.state, l.again = learned, time.Time{}
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
