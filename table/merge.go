package table

import (
	"time"

	"github.com/peersd/peersd/protocol"
)

// An Arrival is an update on its way into a table.
type Arrival struct {
	protocol.Update
	How How
	// Changed is set by [Source.MergeAll]: the update changed the table. Added,
	// too: there was no entry of its key before.
	Changed, Added bool

	hash uint64
	next int16 // the next one of the same shard, plus 1; 0 where there is none
}

// MaxArrivals is how many updates [Source.MergeAll] takes at once.
const MaxArrivals = 512

// Merge takes one update and reports whether it changed the table. Nothing is
// allocated but for room that the table grows by. Where there is none, others
// give way or the update is refused, see [Set.Limit] and [Set.LimitMemory].
func (src *Source) Merge(now time.Time, u *protocol.Update, how How) bool {
	h, tick := hash(u.Key), src.table.set.clock.tick(now)
	sh := src.table.shard(h)
	if sh == nil {
		if sh = src.open(int(h>>src.table.shardShift), tick, u, how); sh == nil {
			return false
		}
	}
	sh.mu.Lock()
	out := sh.merge(src, tick, h, u, how, src.takesOver)
	sh.mu.Unlock()
	if out == noRoom {
		out = src.mergeFull(sh, tick, h, u, how)
	}
	return out >= taken
}

// maxTries bounds how often room is made for one entry that others take.
const maxTries = 100

// mergeFull makes room for u and tries again.
func (src *Source) mergeFull(sh *shard, tick int64, h uint64, u *protocol.Update, how How) (out outcome) {
	// Somebody else may take the room that was made.
	for tries := 0; tries < maxTries && src.makeRoom(sh, len(u.Key), tick); tries++ {
		sh.mu.Lock()
		out = sh.merge(src, tick, h, u, how, true)
		sh.mu.Unlock()
		if out != noRoom {
			return out
		}
	}
	src.table.refused.Add(1)
	return noRoom
}

// MergeAll is [Source.Merge] of up to [MaxArrivals] updates, which takes them
// shard by shard: a lock is taken once for many, and what they touch is fetched
// into the cache side by side rather than one after the other. Those of one key
// are merged in their order.
func (src *Source) MergeAll(now time.Time, all []Arrival) {
	t, tick := src.table, src.table.set.clock.tick(now)
	var first, last [maxShards]int16 // of the arrivals of a shard, plus 1
	for i := range all {
		a := &all[i]
		a.hash, a.next = hash(a.Key), 0
		n := a.hash >> t.shardShift
		if l := last[n]; l > 0 {
			all[l-1].next = int16(i + 1)
		} else {
			first[n] = int16(i + 1)
		}
		last[n] = int16(i + 1)
	}
	for n := range t.shards {
		for i := first[n]; i > 0; {
			sh := t.shards[n].Load()
			if sh == nil {
				a := &all[i-1]
				if sh = src.open(n, tick, &a.Update, a.How); sh == nil {
					a.became(ignored)
					i = a.next
					continue
				}
			}
			i = sh.mergeSome(src, tick, all, i)
		}
	}
}

// open opens a shard that is not there yet for u. It returns nil where u makes no
// entry, or where there is no room for one.
func (src *Source) open(n int, tick int64, u *protocol.Update, how How) *shard {
	t := src.table
	expire := src.expireAt(tick, u, how)
	switch {
	case expire != 0 && expire <= tick:
		t.stale.Add(1)
		return nil
	case len(u.Key) > MaxKey:
		return nil
	}
	if size := t.shardSize(); !src.takesOver && !src.pay(size, size, tick) {
		t.refused.Add(1)
		return nil
	}
	return t.open(n)
}

// mergeAtOnce bounds how many updates are merged while a lock is held once.
const mergeAtOnce = 32

// mergeSome merges the arrivals of a shard from the i-th on, counted from 1, and
// returns the one to go on with, 0 after the last.
func (sh *shard) mergeSome(src *Source, tick int64, all []Arrival, i int16) int16 {
	sh.mu.Lock()
	sh.warm(all, i)
	full := int16(0)
	for n := 0; n < mergeAtOnce && i > 0 && full == 0; n++ {
		a := &all[i-1]
		out := sh.merge(src, tick, a.hash, &a.Update, a.How, false)
		if a.became(out); out == noRoom {
			full = i
		}
		i = a.next
	}
	sh.mu.Unlock()
	if full > 0 {
		a := &all[full-1]
		a.became(src.mergeFull(sh, tick, a.hash, &a.Update, a.How))
	}
	return i
}

func (a *Arrival) became(out outcome) { a.Changed, a.Added = out >= taken, out == added }

// warm touches what the next arrivals will need, one kind of thing after the
// other: loads that don't wait for each other are under way at the same time.
func (sh *shard) warm(all []Arrival, i int16) {
	var (
		hashes [mergeAtOnce]uint64
		blocks [mergeAtOnce]*logBlock
		at     [mergeAtOnce]uint64
		n      int
	)
	for ; n < mergeAtOnce && i > 0; n++ {
		a := &all[i-1]
		hashes[n] = a.hash
		sh.warmed += sh.index.touch(a.hash)
		i = a.next
	}
	known := 0
	for _, h := range hashes[:n] {
		if s := sh.index.likely(h); s < sh.store.next {
			r := sh.store.record(0, s)
			at[known] = positionOf(r)
			sh.warmed += r[len(r)-1]
			known++
		}
	}
	for i, p := range at[:known] {
		if blocks[i] = sh.learned.blockOf(p); blocks[i] != nil {
			sh.warmed += byte(blocks[i].live)
		}
	}
	for i, p := range at[:known] {
		if blocks[i] != nil {
			sh.warmed += blocks[i].touch(p)
		}
	}
}

// What became of an update.
type outcome int

const (
	ignored outcome = iota
	noRoom          // for a new entry
	taken
	added // taken, as a new entry
)

// merge takes one update of src; sh is locked. paid says that what memory a new
// entry takes was made room for.
func (sh *shard) merge(src *Source, tick int64, h uint64, u *protocol.Update, how How, paid bool) outcome {
	if src.mapping == nil || src.mapping.schema != sh.schema {
		src.mapping = src.mapTo(sh.schema)
	}
	s, r := sh.find(u.Key, h)
	if r != nil && ended(r, tick) {
		sh.end(s, r, h, tick)
		s, r = sh.find(u.Key, h) // it is there still where it was cleared
	}
	expire := src.expireAt(tick, u, how)
	if expire != 0 && expire <= tick {
		sh.stale++
		return ignored // taught at the very end of its life
	}
	out := taken
	switch {
	case r != nil && !sh.fresher(s, r, src, u, tick, expire, how):
		sh.stale++
		return ignored
	case r != nil && pins(r) == 0 && !has(r, flagCleared):
	case len(u.Key) > MaxKey:
		return ignored
	case sh.store.full() && (r == nil || pins(r) > 0):
		return noRoom
	case r != nil && has(r, flagCleared) && sh.table.full(0, true):
		return noRoom // it would be a new entry
	case r != nil && pins(r) == 0:
	case r != nil:
		s, r = sh.thaw(s, r, h)
	case sh.table.full(sh.store.growth(len(u.Key)), paid):
		return noRoom
	default:
		s, r = sh.create(u.Key, h)
		out = added
	}
	sh.write(s, r, src.mapping, u, tick)
	r[atOrigin] = src.Origin
	if !has(r, flagTimed) || !how.ofPeer() {
		sh.setExpire(s, r, expire)
	}
	if !has(r, flagOrdered) || !how.ofPeer() {
		sh.relog(s, r, !how.ofPeer())
	} else {
		sh.table.notes.add(u.Key, false)
	}
	sh.migration.changed(&sh.store, s)
	sh.mark(r, u, how)
	sh.merged++
	return out
}

// mark sets the flags of a record that was merged.
func (sh *shard) mark(r []byte, u *protocol.Update, how How) {
	clearFlag(r, flagUncertain|flagLive)
	if has(r, flagCleared) { // it is a new entry, and counted as such
		clearFlag(r, flagCleared)
		sh.cleared--
	}
	switch how {
	case Pushed:
		if !has(r, flagTimed) {
			setFlag(r, flagUncertain)
		}
	case Live, Local:
		setFlag(r, flagLive)
	case Ordered:
		markOrdered(r, u)
	}
}

// fresher reports whether u, which came at tick, is to replace the entry in s, of
// which r is the record.
func (sh *shard) fresher(s slot, r []byte, src *Source, u *protocol.Update, tick, expire int64, how How) bool {
	if how.ofPeer() && has(r, flagOrdered) && src.acked < positionOf(r) {
		return false // it does not know of the change
	}
	before := get48(r, atExpire)
	// Of an entry of another origin only lifetimes can tell which is fresher.
	others := r[atOrigin] != src.Origin && !has(r, flagUncertain) && expire != 0 && before != 0
	switch how {
	case Pushed:
		return !others
	case Replayed:
		return (!others || src.doubted(u.ID)) && !sh.equal(s, src.mapping, u)
	case Taught:
		if !u.Timed {
			return false
		}
		if has(r, flagUncertain) {
			return true
		}
		if expire == 0 || before == 0 || expire < before {
			return false
		}
		if sh.equal(s, src.mapping, u) {
			return expire-before > underWay
		}
		// A lifetime counts from the arrival of its row: one that was under
		// way looks fresher by that than it is. A live change does not. Where
		// it was the row that was fresher, the peer sends it again after the
		// lesson, as a replay.
		if src.lessonFrom != 0 && others && has(r, flagLive) && expire-before <= tick-src.lessonFrom {
			src.doubt(u.ID)
			return false
		}
	}
	return true
}

// underWay is how much longer, in ms, an entry may live by a row of a lesson
// than by what is known, without that being news: each copy of an entry lives
// longer than the last one by the time that it was under way. Two that teach
// each other would go on for ever, as what is news to one is taught again.
const underWay = 1000
