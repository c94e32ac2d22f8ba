package table

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/peersd/peersd/protocol"
)

// seeds are fixed ones and a fresh one, which a failure prints with its name.
func seeds(t *testing.T, f func(t *testing.T, r *rand.Rand)) {
	for _, seed := range []uint64{1, 2, 3, rand.Uint64()} {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) { f(t, rand.New(rand.NewPCG(seed, 0))) })
	}
}

// steps is fewer of them where each takes longer.
func steps(n int) int {
	if raceEnabled {
		return n / 4
	}
	return n
}

func TestIndex(t *testing.T) {
	// Hashes of few bits make long runs of cells, around the end too.
	for name, mask := range map[string]uint64{"random": 1<<64 - 1, "crowded": 7<<32 | 7<<60 | 1, "one": 0} {
		t.Run(name, func(t *testing.T) {
			seeds(t, func(t *testing.T, r *rand.Rand) { testIndex(t, r, mask) })
		})
	}
}

func testIndex(t *testing.T, r *rand.Rand, mask uint64) {
	var (
		x     index
		hash  = map[slot]uint64{}
		slots []slot
	)
	limit := 2000
	if mask != 1<<64-1 {
		limit = 100
	}
	for step := range 20_000 {
		s := slot(r.Uint32N(1 << 20))
		if step%1000 == 0 {
			s = 1<<32 - 2
		}
		h, known := hash[s]
		// Periods of growth and of decline.
		if grow := step/5000%2 == 0; grow && len(slots) < limit || r.IntN(3) == 0 {
			if !known {
				hash[s] = r.Uint64() & mask
				slots = append(slots, s)
				x.insert(hash[s], s)
			}
		} else if len(slots) > 0 {
			i := r.IntN(len(slots))
			old := slots[i]
			if r.IntN(3) == 0 && !known {
				x.replace(hash[old], old, s)
				hash[s], slots[i] = hash[old], s
			} else {
				x.remove(hash[old], old)
				slots[i] = slots[len(slots)-1]
				slots = slots[:len(slots)-1]
			}
			delete(hash, old)
		}
		if x.used != len(hash) || 4*x.used > 3*len(x.cells) {
			t.Fatalf("step %d: %d used of %d, want %d", step, x.used, len(x.cells), len(hash))
		}
		if len(x.cells) > minCells && 8*x.used < len(x.cells) {
			t.Fatalf("step %d: %d cells for %d", step, len(x.cells), x.used)
		}
		if len(slots) > 0 {
			s := slots[r.IntN(len(slots))]
			if got, ok := x.find(hash[s], func(c slot) bool { return c == s }); !ok || got != s {
				t.Fatalf("step %d: slot %d is lost", step, s)
			}
		}
		if _, ok := x.find(h, func(c slot) bool { return c == 1<<21 }); ok {
			t.Fatal("found what was never there")
		}
	}
	for s, h := range hash {
		if _, ok := x.find(h, func(c slot) bool { return c == s }); !ok {
			t.Fatalf("slot %d is lost", s)
		}
		x.remove(h, s)
	}
	if x.used != 0 || len(x.cells) > minCells || slices.ContainsFunc(x.cells, func(c uint64) bool { return c != 0 }) {
		t.Errorf("not empty in the end: %d used, %v", x.used, x.cells)
	}
}

// queuePlaces remembers where the queue says each slot is.
type queuePlaces map[slot]int32

func (p queuePlaces) place(s slot, position int32) { p[s] = position }

func TestExpiryQueue(t *testing.T) {
	seeds(t, func(t *testing.T, r *rand.Rand) {
		var (
			q     expiryQueue
			place = queuePlaces{}
			ends  = map[slot]int64{} // the true ones
		)
		for step := range steps(20_000) {
			s := slot(r.Uint32N(300))
			end := r.Int64N(1000)
			if r.IntN(10) == 0 {
				end = r.Int64N(1 << 60)
			}
			_, known := ends[s]
			switch {
			case !known:
				q.push(place, end, s)
				ends[s] = end
			case r.IntN(3) == 0:
				q.remove(place, place[s])
				delete(ends, s)
				delete(place, s)
			default:
				// As the table does it: lazily where extended.
				if end < q.heap[place[s]].at {
					q.move(place, place[s], end)
				}
				ends[s] = end
			}
			if step%7 == 0 && len(q.heap) > 0 {
				q.move(place, 0, ends[q.heap[0].s])
			}
			if len(q.heap) != len(ends) {
				t.Fatalf("%d in the queue, want %d", len(q.heap), len(ends))
			}
			least := int64(1 << 62)
			for s, end := range ends {
				least = min(least, end)
				if d := q.heap[place[s]]; d.s != s || d.at > end {
					t.Fatalf("step %d: slot %d, which ends at %d, is %v", step, s, end, d)
				}
			}
			if d, ok := q.front(); ok != (len(ends) > 0) || ok && d.at > least {
				t.Fatalf("step %d: front %v is later than %d", step, d, least)
			}
		}
		// Drained, the true order comes out.
		var last int64
		for len(q.heap) > 0 {
			d, _ := q.front()
			if end := ends[d.s]; end > d.at {
				q.move(place, 0, end)
				continue
			}
			if d.at < last {
				t.Fatal("out of order")
			}
			last = d.at
			q.remove(place, 0)
		}
	})
}

// naiveLog is a log as a sorted list.
type naiveLog []struct {
	at uint64
	s  slot
}

func (l naiveLog) next(position uint64) (uint64, slot, bool) {
	for _, e := range l {
		if e.at > position {
			return e.at, e.s, true
		}
	}
	return 0, 0, false
}

// cells are what is allocated for a log.
func (l *updateLog) cells() (n int) {
	for _, b := range l.blocks {
		n += cap(b.slots)
	}
	return n + cap(l.spare)
}

func (l *updateLog) consistent() error {
	live := 0
	if len(l.bases) != len(l.blocks) {
		return fmt.Errorf("%d bases of %d blocks", len(l.bases), len(l.blocks))
	}
	for i, b := range l.blocks {
		n := 0
		if l.bases[i] != b.base {
			return fmt.Errorf("base of block %d is %d, want %d", i, l.bases[i], b.base)
		}
		for _, v := range b.slots {
			if v != 0 {
				n++
			}
		}
		live += n
		last := i == len(l.blocks)-1
		switch {
		case n != b.live:
			return fmt.Errorf("block %d counts %d of %d", i, b.live, n)
		case last && b.offsets != nil:
			return fmt.Errorf("last block is packed")
		case !last && b.live > 0 && b.end() >= l.blocks[i+1].base:
			return fmt.Errorf("blocks %d and the next overlap", i)
		case !last && cap(b.slots) > 4*b.live:
			return fmt.Errorf("block %d has %d cells for %d", i, cap(b.slots), b.live)
		case b.offsets != nil && len(b.offsets) != len(b.slots):
			return fmt.Errorf("block %d has %d offsets for %d", i, len(b.offsets), len(b.slots))
		}
	}
	if live != l.live {
		return fmt.Errorf("log counts %d of %d", l.live, live)
	}
	return nil
}

func TestUpdateLog(t *testing.T) {
	for _, keys := range []int{1, 20, 700} {
		t.Run(fmt.Sprint(keys, " keys"), func(t *testing.T) {
			seeds(t, func(t *testing.T, r *rand.Rand) { testUpdateLog(t, r, keys) })
		})
	}
}

func testUpdateLog(t *testing.T, r *rand.Rand, keys int) {
	type where struct {
		log int
		at  uint64
	}
	var (
		logs     [2]updateLog
		naive    [2]naiveLog
		places   = map[slot]where{}
		position uint64
	)
	out := func(s slot) {
		w := places[s]
		logs[w.log].remove(w.at)
		naive[w.log] = slices.DeleteFunc(naive[w.log], func(e struct {
			at uint64
			s  slot
		}) bool {
			return e.at == w.at
		})
		delete(places, s)
	}
	for step := range steps(10_000) {
		s := slot(r.IntN(keys))
		if r.IntN(3) > 0 {
			s = slot(r.IntN(1 + keys/20)) // a few hot ones
		}
		_, known := places[s]
		switch action := r.IntN(20); {
		case known && action == 0:
			out(s)
		case known && action == 1:
			w := places[s]
			c := s + slot(keys) // a copy takes its place
			if _, taken := places[c]; !taken {
				logs[w.log].replace(w.at, c)
				for i := range naive[w.log] {
					if naive[w.log][i].at == w.at {
						naive[w.log][i].s = c
					}
				}
				delete(places, s)
				places[c] = w
			}
		case action == 2:
			for c := slot(keys); c < slot(2*keys); c++ {
				if _, ok := places[c]; ok {
					out(c)
				}
			}
		default:
			if known {
				out(s)
			}
			log := 0
			if r.IntN(300) < 1+step/2500*100 {
				log = 1
			}
			switch position++; r.IntN(1000) {
			case 0:
				position += r.Uint64N(3 * blockLen)
			case 1:
				position += 1 << 31 // farther than offsets reach
			}
			logs[log].append(position, s)
			naive[log] = append(naive[log], struct {
				at uint64
				s  slot
			}{position, s})
			places[s] = where{log, position}
		}
		for i := range logs {
			for _, p := range []uint64{0, r.Uint64N(position + 2), position, position + 5000, position - min(position, r.Uint64N(2000))} {
				a, s, ok := logs[i].next(p)
				if na, ns, nok := naive[i].next(p); a != na || s != ns || ok != nok {
					t.Fatalf("step %d: log %d after %d: %d %d %v, want %d %d %v", step, i, p, a, s, ok, na, ns, nok)
				}
			}
			if err := logs[i].consistent(); step%50 == 0 && err != nil {
				t.Fatalf("step %d: log %d: %v", step, i, err)
			}
		}
	}
}

// Millions of updates of a few hot entries among many cold ones, in two logs,
// take memory for the entries only.
func TestUpdateLogMemory(t *testing.T) {
	const hot = 50
	for _, test := range []struct {
		name           string
		cold, updates  int
		every          int // of how many updates one makes a cold entry
		changed        int // one of how many goes to the other log
		deleteColdOnes bool
	}{
		{"one entry", 0, 1_000_000, 1, 1 << 30, false},
		{"hot ones only", 0, 1_000_000, 1, 1 << 30, false},
		{"cold ones first", 20_000, 1_000_000, 1, 1 << 30, false},
		{"a cold one now and then", 5_000, 1_000_000, 200, 1 << 30, false},
		{"a cold one a block", 2_000, 1_100_000, 513, 1 << 30, false},
		{"in two logs", 5_000, 1_000_000, 100, 600, false},
		{"in two logs, half and half", 5_000, 1_000_000, 100, 2, false},
		{"cold ones go", 20_000, 1_000_000, 3, 700, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var (
				logs     [2]updateLog
				position uint64
				place    = make([]uint64, hot+test.cold)
				log      = make([]int, hot+test.cold)
				cold     = hot
				r        = rand.New(rand.NewPCG(1, 1))
			)
			touch := func(s int) {
				if place[s] != 0 {
					logs[log[s]].remove(place[s])
				}
				position++
				log[s] = 0
				if position%uint64(test.changed) == 0 {
					log[s] = 1
				}
				place[s] = position
				logs[log[s]].append(position, slot(s))
			}
			most := 0
			for n := range steps(test.updates) {
				switch {
				case test.name == "one entry":
					touch(0)
				case n%test.every == 0 && cold < len(place):
					touch(cold)
					cold++
				default:
					touch(r.IntN(hot))
				}
				if n%997 == 0 {
					for i := range logs {
						l := &logs[i]
						// The last block and the spare one are full-sized.
						if c := l.cells() - 2*blockLen; c > 4*l.live {
							t.Fatalf("after %d updates log %d has %d cells for %d entries", n, i, c, l.live)
						}
						if b := len(l.blocks); b > fewBlocks+2 && b > l.live/32+2 {
							t.Fatalf("after %d updates log %d has %d blocks for %d entries", n, i, b, l.live)
						}
						most = max(most, l.cells())
					}
				}
			}
			if test.deleteColdOnes {
				for s := hot; s < cold; s++ {
					logs[log[s]].remove(place[s])
				}
			}
			for i := range logs {
				if err := logs[i].consistent(); err != nil {
					t.Error(err)
				}
				t.Logf("log %d: %d entries, %d cells, %d blocks", i, logs[i].live, logs[i].cells(), len(logs[i].blocks))
			}
		})
	}
}

func TestStore(t *testing.T) {
	seeds(t, func(t *testing.T, r *rand.Rand) {
		st := &store{view: view{keyArea: inlineKey}}
		st.setGroup(0, headerSize+inlineKey+8)
		type record struct {
			key    []byte
			values [3]byte // one a group
		}
		type reader struct {
			v view
			s slot
			r record
		}
		var (
			used    = map[slot]*record{}
			slots   []slot
			gens    = map[slot]uint16{}
			readers []reader
		)
		mark := func(s slot, rec *record) {
			for g := range st.chunks {
				rc := st.record(g, s)
				rc[len(rc)-1] = rec.values[g]
			}
		}
		sizes := []int{0, 1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000, 4096, 4097, 8191, 8192, 8193, 16383, 16384, 32768}
		verify := func(v *view, s slot, rec *record) {
			if !bytes.Equal(v.key(s), rec.key) {
				t.Fatalf("slot %d has another key of %d bytes, want %d", s, len(v.key(s)), len(rec.key))
			}
			for g := range v.chunks {
				if rc := v.record(g, s); rc[len(rc)-1] != rec.values[g] {
					t.Fatalf("slot %d has %d in group %d, want %d", s, rc[len(rc)-1], g, rec.values[g])
				}
			}
		}
		for step := range 6000 {
			if step == 2000 || step == 4000 {
				st.setGroup(len(st.chunks), 5)
				for s, rec := range used {
					rec.values[len(st.chunks)-1] = 0
					verify(&st.view, s, rec)
				}
			}
			switch {
			case len(slots) < 50 || r.IntN(2) == 0 && len(slots) < 900:
				rec := &record{key: make([]byte, sizes[r.IntN(len(sizes))])}
				if len(slots) > 100 {
					rec.key = rec.key[:min(len(rec.key), 70)]
				}
				for i := range rec.key {
					rec.key[i] = byte(r.Uint32())
				}
				s := st.alloc()
				if used[s] != nil {
					t.Fatalf("slot %d was given out twice", s)
				}
				if g, known := gens[s]; known && st.generation(s) != g+1 {
					t.Fatalf("slot %d is of generation %d after %d", s, st.generation(s), g)
				}
				for g := range st.chunks {
					if rc := bytes.Clone(st.record(g, s)); g == 0 {
						binary.LittleEndian.PutUint16(rc[atGeneration:], 0)
						if !bytes.Equal(rc, make([]byte, len(rc))) {
							t.Fatalf("slot %d is not clean", s)
						}
					} else if !bytes.Equal(rc, make([]byte, len(rc))) {
						t.Fatalf("slot %d is not clean in group %d", s, g)
					}
				}
				for g := range rec.values {
					rec.values[g] = byte(r.Uint32())
				}
				st.setKey(s, rec.key)
				mark(s, rec)
				used[s], gens[s] = rec, st.generation(s)
				slots = append(slots, s)
			case r.IntN(4) == 0:
				from := slots[r.IntN(len(slots))]
				pin(st.record(0, from))
				to := st.alloc()
				gen := st.generation(to)
				st.copyTo(to, from)
				if st.generation(to) != gen || pins(st.record(0, to)) != 0 {
					t.Fatal("a copy has the generation or the pins of the original")
				}
				unpin(st.record(0, from))
				rec := *used[from]
				used[to], gens[to] = &rec, gen
				slots = append(slots, to)
			default:
				i := r.IntN(len(slots))
				s := slots[i]
				if slices.ContainsFunc(readers, func(rd reader) bool { return rd.s == s }) {
					continue // pinned
				}
				st.release(s)
				delete(used, s)
				slots[i] = slots[len(slots)-1]
				slots = slots[:len(slots)-1]
			}
			if len(slots) > 0 {
				s := slots[r.IntN(len(slots))]
				verify(&st.view, s, used[s])
				if len(readers) < 20 {
					readers = append(readers, reader{st.view, s, *used[s]})
				}
			}
			for i := range readers {
				verify(&readers[i].v, readers[i].s, &readers[i].r)
			}
			if len(readers) == 20 && r.IntN(10) == 0 {
				readers = readers[:0]
			}
		}
		for _, s := range slots {
			st.release(s)
		}
		if st.longUsed() != 0 || len(st.free) != int(st.next) {
			t.Errorf("%d long keys and %d slots are left", st.longUsed(), int(st.next)-len(st.free))
		}
	})
}

func TestLongKeyClasses(t *testing.T) {
	for n := inlineKey + 1; n <= 1<<(longClasses-1+minLongShift); n++ {
		c := longClass(n)
		if size := 1 << (c + minLongShift); size < n || c > 0 && size/2 >= n {
			t.Fatalf("a key of %d bytes goes to class %d of %d bytes", n, c, size)
		}
	}
}

// A record with more readers than can be counted is never freed, and never
// changes.
func TestPinsSaturate(t *testing.T) {
	tb, src := newTable1(define(protocol.KeyString, 100, 1000, protocol.GPC0))
	key := strings.Repeat("k", 99)
	src.Merge(epoch, update(key, 1), Live)
	const readers = 1<<16 + 10
	batches := make([]Batch, readers)
	for i := range batches {
		tb.Find([]byte(key), epoch, &batches[i])
	}
	src.Merge(epoch, update(key, 2), Live)
	for i := range batches[1:] {
		batches[1+i].Release()
	}
	src.Merge(epoch, update(strings.Repeat("n", 99), 3), Live)
	expect(t, "still as it was", entry(&batches[0], 0, epoch), "1000 [1]")
	batches[0].Release()
	expect(t, "entry", get(tb, key, epoch), "1000 [2]")
	expect(t, "slots free", len(tb.store.free), 0)
}

func TestStringTable(t *testing.T) {
	seeds(t, func(t *testing.T, r *rand.Rand) {
		var (
			st   stringTable
			uses = map[string]uint32{}
			ids  = map[string]uint32{}
		)
		if st.acquire("") != 0 || st.get(0) != "" {
			t.Fatal("no string is not 0")
		}
		st.release(0)
		st.addUse(0)
		for range 20_000 {
			s := fmt.Sprint("server", r.IntN(40))
			switch r.IntN(4) {
			case 0:
				id := st.acquire(s)
				if known := ids[s]; uses[s] > 0 && id != known {
					t.Fatalf("%s has ids %d and %d", s, known, id)
				}
				ids[s] = id
				uses[s]++
			case 1:
				if uses[s] > 0 {
					st.addUse(ids[s])
					uses[s]++
				}
			default:
				if uses[s] > 0 {
					st.release(ids[s])
					uses[s]--
				}
			}
			if uses[s] > 0 && st.get(ids[s]) != s {
				t.Fatalf("id %d is %q, want %q", ids[s], st.get(ids[s]), s)
			}
		}
		n := 0
		for _, u := range uses {
			if u > 0 {
				n++
			}
		}
		if len(st.ids) != n || len(st.strings) > 41 {
			t.Errorf("%d strings in %d places, want %d in at most 41", len(st.ids), len(st.strings), n)
		}
	})
}

// The collector has nothing to look into: bytes an entry are those of the
// records, the index, the queue and the log.
func TestBytesAnEntry(t *testing.T) {
	if testing.Short() {
		t.Skip()
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	n := steps(200_000)
	before := heap()
	tb, src := newTable1(define(protocol.KeyIPv4, 4, 1000, protocol.GPC0, protocol.HTTPReqRate, protocol.ConnCount))
	u := update("1234", 1, 2, 3, 4, 5)
	for i := range uint32(n) {
		binary.BigEndian.PutUint32(u.Key, i)
		src.Merge(epoch, u, Live)
	}
	each := float64(heap()-before) / float64(n)
	t.Logf("%.0f bytes an entry", each)
	if each > 130 {
		t.Errorf("%.0f bytes an entry", each)
	}
	runtime.KeepAlive(tb)
}
