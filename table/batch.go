package table

import (
	"math"
	"time"

	"github.com/peersd/peersd/protocol"
)

// A Batch is a number of entries, pinned: they can be read without any lock,
// and none of them changes or goes before [Batch.Release]. A Batch is used
// again and again by one goroutine; its zero value is ready.
type Batch struct {
	table  *Table
	schema *schema
	items  []item
	now    time.Time // of the last Update
	tick   int64     // the same by the table's clock
}

// An item is one pinned entry, and what of it can be read without a lock.
type item struct {
	shard     *shard
	slot      slot
	uses      uint16
	local     bool
	uncertain bool
	cleared   bool
	position  uint64
	serverKey string
	key       []byte
	records   [maxGroups][]byte
}

// maxPassed is how many records are looked at while a lock is held once, so
// that what is over, or free, starves nobody.
const maxPassed = 1000

// A LearnedCursor is how far a table's learned entries were read. Its zero value
// is the beginning.
type LearnedCursor struct {
	shards []learnedCursor
	next   int // the shard after the one that was read last
}

type learnedCursor struct {
	position uint64
	changed  int64 // tick at which the entry read last did
}

// ReadLearned pins up to limit entries that a peer has changed last, for b,
// which has to be released, and moves the cursor behind them. Those of a shard
// come in the order of their last change, a few at a time, and then those of the
// shard that is farthest behind: so all come nearly in that order. Whoever learns
// them then puts those that end one after the other next to each other, which
// costs a HAProxy the least. What changes meanwhile comes again in the end.
// Entries whose lifetime is over at now are passed over. b is empty where there
// are no more.
//
// They are part of lessons only, as HAProxy does it: it never relays.
func (t *Table) ReadLearned(c *LearnedCursor, limit int, now time.Time, b *Batch) {
	tick := t.set.clock.tick(now)
	if c.shards == nil {
		c.shards = make([]learnedCursor, len(t.shards))
	}
	b.begin(t)
	turn := max(limit/len(t.shards), leastTurn)
	for done := uint64(0); len(b.items) < limit; {
		n := c.behind(done)
		if n < 0 {
			return
		}
		c.next = n + 1
		switch t.shards[n].Load().readLearned(&c.shards[n], min(limit, len(b.items)+turn), tick, b) {
		case full:
			return
		case noMore:
			done |= 1 << n
		}
	}
}

// behind is the shard that is farthest behind, of several the one whose turn it
// is; -1 where all are done.
func (c *LearnedCursor) behind(done uint64) int {
	least, which := int64(math.MaxInt64), -1
	for i := range c.shards {
		i = (c.next + i) % len(c.shards)
		if at := c.shards[i].changed; at < least && done>>i&1 == 0 {
			least, which = at, i
		}
	}
	return which
}

// leastTurn is how many entries a shard's turn has at least: a lock is taken for
// each.
const leastTurn = 8

// What a shard says after it was asked for entries.
type answer int

const (
	more   answer = iota // ask again: others first
	noMore               // it has no more
	full                 // b can take no more
)

func (sh *shard) readLearned(c *learnedCursor, limit int, tick int64, b *Batch) answer {
	if sh == nil {
		return noMore
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	log := sh.learned.after(c.position)
	for i := range maxPassed {
		if i%warmAtOnce == 0 {
			sh.warmLogged(log, limit-len(b.items))
		}
		switch {
		case len(b.items) >= limit:
			return more
		case !log.next():
			return noMore
		case !b.takes(sh, limit):
			return full
		}
		r := sh.store.record(0, log.slot)
		if c.position, c.changed = log.position, get48(r, atStamp); !ended(r, tick) {
			sh.pin(b, log.slot, r)
		}
	}
	return more
}

// warmAtOnce is how many records are fetched into the cache ahead.
const warmAtOnce = 32

// warmLogged touches the next n records of log, or less: these loads don't wait
// for each other.
func (sh *shard) warmLogged(log logReader, n int) {
	for range min(n, warmAtOnce) {
		if !log.next() {
			return
		}
		r := sh.store.record(0, log.slot)
		sh.warmed += r[0] ^ r[len(r)-1]
	}
}

// ReadChanged pins up to limit entries that were changed last here, after
// position, oldest first, for b, which has to be released, and returns the
// position to go on from. Entries whose lifetime is over at now are passed over.
// b is empty where there are no more, which takes no lock where nothing has
// changed since.
//
// They are pushed live, and are part of lessons too.
func (t *Table) ReadChanged(position uint64, limit int, now time.Time, b *Batch) uint64 {
	tick := t.set.clock.tick(now)
	b.begin(t)
	end := t.ChangedPosition()
	if position >= end {
		return position
	}
	for some := [32]logged{}; ; {
		n := t.changed.after(position, some[:])
		for i := range n {
			if !t.shards[some[i].shard()].Load().pinChanged(&some[i], limit, tick, b) {
				return position
			}
			position = some[i].position
		}
		if n == 0 {
			return max(position, end) // what stood up to there has changed again
		}
	}
}

// pinChanged pins the entry that l is of, if it has not changed again: where it
// has, it stands in the log again, further on, or has left it. It reports false
// where b can take no more.
func (sh *shard) pinChanged(l *logged, limit int, tick int64, b *Batch) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if !b.takes(sh, limit) {
		return false
	}
	if r := sh.changed(l); r != nil && !ended(r, tick) {
		sh.pin(b, l.slot(), r)
	}
	return true
}

// changed returns the record of the entry that l is of, nil where it has changed
// again.
func (sh *shard) changed(l *logged) []byte {
	r := sh.changedAt(l)
	if r == nil && sh.table.changed.again(l) { // it was moved since the log was read
		r = sh.changedAt(l)
	}
	return r
}

// changedAt returns the record of l, nil where its slot is another's by now.
func (sh *shard) changedAt(l *logged) []byte {
	if l.slot() >= sh.store.next {
		return nil
	}
	r := sh.store.record(0, l.slot())
	if !has(r, flagLocal) || has(r, flagDead) || positionOf(r) != l.position {
		return nil
	}
	return r
}

// ChangedPosition is where the log of local changes stands now: what is changed
// from now on comes after it. It takes no lock.
func (t *Table) ChangedPosition() uint64 { return t.changed.position.Load() }

// A Cursor is where a [Table.Walk] stands. Its zero value is the beginning.
type Cursor struct {
	shard int
	begun bool // with that shard
	left  slot // those below it
}

// Walk pins up to limit entries from cursor on, in no particular order, for
// b, which has to be released. b is empty where there are no more. It goes from
// each shard's end to its beginning, as entries do that are moved: none of them
// is missed, and one may be met twice. Only one that changes while it is being
// read elsewhere may be walked past: lessons are read from the logs.
func (t *Table) Walk(cursor *Cursor, limit int, now time.Time, b *Batch) {
	tick := t.set.clock.tick(now)
	b.begin(t)
	for cursor.shard < len(t.shards) {
		switch t.shards[cursor.shard].Load().walk(cursor, limit, tick, b) {
		case full:
			return
		case noMore:
			*cursor = Cursor{shard: cursor.shard + 1}
		}
	}
}

func (sh *shard) walk(c *Cursor, limit int, tick int64, b *Batch) answer {
	if sh == nil {
		return noMore
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if c.left = min(c.left, sh.store.next); !c.begun {
		c.begun, c.left = true, sh.store.next
	}
	for range maxPassed {
		if c.left == 0 {
			return noMore
		}
		if !b.takes(sh, limit) {
			return full
		}
		c.left--
		r := sh.store.record(0, c.left)
		if positionOf(r) != 0 && !has(r, flagDead|flagCleared) && !ended(r, tick) {
			sh.pin(b, c.left, r)
		}
	}
	return more
}

// Find pins the entry of key, in its canonical form, for b, which has to be
// released. b is empty where there is none.
func (t *Table) Find(key []byte, now time.Time, b *Batch) {
	tick := t.set.clock.tick(now)
	b.begin(t)
	h := hash(key)
	sh := t.shard(h)
	if sh == nil {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s, r := sh.find(key, h); r != nil && !has(r, flagCleared) && !ended(r, tick) && b.takes(sh, 1) {
		sh.pin(b, s, r)
	}
}

// FindID is [Table.Find] of the entry that [Batch.ID] names.
func (t *Table) FindID(id uint64, now time.Time, b *Batch) {
	tick := t.set.clock.tick(now)
	b.begin(t)
	sh := t.shard(id)
	if sh == nil {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for p := sh.index.probe(id); p.next(); {
		r := sh.store.record(0, p.slot)
		if hash(sh.store.key(r)) == id && !has(r, flagCleared) && !ended(r, tick) && b.takes(sh, 1) {
			sh.pin(b, p.slot, r)
		}
	}
}

func (b *Batch) begin(t *Table) {
	b.table, b.schema, b.items = t, nil, b.items[:0]
	b.now, b.tick = time.Time{}, t.set.clock.tick(time.Time{})
}

// takes reports whether one more entry of sh, which is locked, can join those
// in b: there are less than limit, and all are of one schema.
func (b *Batch) takes(sh *shard, limit int) bool {
	if len(b.items) == 0 {
		b.schema = sh.schema
	}
	return len(b.items) < limit && b.schema == sh.schema
}

// pin adds the entry in s, of which r is the record, to b.
func (sh *shard) pin(b *Batch, s slot, r []byte) {
	pin(r)
	n := len(b.items)
	if n == cap(b.items) {
		b.items = append(b.items, item{})
	}
	b.items = b.items[:n+1]
	it := &b.items[n]
	it.shard, it.slot, it.uses = sh, s, pins(r)-1
	it.local, it.uncertain, it.cleared = has(r, flagLocal), has(r, flagUncertain), has(r, flagCleared)
	it.position = positionOf(r)
	it.key = sh.store.key(r)
	if sh.schema.servers != nil {
		it.serverKey = sh.schema.servers.get(sh.serverID(s))
	}
	it.records[0] = r
	for g := 1; g < len(sh.store.size); g++ {
		it.records[g] = sh.store.record(g, s)
	}
}

// Release unpins the entries of b.
func (b *Batch) Release() {
	for left := b.items; len(left) > 0; {
		left = left[left[0].shard.unpin(left):]
	}
	b.items = b.items[:0]
}

// unpin unpins the first ones of items, which are of sh, and returns how many
// those are.
func (sh *shard) unpin(items []item) (n int) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for ; n < len(items) && items[n].shard == sh; n++ {
		r := items[n].records[0]
		unpin(r)
		if pins(r) == 0 && has(r, flagDead) {
			sh.free(items[n].slot)
		}
		items[n].serverKey = ""
	}
	return n
}

// take takes entry i out of its table, unless it has changed since it was pinned
// or is gone, and reports whether it did. b holds it until Release all the same.
func (b *Batch) take(i int) bool {
	it := &b.items[i]
	it.shard.mu.Lock()
	defer it.shard.mu.Unlock()
	r := it.records[0]
	if has(r, flagDead) {
		return false // a change goes to a copy
	}
	it.shard.drop(it.slot, r, hash(it.key))
	return true
}

// Len is the number of entries.
func (b *Batch) Len() int { return len(b.items) }

// Layout is how [Batch.Update] lays values out. It is another one after the
// table's schema has changed, and only then.
func (b *Batch) Layout() *protocol.Layout { return b.schema.layout }

// Definition goes with Layout.
func (b *Batch) Definition() *protocol.Definition { return b.schema.def }

// Position of entry i in its log.
func (b *Batch) Position(i int) uint64 { return b.items[i].position }

// Since is how long ago, at now, entry i was changed last.
func (b *Batch) Since(i int, now time.Time) time.Duration {
	stamp := get48(b.items[i].records[0], atStamp)
	return time.Duration(max(b.table.set.clock.tick(now)-stamp, 0)) * time.Millisecond
}

// Local reports whether entry i was changed last here, not by a peer.
func (b *Batch) Local(i int) bool { return b.items[i].local }

// Uses is how many others were reading entry i when it was pinned.
func (b *Batch) Uses(i int) int { return int(b.items[i].uses) }

// Uncertain reports whether the lifetime of entry i was an upper bound, see
// [Pushed], when it was pinned.
func (b *Batch) Uncertain(i int) bool { return b.items[i].uncertain }

// ID is a number for entry i that stays the same as long as its key is in the
// table, and means nothing else; see [Table.FindID]. Two entries among ten million
// have the same one with a chance of 1 to 400,000.
func (b *Batch) ID(i int) uint64 { return hash(b.items[i].key) }

// Expires reports whether entry i has a lifetime at all.
func (b *Batch) Expires(i int) bool {
	return get48(b.items[i].records[0], atExpire) != 0
}

// Update fills u with entry i as it is at now: the remaining lifetime, the key,
// which is valid until Release and not to be written to, the values and the
// server key. u's ID and Timed are left alone.
func (b *Batch) Update(i int, now time.Time, u *protocol.Update) {
	it := &b.items[i]
	if now != b.now {
		b.now, b.tick = now, b.table.set.clock.tick(now)
	}
	u.Remaining = remaining(it.records[0], b.tick)
	if it.cleared {
		u.Remaining = min(u.Remaining, clearedAtPeers)
	}
	u.Key = it.key
	u.ServerKey = it.serverKey
	words := b.schema.layout.Words
	if cap(u.Values) < words {
		u.Values = make([]uint64, words)
	}
	u.Values = u.Values[:words]
	since := b.tick - get48(it.records[0], atStamp)
	pairs := b.schema.whole.pairs
	for i := range pairs {
		p := &pairs[i]
		loadValues(it.records[p.column.group][p.column.offset:], &p.column, u.Values[p.from:], since)
	}
}
