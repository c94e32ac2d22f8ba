package table

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
)

// named is define with another name than "/t".
func named(name string, key protocol.KeyType, keyLen int, expire uint32, types ...protocol.DataType) *protocol.Definition {
	return change(define(key, keyLen, expire, types...), func(d *protocol.Definition) { d.Name = name })
}

// number is the key of the i-th entry: it has room in 4 bytes, and in longer ones
// it goes before fill.
func number(i, keyLen int) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(i)), strings.Repeat("k", keyLen-4)...)
}

// numbered are the numbers of the entries of a table, in order.
func numbered(tb *Table, now time.Time) (all []int) {
	var (
		cursor Cursor
		b      Batch
	)
	for tb.Walk(&cursor, 100, now, &b); b.Len() > 0; tb.Walk(&cursor, 100, now, &b) {
		for i := range b.Len() {
			all = append(all, int(binary.BigEndian.Uint32(b.items[i].key)))
		}
		b.Release()
	}
	slices.Sort(all)
	return all
}

// fromTo are the numbers from a to b, without b.
func fromTo(a, b int) (all []int) {
	for ; a < b; a++ {
		all = append(all, a)
	}
	return all
}

// expectNumbers is expect for many numbers, of which it shows the first that differ.
func expectNumbers(t *testing.T, what string, got, want []int) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if g, w := got[min(i, len(got)):], want[min(i, len(want)):]; len(g) == 0 || len(w) == 0 || g[0] != w[0] {
			t.Errorf("%s: got %d numbers, want %d; from %d on got %v, want %v", what, len(got), len(want), i, g[:min(len(g), 5)], w[:min(len(w), 5)])
			return
		}
	}
}

// mergeNumbers merges entries with those numbers at the epoch. The i-th ends at i.
func mergeNumbers(src *Source, keyLen int, numbers []int) (merged int) {
	u := update("", make([]uint64, src.Layout().Words)...)
	for _, i := range numbers {
		u.Key, u.Timed, u.Remaining = number(i, keyLen), true, uint32(i)
		if src.Merge(epoch, u, Live) {
			merged++
		}
	}
	return merged
}

// clean lets the cleaner go on until it has nothing to do at an instant.
func clean(t *testing.T, s *Set, now time.Time) {
	t.Helper()
	for range 1_000_000 {
		if again := s.Expire(now, 32); again.IsZero() || again.After(now) {
			return
		}
	}
	t.Fatal("the cleaner comes to no end")
}

// checkSet is check for all tables, and that theirs is all that the Set counts.
func checkSet(t *testing.T, s *Set) {
	t.Helper()
	sum := s.doubts.memory()
	for _, tb := range s.Tables() {
		check(t, tb)
		sum += tb.Stats().Memory
	}
	expect(t, "memory of the set", s.Memory(), sum)
}

// Limits go by name, as it is on the wire or as in `show table`, whatever is
// defined when.
func TestLimitByName(t *testing.T) {
	set := newSet1()
	size := func(name string, keyLen int) int {
		return set.Define(epoch, nil, named(name, protocol.KeyString, keyLen, 0, protocol.GPC0)).Stats().Size
	}
	expect(t, "no limit", size("/a", 9), 0)
	set.Limit("/a", Limits{Size: 5})
	expect(t, "of what is defined", size("/a", 9), 5)
	expect(t, "of another key length", size("/a", 10), 5)
	expect(t, "of another name", size("/b", 9), 0)
	set.Limit("section/b", Limits{Size: 6})
	set.Limit("section/c", Limits{Size: 7})
	set.Limit("d", Limits{Size: 8})
	expect(t, "of a full name", []int{size("/b", 9), size("/c", 9), size("d", 9), size("/d", 9)}, "[6 7 8 0]")
	set.Limit("/a", Limits{})
	expect(t, "no more", []int{size("/a", 9), size("/a", 10)}, "[0 0]")
}

// How many give way to one: 1 of 256 and one more, but no more than 200; and as
// many as there are too many, where the limit was lowered.
func TestLimitEvictsSome(t *testing.T) {
	for _, test := range []struct{ before, size, gone int }{
		{1, 1, 1},
		{3, 1, 3},
		{255, 255, 1},
		{256, 256, 2},
		{1000, 1000, 4},
		{1000, 1001, 0},
		{1000, 950, 54},
		{52_000, 52_000, 200},
	} {
		t.Run(fmt.Sprintf("%d of %d", test.before, test.size), func(t *testing.T) {
			def := define(protocol.KeyIPv4, 4, math.MaxUint32)
			set := NewSet("section", epoch).WithShards(8)
			tb := set.Define(epoch, nil, def)
			src := tb.Source(def)
			mergeNumbers(src, 4, fromTo(1, test.before+1))
			set.Limit("/t", Limits{Size: test.size})
			expect(t, "merged", mergeNumbers(src, 4, []int{1_000_000}), 1)
			s := tb.Stats()
			expect(t, "evicted, refused, entries", []any{s.Evicted, s.Refused, s.Entries}, []any{test.gone, 0, test.before - test.gone + 1})
			expectNumbers(t, "left", numbered(tb, epoch), append(fromTo(test.gone+1, test.before+1), 1_000_000))
			check(t, tb)
		})
	}
}

// What gives way goes by its true end: the queue knows only when an entry was to
// end at first, of thousands here, in all shards, and comes to an end with it.
func TestEvictsByTrueEnds(t *testing.T) {
	n := steps(20_000)
	def := define(protocol.KeyIPv4, 4, math.MaxUint32)
	set := NewSet("section", epoch).WithShards(8)
	tb := set.Define(epoch, nil, def)
	src := tb.Source(def)
	r := rand.New(rand.NewPCG(1, 1))
	ends := make([]int, n) // by number
	merge := func(i, end int) {
		u := timed(uint32(end), string(number(i, 4)))
		expect(t, "merged", src.Merge(epoch, u, Live), true)
		ends[i] = end
	}
	for i := range n {
		merge(i, 1+r.IntN(1000))
	}
	for i := range n { // all live longer by now, and some end at the same tick
		merge(i, 2000+r.IntN(n))
	}
	set.Limit("/t", Limits{Size: n})
	want := fromTo(0, n)
	slices.SortFunc(want, func(a, b int) int { return ends[a] - ends[b] })
	for i := range 50 {
		expect(t, "merged", src.Merge(epoch, timed(math.MaxUint32, string(number(n+i, 4))), Live), true)
	}
	gone := int(tb.Stats().Evicted)
	last, left := ends[want[gone-1]], map[int]bool{}
	for _, i := range numbered(tb, epoch) {
		if left[i] = true; i < n && ends[i] < last {
			t.Errorf("one that ends at %d is left, though one that ends at %d is not", ends[i], last)
		}
	}
	for _, i := range want {
		if !left[i] && ends[i] > last {
			t.Errorf("one that ends at %d was evicted, though %d would have been enough", ends[i], last)
		}
	}
	expect(t, "left", len(left), n+50-gone)
	check(t, tb)
}

// A full table in which nothing may give way takes updates of what it has, and new
// entries again when there is room.
func TestLimitRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		expire uint32
		noPurge
	}{
		{"entries that never end", 0, false},
		{"no entry is to be purged", 1000, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			def := define(protocol.KeyString, 9, test.expire, protocol.GPC0)
			set := newSet1()
			set.Limit("/t", Limits{Size: 2, NoPurge: bool(test.noPurge)})
			tb := set.Define(epoch, nil, def)
			src := tb.Source(def)
			merge := func(ms int64, key string) bool { return src.Merge(at(ms), update(key, 1), Live) }
			expect(t, "a, b, c, a", []any{merge(0, "a"), merge(0, "b"), merge(0, "c"), merge(1, "a")}, "[true true false true]")
			expect(t, "c", get(tb, "c", epoch), "")
			var b Batch
			tb.Find([]byte("a"), epoch, &b)
			expect(t, "taken out, once", []any{b.take(0), b.take(0)}, "[true false]")
			expect(t, "in its place", []any{merge(2, "c"), merge(2, "d")}, "[true false]")
			b.Release()
			if test.expire > 0 {
				// What is over is the cleaner's.
				expect(t, "before it", merge(1000, "d"), false)
				tb.Expire(at(1000), 10)
				expect(t, "after it", []any{merge(1000, "d"), merge(1000, "e")}, "[true false]")
			}
			s := tb.Stats()
			if s.Evicted != 0 || s.Dropped != 0 || s.Entries != 2 {
				t.Errorf("%+v", s)
			}
			set.Limit("/t", Limits{Size: 3, NoPurge: bool(test.noPurge)})
			expect(t, "more room", []any{merge(1000, "x"), merge(1000, "y")}, "[true false]")
			check(t, tb)
		})
	}
}

type noPurge bool

// Of many that are merged at once each makes room as if it came alone.
func TestLimitMergeAll(t *testing.T) {
	def := define(protocol.KeyIPv4, 4, math.MaxUint32)
	set := NewSet("section", epoch).WithShards(8)
	set.Limit("/t", Limits{Size: 300})
	tb := set.Define(epoch, nil, def)
	src := tb.Source(def)
	merge := func(numbers ...int) (changed int) {
		all := make([]Arrival, len(numbers))
		for i, n := range numbers {
			all[i].Update = *timed(uint32(n), string(number(n, 4)))
		}
		src.MergeAll(epoch, all)
		for i := range all {
			if all[i].Changed {
				changed++
			}
		}
		return changed
	}
	expect(t, "changed", merge(fromTo(1, 301)...), 300)
	expect(t, "changed, full", merge(fromTo(301, 801)...), 500)
	s := tb.Stats()
	if s.Entries != tb.Entries() || s.Entries > 300 || s.Evicted != uint64(800-s.Entries) || s.Merged != 800 || s.Refused > 0 {
		t.Errorf("%+v", s)
	}
	set.Limit("/t", Limits{Size: s.Entries, NoPurge: true})
	expect(t, "changed, nothing gives way", merge(fromTo(1000, 1050)...), 0)
	expect(t, "refused", tb.Stats().Refused, 50)
	check(t, tb)
}

// Where some end and some never do, those that end give way, down to the last.
func TestLimitEvictsWhatEndsOnly(t *testing.T) {
	def := define(protocol.KeyIPv4, 4, 1000)
	set := NewSet("section", epoch).WithShards(8)
	tb := set.Define(epoch, nil, def)
	ends, never := tb.Source(def), tb.Source(change(def, func(d *protocol.Definition) { d.Expire = 0 }))
	mergeNumbers(ends, 4, fromTo(1, 51))
	mergeNumbers(never, 4, fromTo(100, 150))
	set.Limit("/t", Limits{Size: 100})
	for i := range 50 {
		expect(t, "merged", mergeNumbers(never, 4, []int{200 + i}), 1)
		expectNumbers(t, "left", numbered(tb, epoch)[:51-i], append(fromTo(2+i, 51), 100, 101))
	}
	expect(t, "merged", mergeNumbers(ends, 4, []int{300}), 0)
	s := tb.Stats()
	expect(t, "evicted, refused", []uint64{s.Evicted, s.Refused}, "[50 1]")
	check(t, tb)
}

// What gives way to others counts as expired where it was over anyway.
func TestEvictionCountsWhatIsOver(t *testing.T) {
	def := define(protocol.KeyIPv4, 4, 1000)
	set := newSet1()
	set.Limit("/t", Limits{Size: 10})
	tb := set.Define(epoch, nil, def)
	src := tb.Source(def)
	mergeNumbers(src, 4, fromTo(1, 11))
	for i := range 6 {
		src.Merge(at(3), &protocol.Update{Key: number(100+i, 4)}, Live)
	}
	s := tb.Stats()
	expect(t, "expired, evicted", []uint64{s.Expired, s.Evicted}, "[3 3]")
}

// An entry that somebody reads may be evicted, and changes no more for that than
// by anything else, until it is released.
func TestEvictedWhilePinned(t *testing.T) {
	def := define(protocol.KeyString, 100, 100_000, protocol.GPC0, protocol.ServerKey)
	set := newSet1()
	tb := set.Define(epoch, nil, def)
	src := tb.Source(def)
	merge := func(i int, server string) {
		u := update(fmt.Sprintf("%099d", i), uint64(i), 0)
		u.ServerKey = server
		src.Merge(at(int64(i)), u, Live)
	}
	for i := range 100 {
		merge(i, fmt.Sprint("server", i))
	}
	b := make([]Batch, 100)
	for i := range b {
		tb.Find(fmt.Appendf(nil, "%099d", i), epoch, &b[i])
	}
	set.Limit("/t", Limits{Size: 100})
	for i := range 1000 {
		merge(100+i, "another")
	}
	expect(t, "evicted", tb.Stats().Evicted, 1000)
	check(t, tb)
	for i := range b {
		var u protocol.Update
		b[i].Update(0, at(1000), &u)
		expect(t, "key", string(u.Key), fmt.Sprintf("%099d", i))
		expect(t, "entry", entry(&b[i], 0, at(1000)), fmt.Sprintf("%d [%d 0] server%d", 99_000+i, i, i))
		expect(t, "is gone", b[i].take(0), false)
		b[i].Release()
	}
	check(t, tb)
	slots, long := used(tb)
	expect(t, "slots, long keys, server keys", []int{slots, long, len(tb.schema.servers.ids)}, "[100 100 1]")
}

// Which table an entry is of counts for nothing where memory is short, but that
// none of a table goes of which none is to be purged, and none that never ends.
func TestLimitMemoryAcrossTables(t *testing.T) {
	set := NewSet("section", epoch).WithShards(2)
	source := func(name string, expire uint32) *Source {
		def := named(name, protocol.KeyIPv4, 4, expire, protocol.GPC0)
		return set.Define(epoch, nil, def).Source(def)
	}
	set.Limit("/kept", Limits{NoPurge: true})
	kept, never := source("/kept", math.MaxUint32), source("/never", 0)
	odd, even := source("/odd", math.MaxUint32), source("/even", math.MaxUint32)
	mergeNumbers(kept, 4, fromTo(1, 1000)) // these would be first
	mergeNumbers(never, 4, fromTo(1, 1000))
	const n = 40_000
	for i := 10_000; i < n; i++ {
		mergeNumbers([]*Source{even, odd}[i%2], 4, []int{i})
	}
	set.LimitMemory(set.Memory())
	gone := func() (gone int) {
		for _, src := range []*Source{odd, even} {
			gone += int(src.Table().Stats().Evicted)
		}
		return gone
	}
	for i := n; gone() < n/4; i++ {
		merged := mergeNumbers([]*Source{even, odd, never, kept}[i%4], 4, []int{i})
		if expect(t, "merged", merged, 1); i > 2*n {
			t.Fatalf("only %d were evicted", gone())
		}
	}
	all := slices.Concat(numbered(odd.Table(), epoch), numbered(even.Table(), epoch))
	slices.Sort(all)
	if first := all[0]; first != 10_000+gone() {
		t.Errorf("%d were evicted, and the first that is left is %d", gone(), first)
	}
	for _, src := range []*Source{kept, never} {
		if s := src.Table().Stats(); s.Evicted+s.Refused > 0 || s.Entries < 1000 {
			t.Errorf("%s: %+v", src.Table().Name(), s)
		}
	}
	checkSet(t, set)
}

// Where nothing can give way, new entries are refused, and what is known is not.
func TestLimitMemoryRefuses(t *testing.T) {
	set := newSet1()
	set.Limit("/kept", Limits{NoPurge: true})
	for _, def := range []*protocol.Definition{
		named("/kept", protocol.KeyIPv4, 4, 1_000_000, protocol.GPC0),
		named("/never", protocol.KeyIPv4, 4, 0, protocol.GPC0),
	} {
		tb := set.Define(epoch, nil, def)
		src := tb.Source(def)
		set.LimitMemory(0)
		mergeNumbers(src, 4, fromTo(1, 5000))
		most := set.Memory()
		set.LimitMemory(most)
		merged := mergeNumbers(src, 4, fromTo(5000, 10_000))
		if most += 128 << 10; set.Memory() > most { // what the free slots cost beside their records
			t.Errorf("%d bytes reserved of %d", set.Memory(), most)
		}
		s := tb.Stats()
		if s.Entries != 4999+merged || merged > 1024 || s.Refused != uint64(5000-merged) || s.Evicted > 0 {
			t.Errorf("%s: %d merged, %+v", tb.Name(), merged, s)
		}
		expect(t, "changed", mergeNumbers(src, 4, fromTo(1, 5000)), 4999)
		clean(t, set, epoch)
		expect(t, "entries", tb.Stats().Entries, s.Entries)
	}
	checkSet(t, set)
}

// A memorySource is one of those of tables of all kinds of keys.
type memorySource struct {
	*Source
	keyLen int
}

func memorySources(set *Set) (all []memorySource) {
	for i, k := range []keyKind{
		{protocol.KeyIPv4, 4},
		{protocol.KeyIPv6, 16},
		{protocol.KeyString, 33},
		{protocol.KeyString, 200},
		{protocol.KeyBinary, 1000},
	} {
		def := named(fmt.Sprint("/t", i), k.keyType, k.keyLen, math.MaxUint32, protocol.GPC0, protocol.HTTPReqRate, protocol.ServerKey)
		keyLen := k.keyLen
		if k.keyType == protocol.KeyString {
			keyLen--
		}
		all = append(all, memorySource{set.Define(epoch, nil, def).Source(def), keyLen})
	}
	return all
}

// most is what n new entries can make a table reserve beyond a limit until the
// cleaner comes. Records are paid for before they are taken, but for one chunk a
// shard. What comes with them is not: long keys, as many as fit into the free
// slots; cells of the index and of the log; nodes of the queue. Of all these at
// most half is unused, but for one piece of each kind a shard.
func (src memorySource) most(n int) int64 {
	sh := src.table.open(0)
	each := 2 * (cellSize + 2*logCellSize + nodeSize)
	pieces := sh.store.width()<<chunkShift + 2*pieceCells*cellSize + pieceNodes*nodeSize + 3*blockLen*logCellSize
	if src.keyLen > inlineKey {
		each += 2 << (longClass(src.keyLen) + minLongShift)
		pieces += 64 << 10
	}
	return int64(n*each + len(src.table.shards)*pieces)
}

// Whatever is merged, what is reserved stays under the limit, but for what comes
// between two visits of the cleaner.
func TestLimitMemoryHolds(t *testing.T) {
	const limit = 12 << 20
	rounds, each := 15, steps(16_000)
	set := NewSet("section", epoch).WithShards(2)
	sources := memorySources(set)
	set.LimitMemory(limit)
	bound := int64(limit)
	for _, src := range sources {
		bound += src.most(each)
	}
	r := rand.New(rand.NewPCG(1, 1))
	most, last := int64(0), 0
	for range rounds {
		some := r.IntN(len(sources)) // more of it than of others
		for range each {
			src := sources[some]
			if r.IntN(2) == 0 {
				src = sources[r.IntN(len(sources))]
			}
			last++
			if mergeNumbers(src.Source, src.keyLen, []int{last}) != 1 {
				t.Fatalf("entry %d was refused", last)
			}
			most = max(most, set.Memory())
		}
		if clean(t, set, epoch); set.Memory() > limit {
			t.Fatalf("%d bytes of %d are reserved after the cleaner", set.Memory(), limit)
		}
	}
	if most > bound {
		t.Errorf("up to %d bytes were reserved, which is more than %d", most, bound)
	}
	evicted, entries := 0, 0
	for _, src := range sources {
		s := src.table.Stats()
		evicted += int(s.Evicted)
		entries += s.Entries
	}
	expect(t, "evicted and left", evicted+entries, last)
	t.Logf("at most %.1f MB of %.1f; %d entries are left of %d", float64(most)/1e6, float64(bound)/1e6, entries, last)
	checkSet(t, set)
}

// A limit that is lowered is reached by the cleaner: what is left of all tables
// is what ends last.
func TestLimitMemoryLowered(t *testing.T) {
	const n = 20_000
	set := newSet1()
	sources := memorySources(set)
	for i := range n {
		src := sources[i%len(sources)]
		mergeNumbers(src.Source, src.keyLen, []int{1 + i})
	}
	was := set.Memory()
	for _, tenths := range []int64{9, 8, 7} {
		limit := was / 10 * tenths
		set.LimitMemory(limit)
		clean(t, set, epoch)
		if set.Memory() > limit {
			t.Errorf("%d bytes of %d are reserved after the cleaner", set.Memory(), limit)
		}
		var all []int
		for _, src := range sources {
			all = append(all, numbered(src.table, epoch)...)
		}
		slices.Sort(all)
		expectNumbers(t, "left", all, fromTo(n+1-len(all), n+1))
	}
	checkSet(t, set)
}

// kept is what shards that have become empty keep: the records of a chunk and an
// eighth, in chunks, long keys in the same way, and a piece of each kind.
func (src memorySource) kept() int64 {
	sh := src.table.open(0)
	pieces := sh.store.width()<<(chunkShift+1) + 2*pieceNodes*nodeSize + 3*blockLen*logCellSize + minCells*cellSize
	if src.keyLen > inlineKey {
		pieces += 128 << 10
	}
	return int64(len(src.table.shards) * pieces)
}

// When nearly all entries are over, nearly all memory goes back. What is pinned
// stays as it is meanwhile, wherever it stands, and goes back with its last
// reader.
func TestMemoryIsGivenBack(t *testing.T) {
	n := steps(60_000)
	for _, pins := range []int{0, 30} {
		t.Run(fmt.Sprint(pins, " pinned"), func(t *testing.T) {
			set := NewSet("section", epoch).WithShards(2)
			sources := memorySources(set)
			empty := set.Memory()
			kept := empty
			for _, src := range sources {
				kept += src.kept()
			}
			value := func(i int) uint64 { return uint64(7*i + 1) }
			for i := range n {
				src := sources[i%len(sources)]
				u := timed(1000, string(number(i, src.keyLen)), value(i), 1, 2, 3, 0)
				u.ServerKey = fmt.Sprint("server", i%100)
				src.Merge(epoch, u, []How{Live, Local}[i/7%2])
			}
			full := set.Memory()
			type pinned struct {
				b *Batch
				i int
			}
			var held []pinned
			for p := range pins {
				i := n - 1 - p*(n/pins) // the last one too
				src, b := sources[i%len(sources)], new(Batch)
				src.table.Find(number(i, src.keyLen), epoch, b)
				held = append(held, pinned{b, i})
			}
			clean(t, set, at(1000))
			for _, h := range held {
				var u protocol.Update
				h.b.Update(0, at(900), &u)
				expect(t, "key", u.Key, number(h.i, len(u.Key)))
				want := fmt.Sprintf("100 [%d 901 2 3 0] server%d", value(h.i), h.i%100)
				expect(t, "entry", entry(h.b, 0, at(900)), want)
			}
			checkSet(t, set)
			switch m := set.Memory(); {
			case pins == 0 && m > kept:
				t.Errorf("%d bytes are left of %d, which is more than %d", m, full, kept)
			case pins > 0 && m <= kept:
				t.Errorf("%d bytes are left of %d: nothing is kept for who reads", m, full)
			}
			for _, h := range held {
				h.b.Release()
			}
			clean(t, set, at(1000))
			checkSet(t, set)
			if m := set.Memory(); m > kept || kept > full/2 {
				t.Errorf("%d bytes are left of %d in the end, which is more than %d", m, full, kept)
			}
			t.Logf("%d bytes of %d, empty %d", set.Memory(), full, empty)
			for _, src := range sources {
				slots, long := used(src.table)
				expect(t, "slots, long keys", []int{slots, long}, "[0 0]")
			}
		})
	}
}

// While entries go and others are moved into their places, a reader goes on, a few
// at a time: none that is there all the time is missed, from wherever it is moved.
func TestReadWhileCompacted(t *testing.T) {
	const stay = 300
	n := 10 * maxPassed
	for _, how := range []How{Live, Local} {
		for _, keyLen := range []int{4, 60} {
			t.Run(fmt.Sprintf("how %d, keys of %d", how, keyLen), func(t *testing.T) {
				def := define(protocol.KeyBinary, keyLen, math.MaxUint32, protocol.GPC0)
				set := NewSet("section", epoch).WithShards(2)
				tb := set.Define(epoch, nil, def)
				src := tb.Source(def)
				for i := range n {
					u := timed(math.MaxUint32, string(number(i, keyLen)), uint64(i))
					if i%(n/stay) > 0 { // the others end one after the other, in no order
						u.Remaining = uint32(1 + i*7919%n)
					}
					src.Merge(epoch, u, how)
				}
				var (
					walk     Cursor
					learned  LearnedCursor
					position uint64
				)
				reads := []func(now time.Time, b *Batch){
					func(now time.Time, b *Batch) { tb.Walk(&walk, 10, now, b) },
					func(now time.Time, b *Batch) { position = tb.ReadChanged(position, 10, now, b) },
				}
				if how == Live {
					reads[1] = func(now time.Time, b *Batch) { tb.ReadLearned(&learned, 10, now, b) }
				}
				met := make([]map[int]int, len(reads))
				slots, _ := used(tb)
				for ms, over := int64(0), 0; over < len(reads); ms += 80 {
					over = 0
					for i, read := range reads {
						if met[i] == nil {
							met[i] = map[int]int{}
						}
						var b Batch
						if read(at(ms), &b); b.Len() == 0 {
							over++
						}
						for j := range b.Len() {
							var u protocol.Update
							b.Update(j, at(ms), &u)
							number := int(binary.BigEndian.Uint32(u.Key))
							if met[i][number]++; u.Values[0] != uint64(number) {
								t.Fatalf("entry %d is %v", number, u.Values)
							}
						}
						b.Release()
					}
					tb.Expire(at(ms), 500) // of each shard
				}
				for i := range reads {
					for number := 0; number < n; number += n / stay {
						if met[i][number] == 0 || i == 1 && met[i][number] > 1 {
							t.Errorf("reader %d met entry %d %d times", i, number, met[i][number])
						}
					}
				}
				if now := int(tb.open(0).store.next + tb.open(1).store.next); now > slots/2 {
					t.Errorf("%d slots of %d are left: nothing was moved", now, slots)
				}
				check(t, tb)
			})
		}
	}
}

// Between reading the log of local changes and pinning, an entry may be moved or
// go, and its slot may be another's, or be no more.
func TestReadChangedOfMoved(t *testing.T) {
	const n, last = 5000, 20
	def := define(protocol.KeyIPv4, 4, math.MaxUint32, protocol.GPC0)
	tb, src := newTable1(def)
	mergeNumbers(src, 4, fromTo(1, n))
	for i := n; i < n+last; i++ {
		src.Merge(epoch, timed(math.MaxUint32, string(number(i, 4)), 7), Local)
	}
	some := make([]logged, last)
	expect(t, "in the log", tb.changed.after(0, some), last)
	some[1].position = 1 // was changed again meanwhile: it is in the log no more, or not there
	for again := at(n); !again.IsZero() && !again.After(at(n)); {
		_, again = tb.Expire(at(n), 100)
	}
	if next := tb.open(0).store.next; next >= n {
		t.Fatalf("%d slots: nothing was moved", next)
	}
	var gone Batch
	tb.Find(number(n+2, 4), at(n), &gone)
	expect(t, "taken out", gone.take(0), true)
	gone.Release()
	mergeNumbers(src, 4, fromTo(n+1000, n+1010)) // in free slots
	var b Batch
	b.begin(tb)
	for i := range some {
		expect(t, "takes more", tb.open(0).pinChanged(&some[i], 1000, tb.set.clock.tick(at(n)), &b), true)
	}
	var got []int
	for i := range b.Len() {
		got = append(got, int(binary.BigEndian.Uint32(b.items[i].key)))
	}
	expect(t, "pinned", got, append([]int{n, n}, fromTo(n+3, n+last)...))
	b.Release()
	check(t, tb)
}

// A store whose last record is read is not made smaller before it is released; if
// it was read by more than can be counted, never.
func TestPinnedAtTheEnd(t *testing.T) {
	for _, readers := range []int{1, 1<<16 + 10} {
		t.Run(fmt.Sprint(readers, " readers"), func(t *testing.T) {
			const n = 5000
			def := define(protocol.KeyString, 60, math.MaxUint32, protocol.GPC0)
			set := newSet1()
			tb := set.Define(epoch, nil, def)
			src, st := tb.Source(def), &tb.open(0).store
			mergeNumbers(src, 59, fromTo(1, n+1))
			var b Batch
			tb.Find(number(n, 59), epoch, &b)
			for range readers - 1 {
				pin(b.items[0].records[0])
			}
			clean(t, set, at(n))
			expect(t, "slots while it is read", st.next, n)
			expect(t, "entry", entry(&b, 0, epoch), fmt.Sprint(n, " [0]"))
			for range readers - 1 {
				unpin(b.items[0].records[0])
			}
			b.Release()
			clean(t, set, at(n))
			if (readers == 1) != (st.next < n) {
				t.Errorf("%d slots in the end", st.next)
			}
			mergeNumbers(src, 59, fromTo(n+1, 3*n))
			clean(t, set, at(3*n))
			expect(t, "entries", tb.Stats().Entries, 0)
			check(t, tb)
		})
	}
}

// While the schema changes a store is not compacted, its long keys are; then it is,
// and the values are those of before.
func TestCompactWhileSchemaChanges(t *testing.T) {
	const n, keyLen = 6 * maxPassed, 60
	def := define(protocol.KeyBinary, keyLen, math.MaxUint32, protocol.GPC0, protocol.GPTArray)
	set := newSet1()
	tb := set.Define(epoch, nil, def)
	src, sh := tb.Source(def), tb.open(0)
	for i := range n {
		u := timed(1, string(number(i, keyLen)), uint64(i), 1, 2, 3)
		if i >= n-500 {
			u.Remaining = math.MaxUint32
		}
		src.Merge(epoch, u, Live)
	}
	next, c := tb.schema.with(change(tb.schema.def, func(d *protocol.Definition) {
		d.Types |= 1 << protocol.ConnCount
		d.Params[protocol.GPTArray].Elements = 5
	}), headerSize+sh.store.keyArea)
	m := &migration{next: next, transition: c}
	for turn := 0; !sh.adoptSome(m); turn++ {
		for range 30 {
			tb.Expire(at(1), n/10)
		}
		expect(t, "slots", sh.store.next, n)
		if places := int(sh.store.long[longClass(keyLen)].next); places > n/2 {
			t.Errorf("turn %d: %d places of long keys", turn, places)
		}
	}
	tb.schema = next
	check(t, tb)
	clean(t, set, at(1))
	if sh.store.next > n/2 {
		t.Errorf("%d slots after it", sh.store.next)
	}
	for i := n - 500; i < n; i++ {
		want := fmt.Sprintf("4294967294 [%d 0 1 2 3 0 0]", i)
		if got := get(tb, string(number(i, keyLen)), at(1)); got != want {
			t.Fatalf("entry %d is %s, want %s", i, got, want)
		}
	}
	check(t, tb)
}

// A table that takes over from one of shorter keys is bound by the same limit, and
// what is counted goes with the old one.
func TestLimitOfWhatIsTakenOver(t *testing.T) {
	def := define(protocol.KeyString, 40, math.MaxUint32, protocol.GPC0)
	set := NewSet("section", epoch).WithShards(4)
	tb := set.Define(epoch, nil, def)
	mergeNumbers(tb.Source(def), 39, fromTo(1, 5001))
	set.Limit("/t", Limits{Size: 1000})
	set.LimitMemory(1 << 30)
	wider := change(def, func(d *protocol.Definition) { d.KeyLen = 50 })
	is := set.Define(epoch, def, wider)
	clean(t, set, epoch)
	s := is.Stats()
	if s.Entries > 1000 || s.Entries < 990 {
		t.Errorf("%+v", s)
	}
	expectNumbers(t, "left", numbered(is, epoch), fromTo(5001-s.Entries, 5001))
	expect(t, "tables", len(set.Tables()), 1)
	checkSet(t, set)
	// Who has the old one still may go on with it, for nobody.
	expect(t, "changed", mergeNumbers(tb.Source(def), 39, []int{5000}), 1)
	check(t, tb)
}

// BytesPerEntry is of all that is reserved.
func TestBytesPerEntry(t *testing.T) {
	tb, src := newTable1(define(protocol.KeyIPv4, 4, 1000, protocol.GPC0))
	s := tb.Stats()
	expect(t, "empty", s.BytesPerEntry(), 0)
	mergeNumbers(src, 4, fromTo(1, 11))
	if s = tb.Stats(); s.BytesPerEntry() != float64(s.Memory)/10 || s.BytesPerEntry() < float64(s.Record) {
		t.Errorf("%v bytes an entry of %+v", s.BytesPerEntry(), s)
	}
}

// A table's account counts with the Set's limit, which is of all tables; none
// counts nothing.
func TestAccount(t *testing.T) {
	var none *account
	none.add(5)
	set := newSet1()
	a := &set.Define(epoch, nil, define(protocol.KeyIPv4, 4, 0)).account
	b := &set.Define(epoch, nil, define(protocol.KeyIPv6, 16, 0)).account
	had := set.Memory()
	a.add(10)
	b.add(20)
	expect(t, "bytes", set.Memory(), had+30)
	expect(t, "without limit", []any{set.over(math.MaxInt32), set.short()}, "[-1 false]")
	set.LimitMemory(had + 35)
	expect(t, "limit", set.MemoryLimit(), had+35)
	expect(t, "over", []int64{set.over(5), set.over(6), set.over(100)}, "[0 1 95]")
	expect(t, "short", set.short(), true)
	set.LimitMemory(16*(had+30)/15 + 16)
	expect(t, "not short", set.short(), false)
	a.add(20)
	expect(t, "short, as there is a sixteenth left", set.short(), true)
	a.add(-30)
	expect(t, "bytes", []int64{set.Memory(), set.reserved.Load()}, []int64{had + 20, had + 20})

	// What is done with a table that has gone is nobody's concern.
	had = set.reserved.Load() - a.bytes.Load()
	a.leave()
	a.add(1000)
	expect(t, "without the table", set.reserved.Load(), had)
}

// A freeList is a stack of which any place can be taken out.
func TestFreeList(t *testing.T) {
	seeds(t, func(t *testing.T, r *rand.Rand) {
		var (
			list   freeList
			naive  []uint32
			places = make([][12]byte, 100)
			at     = func(place uint32) []byte { return places[place][:] }
		)
		for range steps(8000) {
			place := r.Uint32N(uint32(len(places)))
			i := slices.Index(naive, place)
			switch n := len(naive); {
			case i < 0 && r.IntN(2) == 0:
				list.push(at, place)
				naive = append(naive, place)
			case i >= 0 && r.IntN(2) == 0:
				list.remove(at, place)
				naive = slices.Delete(naive, i, i+1)
			case n > 0 && r.IntN(3) == 0:
				expect(t, "popped", list.pop(at), naive[n-1])
				naive = naive[:n-1]
			}
			if list.len != len(naive) {
				t.Fatalf("%d places are free, want %d", list.len, len(naive))
			}
			for place := range places {
				if places[place] != [12]byte{} && !slices.Contains(naive, uint32(place)) {
					t.Fatalf("place %d is not free, nor as it was: % x", place, places[place])
				}
			}
		}
		for i := len(naive) - 1; i >= 0; i-- {
			expect(t, "popped", list.pop(at), naive[i])
		}
		expect(t, "left", list, freeList{})
	})
}

// Several acquire, read and release the same server keys: each reads what it has
// acquired, and in the end none is left.
func TestServerKeysConcurrently(t *testing.T) {
	const keys = 20
	var (
		a  account
		k  = newServerKeys(&a)
		wg sync.WaitGroup
	)
	for worker := range uint64(4) {
		wg.Go(func() {
			type use struct {
				id  uint32
				key string
			}
			var (
				r    = rand.New(rand.NewPCG(worker, 1))
				uses []use
			)
			for range steps(40_000) {
				switch n := len(uses); {
				case n == 0 || n < 30 && r.IntN(2) == 0:
					key := "server" + strconv.Itoa(r.IntN(keys))
					uses = append(uses, use{k.acquire(key), key})
				case r.IntN(4) == 0:
					u := uses[r.IntN(n)]
					k.addUse(u.id)
					uses = append(uses, u)
				default:
					i := r.IntN(n)
					k.release(uses[i].id)
					uses[i] = uses[n-1]
					uses = uses[:n-1]
				}
				for _, u := range uses[:min(len(uses), 3)] {
					if got := k.get(u.id); got != u.key {
						t.Errorf("id %d is %q, want %q", u.id, got, u.key)
						return
					}
				}
			}
			for _, u := range uses {
				k.release(u.id)
			}
		})
	}
	wg.Wait()
	expect(t, "keys, bytes", []int64{int64(len(k.ids)), a.bytes.Load()}, "[0 0]")
	slices.Sort(k.free)
	for id := uint32(1); id < k.next; id++ {
		if k.free[id-1] != id || k.get(id) != "" || k.at(id).uses.Load() != 0 {
			t.Fatalf("id %d is not free, or twice: %v", id, k.free)
		}
	}
	if len(k.free) != int(k.next-1) || k.next > keys+1 {
		t.Errorf("%d ids are free of %d", len(k.free), k.next-1)
	}
}

// A key that is acquired again while its last use is being released stays, and of
// two that release it at once one frees it.
func TestServerKeyReleasedAndAcquired(t *testing.T) {
	for _, test := range []struct {
		name     string
		releases int
		acquired bool
		free     int
	}{
		{"acquired again", 1, true, 0},
		{"released twice", 2, false, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := newServerKeys(nil)
			id := k.acquire("server")
			var releases sync.WaitGroup
			k.mu.Lock() // so that a release comes so far and no farther
			for n := range test.releases {
				if n > 0 {
					k.addUse(id)
				}
				releases.Go(func() { k.release(id) })
				for k.at(id).uses.Load() > 0 {
					runtime.Gosched()
				}
			}
			if test.acquired {
				k.addUse(id)
			}
			k.mu.Unlock()
			releases.Wait()
			expect(t, "free", len(k.free), test.free)
			expect(t, "is there", []any{k.get(id) == "server", len(k.ids)}, []any{test.acquired, 1 - test.free})
		})
	}
}

// The evictor's heap is never added to.
func TestFrontsAreNotAddedTo(t *testing.T) {
	defer func() { expect(t, "panics", recover(), "table: fronts are never added to") }()
	new(fronts).Push(nil)
}

// Limits hold whatever is done at the same time: several merge, and others read,
// walk, drop and expire.
func TestLimitsConcurrently(t *testing.T) {
	const size, memory = 3000, 2 << 20
	for _, test := range []*limitsTest{
		{name: "size", size: size, last: 1 << 31, redefine: true},
		{name: "memory", memory: memory},
		{name: "both", size: size, memory: memory, last: 1 << 31},
	} {
		t.Run(test.name, func(t *testing.T) { testLimitsConcurrently(t, test) })
	}
}

// A limitsTest goes on with tables of which some entries end last by far, or never:
// they are never evicted, as all others end before; and nobody walks past them,
// though they are moved all the time.
type limitsTest struct {
	name     string
	size     int
	memory   int64
	last     uint32 // when those end, 0 for never
	redefine bool   // the schema changes all the time
	*testing.T
	set    *Set
	tables []limitsTable
	now    atomic.Int64
	done   atomic.Bool
}

func testLimitsConcurrently(t *testing.T, c *limitsTest) {
	set := NewSet("section", epoch).WithShards(2)
	set.LimitMemory(c.memory)
	c.T, c.set = t, set
	for i, keyLen := range []int{4, 60} {
		name := fmt.Sprint("/t", i)
		set.Limit(name, Limits{Size: c.size})
		def := named(name, protocol.KeyBinary, keyLen, math.MaxUint32, protocol.GPC0, protocol.ConnCount, protocol.ServerKey)
		c.tables = append(c.tables, limitsTable{set.Define(epoch, nil, def), def, keyLen})
	}
	c.run()
	for _, tb := range c.tables {
		s := tb.Stats()
		if c.size > 0 && s.Entries > c.size {
			t.Errorf("%d entries, where there may be %d", s.Entries, c.size)
		}
		t.Logf("%+v", s)
	}
	now := at(c.now.Load())
	clean(t, set, now)
	if c.memory > 0 && set.Memory() > c.memory {
		t.Errorf("%d bytes of %d are reserved after the cleaner", set.Memory(), c.memory)
	}
	checkSet(t, set)
	left := stays
	if c.last > 0 {
		left = 0
	}
	for _, tb := range c.tables {
		all := numbered(tb.Table, now)
		expectNumbers(t, "those that stay", all[:min(stays, len(all))], fromTo(0, stays))
	}
	clean(t, set, at(math.MaxUint32))
	for _, tb := range c.tables {
		slots, _ := used(tb.Table)
		expect(t, "slots left", slots, left)
	}
	checkSet(t, set)
}

// stays is how many entries of each table that are.
const stays = 200

type limitsTable struct {
	*Table
	def    *protocol.Definition
	keyLen int
}

func (c *limitsTest) run() {
	for _, tb := range c.tables {
		src := tb.Source(change(tb.def, func(d *protocol.Definition) { d.Expire = c.last }))
		c.merge(src, tb.keyLen, rand.New(rand.NewPCG(1, 1)), fromTo(0, stays), math.MaxUint32)
	}
	var writers, others sync.WaitGroup
	for w := range uint64(3) {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(w, 2))
			tb := c.tables[w%2]
			src := tb.Source(tb.def)
			for i := range steps(20_000) {
				c.merge(src, tb.keyLen, r, []int{stays + r.IntN(1<<20)}, 1+r.Uint32N(100_000))
				if i%100 == 0 {
					c.now.Add(1)
				}
			}
		})
	}
	for _, tb := range c.tables {
		others.Go(func() { c.walk(tb, rand.New(rand.NewPCG(1, 3))) })
		others.Go(func() { c.read(tb) })
	}
	others.Go(func() {
		for !c.done.Load() {
			c.set.Expire(at(c.now.Load()), 20)
			c.set.Memory()
		}
	})
	if c.redefine {
		others.Go(func() { c.define(c.tables[0]) })
	}
	writers.Wait()
	c.done.Store(true)
	others.Wait()
}

func (c *limitsTest) merge(src *Source, keyLen int, r *rand.Rand, numbers []int, remaining uint32) {
	for _, i := range numbers {
		v := r.Uint64N(1 << 30)
		u := timed(remaining, string(number(i, keyLen)), v, v, 0)
		u.ServerKey = servers[v%7]
		src.Merge(at(c.now.Load()), u, []How{Live, Live, Local, Taught}[v%4])
	}
}

// walk goes over all entries again and again, and drops some of them where there
// are many: so that there are always some that end before those that end last.
func (c *limitsTest) walk(tb limitsTable, r *rand.Rand) {
	var (
		cursor Cursor
		b      Batch
		met    = map[uint32]bool{}
	)
	for walks := 0; !c.done.Load() || walks < 2; {
		if tb.Walk(&cursor, 50, at(c.now.Load()), &b); b.Len() == 0 {
			if len(met) != stays {
				c.Errorf("met %d entries of %d that are there all the time", len(met), stays)
				return
			}
			cursor = Cursor{}
			clear(met)
			walks++
		}
		c.look(&b, func(i int, number uint32) {
			if number < stays {
				met[number] = true
			} else if tb.entries.Load() > 5*stays && r.IntN(8) == 0 {
				b.take(i)
			}
		})
		b.Release()
	}
}

// read reads the logs, and holds what it has read for some time.
func (c *limitsTest) read(tb limitsTable) {
	var (
		learned  LearnedCursor
		position uint64
		b        [4]Batch
	)
	for n := 0; !c.done.Load(); n++ {
		b := &b[n%len(b)]
		c.look(b, func(int, uint32) {})
		b.Release()
		if n%2 == 0 {
			tb.ReadLearned(&learned, 30, at(c.now.Load()), b)
		} else {
			position = tb.ReadChanged(position, 30, at(c.now.Load()), b)
		}
	}
	for i := range b {
		b[i].Release()
	}
}

// look looks at each entry of b: it is of one update.
func (c *limitsTest) look(b *Batch, each func(i int, number uint32)) {
	var u protocol.Update
	for i := range b.Len() {
		b.Update(i, at(c.now.Load()), &u)
		v := u.Values[0]
		if u.Values[1] != v || u.ServerKey != servers[v%7] || string(u.Key[4:]) != strings.Repeat("k", len(u.Key)-4) {
			c.Errorf("entry %q is %v %s", u.Key, u.Values, u.ServerKey)
		}
		each(i, binary.BigEndian.Uint32(u.Key))
	}
}

// define adds a data type, and takes it away again.
func (c *limitsTest) define(tb limitsTable) {
	was, is := tb.def, change(tb.def, func(d *protocol.Definition) { d.Types |= 1 << protocol.HTTPReqRate })
	for !c.done.Load() || was != tb.def {
		c.set.Define(at(c.now.Load()), was, is)
		was, is = is, was
	}
}
