package table

import (
	"math/bits"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/peersd/peersd/protocol"
)

// hash is xxhash, mixed with what differs from process to process: whoever
// chooses keys, a client by its headers perhaps, can't make them collide.
func hash(key []byte) uint64 {
	hi, lo := bits.Mul64(xxhash.Sum64(key)^seed[0], seed[1])
	return hi ^ lo
}

var seed = [2]uint64{rand.Uint64(), rand.Uint64() | 1}

// A Set is all tables of one peers section, by name, key type and key length:
// the same name with another key type or length is another table. All methods
// may be called at the same time.
type Set struct {
	section  string
	clock    clock
	memory   atomic.Int64 // bytes that tables may reserve, 0 = any number
	reserved atomic.Int64 // what they have reserved, and doubts
	overhead atomic.Int64 // what they take without their entries
	doubts   doubts

	mu     sync.Mutex // one definition at a time
	shards int        // of a table
	limits map[string]Limits
	byName map[string][]*Table // on the wire

	takeovers  []*takeover           // not over yet; the first one is under way
	takingOver atomic.Bool           // there are some
	leaving    atomic.Pointer[Table] // whose entries leave it for another one, nil without one

	refused atomic.Uint64 // definitions, for want of room

	// In the order of their first definition. It is replaced, and never written to
	// but behind its end.
	tables atomic.Pointer[[]*Table]
}

// NewSet returns an empty set for the peers section of that name. now is the
// instant from which its clock counts.
func NewSet(section string, now time.Time) *Set {
	s := &Set{section: section, clock: clock{now}, shards: shardsFor(runtime.GOMAXPROCS(0)), limits: map[string]Limits{}, byName: map[string][]*Table{}}
	s.tables.Store(new([]*Table))
	return s
}

// WithShards makes tables that are defined from now on have n shards, a power of
// two up to 64, instead of some for each CPU. It returns s.
func (s *Set) WithShards(n int) *Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shards = n
	return s
}

// FullName is the name of a table on the wire as `show table` has it, see
// [Table.FullName].
func (s *Set) FullName(name string) string { return FullName(s.section, name) }

// FullName is the name that `show table` has of a table of a peers section, or of a
// proxy, by its name on the wire.
func FullName(section, name string) string {
	if name[0] == '/' {
		return section + name
	}
	return name
}

// Section is the name of the peers section.
func (s *Set) Section() string { return s.section }

// Tables returns the tables in the order of their first definition. The slice
// is not to be written to. It is longer after a table came, be it in the same place
// or not, and in another place after one went; only then.
func (s *Set) Tables() []*Table { return *s.tables.Load() }

// Lookup returns the tables of a name as on the wire or as in `show table`:
// more than one where peers define it with different key types or lengths.
func (s *Set) Lookup(name string) (found []*Table) {
	for _, t := range s.Tables() {
		if t.name == name || t.FullName() == name {
			found = append(found, t)
		}
	}
	return found
}

// Define returns the table that is defines, made where there is none, and lets
// its data types and their parameters follow. was is what the same declarer
// said of that name before, nil if nothing: data types that nobody declares
// any more go; and where the key length of a string table has changed, the
// entries whose keys still fit go along, and the old table with its last
// declarer. Of many, most go along later, in [Set.Expire]; the old table is there till
// then.
//
// It returns nil, and leaves everything as it was, where what all definitions take,
// without a single entry, would be too much: see [Set.LimitMemory].
func (s *Set) Define(now time.Time, was, is *protocol.Definition) *Table {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.fitting(is)
	if was != nil && t != nil && same(was, is) {
		return t
	}
	if !s.admits(t, was, is) {
		s.refused.Add(1)
		return nil
	}
	isNew := t == nil
	if isNew {
		t = newTable(s, is)
		s.limitTable(t)
	}
	var (
		old   *Table
		after *takeover
	)
	if was == nil || t.Fits(was) {
		t.declare(was, is)
	} else {
		t.declare(nil, is)
		old = s.fitting(was)
		if old != nil && old.keyType == protocol.KeyString && t.keyType == protocol.KeyString {
			after = s.takeOver(now, old, t, was, is)
		}
	}
	if isNew {
		s.add(t)
	}
	switch {
	case after != nil:
		s.takeovers = append(s.takeovers, after)
		s.takingOver.Store(true)
	case old != nil:
		s.retract(old, was)
	}
	return t
}

// admits reports whether there is room for a definition: of t, or, where t is nil, of
// a table that is not there yet. One that replaces another one takes no more.
func (s *Set) admits(t *Table, was, is *protocol.Definition) bool {
	more := s.overhead.Load()
	switch {
	case t == nil:
		more += int64(tableSize + s.shards*shardPointer + declarationSize)
	case t.declares(is) || was != nil && t.Fits(was):
		return true
	default:
		more += int64(declarationSize)
	}
	return more <= s.overheadAtMost()
}

// add and remove change the list of tables. To add one costs the same whatever their
// number.
func (s *Set) add(t *Table) {
	tables := append(s.Tables(), t)
	s.tables.Store(&tables)
	s.byName[t.name] = append(s.byName[t.name], t)
}

func (s *Set) remove(t *Table) {
	is := func(o *Table) bool { return o == t }
	tables := slices.DeleteFunc(slices.Clone(s.Tables()), is)
	s.tables.Store(&tables)
	if s.byName[t.name] = slices.DeleteFunc(s.byName[t.name], is); len(s.byName[t.name]) == 0 {
		delete(s.byName, t.name)
	}
}

// Retract takes back what a declarer has said of a table, was: data types that
// nobody else declares go, and the table, with its entries, where nobody else
// declares it.
func (s *Set) Retract(was *protocol.Definition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.fitting(was); t != nil {
		s.retract(t, was)
	}
}

// retract lets was be said of t no more.
func (s *Set) retract(t *Table, was *protocol.Definition) {
	if t.declare(was, nil); len(t.declarations) == 0 {
		s.remove(t)
		t.leave()
	}
}

// fitting is the table that def defines, nil where it is not there.
func (s *Set) fitting(def *protocol.Definition) *Table {
	for _, t := range s.byName[def.Name] {
		if t.Fits(def) {
			return t
		}
	}
	return nil
}

// same reports whether a and b say the same of a table, whatever its id.
func same(a, b *protocol.Definition) bool {
	x, y := *a, *b
	x.ID, y.ID = 0, 0
	return x == y
}

// Expire drops at most budget entries of a shard whose lifetime is over at now,
// evicts some where limits are exceeded, lets some go along to another table, see
// [Set.Define], and returns when to call again: zero where no entry ends.
func (s *Set) Expire(now time.Time, budget int) (again time.Time) {
	tick := s.clock.tick(now)
	for _, t := range s.Tables() {
		_, next := t.Expire(now, budget)
		if again.IsZero() || !next.IsZero() && next.Before(again) {
			again = next
		}
		t.lookForRoom(tick)
	}
	more := s.goOn(now, budget)
	if s.trimSizes(tick) || s.trim(tick) || more {
		return now
	}
	return again
}

// KeySpec is the table's key type and length as haproxy.cfg writes them:
// "string len 32".
func (t *Table) KeySpec() string { return KeySpec(t.keyType, t.keyLen) }

// KeySpec is [Table.KeySpec] of a table with such keys.
func KeySpec(k protocol.KeyType, n int) string {
	var b strings.Builder
	b.WriteString(k.String())
	switch k {
	case protocol.KeyString:
		b.WriteString(" len ")
		b.WriteString(strconv.Itoa(n - 1))
	case protocol.KeyBinary:
		b.WriteString(" len ")
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}
