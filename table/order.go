package table

import (
	"time"

	"github.com/peersd/peersd/protocol"
)

// What is done here with changes that somebody orders: see [Ordered].

// A Field is one value of an entry.
type Field struct {
	Type    protocol.DataType
	Element int // of an array, from 0 on
}

// SourceOf returns a Source for updates that bring only some values of an entry:
// those of fields, one after the other in [protocol.Update.Values], each of as
// many words as its kind has. The others stay as they are, and are zero where the
// entry is new. Fields that the table does not store, and server keys, are passed
// over. Of the same field twice the last one counts.
func (t *Table) SourceOf(fields []Field) *Source {
	def := t.Definition()
	return &Source{table: t, fields: fields, expire: int64(def.Expire)}
}

func newFieldMapping(fields []Field, s *schema) *mapping {
	m := &mapping{schema: s, partial: true}
	from := 0
	for _, f := range fields {
		col, words := *s.column(f.Type), f.Type.Kind().Words()
		if col.present && col.kind != protocol.Dictionary && f.Element < col.elements {
			col.offset += f.Element * width(col.kind)
			col.elements = 1
			m.pairs = append(m.pairs, pair{from, col})
		}
		from += words
	}
	return m
}

// Acked says that the peer, whose updates src carries, has taken the local changes
// up to position: what comes from now on was said knowing of them.
func (src *Source) Acked(position uint64) { src.acked = position }

// markOrdered sets the flags of a record that an ordered change was merged to. A
// key that is too long to be sent is never acked: nobody is waited for.
func markOrdered(r []byte, u *protocol.Update) {
	setFlag(r, flagLive)
	clearFlag(r, flagOrdered|flagTimed)
	if len(u.Key) <= protocol.MaxKey {
		setFlag(r, flagOrdered)
	}
	if u.Timed {
		setFlag(r, flagTimed)
	}
}

// How long a cleared entry lives, in ms.
const (
	// clearedHere is how long one is kept where the table has no expire: a
	// HAProxy that was away for longer may bring it back.
	clearedHere = 3600_000
	// clearedAtPeers is the lifetime that is sent with it. HAProxy from 3.2 on
	// drops it then where it did not have the entry; 3.4 was seen to drop one that it
	// had, too, the others keep it for as long as the table says.
	clearedAtPeers = 1000
)

// Clear takes entry i out of its table, whatever has become of it since it was
// pinned, and reports whether it was there. The protocol has no deletion, so what
// peers get is an [Ordered] change: the entry with all values zero. Here nobody
// sees it any more, but readers of local changes, until [Table.Taken], or until
// what copy of it a peer may have is over: a row of that copy in a lesson is not
// news. A change that a peer makes after it has taken this one makes a new entry.
// b holds it until Release all the same.
func (b *Batch) Clear(i int, now time.Time) bool {
	it := &b.items[i]
	h := hash(it.key)
	it.shard.mu.Lock()
	defer it.shard.mu.Unlock()
	s, r := it.shard.find(it.key, h)
	if r == nil || has(r, flagCleared) {
		return false
	}
	it.shard.clear(s, r, h, b.table.set.clock.tick(now))
	it.shard.dropped++
	return true
}

// Cleared reports whether entry i was cleared before it was pinned: only readers
// of local changes get such. It is of no use to a peer that has no copy of it.
func (b *Batch) Cleared(i int) bool { return b.items[i].cleared }

// clear is [Batch.Clear] of the entry in s, of which r is the record.
func (sh *shard) clear(s slot, r []byte, hash uint64, tick int64) {
	if len(sh.store.key(r)) > protocol.MaxKey || pins(r) > 0 && sh.store.full() {
		sh.drop(s, r, hash) // nobody is told of it, or there is no room to
		return
	}
	sh.table.notes.add(sh.store.key(r), true)
	if pins(r) > 0 {
		s, r = sh.thaw(s, r, hash)
	}
	sh.zero(s)
	put48(r, atStamp, max(tick, get48(r, atStamp)))
	life := int64(sh.schema.def.Expire)
	if life == 0 {
		life = clearedHere
	}
	sh.setExpire(s, r, tick+life)
	sh.relog(s, r, true)
	sh.migration.changed(&sh.store, s)
	r[atOrigin] = 0
	clearFlag(r, flagUncertain|flagTimed)
	setFlag(r, flagLive|flagOrdered|flagCleared)
	sh.cleared++
	sh.table.entries.Add(-1) // it is none any more, and takes none of the table's size
}

// zero makes all values of s zero.
func (sh *shard) zero(s slot) {
	sh.schema.servers.release(sh.serverID(s))
	for g := range sh.store.size {
		r := sh.store.record(g, s)
		if g == 0 {
			r = r[headerSize+sh.store.keyArea:]
		}
		clear(r)
	}
}

// Changes is a number that is another one after something was changed here, in any
// table.
func (s *Set) Changes() (n uint64) {
	for _, t := range s.Tables() {
		n += t.ChangedPosition()
	}
	return n
}

// Untaken reports whether there are local changes that [Table.Taken] was not told
// of.
func (t *Table) Untaken() bool {
	t.takenMu.Lock()
	defer t.takenMu.Unlock()
	return t.taken < t.ChangedPosition()
}

// Taken says that all peers have taken the local changes up to position, and teach
// nothing that is older: what was cleared till then goes, and what was ordered is an entry like any other. It looks
// at no more than budget changes, and reports whether there may be more to do.
func (t *Table) Taken(position uint64, budget int) (more bool) {
	t.takenMu.Lock()
	defer t.takenMu.Unlock()
	for some := [32]logged{}; budget > 0; budget -= len(some) {
		n := t.changed.after(t.taken, some[:])
		for i := range n {
			if some[i].position > position {
				n = i
				break
			}
			t.shards[some[i].shard()].Load().settle(&some[i])
			t.taken = some[i].position
		}
		if n < len(some) {
			t.taken = max(t.taken, position)
			return false
		}
	}
	return true
}

// settle is [Table.Taken] of one entry.
func (sh *shard) settle(l *logged) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	r := sh.changed(l)
	switch {
	case r == nil:
	case has(r, flagCleared):
		sh.drop(l.slot(), r, hash(sh.store.key(r)))
	default:
		clearFlag(r, flagOrdered)
	}
}
