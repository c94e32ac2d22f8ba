package table

import (
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

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
	// back with [Table.ReadChanged].
	Local
	// Ordered is a local change that somebody has asked for, and that has to
	// reach every peer whatever they do meanwhile: what a peer says of the
	// entry before it has acked the change was said without knowing of it, and
	// is left aside; and the entry stays where readers of local changes find
	// it, though a peer changes it later, until [Table.Taken]. An update that
	// is timed gives the entry a lifetime of its own, whatever the definition
	// says: changes of peers don't extend it, and at its end the entry is
	// cleared, see [Batch.Clear].
	Ordered
)

// ofPeer reports whether an update is what a peer says.
func (how How) ofPeer() bool { return how < Local }

// A Table is one stick table: what all peers together store under its name,
// key type and key length. All methods may be called at the same time.
//
// Its entries are cut into shards by the hash of their keys, each with a lock of
// its own, so that sessions, dumps and the cleaner meet seldom.
type Table struct {
	set     *Set
	name    string
	keyType protocol.KeyType
	keyLen  int

	mu           sync.Mutex // of what is declared; taken before a shard's
	schema       *schema
	declarations []declaration // each another one; the latest is last
	overhead     int           // bytes, see countOverhead
	lookAgain    int64         // tick at which to see whether there is room for leftOut
	leftOut      atomic.Uint64 // the bits of data types that there is no room for, or not for all elements; written to under mu
	takenMu      sync.Mutex    // of taken; taken before a shard's
	taken        uint64        // see Taken

	shards     []atomic.Pointer[shard] // each made for its first entry, see open
	shardShift uint                    // what of a hash is left names a shard
	keyArea    int                     // bytes of the key in a record
	changed    changedLog
	notes      notes

	account account
	entries atomic.Int64
	size    atomic.Int64 // entries at most, 0 = any number
	noPurge atomic.Bool
	gone    atomic.Bool   // out of its set
	stale   atomic.Uint64 // what was so where there is no shard yet
	evicted atomic.Uint64
	refused atomic.Uint64
}

// Stats are counts since the table was created, but for the first five.
type Stats struct {
	Entries  int    // now
	Size     int    // entries that there may be, 0 for any number
	Capacity int    // entries that there is memory for now
	Memory   int64  // bytes that the table has reserved now, everything in
	Record   int    // bytes of a record: header, key, values
	Merged   uint64 // updates that were taken
	Stale    uint64 // rows of lessons that were not: a fresher entry was known
	Expired  uint64 // entries whose lifetime ended
	Evicted  uint64 // entries that made room for others before their end
	Refused  uint64 // new entries for which there was no room
	Dropped  uint64 // entries taken out by [Batch.Clear]
}

// BytesPerEntry is what one entry takes, in bytes: its record, its key where that
// is long, its share of the index, of the expiry queue and of the log, and of what
// is reserved for others to come. It is 0 without entries.
func (s *Stats) BytesPerEntry() float64 {
	if s.Entries == 0 {
		return 0
	}
	return float64(s.Memory) / float64(s.Entries)
}

// clock turns instants into ticks: ms since the set was made. Ticks are 64
// bits and never wrap.
type clock struct{ epoch time.Time }

// tick is at least 1: 0 stands for never.
func (c clock) tick(now time.Time) int64 { return max(now.Sub(c.epoch).Milliseconds(), 0) + 1 }

func newTable(s *Set, def *protocol.Definition) *Table {
	t := &Table{
		set:     s,
		name:    def.Name,
		keyType: def.KeyType,
		keyLen:  def.KeyLen,
		schema:  &schema{columns: make([]column, 1), def: &protocol.Definition{Name: def.Name, KeyType: def.KeyType, KeyLen: def.KeyLen}},
		keyArea: min(longestKey(def.KeyType, def.KeyLen), inlineKey),
	}
	t.schema.account = &t.account
	t.account.set = s
	t.changed.log.account = &t.account
	t.shards = make([]atomic.Pointer[shard], s.shards)
	t.shardShift = uint(65 - bits.Len(uint(s.shards))) // 64 for one shard: nothing is left
	return t
}

// The bytes that a table takes without an entry, but for what its schema takes: it is
// about so for one that is yet to come, too. A declaration takes its own.
const (
	tableSize       = int(unsafe.Sizeof(Table{})) + 64 // where a set has it
	declarationSize = int(unsafe.Sizeof(declaration{})) + definitionSize
	definitionSize  = int(unsafe.Sizeof(protocol.Definition{}))
	shardPointer    = int(unsafe.Sizeof(atomic.Pointer[shard]{}))
)

// countOverhead counts what the table takes without its entries; t is locked.
func (t *Table) countOverhead() {
	is := tableSize + len(t.name) + len(t.shards)*shardPointer + len(t.declarations)*declarationSize + t.schema.memory()
	t.account.add(is - t.overhead)
	t.set.overhead.Add(int64(is - t.overhead))
	t.overhead = is
}

// each yields the shards that there are.
func (t *Table) each(yield func(*shard) bool) {
	for i := range t.shards {
		if sh := t.shards[i].Load(); sh != nil && !yield(sh) {
			return
		}
	}
}

// open returns a shard, made where it is not there yet. Nobody holds another one's
// lock.
func (t *Table) open(n int) *shard {
	if sh := t.shards[n].Load(); sh != nil {
		return sh
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	sh := t.shards[n].Load()
	if sh == nil {
		sh = newShard(t, n)
		t.account.add(t.shardSize())
		t.shards[n].Store(sh)
	}
	return sh
}

// shardSize is what a shard takes without any entries.
func (t *Table) shardSize() int {
	size := int(unsafe.Sizeof(shard{}))
	if t.longKeys() {
		size += longClasses * int(unsafe.Sizeof(longKeys{}))
	}
	return size
}

// longKeys reports whether keys may be too long for a record.
func (t *Table) longKeys() bool { return longestKey(t.keyType, t.keyLen) > inlineKey }

// longestKey is the longest that a key can be, in bytes: that of a string is
// without its NUL.
func longestKey(k protocol.KeyType, n int) int {
	if k == protocol.KeyString {
		n--
	}
	return max(n, 4) // there is always room for a reference
}

// Name is the table's name on the wire. That of a table of a peers section
// begins with "/".
func (t *Table) Name() string { return t.name }

// FullName is the table's name in HAProxy's `show table`: a table of a peers
// section has the section's name in front.
func (t *Table) FullName() string { return t.set.FullName(t.name) }

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
// declare it, but for those that are LeftOut. Its ID is 0.
func (t *Table) Definition() protocol.Definition {
	t.mu.Lock()
	defer t.mu.Unlock()
	return *t.schema.def
}

// Schema is what the table is taught as, and how its updates are laid out then.
// Both are another one after the schema has changed, and only then.
func (t *Table) Schema() (*protocol.Definition, *protocol.Layout) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.schema.def, t.schema.layout
}

// Entries is how many entries the table has now. It takes no lock.
func (t *Table) Entries() int { return int(t.entries.Load()) }

// Stats returns the table's counts.
func (t *Table) Stats() (all Stats) {
	all.Size, all.Memory = int(t.size.Load()), t.account.bytes.Load()
	all.Evicted, all.Refused = t.Lost()
	all.Record, all.Stale = t.record(), t.stale.Load()
	for sh := range t.each {
		sh.addStats(&all)
	}
	return all
}

// record is how many bytes a record has.
func (t *Table) record() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.schema.width()
}

// Lost is how many entries were evicted, and how many refused, for want of room.
// It takes no lock.
func (t *Table) Lost() (evicted, refused uint64) { return t.evicted.Load(), t.refused.Load() }

// A declaration is what some of the table's declarers say of it.
type declaration struct {
	def       *protocol.Definition // with ID 0
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
		def := *is
		def.ID = 0
		d := declaration{def: &def, declarers: 1}
		if i := t.declared(is); i >= 0 {
			d.declarers += t.declarations[i].declarers
			t.declarations = slices.Delete(t.declarations, i, i+1)
		}
		t.declarations = append(t.declarations, d)
	}
	t.follow()
}

// follow makes the schema that of all declarations, as far as there is room; t is
// locked.
func (t *Table) follow() {
	if len(t.declarations) > 0 {
		all := t.union()
		def := t.affordable(all)
		t.leftOut.Store(missing(def, all))
		t.adopt(def)
	}
	t.countOverhead()
}

// affordable is def without what there is no room for in the entries that the table
// has: a definition makes nobody's entries give way. What is stored stays.
func (t *Table) affordable(def *protocol.Definition) *protocol.Definition {
	entries := t.capacity()
	fits := func(def *protocol.Definition) bool {
		next, _ := t.schema.with(def, headerSize+t.keyArea)
		growth := (next.width() - t.schema.width()) * entries
		return growth <= 0 || t.set.over(growth) <= 0
	}
	if entries == 0 || fits(def) {
		return def
	}
	some := t.schema.stored(def)
	for dt := range def.DataTypes() {
		more := *some
		more.Types |= 1 << dt
		more.Params[dt] = def.Params[dt]
		if more != *some && fits(&more) {
			some = &more
		}
	}
	return some
}

// missing are the bits of data types of all that def has not, or not with as many
// elements.
func missing(def, all *protocol.Definition) (types uint64) {
	for dt := range all.DataTypes() {
		if def.Types>>dt&1 == 0 || elementsOf(def, dt) < elementsOf(all, dt) {
			types |= 1 << dt
		}
	}
	return types
}

// capacity is how many entries there are chunks for.
func (t *Table) capacity() (entries int) {
	for sh := range t.each {
		entries += sh.capacity()
	}
	return entries
}

// LeftOut are data types that are declared, but that there is no room for: see
// [Set.LimitMemory]. The table is mirrored without them, or without the last elements
// of an array, until there is. It takes no lock.
func (t *Table) LeftOut() (all []protocol.DataType) {
	left := protocol.Definition{Types: t.leftOut.Load()}
	return slices.Collect(left.DataTypes())
}

// lookForRoom sees now and then whether there is room for what was left out.
func (t *Table) lookForRoom(tick int64) {
	if t.leftOut.Load() == 0 || t.set.short() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if tick >= t.lookAgain {
		t.lookAgain = tick + lookForRoomEvery
		t.follow()
	}
}

const lookForRoomEvery = 1000 // ms

// leave takes the table out of its set's accounts.
func (t *Table) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.set.overhead.Add(-int64(t.overhead))
	t.account.leave()
	t.gone.Store(true)
}

// declares reports whether somebody says def of the table.
func (t *Table) declares(def *protocol.Definition) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.declared(def) >= 0
}

// declared returns the index of def among the declarations, -1 where it is not.
func (t *Table) declared(def *protocol.Definition) int {
	return slices.IndexFunc(t.declarations, func(d declaration) bool { return def != nil && same(d.def, def) })
}

// union is what all declarations say together: the data types of all, arrays as
// long as the longest. Of lifetimes and periods the latest is right.
func (t *Table) union() *protocol.Definition {
	all := &protocol.Definition{Name: t.name, KeyType: t.keyType, KeyLen: t.keyLen}
	for i := range t.declarations {
		d := t.declarations[i].def
		all.Types |= d.Known()
		all.Expire = d.Expire
		for dt := range d.DataTypes() {
			p := &all.Params[dt]
			p.Elements = max(p.Elements, d.Params[dt].Elements)
			p.Period = d.Params[dt].Period
		}
	}
	if last := t.declarations[len(t.declarations)-1].def; *last == *all {
		return last // there may be thousands of tables
	}
	return all
}

// adopt makes the schema that of def, one shard after the other.
func (t *Table) adopt(def *protocol.Definition) {
	old := t.schema
	if *def == *old.def && old.groups > 0 {
		return
	}
	next, change := old.with(def, headerSize+t.keyArea)
	t.schema = next
	for sh := range t.each {
		sh.adopt(next, change)
	}
	if old.servers != nil && next.servers == nil {
		old.servers.abandon()
	}
}

// A Source carries the updates of one definition, as one session brought it,
// into its table. It is not to be used by two goroutines at once.
type Source struct {
	// Origin is a number for whoever the updates are of. Updates of one origin
	// come in the order in which they were made.
	Origin uint8

	table   *Table
	layout  *protocol.Layout
	fields  []Field // instead of a layout, see SourceOf
	expire  int64
	mapping *mapping
	acked   uint64 // see Acked
	// lessonFrom is the tick at which the lesson was asked for of which rows
	// come, and lesson its number among the set's doubts, 0 where it has none.
	lessonFrom int64
	lesson     uint32
	evictor    evictor
	paid       int  // bytes that gave way ahead of new entries
	takesOver  bool // entries of a table that goes: its memory is theirs
}

// Source returns a Source for updates under def, which has to fit the table.
// They live as long as def says, not as another peer's definition does.
func (t *Table) Source(def *protocol.Definition) *Source {
	return &Source{table: t, layout: protocol.NewLayout(def), expire: int64(def.Expire)}
}

// LessonAsked says that a lesson was asked for at now: it bounds how long its
// rows can have been under way.
func (src *Source) LessonAsked(now time.Time) {
	src.lessonFrom = src.table.set.clock.tick(now)
	src.lesson = 0
}

// doubt remembers a row of the lesson, see doubts.
func (src *Source) doubt(id uint32) {
	s := src.table.set
	if src.lesson == 0 {
		src.lesson = s.doubts.lesson()
	}
	if s.doubts.add(doubt{src.lesson, id}) {
		s.reserved.Add(doubtSize)
	}
}

func (src *Source) doubted(id uint32) bool {
	return src.lesson != 0 && src.table.set.doubts.has(doubt{src.lesson, id})
}

// Layout is how the updates have to be laid out.
func (src *Source) Layout() *protocol.Layout { return src.layout }

// Table is where the updates go.
func (src *Source) Table() *Table { return src.table }

// expireAt is the tick at which the entry ends after u: as long from now as
// the definition says, or as u says where it is shorter. HAProxy caps a taught
// lifetime at the table's expire too.
func (src *Source) expireAt(tick int64, u *protocol.Update, how How) int64 {
	if how == Ordered && u.Timed {
		return tick + int64(u.Remaining)
	}
	if src.expire == 0 {
		return 0
	}
	if u.Timed {
		return tick + min(int64(u.Remaining), src.expire)
	}
	return tick + src.expire
}

// Expire drops at most budget entries of a shard whose lifetime is over at now,
// moves others where there is much room, and returns how many were dropped in
// all, and when to call again: the instant of the next end, or now where there
// is more to do. The instant is zero where no entry
// ends. A shard that is busy is passed over: who teaches and merges goes first,
// but for no more than [maxPutOff] calls.
func (t *Table) Expire(now time.Time, budget int) (dropped int, again time.Time) {
	tick := t.set.clock.tick(now)
	next := int64(0)
	for sh := range t.each {
		n, at := sh.expire(tick, budget)
		dropped += n
		if at != 0 && (next == 0 || at < next) {
			next = at
		}
	}
	if next == 0 {
		return dropped, time.Time{}
	}
	return dropped, now.Add(time.Duration(max(next-tick, 0)) * time.Millisecond)
}
