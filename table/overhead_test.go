package table

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/peersd/peersd/protocol"
)

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A table without an entry takes little, whatever the number of its shards, and all
// that it takes is counted.
func TestEmptyTablesAreSmall(t *testing.T) {
	const n = 1000
	for _, shards := range []int{8, maxShards} {
		set := NewSet("section", epoch).WithShards(shards)
		before := heapInUse()
		for i := range n {
			def := named(fmt.Sprint("/t", i), protocol.KeyString, 100, 1000, protocol.GPC0, protocol.HTTPReqRate)
			set.Define(epoch, nil, def)
		}
		each, counted := (heapInUse()-before)/n, set.Memory()/n
		t.Logf("%d shards: %d bytes, %d are counted", shards, each, counted)
		if each > 2200+8*int64(shards) || counted < each*8/10 || counted > each*12/10 {
			t.Errorf("%d shards: %d bytes, %d are counted", shards, each, counted)
		}
		checkSet(t, set)
		runtime.KeepAlive(set)
	}
}

// One entry makes one shard, and no more.
func TestShardsAreMadeForTheirFirstEntry(t *testing.T) {
	set := NewSet("section", epoch).WithShards(maxShards)
	def := define(protocol.KeyString, 100, 1000, protocol.GPC0)
	tb := set.Define(epoch, nil, def)
	src := tb.Source(def)
	shards := func() (n int) {
		for range tb.each {
			n++
		}
		return n
	}
	src.Merge(at(0), timed(0, "over", 1), Taught)
	src.MergeAll(at(0), []Arrival{{Update: *timed(0, "over", 1), How: Taught}})
	expect(t, "what is over: shards, stale", []any{shards(), tb.Stats().Stale}, "[0 2]")
	expect(t, "nothing to read", []any{len(learned(tb, at(0))), get(tb, "k", at(0)) == ""}, "[0 true]")
	src.Merge(at(0), update("k", 1), Live)
	expect(t, "shards", shards(), 1)
	expect(t, "entry", get(tb, "k", at(0)), "1000 [1]")
	expect(t, "learned", learned(tb, at(0)), "[k]")
	check(t, tb)
}

// Tables without an entry can't starve those that have some: what all definitions
// take is bounded, and a definition beyond is refused. One that is there already may
// change.
func TestDefinitionsAreBounded(t *testing.T) {
	const limit = 16 << 20
	set := newSet1()
	def := func(n int) *protocol.Definition {
		return named(fmt.Sprint("/t", n), protocol.KeyInteger, 4, 1_000_000, protocol.GPC0)
	}
	full := set.Define(epoch, nil, def(0))
	src := full.Source(def(0))
	set.LimitMemory(limit)
	mergeNumbers(src, 4, fromTo(1, 200_000))
	clean(t, set, epoch)
	entries := full.Entries()
	defined := 1
	for n := 1; n < 20_000; n++ {
		if set.Define(epoch, nil, def(n)) != nil {
			defined++
		}
	}
	expect(t, "tables", len(set.Tables()), defined)
	expect(t, "refused", set.Refused(), 20_000-defined)
	if defined < limit/16/3000 || set.overhead.Load() > limit/16+3000 {
		t.Errorf("%d tables of %d bytes", defined, set.overhead.Load())
	}
	clean(t, set, epoch)
	if left := full.Entries(); left < entries*9/10 {
		t.Errorf("%d entries of %d are left", left, entries)
	}
	more := change(def(1), func(d *protocol.Definition) { d.Types |= 1 << protocol.ConnCount })
	expect(t, "one of them by another one", set.Define(epoch, nil, more) == nil, true)
	expect(t, "the same by another one", set.Define(epoch, nil, def(1)) != nil, true)
	expect(t, "another definition instead", set.Define(epoch, def(1), more) != nil, true)
	set.Retract(def(2))
	set.Retract(def(3))
	expect(t, "when others have gone", set.Define(epoch, nil, def(20_000)) != nil, true)
	checkSet(t, set)
}

// An entry in each of many tables is not more than an entry in one, but for its shard:
// where memory is short, that is asked for, and refused where nothing can give way.
func TestShardIsRefused(t *testing.T) {
	set := NewSet("section", epoch).WithShards(maxShards)
	never := named("/never", protocol.KeyInteger, 4, 0, protocol.GPC0)
	mergeNumbers(set.Define(epoch, nil, never).Source(never), 4, fromTo(1, 10_000))
	def := named("/t", protocol.KeyInteger, 4, 1000, protocol.GPC0)
	tb := set.Define(epoch, nil, def)
	set.LimitMemory(set.Memory())
	src := tb.Source(def)
	expect(t, "taken", src.Merge(epoch, update("key1", 1), Live), false)
	all := []Arrival{{Update: *update("key1", 1)}, {Update: *timed(0, "key1", 1), How: Taught}, {Update: *update("key1", 1)}}
	src.MergeAll(epoch, all)
	s := tb.Stats()
	expect(t, "entries, refused, stale", []any{s.Entries, s.Refused, s.Stale}, "[0 3 1]")
	for range tb.each {
		t.Error("a shard was made")
	}
	set.LimitMemory(set.Memory() + 10_000)
	src.MergeAll(epoch, all)
	expect(t, "where there is room", []any{all[0].Added, all[1].Changed, all[2].Changed, tb.Entries()}, "[true false true 1]")
	checkSet(t, set)
}

// The list of tables is another one where it is longer, and never changes.
func TestTablesComeAndGo(t *testing.T) {
	set := newSet1()
	def := func(n int) *protocol.Definition { return named(fmt.Sprint("/t", n), protocol.KeyInteger, 4, 0) }
	var lists [][]*Table
	for n := range 100 {
		tb := set.Define(epoch, nil, def(n))
		lists = append(lists, set.Tables())
		expect(t, "found", set.Lookup(tb.Name())[0] == tb, true)
	}
	last := set.Tables()
	for n := 0; n < 100; n += 3 {
		set.Retract(def(n))
		set.Define(epoch, nil, def(1000+n))
	}
	for n, list := range lists {
		expect(t, "tables", len(list), n+1)
		for i := range list {
			expect(t, "name", list[i].Name(), fmt.Sprint("/t", i))
		}
	}
	expect(t, "the last one", len(last), 100)
	expect(t, "now", len(set.Tables()), 100)
	checkSet(t, set)
}
