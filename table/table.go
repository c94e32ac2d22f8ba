package table

import (
	"bytes"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/peersd/peersd/protocol"
)

// How tells what an update means for the entry's lifetime, and against what
// is known already.
type How uint8

const (
	// Live is a change that was made just now: it replaces what is known,
	// and the entry's lifetime begins anew.
	Live How = iota
	// Pushed is a change of unknown age: a HAProxy sends what was not acked
	// before the session broke as if it were live. It replaces what is
	// known, but the lifetime is an upper bound: the next row of a lesson
	// for the entry is believed. What another origin said last is left to
	// that row at once, where lifetimes can be compared.
	Pushed
	// Replayed is an update that a lesson on the same session has covered
	// by its id. It is taken only where it brings other values, and another
	// origin did not know better than the lesson.
	Replayed
	// Taught is a row of a lesson. It never replaces a fresher entry: one
	// that lives longer, or, where entries live for ever, any that is known.
	// Nor does it replace one that differs by hardly more than the time that
	// the row was under way.
	// Without a remaining lifetime (protocol 2.0) it only fills gaps.
	Taught
	// Local is a change made here: it replaces what is known, and is read
	// back from the log of [Changed] entries.
	Local
)

// A Table is one stick table: what all peers together store under its name,
// key type and key length. All methods may be called at the same time.
type Table struct {
	name    string
	section string
	keyType protocol.KeyType
	keyLen  int
	clock   clock

	mu           sync.Mutex
	schema       *schema
	declarations []declaration // each another one; the latest is last
	store        store
	index        index
	queue        expiryQueue
	logs         [2]updateLog
	position     uint64 // of the newest entry in either log
	servers      stringTable
	stats        Stats
}

// Stats are counts since the table was created, but for Entries.
type Stats struct {
	Entries  int    // now
	Capacity int    // entries that there is memory for now
	Merged   uint64 // updates that were taken
	Stale    uint64 // rows of lessons that were not: a fresher entry was known
	Expired  uint64 // entries whose lifetime ended
}

// clock turns instants into ticks: ms since the set was made. Ticks are 64
// bits and never wrap.
type clock struct{ epoch time.Time }

// tick is at least 1: 0 stands for never.
func (c clock) tick(now time.Time) int64 { return max(now.Sub(c.epoch).Milliseconds(), 0) + 1 }

func newTable(section string, c clock, def *protocol.Definition) *Table {
	t := &Table{
		name:    def.Name,
		section: section,
		keyType: def.KeyType,
		keyLen:  def.KeyLen,
		clock:   c,
		schema:  &schema{def: protocol.Definition{Name: def.Name, KeyType: def.KeyType, KeyLen: def.KeyLen}},
	}
	t.store.keyArea = min(longestKey(def), inlineKey)
	return t
}

// longestKey is the longest that a key can be, in bytes: that of a string is
// without its NUL.
func longestKey(def *protocol.Definition) int {
	if def.KeyType == protocol.KeyString {
		return max(def.KeyLen-1, 4) // 4: there is always room for a reference
	}
	return max(def.KeyLen, 4)
}

// Name is the table's name on the wire. That of a table of a peers section
// begins with "/".
func (t *Table) Name() string { return t.name }

// FullName is the table's name in HAProxy's `show table`: a table of a peers
// section has the section's name in front.
func (t *Table) FullName() string {
	if t.name[0] == '/' {
		return t.section + t.name
	}
	return t.name
}

// KeyType is the type of the table's keys.
func (t *Table) KeyType() protocol.KeyType { return t.keyType }

// KeyLen is the defined length of the table's keys, in bytes; that of a
// string counts a NUL.
func (t *Table) KeyLen() int { return t.keyLen }

// Fits reports whether def defines this very table: HAProxy drops a table in
// silence where the key type or the key length differ.
func (t *Table) Fits(def *protocol.Definition) bool {
	return def.Name == t.name && def.KeyType == t.keyType && def.KeyLen == t.keyLen
}

// Definition is what the table is taught as: the data types of all that
// declare it. Its ID is 0.
func (t *Table) Definition() protocol.Definition {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.schema.def
}

// Schema is what the table is taught as, and how its updates are laid out then.
// Both are another one after the schema has changed, and only then.
func (t *Table) Schema() (*protocol.Definition, *protocol.Layout) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return &t.schema.def, t.schema.layout
}

// Stats returns the table's counts.
func (t *Table) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.Entries = t.index.used
	s.Capacity = len(t.store.chunks[0]) * chunkRecords
	return s
}

// A declaration is what some of the table's declarers say of it.
type declaration struct {
	def       protocol.Definition // with ID 0
	declarers int
}

// declare lets a declarer say is of the table, which before said was. Each may
// be nil: it said nothing, or says no more. The schema follows. The table is
// left as it is where its last declarer goes.
func (t *Table) declare(was, is *protocol.Definition) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.declared(was); i >= 0 {
		if t.declarations[i].declarers--; t.declarations[i].declarers == 0 {
			t.declarations = slices.Delete(t.declarations, i, i+1)
		}
	}
	if is != nil {
		d := declaration{def: *is, declarers: 1}
		d.def.ID = 0
		if i := t.declared(is); i >= 0 {
			d.declarers += t.declarations[i].declarers
			t.declarations = slices.Delete(t.declarations, i, i+1)
		}
		t.declarations = append(t.declarations, d)
	}
	if len(t.declarations) > 0 {
		t.adopt(t.union())
	}
}

// declared returns the index of def among the declarations, -1 where it is not.
func (t *Table) declared(def *protocol.Definition) int {
	return slices.IndexFunc(t.declarations, func(d declaration) bool { return def != nil && same(&d.def, def) })
}

// union is what all declarations say together: the data types of all, arrays as
// long as the longest. Of lifetimes and periods the latest is right.
func (t *Table) union() *protocol.Definition {
	all := &protocol.Definition{Name: t.name, KeyType: t.keyType, KeyLen: t.keyLen}
	for i := range t.declarations {
		d := &t.declarations[i].def
		all.Types |= d.Known()
		all.Expire = d.Expire
		for dt := range d.DataTypes() {
			p := &all.Params[dt]
			p.Elements = max(p.Elements, d.Params[dt].Elements)
			p.Period = d.Params[dt].Period
		}
	}
	return all
}

// adopt makes the schema that of def.
func (t *Table) adopt(def *protocol.Definition) {
	old := t.schema
	if *def == old.def && old.groups > 0 {
		return
	}
	next, group, size, moved := old.with(def, headerSize+t.store.keyArea)
	if !next.columns[protocol.ServerKey].present {
		t.servers = stringTable{}
	}
	before := t.store.view
	t.store.setGroup(group, size)
	t.schema = next
	for _, dt := range moved {
		from, to := old.columns[dt], next.columns[dt]
		n := min(from.size(), to.size())
		for s := range t.store.next {
			copy(t.store.record(to.group, s)[to.offset:], before.record(from.group, s)[from.offset:from.offset+n])
		}
	}
}

// place is told by the expiry queue where an entry stands.
func (t *Table) place(s slot, position int32) {
	putUint32(t.store.record(0, s), atQueue, uint32(position))
}

func (t *Table) find(key []byte, hash uint64) (slot, bool) {
	return t.index.find(hash, func(s slot) bool { return bytes.Equal(t.store.key(s), key) })
}

// A Source carries the updates of one definition, as one session brought it,
// into its table. It is not to be used by two goroutines at once.
type Source struct {
	// Origin is a number for whoever the updates are of. Updates of one origin
	// come in the order in which they were made.
	Origin uint8

	table   *Table
	layout  *protocol.Layout
	expire  int64
	mapping *mapping
	// lessonFrom is the tick at which the lesson was asked for of which rows
	// come, and doubted are the ids of those of which it can't be told whether
	// they are fresher than what another origin has changed live.
	lessonFrom int64
	doubted    map[uint32]bool
}

// Source returns a Source for updates under def, which has to fit the table.
// They live as long as def says, not as another peer's definition does.
func (t *Table) Source(def *protocol.Definition) *Source {
	return &Source{table: t, layout: protocol.NewLayout(def), expire: int64(def.Expire)}
}

// LessonAsked says that a lesson was asked for at now: it bounds how long its
// rows can have been under way.
func (src *Source) LessonAsked(now time.Time) {
	src.lessonFrom = src.table.clock.tick(now)
	clear(src.doubted)
}

// Layout is how the updates have to be laid out.
func (src *Source) Layout() *protocol.Layout { return src.layout }

// Table is where the updates go.
func (src *Source) Table() *Table { return src.table }

// Merge takes one update and reports whether it changed the table. Nothing is
// allocated but for room that the table grows by.
func (src *Source) Merge(now time.Time, u *protocol.Update, how How) bool {
	t := src.table
	tick := t.clock.tick(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	if src.mapping == nil || src.mapping.schema != t.schema {
		src.mapping = newMapping(src.layout, t.schema)
	}
	h := hash(u.Key)
	s, known := t.find(u.Key, h)
	if known && ended(t.store.record(0, s), tick) {
		t.drop(s, h)
		t.stats.Expired++
		known = false
	}
	expire := src.expireAt(tick, u, how)
	if expire != 0 && expire <= tick {
		t.stats.Stale++
		return false // taught at the very end of its life
	}
	if known && !t.fresher(s, src, u, tick, expire, how) {
		t.stats.Stale++
		return false
	}
	if known {
		s = t.thaw(s, h)
	} else {
		s = t.create(u.Key, h)
	}
	r := t.store.record(0, s)
	t.write(s, r, src.mapping, u, tick)
	r[atOrigin] = src.Origin
	t.setExpire(s, r, expire)
	t.relog(s, r, how == Local)
	clearFlag(r, flagUncertain|flagLive)
	switch how {
	case Pushed:
		setFlag(r, flagUncertain)
	case Live, Local:
		setFlag(r, flagLive)
	}
	t.stats.Merged++
	return true
}

// expireAt is the tick at which the entry ends after u: as long from now as
// the definition says, or as u says where it is shorter. HAProxy caps a taught
// lifetime at the table's expire too.
func (src *Source) expireAt(tick int64, u *protocol.Update, how How) int64 {
	if src.expire == 0 {
		return 0
	}
	if u.Timed {
		return tick + min(int64(u.Remaining), src.expire)
	}
	return tick + src.expire
}

// fresher reports whether u, which came at tick, is to replace the entry in s.
func (t *Table) fresher(s slot, src *Source, u *protocol.Update, tick, expire int64, how How) bool {
	r := t.store.record(0, s)
	before := getInt64(r, atExpire)
	// Of an entry of another origin only lifetimes can tell which is fresher.
	others := r[atOrigin] != src.Origin && !has(r, flagUncertain) && expire != 0 && before != 0
	switch how {
	case Pushed:
		return !others
	case Replayed:
		return (!others || src.doubted[u.ID]) && !t.equal(s, src.mapping, u)
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
		if t.equal(s, src.mapping, u) {
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

func (src *Source) doubt(id uint32) {
	if src.doubted == nil {
		src.doubted = map[uint32]bool{}
	}
	if len(src.doubted) < maxDoubted {
		src.doubted[id] = true
	}
}

// maxDoubted bounds the ids that are remembered for one source: they are of
// keys that changed live while the lesson was under way.
const maxDoubted = 1 << 16

// underWay is how much longer, in ms, an entry may live by a row of a lesson
// than by what is known, without that being news: each copy of an entry lives
// longer than the last one by the time that it was under way. Two that teach
// each other would go on for ever, as what is news to one is taught again.
const underWay = 1000

// ended reports whether the lifetime of a record is over at tick.
func ended(r []byte, tick int64) bool {
	e := getInt64(r, atExpire)
	return e != 0 && e <= tick
}

func (t *Table) create(key []byte, hash uint64) slot {
	s := t.store.alloc()
	t.store.setKey(s, key)
	t.place(s, -1)
	t.index.insert(hash, s)
	return s
}

// thaw returns a slot of the entry in s that may be written to: s itself, or a
// copy that takes its place where a reader has s pinned.
func (t *Table) thaw(s slot, hash uint64) slot {
	if pins(t.store.record(0, s)) == 0 {
		return s
	}
	c := t.store.alloc()
	t.store.copyTo(c, s)
	r := t.store.record(0, c)
	t.servers.addUse(t.serverID(c))
	t.index.replace(hash, s, c)
	t.log(r).replace(positionOf(r), c)
	if q := int32(getUint32(r, atQueue)); q >= 0 {
		t.queue.heap[q].s = c
	}
	setFlag(t.store.record(0, s), flagDead)
	return c
}

// drop takes the entry in s out of the table. A pinned record stays until its
// last reader is done.
func (t *Table) drop(s slot, hash uint64) {
	r := t.store.record(0, s)
	t.index.remove(hash, s)
	t.log(r).remove(positionOf(r))
	if q := int32(getUint32(r, atQueue)); q >= 0 {
		t.queue.remove(t, q)
	}
	if pins(r) > 0 {
		setFlag(r, flagDead)
		return
	}
	t.free(s)
}

func (t *Table) free(s slot) {
	t.servers.release(t.serverID(s))
	t.store.release(s)
}

// setExpire lets s, of which r is the record, end at expire.
func (t *Table) setExpire(s slot, r []byte, expire int64) {
	before := getInt64(r, atExpire)
	putInt64(r, atExpire, expire)
	q := int32(getUint32(r, atQueue))
	switch {
	case expire == 0 && q >= 0:
		t.queue.remove(t, q)
		t.place(s, -1)
	case expire != 0 && q < 0:
		t.queue.push(t, expire, s)
	case expire < before && expire < t.queue.heap[q].at: // where not, the queue is not even touched
		t.queue.move(t, q, expire)
	}
}

func positionOf(r []byte) uint64 { return uint64(getInt64(r, atPosition)) }

func (t *Table) log(r []byte) *updateLog {
	if has(r, flagLocal) {
		return &t.logs[Changed]
	}
	return &t.logs[Learned]
}

// relog makes s, of which r is the record, the newest entry of its log.
func (t *Table) relog(s slot, r []byte, local bool) {
	if at := positionOf(r); at != 0 {
		t.log(r).remove(at)
	}
	if local {
		setFlag(r, flagLocal)
	} else {
		clearFlag(r, flagLocal)
	}
	t.position++
	putInt64(r, atPosition, int64(t.position))
	t.log(r).append(t.position, s)
}

// Expire drops at most budget entries whose lifetime is over at now and
// returns how many, and when to call again: the instant of the next end, or
// now where the budget was used up. The instant is zero where no entry ends.
func (t *Table) Expire(now time.Time, budget int) (dropped int, again time.Time) {
	tick := t.clock.tick(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	for range budget {
		d, ok := t.queue.front()
		if !ok {
			return dropped, time.Time{}
		}
		if d.at > tick {
			return dropped, now.Add(time.Duration(d.at-tick) * time.Millisecond)
		}
		if e := getInt64(t.store.record(0, d.s), atExpire); e > d.at {
			t.queue.move(t, 0, e) // its lifetime was extended meanwhile
			continue
		}
		t.drop(d.s, hash(t.store.key(d.s)))
		t.stats.Expired++
		dropped++
	}
	return dropped, now
}

// remaining is the lifetime of a record that is left at tick, in ms. It is 0
// for an entry that lives for ever.
func remaining(r []byte, tick int64) uint32 {
	e := getInt64(r, atExpire)
	if e == 0 {
		return 0
	}
	return uint32(min(max(e-tick, 0), math.MaxUint32))
}
