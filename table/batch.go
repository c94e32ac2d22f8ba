package table

import (
	"time"

	"github.com/peersd/peersd/protocol"
)

// A Log is an order of a table's entries by their last change. Each entry
// stands in one of the two.
type Log int

const (
	// Learned entries were changed last by a peer. They are part of
	// lessons only, as HAProxy does it: it never relays.
	Learned Log = iota
	// Changed entries were changed last here. They are pushed live, and
	// are part of lessons too.
	Changed
)

// A Batch is a number of entries, pinned: they can be read without the table's
// lock, and none of them changes or goes before [Batch.Release]. A Batch is
// used again and again by one goroutine; its zero value is ready.
type Batch struct {
	table  *Table
	schema *schema
	view   view
	items  []item
	now    time.Time // of the last Update
	tick   int64     // the same by the table's clock
}

type item struct {
	slot      slot
	position  uint64
	serverKey string
	uses      uint16
	uncertain bool
}

// Position is where a log stands now: entries that change from now on come
// after it.
func (t *Table) Position() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.position
}

// Pending reports whether log has entries after position.
func (t *Table) Pending(log Log, position uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _, ok := t.logs[log].next(position)
	return ok
}

// maxPassed is how many records are looked at while the table's lock is held
// once, so that what is over, or free, starves nobody.
const maxPassed = 1000

// Read pins up to limit entries of log after position, oldest first, for b,
// which has to be released, and returns the position to go on from. Entries
// whose lifetime is over at now are passed over. b has less than limit entries
// where there are no more.
func (t *Table) Read(log Log, position uint64, limit int, now time.Time, b *Batch) uint64 {
	tick := t.clock.tick(now)
	b.begin(t)
	at := position
	for more := true; more; {
		at, more = t.readSome(log, position, at, limit, tick, b)
	}
	return at
}

func (t *Table) readSome(log Log, from, at uint64, limit int, tick int64, b *Batch) (_ uint64, more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.follow(b) {
		at = from
	}
	for range maxPassed {
		if len(b.items) >= limit {
			return at, false
		}
		next, s, ok := t.logs[log].next(at)
		if !ok {
			return at, false
		}
		at = next
		if !ended(t.store.record(0, s), tick) {
			t.pin(b, s)
		}
	}
	return at, true
}

// A Cursor is where a [Table.Walk] stands. Its zero value is the beginning.
type Cursor struct{ next slot }

// Walk pins up to limit entries from cursor on, in no particular order, for
// b, which has to be released. b is empty where there are no more. An entry
// that changes while it is being read elsewhere may be walked past or met
// twice: lessons are read from the logs.
func (t *Table) Walk(cursor *Cursor, limit int, now time.Time, b *Batch) {
	tick := t.clock.tick(now)
	b.begin(t)
	from := *cursor
	for t.walkSome(from, cursor, limit, tick, b) {
	}
}

func (t *Table) walkSome(from Cursor, cursor *Cursor, limit int, tick int64, b *Batch) (more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.follow(b) {
		*cursor = from
	}
	for range maxPassed {
		if len(b.items) >= limit || cursor.next >= t.store.next {
			return false
		}
		s := cursor.next
		cursor.next++
		r := t.store.record(0, s)
		if positionOf(r) != 0 && !has(r, flagDead) && !ended(r, tick) {
			t.pin(b, s)
		}
	}
	return true
}

// Find pins the entry of key, in its canonical form, for b, which has to be
// released. b is empty where there is none.
func (t *Table) Find(key []byte, now time.Time, b *Batch) {
	tick := t.clock.tick(now)
	b.begin(t)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.follow(b)
	if s, ok := t.find(key, hash(key)); ok && !ended(t.store.record(0, s), tick) {
		t.pin(b, s)
	}
}

func (b *Batch) begin(t *Table) {
	b.table, b.schema, b.items = t, nil, b.items[:0]
	b.now, b.tick = time.Time{}, t.clock.tick(time.Time{})
}

// follow lets b see the records as they are laid out now. It reports whether b
// has to be filled anew: all its entries are of one schema.
func (t *Table) follow(b *Batch) (anew bool) {
	b.view = t.store.view
	if b.schema == t.schema {
		return false
	}
	t.unpin(b)
	b.schema = t.schema
	return true
}

func (t *Table) pin(b *Batch, s slot) {
	r := t.store.record(0, s)
	pin(r)
	b.items = append(b.items, item{s, positionOf(r), t.servers.get(t.serverID(s)), pins(r) - 1, has(r, flagUncertain)})
}

// Release unpins the entries of b.
func (b *Batch) Release() {
	if len(b.items) == 0 {
		return
	}
	t := b.table
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unpin(b)
}

func (t *Table) unpin(b *Batch) {
	for i := range b.items {
		s := b.items[i].slot
		r := t.store.record(0, s)
		unpin(r)
		if pins(r) == 0 && has(r, flagDead) {
			t.free(s)
		}
		b.items[i].serverKey = ""
	}
	b.items = b.items[:0]
}

// Len is the number of entries.
func (b *Batch) Len() int { return len(b.items) }

// Layout is how [Batch.Update] lays values out. It is another one after the
// table's schema has changed, and only then.
func (b *Batch) Layout() *protocol.Layout { return b.schema.layout }

// Definition goes with Layout.
func (b *Batch) Definition() *protocol.Definition { return &b.schema.def }

// Position of entry i in its log.
func (b *Batch) Position(i int) uint64 { return b.items[i].position }

// Uses is how many others were reading entry i when it was pinned.
func (b *Batch) Uses(i int) int { return int(b.items[i].uses) }

// Uncertain reports whether the lifetime of entry i was an upper bound, see
// [Pushed], when it was pinned.
func (b *Batch) Uncertain(i int) bool { return b.items[i].uncertain }

// ID is a number for entry i that stays the same as long as its key is in the
// table, and means nothing else.
func (b *Batch) ID(i int) uint64 { return hash(b.view.key(b.items[i].slot)) >> 16 }

// Expires reports whether entry i has a lifetime at all.
func (b *Batch) Expires(i int) bool {
	return getInt64(b.view.record(0, b.items[i].slot), atExpire) != 0
}

// Update fills u with entry i as it is at now: the remaining lifetime, the key,
// which is valid until Release and not to be written to, the values and the
// server key. u's ID and Timed are left alone.
func (b *Batch) Update(i int, now time.Time, u *protocol.Update) {
	it := &b.items[i]
	r := b.view.record(0, it.slot)
	if now != b.now {
		b.now, b.tick = now, b.table.clock.tick(now)
	}
	u.Remaining = remaining(r, b.tick)
	u.Key = b.view.key(it.slot)
	u.ServerKey = it.serverKey
	if cap(u.Values) < b.schema.layout.Words {
		u.Values = make([]uint64, b.schema.layout.Words)
	}
	u.Values = u.Values[:b.schema.layout.Words]
	since := b.tick - getInt64(r, atStamp)
	group := 0
	pairs := b.schema.whole.pairs
	for i := range pairs {
		p := &pairs[i]
		values := u.Values[p.from:]
		if p.column.group != group {
			group = p.column.group
			r = b.view.record(group, it.slot)
		}
		loadValues(r[p.column.offset:], p.column.kind, values, p.column.elements)
		if p.column.kind == protocol.Rate {
			for e := range p.column.elements {
				values[3*e] = uint64(ageRate(uint32(values[3*e]), since))
			}
		}
	}
}
