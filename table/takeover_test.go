package table

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/peersd/peersd/protocol"
)

// Entries go along to a table of another key length some at a time: a definition costs
// no more than that, whatever their number.
func TestTakeOverInSteps(t *testing.T) {
	const n = 20_000
	set := NewSet("section", epoch).WithShards(4)
	def := define(protocol.KeyString, 40, 1_000_000, protocol.GPC0)
	old := set.Define(epoch, nil, def)
	src := old.Source(def)
	for i := range n {
		src.Merge(at(0), update(fmt.Sprint("key", i), uint64(i)), []How{Live, Local}[i%2])
	}
	before := set.Memory()
	longer := change(def, func(d *protocol.Definition) { d.KeyLen = 50 })
	tb := set.Define(at(1), def, longer)
	met := func() int { return int(tb.Stats().Merged + tb.Stats().Stale) }
	if done := met(); done == 0 || done > takeOverAtOnce+takeOverSome {
		t.Errorf("%d entries went along at once", done)
	}
	expect(t, "both are there", tables(set), "/t type string len 40 expire 1000000 store gpc0\n/t type string len 50 expire 1000000 store gpc0")
	most := 0
	for len(set.Tables()) > 1 {
		done := met()
		if again := set.Expire(at(1), 32); len(set.Tables()) > 1 && again != at(1) {
			t.Fatalf("goes on at %v", again)
		}
		most = max(most, met()-done)
		expect(t, "entries of both", old.Entries()+tb.Entries(), n)
		checkSet(t, set)
	}
	if most > 2*(4*32+takeOverSome) {
		t.Errorf("up to %d entries at a time", most)
	}
	expect(t, "entries", tb.Entries(), n)
	clean(t, set, at(2))
	if set.Memory() > before*12/10 {
		t.Errorf("%d bytes, %d before", set.Memory(), before)
	}
	for i := range n {
		expect(t, "entry", get(tb, fmt.Sprint("key", i), at(2)), fmt.Sprintf("999998 [%d]", i))
	}
	expect(t, "changed here", len(changed(tb, 0, at(2))), n/2)
}

// What is changed meanwhile, in the old table by another one that has it still, or in
// the new one, is what stays; and two that go over one after the other lose nothing.
func TestChangesWhileTakenOver(t *testing.T) {
	seeds(t, func(t *testing.T, r *rand.Rand) {
		const keys = 6000
		def := define(protocol.KeyString, 40, 10_000_000, protocol.GPC0)
		longer := change(def, func(d *protocol.Definition) { d.KeyLen = 50 })
		set := NewSet("section", epoch).WithShards(1 << r.IntN(3))
		old := set.Define(epoch, nil, def)
		shared := r.IntN(2) == 0
		if shared {
			set.Define(epoch, nil, def)
		}
		now := int64(0)
		values := map[string]uint64{}
		merge := func(src *Source) {
			now += 1 + int64(r.IntN(3))
			key := fmt.Sprintf("%0*d", 5+r.IntN(2)*30, r.IntN(keys))
			values[key] = r.Uint64N(1000)
			src.Merge(at(now), update(key, values[key]), []How{Live, Live, Local}[r.IntN(3)])
		}
		oldSource := old.Source(def)
		for range keys {
			merge(oldSource)
		}
		tb := set.Define(at(now), def, longer)
		src := tb.Source(longer)
		pins := new(Batch)
		for turn := 0; len(set.takeovers) > 0; turn++ {
			for range r.IntN(20) {
				if shared && r.IntN(2) == 0 && turn < 10 {
					merge(oldSource)
				} else {
					merge(src)
				}
			}
			if turn == 5 {
				old.Walk(new(Cursor), 10, at(now), pins)
			}
			if shared && turn == 10 {
				set.Define(at(now), def, longer) // the other one follows
			}
			set.Expire(at(now), 1+r.IntN(50))
			checkSet(t, set)
		}
		pins.Release()
		if shared && len(set.Tables()) > 1 {
			set.Define(at(now), def, longer)
			clean(t, set, at(now))
		}
		expect(t, "tables", tables(set), "/t type string len 50 expire 10000000 store gpc0")
		expect(t, "entries", tb.Entries(), len(values))
		for key, v := range values {
			var b Batch
			var u protocol.Update
			if tb.Find([]byte(key), at(now), &b); b.Len() == 0 {
				t.Fatalf("%s is gone", key)
			}
			if b.Update(0, at(now), &u); u.Values[0] != v {
				t.Fatalf("%s is %d, want %d", key, u.Values[0], v)
			}
			b.Release()
		}
		checkSet(t, set)
	})
}

// Who goes to and fro, or takes its definition back, while entries go along, leaves no
// table behind, and loses nothing that it still defines.
func TestTakeOverAgain(t *testing.T) {
	const n = 5000
	def := func(keyLen int) *protocol.Definition {
		return define(protocol.KeyString, keyLen, 1_000_000, protocol.GPC0)
	}
	fill := func(set *Set) {
		src := set.Define(epoch, nil, def(40)).Source(def(40))
		for i := range n {
			src.Merge(epoch, update(fmt.Sprint("key", i), uint64(i)), Live)
		}
	}
	for name, lens := range map[string][]int{
		"further":    {50, 60},
		"back":       {50, 40},
		"to and fro": {50, 40, 50, 40, 60},
	} {
		t.Run(name, func(t *testing.T) {
			set := newSet1()
			fill(set)
			was := 40
			for _, is := range lens {
				set.Define(epoch, def(was), def(is))
				set.Expire(epoch, 10)
				checkSet(t, set)
				was = is
			}
			clean(t, set, epoch)
			expect(t, "tables", tables(set), fmt.Sprintf("/t type string len %d expire 1000000 store gpc0", was))
			expect(t, "entries", set.Tables()[0].Entries(), n)
			checkSet(t, set)
		})
	}
	t.Run("retracted", func(t *testing.T) {
		set := newSet1()
		fill(set)
		set.Define(epoch, def(40), def(50))
		set.Retract(def(50))
		clean(t, set, epoch)
		expect(t, "tables", tables(set), "")
		expect(t, "memory", set.Memory(), 0)
	})
}

// A table that others have still is not one whose memory is free: the limit holds.
func TestTakeOverOfSharedTable(t *testing.T) {
	const limit = 4 << 20
	set := newSet1()
	set.LimitMemory(limit)
	def := define(protocol.KeyString, 33, 600_000, protocol.GPC0)
	set.Define(epoch, nil, def)
	tb := set.Define(epoch, nil, def)
	src := tb.Source(def)
	for i := range 100_000 {
		src.Merge(at(int64(i/1000)), update(fmt.Sprint("key-", i), uint64(i)), Live)
	}
	is := change(def, func(d *protocol.Definition) { d.KeyLen = 65 })
	most := int64(0)
	longer := set.Define(at(1000), def, is)
	for range 100_000 {
		most = max(most, set.Memory())
		if again := set.Expire(at(1000), 32); again.After(at(1000)) {
			break
		}
	}
	if most > limit+limit/8 || set.Memory() > limit {
		t.Errorf("up to %d bytes, and %d in the end, of %d", most, set.Memory(), int64(limit))
	}
	if tb.Entries() == 0 || longer.Entries() == 0 {
		t.Errorf("%d and %d entries", tb.Entries(), longer.Entries())
	}
	checkSet(t, set)
}

// All at the same time, for the race detector.
func TestTakeOverConcurrently(t *testing.T) {
	const keys = 4000
	set := NewSet("section", epoch).WithShards(4)
	def := define(protocol.KeyString, 40, 1_000_000, protocol.GPC0)
	old := set.Define(epoch, nil, def)
	src := old.Source(def)
	for i := range keys {
		src.Merge(epoch, update(fmt.Sprint("key", i), uint64(i)), Live)
	}
	var (
		done atomic.Bool
		all  sync.WaitGroup
	)
	for range 2 {
		all.Go(func() {
			for !done.Load() {
				set.Expire(at(1), 32)
			}
		})
	}
	all.Go(func() {
		var b Batch
		var u protocol.Update
		for !done.Load() {
			for _, tb := range set.Tables() {
				var c LearnedCursor
				for tb.ReadLearned(&c, 100, at(1), &b); b.Len() > 0; tb.ReadLearned(&c, 100, at(1), &b) {
					for i := range b.Len() {
						b.Update(i, at(1), &u)
					}
					b.Release()
				}
			}
		}
	})
	was := def
	for i := range 20 {
		is := change(def, func(d *protocol.Definition) { d.KeyLen = 50 + i%7; d.Types |= uint64(i%2) << protocol.ConnCount })
		tb := set.Define(at(1), was, is)
		src := tb.Source(is)
		u := update("key1", slices.Repeat([]uint64{1}, src.Layout().Words)...)
		src.Merge(at(1), u, Live)
		was = is
	}
	done.Store(true)
	all.Wait()
	clean(t, set, at(1))
	expect(t, "tables, entries", []int{len(set.Tables()), set.Tables()[0].Entries()}, []int{1, keys})
	checkSet(t, set)
}
