package table

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
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

// naiveIndex is an index as a map.
type naiveIndex map[slot]uint64 // hashes

// consistent reports where x is not what naive is: each cell where a search
// from its home meets it, none twice.
func (x *index) consistent(naive naiveIndex) error {
	if x.used != len(naive) {
		return fmt.Errorf("%d used, want %d", x.used, len(naive))
	}
	if most := mostUsed * int(x.cells.len) / 16; x.used > most || x.old.len == 0 && x.cells.len > minCells && x.used < int(x.cells.len)/8 {
		return fmt.Errorf("%d used of %d", x.used, x.cells.len)
	}
	for s, h := range naive {
		n := 0
		for p := x.probe(h); p.next(); {
			if p.slot == s {
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("slot %d is found %d times", s, n)
		}
	}
	taken := 0
	for _, in := range []struct {
		*cells
		from uint64
	}{{&x.cells, 0}, {&x.old, x.moved}} {
		for i := in.from; i < in.len; i++ {
			if v := in.get(i); v != freeCell && v != goneCell {
				taken++
			}
		}
	}
	if taken != len(naive) {
		return fmt.Errorf("%d cells taken, want %d", taken, len(naive))
	}
	return nil
}

func TestIndex(t *testing.T) {
	// Hashes of few bits make long runs of cells, around the end too.
	for _, test := range []struct {
		name  string
		mask  uint64
		limit int
	}{
		{"random", math.MaxUint64, 1000},
		{"crowded", 7<<32 | 7<<60 | 1, 100},
		{"one hash", 0, 100},
		{"around the end", 3, 300},
		{"all ones", 0, 40},
	} {
		t.Run(test.name, func(t *testing.T) {
			seeds(t, func(t *testing.T, r *rand.Rand) {
				testIndex(t, test.limit, func(s slot) uint64 {
					switch h := r.Uint64() & test.mask; test.name {
					case "around the end":
						return h - 2
					case "all ones": // with the greatest slot it is nearly goneCell
						return math.MaxUint64
					default:
						return h
					}
				}, r)
			})
		})
	}
}

func testIndex(t *testing.T, limit int, newHash func(slot) uint64, r *rand.Rand) {
	var (
		x       index
		naive   = naiveIndex{}
		slots   []slot
		resizes int
	)
	for step := range steps(16_000) {
		// Periods of growth and of decline; most operations fall into a resize.
		grow := step*8/steps(16_000)%2 == 0
		s := slot(r.Uint32N(maxSlots))
		if step%100 == 0 {
			s = maxSlots - 1
		}
		_, known := naive[s]
		old := x.old.len
		switch i := r.IntN(len(slots) + 1); {
		case i < len(slots) && r.IntN(4) == 0 && !known:
			x.replace(naive[slots[i]], slots[i], s)
			naive[s] = naive[slots[i]]
			delete(naive, slots[i])
			slots[i] = s
		case i < len(slots) && (!grow || len(slots) >= limit || r.IntN(4) == 0):
			x.remove(naive[slots[i]], slots[i])
			delete(naive, slots[i])
			slots[i] = slots[len(slots)-1]
			slots = slots[:len(slots)-1]
		case !known:
			naive[s] = newHash(s)
			slots = append(slots, s)
			x.insert(naive[s], s)
		}
		if x.old.len != old && old == 0 {
			resizes++
		}
		if step%200 == 0 || x.old.len > 0 && step%50 == 0 {
			if err := x.consistent(naive); err != nil {
				t.Fatalf("step %d: %v", step, err)
			}
		}
		if len(slots) > 0 {
			s := slots[r.IntN(len(slots))]
			if in, at := x.seek(naive[s], s); cellSlot(in.get(at)) != s {
				t.Fatalf("step %d: slot %d is lost", step, s)
			}
		}
		for p := x.probe(r.Uint64()); p.next(); {
			if _, known := naive[p.slot]; !known {
				t.Fatalf("step %d: found what is not there", step)
			}
		}
	}
	for s, h := range naive {
		x.remove(h, s)
		delete(naive, s)
		if x.used%100 == 0 {
			if err := x.consistent(naive); err != nil {
				t.Fatal(err)
			}
		}
	}
	if x.cells.len > minCells || resizes < 4 {
		t.Errorf("%d cells in the end, after %d resizes", x.cells.len, resizes)
	}
}

// A table of many pieces grows and shrinks, and keeps no piece that it does not
// need.
func TestIndexPieces(t *testing.T) {
	const n = 5 * pieceCells
	var x index
	h := func(s slot) uint64 { return hash(binary.BigEndian.AppendUint32(nil, uint32(s))) }
	pieces := func() (n int) {
		for _, p := range append(x.cells.pieces[:len(x.cells.pieces):len(x.cells.pieces)], x.old.pieces...) {
			if p != nil {
				n++
			}
		}
		return n
	}
	for s := range slot(n) {
		x.insert(h(s), s)
	}
	expect(t, "cells, pieces", []int{int(x.cells.len), pieces()}, []int{8 * pieceCells, 8})
	for s := range slot(n) {
		if in, at := x.seek(h(s), s); cellSlot(in.get(at)) != s {
			t.Fatalf("slot %d is lost", s)
		}
	}
	for s := range slot(n) {
		x.remove(h(s), s)
	}
	expect(t, "cells, pieces", []int{int(x.cells.len), pieces()}, []int{minCells, 1})
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
			s := slot(r.Uint32N(2000)) // of several pieces
			shrink := step/5000%2 == 1
			end := r.Int64N(1000)
			if r.IntN(10) == 0 {
				end = r.Int64N(1 << 40)
			}
			_, known := ends[s]
			switch {
			case !known && shrink:
			case !known:
				q.push(place, end, s)
				ends[s] = end
			case shrink || r.IntN(9) == 0:
				q.remove(place, place[s])
				delete(ends, s)
				delete(place, s)
			default:
				// As the table does it: lazily where extended.
				if end < q.at(place[s]) {
					q.move(place, place[s], end)
				}
				ends[s] = end
			}
			if step%7 == 0 && q.len > 0 {
				q.move(place, 0, ends[q.node(0).slot()])
			}
			if q.len != len(ends) {
				t.Fatalf("%d in the queue, want %d", q.len, len(ends))
			}
			if piece, _ := where(q.len); len(q.pieces) > piece+2 {
				t.Fatalf("%d pieces for %d nodes", len(q.pieces), q.len)
			}
			if step%20 > 0 {
				continue
			}
			least := int64(1 << 62)
			for s, end := range ends {
				least = min(least, end)
				if d := *q.node(int(place[s])); d.slot() != s || d.at() > end {
					t.Fatalf("step %d: slot %d, which ends at %d, is %v", step, s, end, d)
				}
			}
			if d, ok := q.front(); ok != (len(ends) > 0) || ok && d.at() > least {
				t.Fatalf("step %d: front %v is later than %d", step, d, least)
			}
		}
		// Drained, the true order comes out.
		var last int64
		for q.len > 0 {
			d, _ := q.front()
			if end := ends[d.slot()]; end > d.at() {
				q.move(place, 0, end)
				continue
			}
			if d.at() < last {
				t.Fatal("out of order")
			}
			last = d.at()
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
				log := logs[i].after(p)
				for range 3 {
					ok := log.next()
					if a, s, nok := naive[i].next(p); ok != nok || ok && (log.position != a || log.slot != s) {
						t.Fatalf("step %d: log %d after %d: %d %d %v, want %d %d %v", step, i, p, log.position, log.slot, ok, a, s, nok)
					}
					if p = log.position; !ok {
						break
					}
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
						if b := len(l.blocks); b > l.live/32+2 {
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

// Each slot has a place of its own, chunk after chunk.
func TestChunks(t *testing.T) {
	for _, shift := range [][2]int{{firstShift, chunkShift}, {3, 10}, {0, 3}, {0, 1}, {2, 2}} {
		first, last := shift[0], shift[1]
		chunk, at := 0, 0
		for s := range slot(5000) {
			if c, a := chunkOf(s, first, last); c != chunk || a != at {
				t.Fatalf("%v: slot %d is at %d of chunk %d, want %d of %d", shift, s, a, c, at, chunk)
			}
			if at++; at == chunkLen(chunk, first, last) {
				chunk, at = chunk+1, 0
			}
		}
		if n := chunkLen(chunk, first, last); n != 1<<last {
			t.Errorf("%v: chunk %d is of %d", shift, chunk, n)
		}
	}
	for class := range longClasses {
		first, last := longChunks(class)
		if n := chunkLen(100, first, last) << (class + minLongShift); first > last || n != 65536 {
			t.Errorf("class %d: chunks of %d bytes", class, n)
		}
	}
}

// A 48-bit field is its own six bytes, and no other.
func TestFields(t *testing.T) {
	for _, v := range []int64{0, 1, 1 << 16, 1<<32 - 1, 1 << 32, 1<<47 + 12345, 1<<48 - 1} {
		for at := range 5 {
			for _, around := range []byte{0, 0xff} {
				b := bytes.Repeat([]byte{around}, 12)
				put48(b, at, v)
				if got := get48(b, at); got != v {
					t.Fatalf("put %x, got %x", v, got)
				}
				copy(b[at:at+6], bytes.Repeat([]byte{around}, 6))
				if !bytes.Equal(b, bytes.Repeat([]byte{around}, 12)) {
					t.Fatalf("%x at %d reached its neighbours: % x", v, at, b)
				}
			}
		}
	}
	for at, n := range map[int]int{atExpire: 6, atStamp: 6, atPosition: 6, atQueue: 4, atPins: 2, atKeyLen: 2, atGeneration: 2, atFlags: 1, atOrigin: 1} {
		next := headerSize
		for _, o := range []int{atExpire, atStamp, atPosition, atQueue, atPins, atKeyLen, atGeneration, atFlags, atOrigin} {
			if o > at {
				next = min(next, o)
			}
		}
		expect(t, fmt.Sprint("bytes of the field at ", at), next-at, n)
	}
	if d := newDeadline(1<<40-1, maxSlots-1); d.at() != 1<<40-1 || d.slot() != maxSlots-1 {
		t.Errorf("deadline at %d of slot %d", d.at(), d.slot())
	}
	last := &shard{number: maxShards - 1}
	if e := last.entry(maxSlots - 1); e>>slotBits != maxShards-1 || e&slotMask != maxSlots-1 || uint32(e)+1 == 0 {
		t.Errorf("entry %x", e)
	}
}

func TestStore(t *testing.T) {
	seeds(t, testStore)
}

func testStore(t *testing.T, r *rand.Rand) {
	st := &store{keyArea: inlineKey, long: make([]longKeys, longClasses)}
	st.setGroup(0, headerSize+inlineKey+8, nil)
	type entry struct {
		s      slot
		key    []byte
		values [3]byte // one a group, the last of its record
	}
	var (
		entries []*entry
		gens    = map[slot]uint16{}
		held    = map[slot][3][]byte{} // what a reader has, by slot
	)
	sizes := []int{0, 1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000, 4096, 4097, 8191, 8192, 8193, 16383, 16384, 32764}
	verify := func(e *entry) {
		if key := st.key(st.record(0, e.s)); !bytes.Equal(key, e.key) {
			t.Fatalf("slot %d has another key of %d bytes, want %d", e.s, len(key), len(e.key))
		}
		for g := range st.size {
			rc := st.record(g, e.s)
			if rc[len(rc)-1] != e.values[g] {
				t.Fatalf("slot %d has %d in group %d, want %d", e.s, rc[len(rc)-1], g, e.values[g])
			}
			if h := held[e.s][g]; h != nil && &h[0] != &rc[0] {
				t.Fatalf("slot %d has moved", e.s)
			}
		}
	}
	alloc := func() slot {
		s := st.alloc()
		rc := bytes.Clone(st.record(0, s))
		if g, known := gens[s]; known && generation(rc) != g+1 {
			t.Fatalf("slot %d is of generation %d after %d", s, generation(rc), g)
		}
		gens[s] = generation(rc)
		binary.LittleEndian.PutUint16(rc[atGeneration:], 0)
		for g := range st.size {
			if g > 0 {
				rc = st.record(g, s)
			}
			if !bytes.Equal(rc, make([]byte, len(rc))) {
				t.Fatalf("slot %d is not clean in group %d", s, g)
			}
		}
		if slices.ContainsFunc(entries, func(e *entry) bool { return e.s == s }) {
			t.Fatalf("slot %d was given out twice", s)
		}
		return s
	}
	for step := range 4000 {
		if step == 1500 || step == 3000 {
			st.setGroup(len(st.size), 5, st.fitGroup(nil, st.chunkCount(), 5))
		}
		switch {
		case len(entries) < 50 || r.IntN(2) == 0 && len(entries) < 900:
			e := &entry{s: alloc(), key: make([]byte, sizes[r.IntN(len(sizes))])}
			if len(entries) > 100 {
				e.key = e.key[:min(len(e.key), 70)]
			}
			for i := range e.key {
				e.key[i] = byte(r.Uint32())
			}
			st.setKey(e.s, st.record(0, e.s), e.key)
			for g := range st.size {
				e.values[g] = byte(r.Uint32())
				rc := st.record(g, e.s)
				rc[len(rc)-1] = e.values[g]
			}
			entries = append(entries, e)
		case r.IntN(4) == 0:
			e := *entries[r.IntN(len(entries))]
			from := st.record(0, e.s)
			pin(from)
			to := alloc()
			st.copyTo(to, e.s)
			if rc := st.record(0, to); generation(rc) != gens[to] || pins(rc) != 0 {
				t.Fatal("a copy has the generation or the pins of the original")
			}
			unpin(from)
			e.s = to
			entries = append(entries, &e)
		default:
			i := r.IntN(len(entries))
			st.release(entries[i].s)
			delete(held, entries[i].s)
			entries[i] = entries[len(entries)-1]
			entries = entries[:len(entries)-1]
		}
		if len(entries) > 0 {
			e := entries[r.IntN(len(entries))]
			verify(e)
			h := held[e.s]
			for g := range st.size {
				h[g] = st.record(g, e.s)
			}
			held[e.s] = h
		}
		if step%500 == 0 {
			for _, e := range entries {
				verify(e)
			}
		}
	}
	for _, e := range entries {
		st.release(e.s)
	}
	if st.longUsed() != 0 || st.free.len != int(st.next) {
		t.Errorf("%d long keys and %d slots are left", st.longUsed(), int(st.next)-st.free.len)
	}
}

func TestLongKeyClasses(t *testing.T) {
	for n := inlineKey + 1; n <= MaxKey; n++ {
		c := longClass(n)
		if size := 1<<(c+minLongShift) - ownerSize; size < n || c > 0 && (size-ownerSize)/2 >= n {
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
	slots, _ := used(tb)
	expect(t, "slots", slots, 3) // one is lost
}

func TestServerKeys(t *testing.T) {
	seeds(t, func(t *testing.T, r *rand.Rand) {
		var (
			a    account
			st   = newServerKeys(&a)
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
		n, size := 0, 0
		for s, u := range uses {
			if u > 0 {
				n++
				size += len(s) + serverKeySize
			}
		}
		if len(st.ids) != n || st.next > 41 || a.bytes.Load() != int64(size) {
			t.Errorf("%d keys in %d places, %d bytes; want %d in at most 40, %d bytes", len(st.ids), st.next-1, a.bytes.Load(), n, size)
		}
	})
}

// The collector has nothing to look into: bytes an entry are those of the
// records, the index, the queue and the log.
func TestBytesAnEntry(t *testing.T) {
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
	if each > 100 {
		t.Errorf("%.0f bytes an entry", each)
	}
	runtime.KeepAlive(tb)
}
