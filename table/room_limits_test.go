package table

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/peersd/peersd/protocol"
)

// Who finds a table full, and then room in it, since others were quicker to make
// some, takes that: a new entry is not refused where it needn't be.
func TestRoomThatOthersMade(t *testing.T) {
	def := define(protocol.KeyString, 9, 1000, protocol.GPC0)
	set := newSet1()
	set.Limit("/t", Limits{Size: 2})
	tb := set.Define(epoch, nil, def)
	src, sh := tb.Source(def), tb.open(0)
	src.Merge(epoch, update("a", 1), Live)
	src.Merge(epoch, update("b", 1), Live)
	u, tick := update("c", 1), tb.set.clock.tick(epoch)
	sh.mu.Lock()
	expect(t, "at first", sh.merge(src, tick, hash(u.Key), u, Live, false), noRoom)
	sh.mu.Unlock()
	var b Batch
	tb.Find([]byte("a"), epoch, &b)
	b.take(0)
	b.Release()
	expect(t, "then", src.mergeFull(sh, tick, hash(u.Key), u, Live), added)
	expect(t, "refused", tb.Stats().Refused, 0)
}

// A limit of size that is lowered is reached by the cleaner, whatever is merged, and
// what is left is what ends last.
func TestLimitLowered(t *testing.T) {
	def := define(protocol.KeyIPv4, 4, math.MaxUint32)
	set := NewSet("section", epoch).WithShards(8)
	tb := set.Define(epoch, nil, def)
	src := tb.Source(def)
	mergeNumbers(src, 4, fromTo(1, 10_001))
	set.Limit("/t", Limits{Size: 1000})
	clean(t, set, epoch)
	expectNumbers(t, "left", numbered(tb, epoch), fromTo(9001, 10_001))
	expect(t, "merged", mergeNumbers(src, 4, fromTo(10_001, 10_011)), 10)
	check(t, tb)
}

// A table of entries that never end does not grow past the limit of memory because
// something gives way that is far less than what it grows by.
func TestLimitMemoryOfWhatNeverEnds(t *testing.T) {
	const limit = 2 << 20
	set := newSet1()
	never := named("/never", protocol.KeyIPv4, 4, 0, protocol.GPC0)
	ends := named("/ends", protocol.KeyIPv4, 4, math.MaxUint32, protocol.GPC0)
	src, few := set.Define(epoch, nil, never).Source(never), set.Define(epoch, nil, ends).Source(ends)
	set.LimitMemory(limit)
	for i := range 60_000 {
		mergeNumbers(src, 4, []int{1 + i})
		if i%100 == 0 {
			mergeNumbers(few, 4, []int{1 + i})
		}
	}
	if m := set.Memory(); m > limit+128<<10 {
		t.Errorf("%d bytes of %d are reserved", m, limit)
	}
	checkSet(t, set)
}

// Long keys count for the limit too where there are free records for them.
func TestLimitMemoryOfLongKeys(t *testing.T) {
	const limit = 2 << 20
	def := define(protocol.KeyString, 8192, math.MaxUint32, protocol.GPC0)
	set := NewSet("section", epoch).WithShards(8)
	tb := set.Define(epoch, nil, def)
	src := tb.Source(def)
	set.LimitMemory(limit)
	merge := func(i, keyLen int) {
		src.Merge(epoch, timed(uint32(1+i), fmt.Sprintf("%0*d", keyLen, i), 1), Live)
	}
	for i := range 8000 {
		merge(i, 40)
	}
	for i := range 2000 {
		merge(8000+i, 8000)
	}
	if m := set.Memory(); m > limit+512<<10 {
		t.Errorf("%d bytes of %d are reserved", m, limit)
	}
	checkSet(t, set)
}

// The cleaner evicts no more than it takes to come under the limit, however small
// it is: not all that there is, while nothing goes back.
func TestTrimKeepsMost(t *testing.T) {
	for _, n := range []int{5000, 20_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			def := define(protocol.KeyIPv4, 4, math.MaxUint32, protocol.GPC0)
			set := NewSet("section", epoch).WithShards(16)
			tb := set.Define(epoch, nil, def)
			mergeNumbers(tb.Source(def), 4, fromTo(1, n+1))
			limit := set.Memory() / 10 * 9
			set.LimitMemory(limit)
			clean(t, set, epoch)
			left := numbered(tb, epoch)
			expectNumbers(t, "left", left, fromTo(n+1-len(left), n+1))
			if len(left) < n/2 || set.Memory() > limit {
				t.Errorf("%d entries of %d are left in %d bytes of %d", len(left), n, set.Memory(), limit)
			}
		})
	}
}

// Nothing is evicted for what goes back anyway as soon as a reader is done.
func TestTrimWhilePinned(t *testing.T) {
	const n, shards = 40_000, 8
	def := define(protocol.KeyIPv4, 4, math.MaxUint32, protocol.GPC0)
	set := NewSet("section", epoch).WithShards(shards)
	tb := set.Define(epoch, nil, def)
	mergeNumbers(tb.Source(def), 4, fromTo(1, n+1))
	var b [shards]Batch
	for i := range b { // the last record of each shard
		tb.Walk(&Cursor{shard: i}, 1, epoch, &b[i])
	}
	limit := set.Memory() / 10 * 9
	set.LimitMemory(limit)
	clean(t, set, epoch)
	if left := tb.Stats().Entries; left < n/2 {
		t.Errorf("%d entries of %d are left", left, n)
	}
	for i := range b {
		b[i].Release()
	}
	clean(t, set, epoch)
	if left := tb.Stats().Entries; left < n/2 || set.Memory() > limit {
		t.Errorf("%d entries of %d are left in %d bytes of %d", left, n, set.Memory(), limit)
	}
	checkSet(t, set)
}

// Of tables of all kinds that grow and give way all the time most is used, whenever
// the cleaner was there.
func TestLimitMemoryIsUsed(t *testing.T) {
	const limit = 12 << 20
	set := NewSet("section", epoch).WithShards(2)
	sources := memorySources(set)
	set.LimitMemory(limit)
	r := rand.New(rand.NewPCG(1, 1))
	last := 0
	for round := range 10 {
		some := r.IntN(len(sources))
		for range steps(20_000) {
			src := sources[some]
			if r.IntN(2) == 0 {
				src = sources[r.IntN(len(sources))]
			}
			last++
			mergeNumbers(src.Source, src.keyLen, []int{last})
		}
		clean(t, set, epoch)
		entries, used := 0, 0
		for _, src := range sources {
			s := src.table.Stats()
			entries += s.Entries
			if used += s.Entries * s.Record; src.keyLen > inlineKey {
				used += s.Entries << (longClass(src.keyLen) + minLongShift)
			}
		}
		if entries < last && used < limit/3 {
			t.Errorf("round %d: entries take %d bytes of %d", round, used, limit)
		}
	}
}

// What happens to a table after it was dropped does not count.
func TestDroppedTableCountsNoMore(t *testing.T) {
	def := define(protocol.KeyString, 40, 1000, protocol.GPC0, protocol.ServerKey)
	set := newSet1()
	tb := set.Define(epoch, nil, def)
	src := tb.Source(def)
	u := update("k", 1, 0)
	u.ServerKey = "server"
	src.Merge(epoch, u, Live)
	var b Batch
	tb.Find([]byte("k"), epoch, &b)
	b.take(0)
	set.Define(epoch, def, change(def, func(d *protocol.Definition) { d.KeyLen = 50 }))
	checkSet(t, set)
	b.Release() // frees the server key of the old table
	checkSet(t, set)
	mergeNumbers(src, 39, fromTo(1, 10_000))
	checkSet(t, set)
}

// A table that takes over from another one loses nothing for want of room that the
// other one gives back at once.
func TestTakeOverWhereMemoryIsShort(t *testing.T) {
	const n = 5000
	for _, expire := range []uint32{0, math.MaxUint32} {
		t.Run(fmt.Sprint("expire ", expire), func(t *testing.T) {
			def := define(protocol.KeyString, 40, expire, protocol.GPC0)
			set := newSet1()
			mergeNumbers(set.Define(epoch, nil, def).Source(def), 39, fromTo(1, n+1))
			set.LimitMemory(set.Memory() + 64<<10)
			tb := set.Define(epoch, def, change(def, func(d *protocol.Definition) { d.KeyLen = 50 }))
			clean(t, set, epoch)
			expect(t, "entries", tb.Stats().Entries, n)
			expect(t, "tables", len(set.Tables()), 1)
			checkSet(t, set)
		})
	}
}

// As TestLimitsConcurrently, where the schema changes too while memory is short, and
// where what ends last ends at all.
func TestLimitsConcurrentlyWhereMemoryIsShort(t *testing.T) {
	testLimitsConcurrently(t, &limitsTest{name: "memory", memory: 2 << 20, last: 1 << 31, redefine: true})
}

// The schema changes while entries give way for what they take.
func TestSchemaChangesWhileEvicted(t *testing.T) {
	def := define(protocol.KeyIPv4, 4, math.MaxUint32, protocol.GPC0)
	set := NewSet("section", epoch).WithShards(8)
	tb := set.Define(epoch, nil, def)
	set.LimitMemory(256 << 10)
	var (
		done   atomic.Bool
		others sync.WaitGroup
	)
	others.Go(func() {
		was, is := def, change(def, func(d *protocol.Definition) { d.Types |= 1 << protocol.ConnCount })
		for !done.Load() {
			set.Define(epoch, was, is)
			was, is = is, was
		}
	})
	src := tb.Source(def)
	for i := range steps(20_000) {
		mergeNumbers(src, 4, []int{1 + i})
		set.Expire(epoch, 4)
	}
	done.Store(true)
	others.Wait()
	checkSet(t, set)
}

// A limit that is too small for anything lets nothing in, and nothing goes wrong.
func TestLimitMemoryOfNothing(t *testing.T) {
	def := define(protocol.KeyString, 100, 1000, protocol.GPC0)
	set := newSet1()
	tb := set.Define(epoch, nil, def)
	src := tb.Source(def)
	set.LimitMemory(1)
	expect(t, "merged", src.Merge(epoch, update(strings.Repeat("k", 99), 1), Live), false)
	clean(t, set, epoch)
	expect(t, "refused", tb.Stats().Refused, 1)
	checkSet(t, set)
}

// What stays of a table that has lost all its entries is hardly more than what a
// new one takes: else many such tables would have no room for entries.
func TestEmptiedTableKeepsLittle(t *testing.T) {
	set := NewSet("section", epoch).WithShards(64)
	tb := set.Define(epoch, nil, define(protocol.KeyIPv4, 4, 1000, protocol.GPC0))
	src := tb.Source(define(protocol.KeyIPv4, 4, 1000, protocol.GPC0))
	empty := set.Memory()
	u := update("1234", 1)
	for i := range uint32(60_000) {
		binary.BigEndian.PutUint32(u.Key, i)
		src.Merge(epoch, u, Live)
	}
	full := set.Memory()
	for again := at(1000); !again.IsZero(); {
		again = set.Expire(at(1000), 1000)
	}
	expect(t, "entries", tb.Entries(), 0)
	// The free slots that a shard keeps where memory is not short are its chunks.
	set.LimitMemory(1)
	for range 100 {
		set.Expire(at(1000), 1000)
	}
	if left := set.Memory() - empty; left > (full-empty)/20 {
		t.Errorf("%d bytes are left of %d", left, full-empty)
	}
	check(t, tb)
}

// In a table that is full, or nearly, the cleaner looks for what gives way next,
// so that no session has to go through all that were extended.
func TestCleanerFindsWhatGivesWay(t *testing.T) {
	const n = 5000
	set := newSet1()
	set.Limit("/t", Limits{Size: n})
	def := define(protocol.KeyIPv4, 4, 1000, protocol.GPC0)
	tb := set.Define(epoch, nil, def)
	src, u := tb.Source(def), update("1234", 1)
	for _, ms := range []int64{0, 500} {
		for i := range uint32(n) {
			binary.BigEndian.PutUint32(u.Key, i)
			src.Merge(at(ms), u, Live)
		}
	}
	stale := func() bool {
		first, _, r := tb.open(0).first()
		return first != get48(r, atExpire)
	}
	expect(t, "stale before", stale(), true)
	turns := 0
	for ; !set.Expire(at(600), 32).After(at(600)); turns++ {
	}
	expect(t, "stale after", stale(), false)
	if turns < n/32 {
		t.Errorf("%d turns: the budget is not kept", turns)
	}
	expect(t, "entries", tb.Entries(), n)
	check(t, tb)
}
