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
	reserved atomic.Int64 // what they have reserved
	parts    atomic.Int32 // that peers are taught one of

	mu     sync.Mutex // one definition at a time
	shards int        // of a table
	limits map[string]Limits

	tables atomic.Pointer[[]*Table] // in the order of their first definition; replaced, never written to
}

// NewSet returns an empty set for the peers section of that name. now is the
// instant from which its clock counts.
func NewSet(section string, now time.Time) *Set {
	s := &Set{section: section, clock: clock{now}, shards: shardsFor(runtime.GOMAXPROCS(0)), limits: map[string]Limits{}}
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
func (s *Set) FullName(name string) string {
	if name[0] == '/' {
		return s.section + name
	}
	return name
}

// Section is the name of the peers section.
func (s *Set) Section() string { return s.section }

// Tables returns the tables in the order of their first definition. The slice
// is not to be written to. It is another one after a table came or went, and
// only then.
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
// declarer.
func (s *Set) Define(now time.Time, was, is *protocol.Definition) *Table {
	s.mu.Lock()
	defer s.mu.Unlock()
	tables := s.Tables()
	t := fitting(tables, is)
	if was != nil && t != nil && same(was, is) {
		return t
	}
	if t == nil {
		t = newTable(s, is)
		s.limitTable(t)
		tables = append(slices.Clip(tables), t)
	}
	// Nobody sees the new table before it is filled, or misses the old one.
	defer func() { s.tables.Store(&tables) }()
	if was == nil || t.Fits(was) {
		t.declare(was, is)
		return t
	}
	t.declare(nil, is)
	if old := fitting(tables, was); old != nil {
		if old.keyType == protocol.KeyString && t.keyType == protocol.KeyString {
			t.takeOver(now, old, is)
		}
		tables = retract(tables, old, was) // after that some of its values may be gone
	}
	return t
}

// Retract takes back what a declarer has said of a table, was: data types that
// nobody else declares go, and the table, with its entries, where nobody else
// declares it.
func (s *Set) Retract(was *protocol.Definition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tables := s.Tables()
	if t := fitting(tables, was); t != nil {
		tables = retract(tables, t, was)
		s.tables.Store(&tables)
	}
}

// retract returns the tables that are left when was is said of t no more.
func retract(tables []*Table, t *Table, was *protocol.Definition) []*Table {
	t.declare(was, nil)
	if len(t.declarations) > 0 {
		return tables
	}
	t.account.leave()
	return slices.DeleteFunc(slices.Clone(tables), func(o *Table) bool { return o == t })
}

func fitting(tables []*Table, def *protocol.Definition) *Table {
	for _, t := range tables {
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

// takeOver copies from old what fits and is not known better. What never ended
// there lives as long as def says here.
func (t *Table) takeOver(now time.Time, old *Table, def *protocol.Definition) {
	var (
		from    = old.Definition()
		b       Batch
		u       protocol.Update
		learned LearnedCursor
		changed uint64
	)
	from.Expire = def.Expire
	src := t.Source(&from)
	src.takesOver = true
	// As in lessons: what goes from one log to the other meanwhile is met in the
	// end. But nobody who changes old all the time keeps this from ending.
	for _, how := range [...]How{Taught, Local, Taught} {
		for left := 2 * old.Stats().Entries; left > 0; {
			if how == Local {
				changed = old.ReadChanged(changed, 200, now, &b)
			} else {
				old.ReadLearned(&learned, 200, now, &b)
			}
			if b.Len() == 0 {
				break
			}
			left -= b.Len()
			for i := range b.Len() {
				if b.Cleared(i) {
					continue
				}
				b.Update(i, now, &u)
				u.Timed = b.Expires(i)
				if len(u.Key) < t.keyLen && src.Merge(now, &u, Taught) && how == Local {
					src.Merge(now, &u, Local)
				}
			}
			b.Release()
		}
	}
}

// Expire drops at most budget entries of a shard whose lifetime is over at now,
// evicts some where limits are exceeded, and returns when to call again: zero
// where no entry ends.
func (s *Set) Expire(now time.Time, budget int) (again time.Time) {
	for _, t := range s.Tables() {
		_, next := t.Expire(now, budget)
		if again.IsZero() || !next.IsZero() && next.Before(again) {
			again = next
		}
	}
	if tick := s.clock.tick(now); s.trimSizes(tick) || s.trim(tick) {
		return now
	}
	return again
}

// Variants reports the other tables of t's name: HAProxys that define a name
// with different key types or lengths drop each other's updates in silence.
func (s *Set) Variants(t *Table) (others []*Table) {
	for _, o := range s.Tables() {
		if o != t && o.name == t.name {
			others = append(others, o)
		}
	}
	return others
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
