package session

import (
	"time"
	"weak"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// A Peer is what is remembered of a peer from one session to the next. It is
// used by one session at a time. Its zero value is a peer never met.
type Peer struct {
	// definitions are what the peer defined last, by the name of the table.
	definitions map[string]*declared
	all         tally  // of them
	turns       uint64 // that the peer has defined a table
	// acked is how far, in the log of local changes, the peer has said that
	// it took what it was sent. It keeps no table that is gone.
	acked map[weak.Pointer[table.Table]]uint64
	// owes: its lesson is not over, or it was not up to date itself, so that rows
	// may come of entries as they were before it took what it has acked.
	owes bool
	// taughtFrom is when the peer has asked for the lesson that it has not
	// confirmed, zero without one; taughtFor the longest time that one took.
	taughtFrom time.Time
	taughtFor  time.Duration
}

// A declared is a definition with its table, which stays as long as it does, and
// the turns at which its name was defined first and last.
type declared struct {
	*protocol.Definition
	table       *table.Table
	first, last uint64
}

// A tally is how much is defined.
type tally struct {
	tables int
	types  int // data types of all of them, an array counting its elements
}

// with is the tally where is takes the place of was; each may be nil.
func (t tally) with(was, is *protocol.Definition) tally {
	if was != nil {
		t.tables, t.types = t.tables-1, t.types-dataTypes(was)
	}
	if is != nil {
		t.tables, t.types = t.tables+1, t.types+dataTypes(is)
	}
	return t
}

// dataTypes is how many a definition has, an array counting its elements.
func dataTypes(def *protocol.Definition) (n int) {
	for t := range def.DataTypes() {
		n += max(def.Params[t].Elements, 1)
	}
	return n
}

// asksFor and confirms are told of a lesson that the peer is given. One that broke
// goes on with the next one.
func (p *Peer) asksFor(now time.Time) {
	if p.taughtFrom.IsZero() {
		p.taughtFrom = now
	}
}

func (p *Peer) confirms(now time.Time) {
	p.taughtFor = p.handedBack(now)
	p.taughtFrom = time.Time{}
}

// handedBackAtMost bounds what is remembered of a lesson that broke: the peer may
// have been gone ever since.
const handedBackAtMost = time.Minute

// handedBack is how long that may have been under way to the peer which it hands
// back in a lesson of its own: its copies live longer by as much, and so look later
// than changes that others made meanwhile.
func (p *Peer) handedBack(now time.Time) time.Duration {
	longest := p.taughtFor
	if !p.taughtFrom.IsZero() {
		longest = max(longest, now.Sub(p.taughtFrom))
	}
	return min(longest, handedBackAtMost)
}

// Definition is how the peer defined the table of that name last, nil where it
// never did.
func (p *Peer) Definition(name string) *protocol.Definition {
	if d := p.definitions[name]; d != nil {
		return d.Definition
	}
	return nil
}

// Definitions are how the peer defined its tables last, by their names on the wire.
func (p *Peer) Definitions() map[string]*protocol.Definition { return p.definitionsSince(0) }

// definitionsSince are those that were made after a turn.
func (p *Peer) definitionsSince(turn uint64) map[string]*protocol.Definition {
	all := make(map[string]*protocol.Definition, len(p.definitions))
	for name, d := range p.definitions {
		if d.last > turn {
			all[name] = d.Definition
		}
	}
	return all
}

// Defined is how many tables the peer has defined, and how many data types they
// have, an array counting its elements.
func (p *Peer) Defined() (tables, dataTypes int) { return p.all.tables, p.all.types }

func (p *Peer) define(def *protocol.Definition, t *table.Table) {
	if p.definitions == nil {
		p.definitions = map[string]*declared{}
	}
	p.all = p.all.with(p.Definition(def.Name), def)
	p.turns++
	d := &declared{Definition: def, table: t, first: p.turns, last: p.turns}
	if was := p.definitions[def.Name]; was != nil {
		d.first = was.first
	}
	p.definitions[def.Name] = d
}

// definedSince is how the peer defined the table of that name after a turn, nil
// where it did not.
func (p *Peer) definedSince(turn uint64, name string) *protocol.Definition {
	if d := p.definitions[name]; d != nil && d.last > turn {
		return d.Definition
	}
	return nil
}

// oldest is the table but for one that was defined longest ago, nil where there
// is none.
func (p *Peer) oldest(but string) (oldest *declared) {
	for name, d := range p.definitions {
		if name != but && (oldest == nil || d.last < oldest.last) {
			oldest = d
		}
	}
	return oldest
}

// forget takes back what the peer has defined under a name.
func (p *Peer) forget(tables *table.Set, name string) {
	def := p.Definition(name)
	tables.Retract(def)
	p.all = p.all.with(def, nil)
	delete(p.definitions, name)
}

// Forget takes back all that the peer has defined: it will not be met again, or
// as a new one.
func (p *Peer) Forget(tables *table.Set) {
	for name := range p.definitions {
		p.forget(tables, name)
	}
	p.acked = nil
}

// takes reports whether the peer is to be taught t: it does not define the
// name in another way. HAProxy would drop the table in silence.
func (p *Peer) takes(t *table.Table) bool {
	def := p.Definition(t.Name())
	return def == nil || t.Fits(def)
}

// Taken is how far, in the log of t's local changes, the peer has said that it took
// them and teaches nothing older any more: 0 before its lesson is over. ok is false
// where it never defined such a table: it has none to change.
func (p *Peer) Taken(t *table.Table) (position uint64, ok bool) {
	def := p.Definition(t.Name())
	if !p.owes {
		position = p.acked[weak.Make(t)]
	}
	return position, def != nil && t.Fits(def)
}

// ack moves the position that the peer has acked in t.
func (p *Peer) ack(t *table.Table, position uint64) {
	if p.acked == nil {
		p.acked = map[weak.Pointer[table.Table]]uint64{}
	}
	p.acked[weak.Make(t)] = position
}
