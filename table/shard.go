package table

import (
	"bytes"
	"math"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
)

// maxShards bounds how many shards a table has, a power of two.
const maxShards = 64

// shardsFor is how many shards a table has where cpus goroutines can run at
// once: enough that two of them seldom meet.
func shardsFor(cpus int) int {
	return min(1<<bits.Len(uint(4*cpus-1)), maxShards)
}

// maxPutOff is how often in a row a busy shard is passed over by the cleaner.
const maxPutOff = 10

// A shard holds the entries of some of a table's keys.
type shard struct {
	table  *Table
	number int
	_      [64]byte // its lock has no neighbour's in the same cache line

	mu        sync.Mutex
	schema    *schema
	migration *migration // to the next schema, nil where there is none
	store     store
	index     index
	queue     expiryQueue
	learned   updateLog
	position  uint64 // of the newest entry in learned
	merged    uint64
	stale     uint64
	expired   uint64
	dropped   uint64
	cleared   int  // entries that nobody sees any more, see clear
	warmed    byte // so that what warm reads is read

	putOff atomic.Int32 // how often the cleaner has passed over it; not under mu
}

// shard is where the key of that hash belongs: always the same one, nil where it has
// had no entry yet.
func (t *Table) shard(hash uint64) *shard { return t.shards[hash>>t.shardShift].Load() }

// newShard returns an empty shard of a table, which is locked.
func newShard(t *Table, number int) *shard {
	sh := &shard{table: t, number: number, schema: t.schema}
	sh.store.keyArea, sh.store.size = t.keyArea, slices.Clone(t.schema.size)
	sh.store.chunks = make([][]chunk, len(t.schema.size))
	if t.longKeys() {
		sh.store.long = make([]longKeys, longClasses)
	}
	a := &t.account
	sh.store.account, sh.index.account, sh.queue.account, sh.learned.account = a, a, a, a
	return sh
}

func (sh *shard) addStats(all *Stats) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	all.Entries += sh.index.used - sh.cleared
	all.Capacity += sh.store.capacity()
	all.Merged += sh.merged
	all.Stale += sh.stale
	all.Expired += sh.expired
	all.Dropped += sh.dropped
}

func (sh *shard) capacity() int {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.store.capacity()
}

// place is told by the expiry queue where an entry stands.
func (sh *shard) place(s slot, position int32) {
	putUint32(sh.store.record(0, s), atQueue, uint32(position))
}

// find returns the entry of key and its record, which is nil where there is
// none.
func (sh *shard) find(key []byte, hash uint64) (slot, []byte) {
	p := sh.index.probe(hash) // not in the loop, where it would be another one each time
	for p.next() {
		if r := sh.store.record(0, p.slot); bytes.Equal(sh.store.key(r), key) {
			return p.slot, r
		}
	}
	return 0, nil
}

// ended reports whether the lifetime of a record is over at tick.
func ended(r []byte, tick int64) bool {
	e := get48(r, atExpire)
	return e != 0 && e <= tick
}

// remaining is the lifetime of a record that is left at tick, in ms. It is 0
// for an entry that lives for ever.
func remaining(r []byte, tick int64) uint32 {
	e := get48(r, atExpire)
	if e == 0 {
		return 0
	}
	return uint32(min(max(e-tick, 0), math.MaxUint32))
}

func (sh *shard) create(key []byte, hash uint64) (slot, []byte) {
	s := sh.store.alloc()
	r := sh.store.record(0, s)
	sh.store.setKey(s, r, key)
	putUint32(r, atQueue, notQueued)
	sh.index.insert(hash, s)
	return s, r
}

// thaw returns a copy of the entry in s, of which pinned is the record, that
// takes its place and may be written to.
func (sh *shard) thaw(s slot, pinned []byte, hash uint64) (slot, []byte) {
	c := sh.store.alloc()
	sh.store.copyTo(c, s)
	r := sh.store.record(0, c)
	sh.schema.servers.addUse(sh.serverID(c))
	sh.index.replace(hash, s, c)
	if has(r, flagLocal) {
		sh.table.changed.replace(positionOf(r), sh.entry(c))
	} else {
		sh.learned.replace(positionOf(r), c)
	}
	if q := int32(getUint32(r, atQueue)); q >= 0 {
		sh.queue.replace(q, c)
	}
	setFlag(pinned, flagDead)
	return c, r
}

// drop takes the entry in s, of which r is the record, out of the table. A
// pinned record stays until its last reader is done.
func (sh *shard) drop(s slot, r []byte, hash uint64) {
	if has(r, flagCleared) {
		sh.cleared--
	} else {
		sh.table.entries.Add(-1)
		sh.table.notes.add(sh.store.key(r), true)
	}
	sh.index.remove(hash, s)
	sh.unlog(r)
	if q := int32(getUint32(r, atQueue)); q >= 0 {
		sh.queue.remove(sh, q)
	}
	if pins(r) > 0 {
		setFlag(r, flagDead)
		return
	}
	sh.free(s)
}

func (sh *shard) free(s slot) {
	sh.schema.servers.release(sh.serverID(s))
	sh.store.release(s)
	sh.migration.changed(&sh.store, s)
}

// setExpire lets s, of which r is the record, end at expire.
func (sh *shard) setExpire(s slot, r []byte, expire int64) {
	before := get48(r, atExpire)
	put48(r, atExpire, expire)
	q := int32(getUint32(r, atQueue))
	switch {
	case expire == 0 && q >= 0:
		sh.queue.remove(sh, q)
		putUint32(r, atQueue, notQueued)
	case expire != 0 && q < 0:
		sh.queue.push(sh, expire, s)
	case expire < before && expire < sh.queue.at(q): // where not, the queue is not even touched
		sh.queue.move(sh, q, expire)
	}
}

// notQueued is the position in the expiry queue of what never ends, as an int32
// -1.
const notQueued = math.MaxUint32

func positionOf(r []byte) uint64 { return uint64(get48(r, atPosition)) }

// relog makes s, of which r is the record, the newest entry of its log.
func (sh *shard) relog(s slot, r []byte, local bool) {
	if positionOf(r) != 0 {
		sh.unlog(r)
	}
	if local {
		setFlag(r, flagLocal)
		put48(r, atPosition, int64(sh.table.changed.append(sh.entry(s))))
		return
	}
	clearFlag(r, flagLocal)
	sh.position++
	put48(r, atPosition, int64(sh.position))
	sh.learned.append(sh.position, s)
}

func (sh *shard) unlog(r []byte) {
	if has(r, flagLocal) {
		sh.table.changed.remove(positionOf(r))
	} else {
		sh.learned.remove(positionOf(r))
	}
}

// expire drops at most budget entries that are over at tick, and then moves as
// many to make the store smaller, where much of it is free. It returns how many
// it dropped, and the tick at which there is more to do, 0 where there never is.
func (sh *shard) expire(tick int64, budget int) (dropped int, next int64) {
	if !sh.mu.TryLock() {
		if sh.putOff.Add(1) <= maxPutOff {
			return 0, tick + 1
		}
		sh.mu.Lock()
	}
	defer sh.mu.Unlock()
	sh.putOff.Store(0)
	dropped, next = sh.expireSome(tick, budget)
	if moved := sh.compact(budget - dropped); moved > 0 && moved == budget-dropped {
		next = tick
	}
	if sh.migration == nil && sh.store.narrow() {
		next = tick
	}
	return dropped, next
}

func (sh *shard) expireSome(tick int64, budget int) (dropped int, next int64) {
	crowded := sh.table.crowded()
	for range budget {
		at, s, r := sh.first()
		if at == 0 {
			return dropped, 0
		}
		e := get48(r, atExpire)
		if at > tick && (e == at || !crowded) {
			return dropped, at
		}
		if e > tick {
			// Its lifetime was extended meanwhile. Where the table is crowded, the
			// next to give way is looked for before anybody waits for it.
			sh.queue.move(sh, 0, e)
			continue
		}
		sh.end(s, r, hash(sh.store.key(r)), tick)
		dropped++
	}
	return dropped, tick
}

// end takes leave of the entry in s, of which r is the record, at the end of its
// lifetime.
func (sh *shard) end(s slot, r []byte, hash uint64, tick int64) {
	if !has(r, flagCleared) {
		sh.expired++
	}
	if has(r, flagTimed) {
		sh.clear(s, r, hash, tick)
		return
	}
	sh.drop(s, r, hash)
}

// first is the front of the expiry queue: the entry that ends first, unless its
// lifetime was extended. at is when, 0 where no entry ends.
func (sh *shard) first() (at int64, s slot, r []byte) {
	d, ok := sh.queue.front()
	if !ok {
		return 0, 0, nil
	}
	return d.at(), d.slot(), sh.store.record(0, d.slot())
}

// compact makes the store smaller where much of it is free: at most budget
// entries are moved from its end to where there is room, and chunks behind them
// given back. A pinned entry stays, and all before it.
func (sh *shard) compact(budget int) (moved int) {
	st := &sh.store
	short := sh.table.set.short()
	if sh.index.used == 0 {
		sh.queue.shrink()
		sh.learned.shrink()
	}
	for ; moved < budget && sh.migration == nil && st.spare(short) > 0; moved++ {
		s := st.next - 1
		r := st.record(0, s)
		if pins(r) > 0 {
			break
		}
		if positionOf(r) != 0 {
			sh.thaw(s, r, hash(st.key(r)))
			sh.free(s)
		}
		st.cut()
	}
	for class := range st.long {
		moved += st.compactLong(class, budget-moved, short)
	}
	return moved
}

// A changedLog is the order of a table's local changes, of all shards: their
// number goes over the wire, and acks come back for it. Its lock is taken after
// a shard's.
type changedLog struct {
	mu       sync.Mutex
	log      updateLog
	position atomic.Uint64 // of the last change; written to under mu
}

// entry is how the changed log knows an entry: shard and slot.
func (sh *shard) entry(s slot) slot { return slot(sh.number)<<slotBits | s }

func (c *changedLog) append(e slot) (position uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	position = c.position.Add(1)
	c.log.append(position, e)
	return position
}

func (c *changedLog) remove(position uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.remove(position)
}

func (c *changedLog) replace(position uint64, e slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.replace(position, e)
}

// A logged is an entry of the log as it was read.
type logged struct {
	position uint64
	entry    slot
}

func (l *logged) shard() int { return int(l.entry >> slotBits) }
func (l *logged) slot() slot { return l.entry & slotMask }

// after reads the first entries after position, as many as fit, and returns how
// many. They may have left the log once they are looked at.
func (c *changedLog) after(position uint64, into []logged) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for log := c.log.after(position); n < len(into) && log.next(); n++ {
		into[n] = logged{log.position, log.slot}
	}
	return n
}

// again reads l once more, and reports whether it is still in the log.
func (c *changedLog) again(l *logged) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	log := c.log.after(l.position - 1)
	if !log.next() || log.position != l.position {
		return false
	}
	l.entry = log.slot
	return true
}
