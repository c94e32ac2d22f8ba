package table

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
)

// typical is a table as people have it.
func typical(keyType protocol.KeyType, keyLen int) *protocol.Definition {
	return define(keyType, keyLen, 10_000_000, protocol.GPC0, protocol.HTTPReqRate, protocol.ConnCount)
}

func noAllocs(t *testing.T, what string, runs int, f func()) {
	t.Helper()
	if raceEnabled {
		f()
		return
	}
	if n := testing.AllocsPerRun(runs, f); n != 0 {
		t.Errorf("%s: %v allocations", what, n)
	}
}

func TestAllocations(t *testing.T) {
	for _, k := range append(modelKeys[:len(modelKeys):len(modelKeys)], modelKeys[0]) {
		def := typical(k.keyType, k.keyLen)
		def.Types |= 1<<protocol.ServerKey | 1<<protocol.BytesInCount
		set := NewSet("section", epoch)
		tb := set.Define(epoch, nil, def)
		part := change(def, func(d *protocol.Definition) { d.Types = 1<<protocol.GPC0 | 1<<protocol.ServerKey })
		set.Define(epoch, nil, part)
		src, partial := tb.Source(def), tb.Source(part)
		name := KeySpec(k.keyType, k.keyLen)

		u := wholeUpdate(def)
		if k.keyType == protocol.KeyString {
			u.Key = u.Key[:k.keyLen-1]
		}
		var n uint32
		key := func(of uint32) {
			n++
			binary.BigEndian.PutUint32(u.Key, n%of)
			u.Values[0] = uint64(n)
			u.ServerKey = servers[n%7]
		}
		now := int64(0)
		for range 3000 {
			key(1000)
			src.Merge(at(now), u, Live)
			partial.Merge(at(now), u, Local)
		}
		for how := range Local + 1 {
			noAllocs(t, fmt.Sprintf("%s: merge of known keys, how %d", name, how), 2000, func() {
				now++
				key(1000)
				src.Merge(at(now), u, how)
				partial.Merge(at(now), u, how)
			})
		}
		noAllocs(t, name+": merge of one key", 2000, func() {
			key(1)
			src.Merge(at(now), u, Live)
		})
		noAllocs(t, name+": merge of new keys", 10_000, func() {
			key(1 << 31)
			src.Merge(at(now), u, Live)
		})

		var (
			b    Batch
			got  protocol.Update
			buf  []byte
			dict protocol.DictionaryWriter
		)
		var learned LearnedCursor
		var position uint64
		for log, read := range map[string]func(){
			"learned": func() {
				if tb.ReadLearned(&learned, 200, at(now), &b); b.Len() < 200 {
					clear(learned.shards)
				}
			},
			"changed": func() {
				if position = tb.ReadChanged(position, 200, at(now), &b); b.Len() < 200 {
					position = 0
				}
			},
		} {
			batch := func() {
				read()
				buf = buf[:0]
				for i := range b.Len() {
					b.Update(i, at(now), &got)
					buf = protocol.AppendUpdate(buf, b.Layout(), &dict, &got)
				}
				b.Release()
			}
			for range 100 {
				batch()
			}
			noAllocs(t, name+": a batch of 200, "+log, 100, batch)
		}
		noAllocs(t, name+": find and walk", 100, func() {
			var cursor Cursor
			tb.Find(u.Key, at(now), &b)
			b.Release()
			tb.Walk(&cursor, 100, at(now), &b)
			b.Release()
		})
		noAllocs(t, name+": merge while pinned, and expire", 1000, func() {
			key(1000)
			tb.Find(u.Key, at(now), &b)
			src.Merge(at(now), u, Live)
			b.Release()
			tb.Expire(at(now), 10)
		})
	}
}

// fillTable merges n keys, in a random order where there is one.
func fillTable(src *Source, n int, u *protocol.Update, order []uint32) {
	for i := range n {
		key := uint32(i)
		if order != nil {
			key = order[i]
		}
		binary.BigEndian.PutUint32(u.Key, key)
		src.Merge(epoch, u, Live)
	}
}

// randomKeys are n different numbers.
func randomKeys(n int) []uint32 {
	keys := make([]uint32, n)
	for i := range keys {
		keys[i] = uint32(i) * 2654435761 // odd: no two are alike
	}
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return keys
}

func BenchmarkMerge(b *testing.B) {
	const million = 1_000_000
	keys := randomKeys(million)
	u := update("1234", 1, 2, 3, 4, 5)
	b.Run("existing1000", func(b *testing.B) {
		_, src := newTable1(typical(protocol.KeyIPv4, 4))
		fillTable(src, 1000, u, keys)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			binary.BigEndian.PutUint32(u.Key, keys[i%1000])
			src.Merge(at(int64(i)/1000), u, Live)
		}
	})
	b.Run("existing1M", func(b *testing.B) {
		_, src := newTable1(typical(protocol.KeyIPv4, 4))
		fillTable(src, million, u, keys)
		order := rand.New(rand.NewPCG(3, 4)).Perm(million)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			binary.BigEndian.PutUint32(u.Key, keys[order[i%million]])
			src.Merge(at(int64(i)/1000), u, Live)
		}
	})
	// A lesson of a million keys, from an empty table on.
	for _, k := range []struct {
		name    string
		keyType protocol.KeyType
		keyLen  int
	}{{"new1M", protocol.KeyIPv4, 4}, {"new1MString32", protocol.KeyString, 33}} {
		b.Run(k.name, func(b *testing.B) {
			u := &protocol.Update{Key: []byte(strings.Repeat("k", min(k.keyLen, 32))), Values: u.Values}
			b.ReportAllocs()
			for b.Loop() {
				_, src := newTable1(typical(k.keyType, k.keyLen))
				fillTable(src, million, u, keys)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/million, "ns/entry")
		})
	}
}

// BenchmarkMergeParallel is of as many sessions as -cpu says, each of which is
// sent changes of all keys, in an order of its own.
func BenchmarkMergeParallel(b *testing.B) {
	const million = 1_000_000
	keys := randomKeys(million)
	def := typical(protocol.KeyIPv4, 4)
	tb := NewSet("section", epoch).Define(epoch, nil, def)
	fillTable(tb.Source(def), million, update("1234", 1, 2, 3, 4, 5), keys)
	var sessions atomic.Uint64
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		src, all := tb.Source(def), make([]Arrival, MaxArrivals)
		order := rand.New(rand.NewPCG(sessions.Add(1), 4)).Perm(million)
		for i := range all {
			all[i].Update = *update("1234", 1, 2, 3, 4, 5)
		}
		for i, n := 0, 0; pb.Next(); i++ {
			binary.BigEndian.PutUint32(all[n].Key, keys[order[i%million]])
			if n++; n == len(all) {
				src.MergeAll(epoch, all)
				n = 0
			}
		}
	})
}

// BenchmarkBatch200 is what a session does to teach: 200 entries are pinned,
// encoded and unpinned.
func BenchmarkBatch200(b *testing.B) {
	const million = 1_000_000
	keys := randomKeys(million)
	for _, test := range []struct {
		name     string
		n        int
		how      How
		shuffled bool
	}{
		{"10k", 10_000, Live, false},
		{"1M", million, Live, false},
		{"1M/shuffled", million, Live, true}, // the log's order is not that of the slots
		{"10k/changed", 10_000, Local, false},
		{"1M/changed", million, Local, false},
	} {
		b.Run(test.name, func(b *testing.B) {
			def := typical(protocol.KeyIPv4, 4)
			tb := NewSet("section", epoch).Define(epoch, nil, def)
			src, u := tb.Source(def), update("1234", 1, 2, 3, 4, 5)
			fill := func(key uint32) {
				binary.BigEndian.PutUint32(u.Key, key)
				src.Merge(epoch, u, test.how)
			}
			for _, key := range keys[:test.n] {
				fill(key)
			}
			if test.shuffled {
				for _, i := range rand.New(rand.NewPCG(3, 4)).Perm(test.n) {
					fill(keys[i])
				}
			}
			benchmarkBatches(b, tb, test.how)
		})
	}
}

func benchmarkBatches(b *testing.B, tb *Table, how How) {
	var (
		batch    Batch
		u        protocol.Update
		dict     protocol.DictionaryWriter
		buf      = make([]byte, 0, 16384)
		learned  LearnedCursor
		position uint64
		now      = at(1)
	)
	b.ReportAllocs()
	for b.Loop() {
		if how == Local {
			position = tb.ReadChanged(position, 200, now, &batch)
		} else {
			tb.ReadLearned(&learned, 200, now, &batch)
		}
		buf = buf[:0]
		for i := range batch.Len() {
			batch.Update(i, now, &u)
			u.Timed = true
			buf = protocol.AppendUpdate(buf, batch.Layout(), &dict, &u)
		}
		if batch.Len() < 200 {
			position, learned = 0, LearnedCursor{}
		}
		batch.Release()
	}
}

// BenchmarkExpireMillion ends a million entries at once, and reports how long
// the cleaner holds the lock of a shard in one turn, by its budget.
func BenchmarkExpireMillion(b *testing.B) {
	const million = 1_000_000
	keys := randomKeys(million)
	for _, budget := range []int{32, 64, 128} {
		b.Run(fmt.Sprint("budget", budget), func(b *testing.B) {
			var (
				turns []time.Duration
				u     = timed(0, "1234", 1, 2, 3, 4, 5)
				def   = typical(protocol.KeyIPv4, 4)
			)
			for b.Loop() {
				b.StopTimer()
				tb := NewSet("section", epoch).Define(epoch, nil, def)
				src := tb.Source(def)
				for i, key := range keys {
					binary.BigEndian.PutUint32(u.Key, key)
					u.Remaining = 1 + uint32(i*7919)%100_000
					src.Merge(epoch, u, Taught)
				}
				runtime.GC()
				b.StartTimer()
				tick := tb.set.clock.tick(at(200_000))
				for left := len(tb.shards); left > 0; {
					left = 0
					for i := range tb.shards {
						before := time.Now()
						if _, next := tb.open(i).expire(tick, budget); next != 0 {
							left++
						}
						turns = append(turns, time.Since(before))
					}
				}
			}
			slices.Sort(turns)
			for name, n := range map[string]int{"p50": 500, "p99": 990, "p99.9": 999, "max": 1000} {
				b.ReportMetric(float64(turns[(len(turns)-1)*n/1000].Nanoseconds())/1000, "µs-"+name)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/million, "ns/entry")
		})
	}
}

// BenchmarkMergeAll is BenchmarkMerge of many at once, as a session does it.
func BenchmarkMergeAll(b *testing.B) {
	const million = 1_000_000
	for _, test := range []struct{ entries, shards int }{{million, 1}, {million, 8}, {million, 64}, {10 * million, 8}} {
		b.Run(fmt.Sprintf("existing%dM/shards%d", test.entries/million, test.shards), func(b *testing.B) {
			keys := randomKeys(test.entries)
			def := typical(protocol.KeyIPv4, 4)
			src := NewSet("section", epoch).WithShards(test.shards).Define(epoch, nil, def).Source(def)
			fillTable(src, len(keys), update("1234", 1, 2, 3, 4, 5), keys)
			rand.New(rand.NewPCG(3, 4)).Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
			all := make([]Arrival, MaxArrivals)
			for i := range all {
				all[i].Update = *update("1234", 1, 2, 3, 4, 5)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += len(all) {
				for j := range all {
					binary.BigEndian.PutUint32(all[j].Key, keys[(i+j)%len(keys)])
				}
				src.MergeAll(at(int64(i)/1000), all)
			}
		})
	}
}
