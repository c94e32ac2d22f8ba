package table

import (
	"container/heap"
	"math"
)

// Limits bound one table, as the words of a stick-table line in haproxy.cfg do.
type Limits struct {
	Size    int  // entries at most, 0 for any number
	NoPurge bool // refuse new entries where it is full, and never evict one
}

// Limit sets the limits of the tables of a name, as it is on the wire or in
// `show table`, those that are defined later too. A table that is full makes
// room for a new entry by evicting those that end first, a few at a time, as
// HAProxy does (src/stick_table.c, stktable_trash_oldest): one more than 1 of
// 256, at most 200. Entries that never end are not evicted; where there are
// only such, and in a NoPurge table, a new one is refused.
func (s *Set) Limit(name string, l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits[name] = l
	for _, t := range s.Tables() {
		s.limitTable(t)
	}
}

func (s *Set) limitTable(t *Table) {
	for _, name := range [...]string{t.name, t.FullName()} {
		if l, ok := s.limits[name]; ok {
			t.size.Store(int64(l.Size))
			t.noPurge.Store(l.NoPurge)
		}
	}
}

// LimitMemory bounds what all tables together reserve, in bytes; 0 is no bound.
// Definitions have a sixteenth of it, 256 KiB at least, so that tables without an
// entry can't keep entries out; without a bound they have 32 MiB.
// New data types of a table, and new elements of its arrays, are left out where the
// entries that it has would need too much for them; [Set.Expire] takes them up when
// there is room.
//
// Where it is reached, a new entry evicts at least as much before, of whatever
// table: entries that end first, but none of a NoPurge table. So the limit is
// kept but for what is on its way back: [Set.Expire] moves entries together and
// gives the rest back.
func (s *Set) LimitMemory(bytes int64) { s.memory.Store(bytes) }

// overheadAtMost is what tables may take in all without their entries.
func (s *Set) overheadAtMost() int64 {
	if limit := s.memory.Load(); limit > 0 {
		return max(limit/16, 256<<10)
	}
	return 32 << 20
}

// Refused is how many definitions were refused for want of room. It takes no lock.
func (s *Set) Refused() uint64 { return s.refused.Load() }

// MemoryLimit is what LimitMemory was told.
func (s *Set) MemoryLimit() int64 { return s.memory.Load() }

// Memory is how many bytes all tables together have reserved, and what belongs to
// none of them. It takes no lock.
func (s *Set) Memory() (bytes int64) { return s.reserved.Load() }

// over is by how many bytes the limit of memory would be exceeded if n came to
// what tables have reserved; it is negative where there is room, and where there
// is no limit.
func (s *Set) over(n int) (bytes int64) {
	if limit := s.memory.Load(); limit > 0 {
		return s.reserved.Load() + int64(n) - limit
	}
	return -1
}

// short reports whether the limit is reached, or nearly so: by the last part in
// sixteen.
func (s *Set) short() bool { return s.over(int(s.memory.Load()/16)) >= 0 }

// full reports whether there is no room for a new entry that makes its shard
// reserve growth bytes more. It counts one where there is.
func (t *Table) full(growth int, paid bool) bool {
	if !paid && t.set.over(growth) > 0 {
		return true
	}
	if n, size := t.entries.Add(1), t.size.Load(); size > 0 && n > size {
		t.entries.Add(-1)
		return true
	}
	return false
}

// maxEvicted bounds how many entries give way to a new one in a full table.
const maxEvicted = 200

// payAhead is for how many entries as large as a new one others give way at once
// where memory is short.
const payAhead = 16

// makeRoom evicts what ends first for a new entry of sh, and reports whether it
// is worth trying again: because something gave way, or somebody else was as
// quick.
func (src *Source) makeRoom(sh *shard, keyLen int, tick int64) bool {
	t := src.table
	if size, n := t.size.Load(), t.entries.Load(); size > 0 && n >= size {
		some := size>>8 + 1
		want := int(min(n-size+some, maxEvicted))
		if src.evictor.evict(tick, []*Table{t}, want, entriesEach, never) == 0 {
			return false
		}
	}
	growth, cost, full := sh.costs(keyLen)
	return !full && src.pay(growth, cost, tick)
}

// pay evicts what ends first, where memory is short, for what makes a shard reserve
// growth bytes more, of which it takes cost itself, and reports whether there is room
// for it, or will be as soon as what gave way has gone back.
func (src *Source) pay(growth, cost int, tick int64) bool {
	t := src.table
	if t.set.over(growth) <= 0 {
		return true
	}
	if growth = max(growth, cost); src.paid < growth {
		src.paid += src.evictor.evict(tick, t.set.Tables(), max(growth, payAhead*cost)-src.paid, (*store).bytesOf, t.set.fits(growth))
	}
	if t.set.over(growth) <= 0 {
		return true
	}
	if src.paid < cost {
		return false
	}
	src.paid = max(src.paid-growth, 0)
	return true
}

// costs is how many bytes a new entry makes the shard reserve, how many it takes,
// and whether there is no slot for it.
func (sh *shard) costs(keyLen int) (growth, cost int, full bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.store.growth(keyLen), sh.store.width() + sh.store.longSize(keyLen), sh.store.full()
}

// How much evicting one entry counts: by number, where what was cleared is none, or by
// what it takes.
func entriesEach(_ *store, r []byte) int {
	if has(r, flagCleared) {
		return 0
	}
	return 1
}

func (st *store) bytesOf(r []byte) int { return st.width() + st.longSize(len(st.key(r))) }

// trimAtMost is how many bytes one call of [Set.Expire] evicts.
const trimAtMost = 1 << 20

// trim evicts what is more than the limit of memory, but for what is free and
// goes back anyway, and reports whether there was anything.
func (s *Set) trim(tick int64) bool {
	over := s.over(0)
	if t := s.leaving.Load(); t != nil {
		over -= t.account.bytes.Load() // all of it is on its way back
	}
	if over <= 0 {
		return false
	}
	for _, t := range s.Tables() {
		for sh := range t.each {
			over -= int64(sh.returns())
		}
	}
	var e evictor
	return over > 0 && e.evict(tick, s.Tables(), int(min(over, trimAtMost)), (*store).bytesOf, s.fits(0)) > 0
}

// fits returns what tells whether there is room for n bytes: what entries took that
// have given way may come back at once, a whole chunk of them.
func (s *Set) fits(n int) func() bool {
	return func() bool { return s.over(n) <= 0 }
}

func never() bool { return false }

func (sh *shard) returns() int {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.store.returns()
}

// trimSizes evicts what is more than the limits of size, some at a time.
func (s *Set) trimSizes(tick int64) (any bool) {
	var e evictor
	for _, t := range s.Tables() {
		if size, n := t.size.Load(), t.entries.Load(); size > 0 && n > size {
			any = e.evict(tick, []*Table{t}, int(min(n-size, maxTrimmed)), entriesEach, never) > 0 || any
		}
	}
	return any
}

// maxTrimmed is how many entries of a table one call of [Set.Expire] evicts.
const maxTrimmed = 1000

// An evictor takes the entries that end first out of tables, whichever those
// are in. It is used again and again by one goroutine.
type evictor struct{ fronts fronts }

// evictBudget is how many entries a shard evicts while its lock is held once.
const evictBudget = 32

// evict takes entries out of tables until they count want, or until it is enough,
// and returns how much they do. Nobody holds two locks: others may be as quick
// meanwhile.
func (e *evictor) evict(tick int64, tables []*Table, want int, each func(*store, []byte) int, enough func() bool) (evicted int) {
	e.fronts = e.fronts[:0]
	for _, t := range tables {
		if t.noPurge.Load() {
			continue
		}
		for sh := range t.each {
			if at := sh.front(); at != 0 {
				e.fronts = append(e.fronts, front{at, sh})
			}
		}
	}
	heap.Init(&e.fronts)
	for evicted < want && len(e.fronts) > 0 && !enough() {
		f := &e.fronts[0]
		n, at := f.shard.evict(tick, e.fronts.second(), want-evicted, each)
		evicted += n
		if f.at = at; at != 0 {
			heap.Fix(&e.fronts, 0)
		} else {
			heap.Pop(&e.fronts)
		}
	}
	return evicted
}

// A front is when the entry of a shard that ends first does so, at the earliest:
// its lifetime may have been extended, see expiryQueue.
type front struct {
	at    int64
	shard *shard
}

// fronts are a heap.
type fronts []front

func (f fronts) Len() int           { return len(f) }
func (f fronts) Less(i, j int) bool { return f[i].at < f[j].at }
func (f fronts) Swap(i, j int)      { f[i], f[j] = f[j], f[i] }
func (f *fronts) Push(any)          { panic("table: fronts are never added to") }

func (f *fronts) Pop() any {
	*f = (*f)[:len(*f)-1]
	return nil
}

// second is the earliest but for the first.
func (f fronts) second() (at int64) {
	at = math.MaxInt64
	for _, c := range f[1:min(3, len(f))] {
		at = min(at, c.at)
	}
	return at
}

func (sh *shard) front() (at int64) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	at, _, _ = sh.first()
	return at
}

// crowded reports whether new entries need others to give way, or soon will.
func (t *Table) crowded() bool {
	size := t.size.Load()
	return size > 0 && t.entries.Load() >= size-size/16 || t.set.short()
}

// evict takes entries that end until an instant out of the table, until they count
// want, and returns how much they do, and when the next one ends, 0 where none
// does.
func (sh *shard) evict(tick, until int64, want int, each func(*store, []byte) int) (counted int, next int64) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	evicted := 0
	for range evictBudget {
		at, s, r := sh.first()
		if at == 0 || at > until || counted >= want {
			break
		}
		if e := get48(r, atExpire); e > at {
			sh.queue.move(sh, 0, e) // its lifetime was extended meanwhile
			continue
		}
		switch {
		case has(r, flagCleared):
		case ended(r, tick):
			sh.expired++
		default:
			sh.table.evicted.Add(1)
		}
		counted += each(&sh.store, r)
		sh.drop(s, r, hash(sh.store.key(r)))
		evicted++
	}
	sh.compact(2 * evicted)
	next, _, _ = sh.first()
	return counted, next
}
