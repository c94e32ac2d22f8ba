package table

import (
	"fmt"
	"testing"

	"github.com/peersd/peersd/protocol"
)

// A definition makes nobody's entries give way: what it would make the table's entries
// take too much for is left out, and taken up when there is room.
func TestDefinitionMakesNoRoom(t *testing.T) {
	const n = 20_000
	def := define(protocol.KeyInteger, 4, 1_000_000, protocol.GPC0)
	set := NewSet("section", epoch).WithShards(4)
	tb := set.Define(epoch, nil, def)
	src := tb.Source(def)
	mergeNumbers(src, 4, fromTo(1, n+1))
	other := named("/other", protocol.KeyInteger, 4, 1000, protocol.GPC0)
	mergeNumbers(set.Define(epoch, nil, other).Source(other), 4, fromTo(1, 1001))
	limit := set.Memory() + 1<<20
	set.LimitMemory(limit)
	lost := func() string {
		var all []any
		for _, tb := range set.Tables() {
			evicted, refused := tb.Lost()
			all = append(all, evicted, refused)
		}
		return fmt.Sprint(all...)
	}
	spec := func() string {
		d := tb.Definition()
		return d.String()
	}
	const store = "/t type integer len 4 expire 1000000 store "

	// What fits is taken all the same; in a table without entries all does.
	wide := change(widened(def), func(d *protocol.Definition) { d.Types |= 1<<protocol.ConnCount | 1<<protocol.GlitchCount })
	set.Define(epoch, nil, wide)
	clean(t, set, at(1))
	expect(t, "definition", spec(), store+"gpc0,conn_cnt,glitch_cnt")
	expect(t, "left out", tb.LeftOut(), []protocol.DataType{protocol.GPTArray, protocol.GPCArray, protocol.GPCRateArray})
	expect(t, "evicted, refused", lost(), "0 0 0 0")
	if set.Memory() > limit {
		t.Errorf("%d bytes of %d", set.Memory(), limit)
	}
	values := make([]uint64, tb.Source(wide).Layout().Words)
	for i := range values {
		values[i] = 7
	}
	tb.Source(wide).Merge(at(1), update(string(number(5, 4)), values...), Live)
	expect(t, "an entry", get(tb, string(number(5, 4)), at(1)), "1000000 [7 7 7]")
	src.Merge(at(1), update(string(number(5, 4)), 8), Live)
	expect(t, "an entry", get(tb, string(number(5, 4)), at(1)), "1000000 [8 7 7]")
	set.Define(epoch, nil, change(widened(other), func(d *protocol.Definition) { d.Name = "/empty" }))
	expect(t, "left out of a new table", set.Lookup("/empty")[0].LeftOut(), "[]")
	check(t, tb)

	// An array that is longer, the latest parameters, and what is declared no more.
	set.Define(epoch, wide, change(wide, func(d *protocol.Definition) {
		d.Types &^= 1<<protocol.GPTArray | 1<<protocol.GlitchCount
		d.Expire = 500_000
	}))
	expect(t, "definition", spec(), "/t type integer len 4 expire 500000 store gpc0,conn_cnt")
	expect(t, "left out", tb.LeftOut(), []protocol.DataType{protocol.GPCArray, protocol.GPCRateArray})
	set.LimitMemory(limit + 1<<30)
	clean(t, set, at(500))
	expect(t, "not yet looked at again", len(tb.LeftOut()), 2)
	clean(t, set, at(2000))
	expect(t, "when there is room", tb.LeftOut(), "[]")
	expect(t, "definition", spec(), "/t type integer len 4 expire 500000 store gpc0,conn_cnt,gpc(100),gpc_rate(100,1000)")
	set.LimitMemory(set.Memory() + 1<<16)
	set.Define(at(2000), nil, change(def, func(d *protocol.Definition) { d.Types |= 1 << protocol.HTTPReqRate }))
	expect(t, "left out", tb.LeftOut(), []protocol.DataType{protocol.HTTPReqRate})
	expect(t, "entries, and those that are over", tb.Entries()+int(tb.Stats().Expired), n)
	checkSet(t, set)
}
