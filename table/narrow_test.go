package table

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/peersd/peersd/protocol"
)

// widened is def with arrays of 100.
func widened(def *protocol.Definition) *protocol.Definition {
	return change(def, func(d *protocol.Definition) {
		d.Types |= 1<<protocol.GPTArray | 1<<protocol.GPCArray | 1<<protocol.GPCRateArray
		d.Params[protocol.GPTArray].Elements = 100
		d.Params[protocol.GPCArray].Elements = 100
		d.Params[protocol.GPCRateArray] = protocol.Params{Elements: 100, Period: 1000}
	})
}

// What data types took that nobody declares any more is given back, though they were
// there from the beginning, and before as well as behind others: the table is not
// larger then than one that never had them.
func TestRemovedTypesGiveTheirMemoryBack(t *testing.T) {
	const n = 5000
	for _, test := range []struct {
		types  []protocol.DataType
		groups int
	}{
		{nil, 1},
		{[]protocol.DataType{protocol.GPC0, protocol.HTTPReqRate}, 1},
		{[]protocol.DataType{protocol.GlitchCount, protocol.GlitchRate}, 2},
		{[]protocol.DataType{protocol.GPC0, protocol.ServerKey, protocol.GlitchCount}, 2},
	} {
		for _, filled := range []bool{true, false} {
			t.Run(fmt.Sprint(test.types, " filled before: ", filled), func(t *testing.T) {
				narrow := named("/t", protocol.KeyInteger, 4, 1_000_000, test.types...)
				wide := widened(narrow)
				fill := func(tb *Table, def *protocol.Definition) {
					src := tb.Source(def)
					u := update("", make([]uint64, src.Layout().Words)...)
					for i := range n {
						u.Key = number(i, 4)
						for v := range u.Values {
							u.Values[v] = uint64(i + v)
						}
						if def.Types>>protocol.ServerKey&1 == 1 {
							u.ServerKey = fmt.Sprint("server", i%10)
						}
						src.Merge(epoch, u, []How{Live, Local}[i%2])
					}
				}
				set := NewSet("section", epoch).WithShards(4)
				tb := set.Define(epoch, nil, wide)
				if filled {
					fill(tb, wide)
				}
				set.Define(epoch, wide, narrow)
				clean(t, set, epoch)
				check(t, tb)
				fill(tb, narrow)
				check(t, tb)
				clean(t, set, epoch)
				fresh := NewSet("section", epoch).WithShards(4)
				fill(fresh.Define(epoch, nil, narrow), narrow)
				is, want := tb.Stats(), fresh.Tables()[0].Stats()
				expect(t, "groups", tb.schema.groups, test.groups)
				if is.Record != want.Record || is.BytesPerEntry() > want.BytesPerEntry()*1.05 {
					t.Errorf("record of %d bytes, %.0f per entry; %d, and %.0f, for one that is new", is.Record, is.BytesPerEntry(), want.Record, want.BytesPerEntry())
				}
				for i := range n {
					key := string(number(i, 4))
					if got, want := get(tb, key, epoch), get(fresh.Tables()[0], key, epoch); got != want {
						t.Fatalf("entry %d is %s, want %s", i, got, want)
					}
				}
				set.Define(epoch, narrow, wide) // and back
				check(t, tb)
			})
		}
	}
}

// What stays of an entry stays, while it is moved to narrower records and somebody
// reads it, changes it, and takes it out: a chunk in which something is read waits.
func TestNarrow(t *testing.T) {
	seeds(t, func(t *testing.T, r *rand.Rand) {
		const n = 3 * maxPassed
		narrow := define(protocol.KeyString, 40, 1_000_000, protocol.GPC0, protocol.GlitchCount)
		wide := widened(narrow)
		set := newSet1()
		tb := set.Define(epoch, nil, wide)
		name := func(i int) string { return fmt.Sprintf("%0*d", 6+i%34, i) }
		values := map[string]uint64{}
		merge := func(src *Source, key string) {
			v := r.Uint64N(1000)
			all := make([]uint64, src.Layout().Words)
			all[0], all[len(all)-1] = v, v+1
			src.Merge(epoch, update(key, all...), []How{Live, Local}[v%2])
			values[key] = v
		}
		src := tb.Source(wide)
		for i := range n {
			merge(src, name(i))
		}
		type pinned struct {
			b   *Batch
			was string
		}
		var held []pinned
		pin := func() {
			b := new(Batch)
			if tb.Find([]byte(name(r.IntN(n))), epoch, b); b.Len() > 0 {
				held = append(held, pinned{b, entry(b, 0, epoch)})
			}
		}
		before := set.Memory()
		pin()
		set.Define(epoch, wide, narrow)
		src = tb.Source(narrow)
		st := &tb.open(0).store
		turn := 0
		for ; st.wide > 0; turn++ {
			for range 20 {
				switch key := name(r.IntN(n)); r.IntN(6) {
				case 0:
					if turn < 100 {
						pin()
					}
				case 1:
					b := new(Batch)
					if tb.Find([]byte(key), epoch, b); b.Len() > 0 && b.take(0) {
						delete(values, key)
					}
					b.Release()
				case 2:
					if i := len(held); i > 1 || turn > 100 && i > 0 {
						held[i-1].b.Release()
						held = held[:i-1]
					}
				default:
					merge(src, key)
				}
			}
			tb.Expire(epoch, 20)
			for _, h := range held {
				if got := entry(h.b, 0, epoch); got != h.was {
					t.Fatalf("pinned as %s, is %s", h.was, got)
				}
			}
			check(t, tb)
		}
		if turn <= 100 {
			t.Errorf("all was moved after %d turns, though the first reader is not done", turn)
		}
		for _, h := range held {
			h.b.Release()
		}
		if now := set.Memory(); now > before/5 {
			t.Errorf("%d bytes of %d are left", now, before)
		}
		for i := range n {
			v, ok := values[name(i)]
			want := fmt.Sprintf("1000000 [%d %d]", v, v+1)
			if !ok {
				want = ""
			}
			if got := get(tb, name(i), epoch); got != want {
				t.Fatalf("%s is %q, want %q", name(i), got, want)
			}
		}
	})
}
