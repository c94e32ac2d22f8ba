package table

import (
	"slices"
	"sync"
	"time"

	"github.com/peersd/peersd/protocol"
)

// A takeover lets the entries of a table go along to one of other key lengths that a
// declarer has gone over to, some at a time. Until it is over the old table stays, and
// what the declarer has said of it: else some of its values would be gone.
type takeover struct {
	mu       sync.Mutex // one step at a time; taken before a Set's
	from, to *Table
	was      *protocol.Definition // what is said no more of from once it is over
	expire   uint32               // of the new definition

	pass    int
	begun   bool // with that pass
	left    int  // so many entries are met in it at most
	learned LearnedCursor
	changed uint64
	source  *Source
	schema  *schema // that source was made for
	over    bool
	batch   Batch
	update  protocol.Update
}

// passes are how the entries of a table are met: those that were learned, and those
// that were changed here. As in lessons, what goes from one log to the other meanwhile
// is met in the end. But nobody who changes them all the time keeps this from ending.
var passes = [...]How{Taught, Local, Taught}

// takeOverAtOnce is how many entries go along before the new table is seen by anybody;
// takeOverSome, at a time then.
const (
	takeOverAtOnce = 1000
	takeOverSome   = 200
)

// step goes on with at most budget entries, and reports whether it is
// over.
func (o *takeover) step(now time.Time, budget int) (over bool) {
	for budget > 0 && o.pass < len(passes) {
		budget -= max(o.some(now, min(budget, takeOverSome)), 1)
	}
	return o.pass == len(passes)
}

// some takes the next few entries along, most of them at most, and returns how many
// these were; or it goes on to the next pass.
func (o *takeover) some(now time.Time, most int) (n int) {
	how := passes[o.pass]
	if !o.begun {
		o.begun, o.left = true, 2*o.from.Stats().Entries
	}
	if how == Local {
		o.changed = o.from.ReadChanged(o.changed, most, now, &o.batch)
	} else {
		o.from.ReadLearned(&o.learned, most, now, &o.batch)
	}
	o.takeAlong(now, how)
	n = o.batch.Len()
	o.batch.Release()
	if o.left -= n; n == 0 || o.left <= 0 {
		o.pass, o.begun = o.pass+1, false
	}
	return n
}

// takeAlong merges what is pinned, where it fits and is not known better. It leaves the
// old table where that one goes: there is no more memory for both.
func (o *takeover) takeAlong(now time.Time, how How) {
	b, u := &o.batch, &o.update
	moves := o.from.onlyDeclared(o.was)
	if moves {
		o.to.set.leaving.Store(o.from)
	} else {
		o.to.set.leaving.Store(nil)
	}
	for i := range b.Len() {
		if b.Cleared(i) {
			continue
		}
		if o.schema != b.schema {
			// What never ended there lives as long as the new definition says.
			def := *b.schema.def
			def.Expire = o.expire
			o.source, o.schema = o.to.Source(&def), b.schema
		}
		o.source.takesOver = moves
		b.Update(i, now, u)
		u.Timed = b.Expires(i)
		if len(u.Key) < o.to.keyLen && o.source.Merge(now, u, Taught) && how == Local {
			o.source.Merge(now, u, Local)
		}
		if moves {
			b.take(i)
		}
	}
}

// onlyDeclared reports whether nobody says anything of the table but one who says def.
func (t *Table) onlyDeclared(def *protocol.Definition) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.declarations) == 1 && t.declarations[0].declarers == 1 && t.declared(def) == 0
}

// takeOver begins to let the entries of a table go along to another one, which nobody
// sees yet. It returns nil where that is over at once; where not, Expire goes on, with
// one table after the other.
func (s *Set) takeOver(now time.Time, from, to *Table, was, is *protocol.Definition) *takeover {
	o := &takeover{from: from, to: to, was: was, expire: is.Expire}
	if len(s.takeovers) == 0 && o.step(now, takeOverAtOnce) {
		s.leaving.Store(nil)
		return nil
	}
	return o
}

// goOn goes on with what takeOver has begun, and reports whether there is more to do.
func (s *Set) goOn(now time.Time, budget int) (more bool) {
	if !s.takingOver.Load() {
		return false
	}
	s.mu.Lock()
	var o *takeover
	if len(s.takeovers) > 0 {
		o = s.takeovers[0]
	}
	s.mu.Unlock()
	if o == nil || !o.mu.TryLock() {
		return false // somebody else is about it
	}
	defer o.mu.Unlock()
	if !o.over && (o.to.gone.Load() || o.step(now, budget*len(o.to.shards))) {
		o.over = true
		s.leaving.Store(nil)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.takeovers = slices.Delete(s.takeovers, 0, 1)
		s.takingOver.Store(len(s.takeovers) > 0)
		s.retract(o.from, o.was)
	}
	return s.takingOver.Load()
}
