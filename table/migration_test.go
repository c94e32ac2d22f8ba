package table

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/peersd/peersd/protocol"
)

// While a shard goes over to another schema, a few records at a time, entries
// come, change, are read and go: in the end each is as it should be.
func TestMigration(t *testing.T) {
	seeds(t, testMigration)
}

func testMigration(t *testing.T, r *rand.Rand) {
	// As many groups as there can be: the next change makes them one again.
	def := define(protocol.KeyString, 40, 1_000_000, protocol.GPC0)
	set := newSet1()
	tb := set.Define(epoch, nil, def)
	for _, dt := range []protocol.DataType{protocol.ServerKey, protocol.GPTArray, protocol.BytesInCount} {
		was := def
		def = change(def, func(d *protocol.Definition) { d.Types |= 1 << dt; d.Params[protocol.GPTArray].Elements = 3 })
		set.Define(epoch, was, def)
	}
	expect(t, "groups", tb.schema.groups, maxGroups)
	type pinned struct {
		b   *Batch
		was string
	}
	type known struct {
		value uint64
		part  bool // only its gpc0 was brought
		end   int64
	}
	var (
		sh      = tb.open(0)
		src     = tb.Source(def)
		part    = tb.Source(change(def, func(d *protocol.Definition) { d.Types = 1 << protocol.GPC0 }))
		entries = map[string]known{}
		held    []pinned
		now     = int64(0)
	)
	name := func(n int) string { return fmt.Sprintf("%0*d", 6+n%34, n) } // short and long ones
	merge := func(key string) {
		k := known{value: r.Uint64N(1000), end: now + 1 + r.Int64N(100)}
		v := k.value
		u := timed(uint32(k.end-now), key, v, v+1, 0, v+2, v+3, v+4) // gpc0, bytes_in_cnt, server_key, gpt
		u.ServerKey = servers[v%7]
		if e, there := entries[key]; (!there || e.end <= now) && v%2 == 0 {
			k.part = true
			part.Merge(at(now), u, Live)
		} else {
			src.Merge(at(now), u, []How{Live, Local}[v%3%2])
		}
		entries[key] = k
	}
	for n := range 6 * maxPassed {
		merge(name(n))
	}
	next, c := tb.schema.with(change(tb.schema.def, func(d *protocol.Definition) {
		d.Types |= 1 << protocol.ConnCount
		d.Params[protocol.GPTArray].Elements = 4
	}), headerSize+sh.store.keyArea)
	m := &migration{next: next, transition: c}
	turns := 1
	for ; !sh.adoptSome(m); turns++ {
		for range 400 {
			key := name(r.IntN(7 * maxPassed))
			switch r.IntN(6) {
			case 0:
				b := new(Batch)
				if tb.Find([]byte(key), at(now), b); b.Len() > 0 {
					held = append(held, pinned{b, entry(b, 0, at(now))})
				}
			case 1:
				tb.Expire(at(now), 5)
			case 2:
				if n := len(held); n > 0 {
					i := r.IntN(n)
					held[i].b.Release()
					held[i] = held[n-1]
					held = held[:n-1]
				}
			default:
				merge(key)
			}
		}
		now += 5
	}
	tb.schema = next
	expect(t, "turns", turns >= 6, true)
	expect(t, "groups", sh.schema.groups, 2)
	check(t, tb)
	for _, h := range held {
		_, got, _ := strings.Cut(entry(h.b, 0, at(now)), " ")
		if _, was, _ := strings.Cut(h.was, " "); got != was {
			t.Fatalf("pinned as %s, is %s", was, got)
		}
		h.b.Release()
	}
	for n := range 7 * maxPassed { // free slots are used again
		if r.IntN(4) == 0 {
			merge(name(n))
		}
	}
	for key, k := range entries {
		v := k.value
		want := fmt.Sprintf("%d [%d 0 %d 0 %d %d %d 0] %s", k.end-now, v, v+1, v+2, v+3, v+4, servers[v%7])
		switch {
		case k.end <= now:
			want = ""
		case k.part:
			want = fmt.Sprintf("%d [%d 0 0 0 0 0 0 0]", k.end-now, v)
		}
		if got := get(tb, key, at(now)); got != want {
			t.Fatalf("%s is %q, want %q", key, got, want)
		}
	}
	check(t, tb)
}
