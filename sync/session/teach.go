package session

import (
	"maps"
	"slices"
	"time"
	"weak"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// teaching is how far the peer is with the lesson that it has asked for.
type teaching struct {
	state   teachState
	began   time.Time
	tables  []*localTable // still to be taught, the first one being under way
	updates uint64        // sent so far
	total   uint64        // that there were when it began
	acked   bool          // some row was
	warned  bool          // that the lesson is long
	tell    time.Time     // when to tell next how far it is

	// Of the first table:
	defined bool        // it was
	pass    int         // through its entries, see passes
	sent    [toPush]int // entries of it, by where they were read
	most    int         // so many of each are enough, 0 before it is known

	// A lesson is kept open for what others are about to teach us: a peer
	// that comes up along with us would miss it. The tables are gone through
	// again and again, until nothing more is expected when that begins.
	until    time.Time // at the latest
	look     time.Time // when to begin again, zero the first time
	begun    bool      // to go through the tables
	last     bool      // for the last time
	upToDate bool      // when that began; once all is sent, whether the lesson was "finished"
}

// A reading goes on from where it stopped, through one part of a table.
type reading int

const (
	toTeachLearned reading = iota
	toTeachChanged
	toPush
	toPushEarly // what changes in the course of a lesson, before it is its turn
)

// passes are in which order a table is taught. An entry that was changed here
// may be changed by a peer meanwhile: it goes to the end of the learned ones,
// which were read already, and are read on.
var passes = [...]reading{toTeachLearned, toTeachChanged, toTeachLearned}

type teachState int

const (
	teachingNothing    teachState = iota
	teachingTables                // sending definitions and entries
	teachingUnanswered            // all sent, the confirm is to come
)

// A localTable is a table as it is defined to the peer on this session.
type localTable struct {
	table  *table.Table
	id     uint64
	layout *protocol.Layout // that the peer was told last, nil before
	// pushed is how far the log of local changes was sent; acked how far the
	// peer took it. acked <= pushed.
	pushed, acked uint64
	// last is the position of the last change that was sent for good: that is what
	// HAProxy acks, though others may have left the log behind it. unackedSince is
	// since when that is to come, zero where it has come.
	last         uint64
	unackedSince time.Time
	// early is how far what has changed since the lesson began was sent. It is
	// taught or pushed all the same: only that is acked.
	early uint64
	// learned and changed are how far the lesson under way is.
	learned    table.LearnedCursor
	changed    uint64
	passedOver bool // some entry was
}

// begin begins a lesson at its beginning.
func (l *localTable) begin() { l.learned, l.changed, l.passedOver = table.LearnedCursor{}, 0, false }

// read pins the entries that are next.
func (l *localTable) read(r reading, limit int, now time.Time, b *table.Batch) {
	switch r {
	case toTeachLearned:
		l.table.ReadLearned(&l.learned, limit, now, b)
	case toTeachChanged:
		l.changed = l.table.ReadChanged(l.changed, limit, now, b)
	case toPush:
		l.pushed = l.table.ReadChanged(l.pushed, limit, now, b)
	case toPushEarly:
		l.early = l.table.ReadChanged(l.early, limit, now, b)
	}
}

// teach begins a lesson, or begins it again: whoever asks twice has lost the
// first one.
func (s *Session) teach(now time.Time) {
	s.refreshLocal()
	s.teaching = teaching{state: teachingTables, began: now, tables: s.local, until: now.Add(openAtMost), tell: now.Add(tellEvery)}
	for _, l := range s.local {
		l.begin()
		l.early = l.table.ChangedPosition()
		if s.cfg.Peer.takes(l.table) {
			s.teaching.total += uint64(l.table.Entries())
		}
	}
	s.cfg.Peer.asksFor(now)
	s.cfg.Notify(Event{Kind: TeachAsked, Lesson: s.Lesson(now)})
}

// confirmed: the lesson is over for the peer too. Live updates go on from where
// they were before it.
func (s *Session) confirmed(now time.Time) {
	if s.teaching.state != teachingUnanswered {
		s.pongs++
		return
	}
	finished := s.teaching.upToDate
	s.teaching = teaching{}
	s.cfg.Peer.confirms(now)
	for _, l := range s.local {
		// What was pushed before the lesson: its acks came in the course of it, and were
		// ignored, or will never come, since HAProxy acks nothing but the last id.
		s.taken(now, l, l.pushed)
	}
	switch {
	case s.learning.state != settling:
	case s.cold:
		s.learned(now, finished)
	default:
		s.learning.begin(now)
	}
	s.cfg.Notify(Event{Kind: TaughtConfirmed, LessonDue: s.learning.state == settling, UpToDate: s.cold && finished})
}

// refreshLocal takes note of tables that came or went. Where they only came it costs
// no more than these.
func (s *Session) refreshLocal() {
	tables := s.cfg.Tables.Tables()
	if len(tables) == 0 || len(s.localOf) == 0 || &tables[0] != &s.localOf[0] {
		s.keepLocal(tables)
	}
	s.localOf = tables
	if len(s.local) == len(tables) {
		return
	}
	next := uint64(1)
	if n := len(s.local); n > 0 {
		next = s.local[n-1].id + 1
	}
	var came []*localTable
	for _, t := range tables[len(s.local):] {
		acked := s.cfg.Peer.acked[weak.Make(t)]
		came = append(came, &localTable{table: t, id: next, pushed: acked, acked: acked})
		next++
	}
	if s.teaching.state == teachingTables {
		s.teaching.tables = slices.Concat(s.teaching.tables, came)
	}
	s.local = append(slices.Clip(s.local), came...)
}

// keepLocal takes note of tables that went. Those that stay are in the order in which
// they were.
func (s *Session) keepLocal(tables []*table.Table) {
	there := make(map[*table.Table]bool, len(tables))
	for _, t := range tables {
		there[t] = true
	}
	var kept []*localTable
	for _, l := range s.local {
		if there[l.table] {
			kept = append(kept, l)
		}
	}
	s.local = kept
	maps.DeleteFunc(s.cfg.Peer.acked, func(t weak.Pointer[table.Table], _ uint64) bool { return !there[t.Value()] })
}

// appendUpdates appends a burst of what there is to be sent: local changes, and
// of the lesson.
func (s *Session) appendUpdates(now time.Time, b []byte) []byte {
	s.refreshLocal()
	if !s.pending() {
		s.pace.idle()
		return b
	}
	burst := s.pace.burst(now)
	if burst == 0 {
		return b
	}
	left, before := burst, len(b)
	switch s.teaching.state {
	case teachingNothing:
		b, left = s.appendChanged(now, b, toPush, left)
	case teachingTables:
		// What changes meanwhile doesn't wait for a long lesson to end, nor does
		// the lesson for changes that don't end; of one update at a time neither.
		rest := (left + int(s.stats.UpdatesOut&1)) / 2
		b, left = s.appendChanged(now, b, toPushEarly, left-rest)
		b, left = s.appendLesson(now, b, left+rest)
		s.watchLesson(now)
	case teachingUnanswered:
		b, left = s.appendChanged(now, b, toPushEarly, left)
	}
	s.pace.sent(now, burst-left, len(b)-before)
	return b
}

// pending reports whether there may be updates to be sent.
func (s *Session) pending() bool {
	if s.teaching.state == teachingTables {
		return true
	}
	for _, l := range s.local {
		sent := l.pushed
		if s.teaching.state != teachingNothing {
			sent = l.early
		}
		if sent < l.table.ChangedPosition() && s.cfg.Peer.takes(l.table) {
			return true
		}
	}
	return false
}

// appendChanged appends up to left local changes, of all tables in turn, and
// returns how many more there might have been.
func (s *Session) appendChanged(now time.Time, b []byte, r reading, left int) (_ []byte, more int) {
	for range s.local {
		l := s.local[s.turn%len(s.local)]
		if s.cfg.Peer.takes(l.table) {
			var n int
			b, n = s.appendBatch(now, b, l, r, left)
			left -= n
		}
		s.turn++
		if left <= 0 {
			break
		}
	}
	return b, left
}

// appendLesson appends the next part of the lesson, of at most left updates, and
// returns how many more there might have been.
func (s *Session) appendLesson(now time.Time, b []byte, left int) (_ []byte, more int) {
	t := &s.teaching
	if !t.begun {
		t.begun, t.last, t.upToDate = true, !now.Before(t.until) || !s.cfg.Expecting(), s.cfg.UpToDate()
	}
	for len(t.tables) > 0 {
		l := t.tables[0]
		if s.cfg.Peer.takes(l.table) {
			if left <= 0 {
				return b, left
			}
			if t.last && l.passedOver {
				l.begin()
			}
			if !t.defined && (t.look.IsZero() || l.layout == nil) {
				// Empty tables are defined too. It costs as much as an update.
				def, layout := l.table.Schema()
				b = s.appendDefinition(b, l, def, layout)
				t.defined = true
				left--
			}
			if b, left = s.appendEntries(now, b, l, left); left <= 0 {
				return b, left
			}
		}
		t.tables, t.defined, t.pass, t.sent, t.most = t.tables[1:], false, 0, [toPush]int{}, 0
	}
	if !t.last {
		t.begun, t.tables, t.look = false, s.local, now.Add(lookEvery)
		return b, left
	}
	return s.appendEnd(now, b), left
}

// appendEnd ends the lesson.
func (s *Session) appendEnd(now time.Time, b []byte) []byte {
	t := &s.teaching
	t.state, t.look, s.pace.hurry = teachingUnanswered, time.Time{}, false
	s.learning.began = now // the time for its confirm begins
	end := protocol.ResyncPartial
	if t.upToDate = t.upToDate && s.cfg.UpToDate(); t.upToDate {
		end = protocol.ResyncFinished
	}
	s.cfg.Notify(Event{Kind: Taught, UpToDate: t.upToDate, Updates: t.updates})
	return protocol.AppendMessage(b, end)
}

// enough is how many learned entries of a table, and how many changed ones, are
// taught at most, where it has n when its turn comes. Those that change meanwhile come again: where peers change
// them faster than the pupil takes them, that would go on for ever. The pupil has
// the rest from those peers.
func enough(n int) int { return 3*n + 1000 }

// appendEntries appends the next part of the table under way. Where it returns
// more left than 0, that was the last one.
func (s *Session) appendEntries(now time.Time, b []byte, l *localTable, left int) ([]byte, int) {
	t := &s.teaching
	if t.most == 0 {
		t.most = enough(l.table.Entries())
	}
	for t.pass < len(passes) && left > 0 {
		var n int
		b, n = s.appendBatch(now, b, l, passes[t.pass], left)
		sent := &t.sent[passes[t.pass]]
		*sent += n
		t.updates += uint64(n)
		left -= n
		if n == 0 || *sent >= t.most {
			t.pass++
		}
	}
	return b, left
}

// appendBatch appends up to limit entries that are next, and returns how many
// they were: 0 only where there are no more.
func (s *Session) appendBatch(now time.Time, b []byte, l *localTable, r reading, limit int) (_ []byte, n int) {
	for more := true; more && n == 0; {
		l.read(r, limit, now, &s.batch)
		if more = s.batch.Len() > 0; more {
			b, n = s.appendPinned(now, b, l, r)
		}
		s.batch.Release()
	}
	return b, n
}

// appendPinned appends what the batch holds and returns how many that were.
func (s *Session) appendPinned(now time.Time, b []byte, l *localTable, r reading) (_ []byte, n int) {
	if s.sent != l || l.layout != s.batch.Layout() {
		b = s.appendDefinition(b, l, s.batch.Definition(), s.batch.Layout())
	}
	u := &s.out
	u.Timed = s.cfg.Version >= protocol.Version21
	for i := range s.batch.Len() {
		if s.batch.Uncertain(i) && s.teaching.state == teachingTables && !s.teaching.last {
			l.passedOver = true // the lesson that is expected has its lifetime
			continue
		}
		if s.batch.Cleared(i) && r < toPush {
			continue // a pupil does not have it
		}
		s.batch.Update(i, now, u)
		if !s.batch.Expires(i) {
			u.Remaining = s.forever(l)
		}
		if len(u.Key) > protocol.MaxKey {
			continue // the message might be longer than HAProxy takes
		}
		u.ID = uint32(s.batch.Position(i))
		b = protocol.AppendUpdate(b, s.batch.Layout(), &s.written, u)
		n++
		if r == toPush {
			l.sentAt(now, s.batch.Position(i))
		}
	}
	s.stats.UpdatesOut += uint64(n)
	return b, n
}

// sentAt: the change at position was sent, and is to be acked.
func (l *localTable) sentAt(now time.Time, position uint64) {
	l.last = position
	if l.unackedSince.IsZero() {
		l.unackedSince = now
	}
}

// forever is the remaining lifetime, in ms, of an entry that never ends: 0
// where the peer's entries never end either. To a peer whose entries do, 0
// would mean that it is over.
func (s *Session) forever(l *localTable) uint32 {
	if def := s.cfg.Peer.Definition(l.table.Name()); def != nil {
		return def.Expire
	}
	return 0
}

// appendDefinition tells the peer of which table the updates that follow are.
func (s *Session) appendDefinition(b []byte, l *localTable, def *protocol.Definition, layout *protocol.Layout) []byte {
	d := *def
	d.ID = l.id
	s.sent, l.layout = l, layout
	return protocol.AppendDefinition(b, &d)
}

// acked takes an ack, where it can be true: HAProxy 3.3 to 3.5-dev5 send
// garbage after incremental updates.
func (s *Session) acked(now time.Time, payload []byte) error {
	a, err := protocol.ParseAck(payload)
	if err != nil {
		return err
	}
	if s.teaching.state != teachingNothing {
		s.teaching.acked = true // by HAProxy before 3.3, to no other use
		return nil
	}
	l := s.localByID(a.TableID)
	if l == nil {
		s.stats.AcksIgnored++
		return nil
	}
	position, ok := ackedPosition(l.acked, l.pushed, a.UpdateID)
	if !ok {
		s.stats.AcksIgnored++
		s.cfg.Notify(Event{Kind: AckIgnored, Table: l.table, Ack: a})
		return nil
	}
	s.taken(now, l, position)
	return nil
}

// taken: the peer took the local changes of a table up to position.
func (s *Session) taken(now time.Time, l *localTable, position uint64) {
	l.acked, l.unackedSince = position, time.Time{}
	if position < l.last {
		l.unackedSince = now
	}
	s.cfg.Peer.ack(l.table, position)
	if r := s.byName[l.table.Name()]; r != nil && r.source.Table() == l.table {
		r.source.Acked(position)
	}
}

// ackedPosition is the position that an update id means, of which only the low
// 32 bits are sent. It counts between what was acked before and what was sent
// last on this session.
func ackedPosition(acked, pushed uint64, id uint32) (position uint64, ok bool) {
	back := uint64(uint32(pushed) - id)
	if back > pushed-acked {
		return 0, false
	}
	return pushed - back, true
}

func (s *Session) localByID(id uint64) *localTable {
	for _, l := range s.local {
		if l.id == id {
			return l
		}
	}
	return nil
}

// A Lesson is how far the peer is with what it has asked for.
type Lesson struct {
	Active     bool
	TablesLeft int
	Sent       uint64        // updates
	Total      uint64        // of them, as far as that can be told: some end, and some come meanwhile
	Rate       float64       // updates/s, from the beginning on
	Left       time.Duration // till it is over, if it goes on so; 0 where that can't be told yet
}

// Lesson is how far the peer's lesson is at now.
func (s *Session) Lesson(now time.Time) Lesson {
	t := &s.teaching
	l := Lesson{Active: t.state != teachingNothing, TablesLeft: len(t.tables), Sent: t.updates, Total: max(t.total, t.updates)}
	if took := now.Sub(t.began).Seconds(); l.Active && took > 0 && l.Sent > 0 {
		l.Rate = float64(l.Sent) / took
		l.Left = time.Duration(float64(l.Total-l.Sent) / l.Rate * float64(time.Second))
	}
	return l
}

// Teaching reports whether the peer is being taught, and not all was sent yet.
func (s *Session) Teaching() bool { return s.teaching.state == teachingTables }

const (
	// tellEvery is how often it is told how far a lesson is.
	tellEvery = 5 * time.Second
	// ackedWithin is how long a HAProxy before 3.3 takes, at most, to ack the first
	// rows of a lesson.
	ackedWithin = 500 * time.Millisecond
	// longLesson is one that takes so much longer. HAProxy's timeout is 5 s.
	longLesson = 3500 * time.Millisecond
)

// watchLesson tells how far the lesson is, from time to time, and once where it is
// in danger: HAProxy from 3.3 on acks nothing in a lesson, pushes nothing, and does
// not even send heartbeats while it has something to push. Where it made the
// connection itself, it closes it over its own silence (timeout client of its
// peers, 5 s; seen on 3.4).
func (s *Session) watchLesson(now time.Time) {
	t := &s.teaching
	if t.state != teachingTables {
		return
	}
	l := s.Lesson(now)
	if !now.Before(t.tell) {
		t.tell = now.Add(tellEvery)
		s.cfg.Notify(Event{Kind: Teaching, Lesson: l})
	}
	if !t.warned && now.Sub(t.began) >= ackedWithin && s.pace.held.IsZero() {
		t.warned = true
		if !t.acked && l.Left > longLesson {
			s.cfg.Notify(Event{Kind: LongLesson, Lesson: l})
		}
	}
}

// Hurry gives the lesson under way, if there is one, all the speed that the peer
// takes.
func (s *Session) Hurry() {
	if s.Teaching() {
		s.pace.hurryUp()
	}
}
