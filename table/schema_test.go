package table

import (
	"fmt"
	"strings"
	"testing"

	"github.com/peersd/peersd/protocol"
)

// tables are the definitions of a set's tables.
func tables(s *Set) string {
	var all []string
	for _, t := range s.Tables() {
		d := t.Definition()
		all = append(all, d.String())
	}
	return strings.Join(all, "\n")
}

func TestTwoDeclarersMerge(t *testing.T) {
	a := define(protocol.KeyString, 9, 1000, protocol.GPC0, protocol.HTTPReqRate)
	b := define(protocol.KeyString, 9, 2000, protocol.ConnCount, protocol.HTTPReqRate)
	b.Types |= 1 << 40 // of a later HAProxy
	s := NewSet("section", epoch)
	tb := s.Define(epoch, nil, a)
	srcA := tb.Source(a)
	srcA.Merge(at(0), update("k", 1, 100, 2, 3), Live)
	if s.Define(epoch, nil, b) != tb {
		t.Fatal("another table")
	}
	srcB := tb.Source(b)
	expect(t, "tables", tables(s), "/t type string len 9 expire 2000 store gpc0,conn_cnt,http_req_rate(10000)")
	expect(t, "before b's update", get(tb, "k", at(10)), "990 [1 0 110 2 3]")
	srcB.Merge(at(20), update("k", 7, 500, 8, 9), Live)
	expect(t, "after b's update", get(tb, "k", at(30)), "1990 [1 7 510 8 9]")
	srcA.Merge(at(40), update("k", 2, 100, 2, 3), Live)
	expect(t, "after a's update", get(tb, "k", at(50)), "990 [2 7 110 2 3]")
	if got := tb.Definition().ID; got != 0 {
		t.Errorf("definition has id %d", got)
	}

	// a says the same again, on another session under another id, and nothing
	// changes; then it goes without conn_cnt, which b still has.
	layout := tb.schema
	again := change(a, func(d *protocol.Definition) { d.ID = 99 })
	if s.Define(epoch, a, again) != tb || tb.schema != layout {
		t.Error("the same definition changed the schema")
	}
	s.Define(epoch, again, change(a, func(d *protocol.Definition) { d.Types = 1 << protocol.GPC0 }))
	expect(t, "rate is still b's", tables(s), "/t type string len 9 expire 1000 store gpc0,conn_cnt,http_req_rate(10000)")
	expect(t, "entry", get(tb, "k", at(50)), "990 [2 7 110 2 3]")
}

func TestRedefine(t *testing.T) {
	full := define(protocol.KeyString, 9, 0, protocol.GPC0, protocol.HTTPReqRate, protocol.ServerKey, protocol.GPTArray, protocol.GPCRateArray)
	elements := func(n int) *protocol.Definition {
		return change(full, func(d *protocol.Definition) {
			d.Params[protocol.GPTArray].Elements = n
			d.Params[protocol.GPCRateArray].Elements = n
		})
	}
	for _, test := range []struct {
		name string
		to   []*protocol.Definition
		want string
	}{
		{"type added", []*protocol.Definition{change(full, func(d *protocol.Definition) { d.Types |= 1<<protocol.ServerID | 1<<protocol.BytesInCount })},
			"0 [0 1 101 2 3 0 0 4 5 6 201 7 8 301 9 10 401 11 12] s"},
		{"type removed", []*protocol.Definition{change(full, func(d *protocol.Definition) { d.Types &^= 1 << protocol.HTTPReqRate })},
			"0 [1 0 4 5 6 201 7 8 301 9 10 401 11 12] s"},
		{"server key removed", []*protocol.Definition{change(full, func(d *protocol.Definition) { d.Types &^= 1 << protocol.ServerKey })},
			"0 [1 101 2 3 4 5 6 201 7 8 301 9 10 401 11 12]"},
		{"server key removed and back", []*protocol.Definition{change(full, func(d *protocol.Definition) { d.Types &^= 1 << protocol.ServerKey }), full},
			"0 [1 101 2 3 0 4 5 6 201 7 8 301 9 10 401 11 12]"},
		{"period and expire changed", []*protocol.Definition{change(full, func(d *protocol.Definition) { d.Params[protocol.HTTPReqRate].Period = 60_000; d.Expire = 5 })},
			"0 [1 101 2 3 0 4 5 6 201 7 8 301 9 10 401 11 12] s"},
		{"arrays grown", []*protocol.Definition{elements(4)},
			"0 [1 101 2 3 0 4 5 6 0 201 7 8 301 9 10 401 11 12 1 0 0] s"},
		{"arrays shrunk", []*protocol.Definition{elements(1)},
			"0 [1 101 2 3 0 4 201 7 8] s"},
		{"arrays shrunk and grown", []*protocol.Definition{elements(1), elements(2)},
			"0 [1 101 2 3 0 4 0 201 7 8 1 0 0] s"},
		{"nothing left", []*protocol.Definition{change(full, func(d *protocol.Definition) { d.Types = 0 })}, "0 []"},
		{"nothing left and all back", []*protocol.Definition{change(full, func(d *protocol.Definition) { d.Types = 0 }), full},
			"0 [0 1 0 0 0 0 0 0 1 0 0 1 0 0 1 0 0]"},
		{"only unknown types", []*protocol.Definition{change(full, func(d *protocol.Definition) { d.Types = 1 << 50 })}, "0 []"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := NewSet("section", epoch)
			tb := s.Define(epoch, nil, full)
			u := update("k", 1, 100, 2, 3, 0, 4, 5, 6, 200, 7, 8, 300, 9, 10, 400, 11, 12)
			u.ServerKey = "s"
			tb.Source(full).Merge(epoch, u, Live)
			was := full
			for _, is := range test.to {
				if s.Define(epoch, was, is) != tb {
					t.Fatal("another table")
				}
				check(t, tb)
				was = is
			}
			expect(t, "entry", get(tb, "k", at(1)), test.want)
			expect(t, "definition", tables(s), change(was, func(d *protocol.Definition) { d.Types = d.Known(); d.ID = 0 }).String())
		})
	}
}

// Arrays of two declarers are as long as the longer one: neither's elements
// are lost.
func TestArraysOfTwoLengths(t *testing.T) {
	long := define(protocol.KeyString, 9, 0, protocol.GPCArray)
	short := change(long, func(d *protocol.Definition) { d.Params[protocol.GPCArray].Elements = 2 })
	s := NewSet("section", epoch)
	tb := s.Define(epoch, nil, long)
	tb.Source(long).Merge(epoch, update("k", 1, 2, 3), Live)
	s.Define(epoch, nil, short)
	tb.Source(short).Merge(epoch, update("k", 4, 5), Live)
	expect(t, "entry", get(tb, "k", epoch), "0 [4 5 3]")
	tb.Source(long).Merge(epoch, update("k", 6, 7, 8), Live)
	expect(t, "entry", get(tb, "k", epoch), "0 [6 7 8]")
	s.Define(epoch, long, short)
	expect(t, "all short", get(tb, "k", epoch), "0 [6 7]")
	s.Define(epoch, short, long)
	expect(t, "one long again", get(tb, "k", epoch), "0 [6 7 0]")
}

// A peer that alternates between two definitions makes nothing grow, and
// nothing is lost that both have.
func TestAlternatingDefinitions(t *testing.T) {
	a := define(protocol.KeyString, 9, 0, protocol.GPC0, protocol.GPTArray)
	b := change(a, func(d *protocol.Definition) {
		d.Types |= 1<<protocol.HTTPReqRate | 1<<protocol.ServerKey
		d.Params[protocol.GPTArray].Elements = 5
	})
	s := NewSet("section", epoch)
	tb := s.Define(epoch, nil, a)
	tb.Source(a).Merge(epoch, update("k", 1, 2, 3, 4), Live)
	u := update("s", 1, 0, 0, 0, 0, 1, 1, 1, 1, 1)
	for i := range 1000 {
		s.Define(epoch, a, b)
		u.ServerKey = fmt.Sprint("server", i)
		tb.Source(b).Merge(epoch, u, Live)
		check(t, tb)
		s.Define(epoch, b, a)
		check(t, tb)
		if tb.schema.groups > maxGroups || len(tb.open(0).store.chunks) != tb.schema.groups || len(tb.declarations) != 1 {
			t.Fatalf("%d groups, %d lists of chunks, %d declarations", tb.schema.groups, len(tb.open(0).store.chunks), len(tb.declarations))
		}
	}
	expect(t, "entry", get(tb, "k", epoch), "0 [1 2 3 4]")
	expect(t, "entry", get(tb, "s", epoch), "0 [1 1 1 1]")
}

// An array shrinks in the very moment in which all groups are made one: it does
// not reach into what comes behind it.
func TestShrinkWhileGroupsAreJoined(t *testing.T) {
	elements := func(n int, types ...protocol.DataType) *protocol.Definition {
		return change(define(protocol.KeyString, 9, 0, append(types, protocol.GPC0, protocol.GPTArray)...), func(d *protocol.Definition) {
			d.Params[protocol.GPTArray].Elements = n
		})
	}
	s := NewSet("section", epoch)
	is := elements(1)
	tb := s.Define(epoch, nil, is)
	for n := 2; tb.schema.groups < maxGroups; n++ {
		was := is
		is = elements(n)
		s.Define(epoch, was, is)
	}
	tb.Source(is).Merge(epoch, update("k", 1, 2, 3, 4, 5), Live)
	s.Define(epoch, is, elements(2, protocol.GlitchCount))
	expect(t, "groups", tb.schema.groups, 2)
	expect(t, "entry", get(tb, "k", epoch), "0 [1 2 3 0]")
	check(t, tb)
}

// One that forgets what it said makes nothing grow either, as long as it says
// the same.
func TestForgetfulDeclarer(t *testing.T) {
	a := define(protocol.KeyString, 9, 0, protocol.GPC0)
	b := change(a, func(d *protocol.Definition) { d.Types |= 1 << protocol.ConnCount })
	s := NewSet("section", epoch)
	for range 10 {
		s.Define(epoch, nil, a)
		s.Define(epoch, nil, b)
	}
	expect(t, "declarations", len(s.Tables()[0].declarations), 2)
	expect(t, "tables", tables(s), "/t type string len 9 expire 0 store gpc0,conn_cnt")
}

// What a declarer takes back goes, and so does the table with its last one.
func TestRetract(t *testing.T) {
	a := define(protocol.KeyString, 9, 1000, protocol.GPC0)
	b := change(a, func(d *protocol.Definition) { d.Types |= 1 << protocol.ConnCount })
	other := change(a, func(d *protocol.Definition) { d.KeyLen = 10 })
	s := newSet1()
	tb := s.Define(epoch, nil, a)
	s.Define(epoch, nil, b)
	s.Define(epoch, nil, other)
	tb.Source(b).Merge(epoch, update("k", 1, 2), Live)

	s.Retract(b)
	expect(t, "less data types", tables(s), "/t type string len 9 expire 1000 store gpc0\n/t type string len 10 expire 1000 store gpc0")
	expect(t, "its entry", get(tb, "k", epoch), "1000 [1]")
	s.Retract(b)
	expect(t, "of who has said it no more", len(s.Tables()), 2)
	s.Retract(a)
	expect(t, "one table less", tables(s), "/t type string len 10 expire 1000 store gpc0")
	s.Retract(a)
	s.Retract(other)
	expect(t, "no table", len(s.Tables()), 0)
	checkSet(t, s)
	if again := s.Define(epoch, nil, a); again == tb || again.Entries() != 0 {
		t.Error("a table that is gone comes back")
	}
}

func TestKeyVariantsAreOtherTables(t *testing.T) {
	s := NewSet("section", epoch)
	defs := []*protocol.Definition{
		define(protocol.KeyString, 9, 0, protocol.GPC0),
		define(protocol.KeyString, 10, 0, protocol.GPC0),
		define(protocol.KeyIPv4, 4, 0, protocol.GPC0),
		define(protocol.KeyInteger, 4, 0, protocol.GPC0),
		define(protocol.KeyIPv6, 16, 0, protocol.GPC0),
		define(protocol.KeyBinary, 16, 0, protocol.GPC0),
	}
	for i, def := range defs {
		if tb := s.Define(epoch, nil, def); tb != s.Tables()[i] || len(s.Tables()) != i+1 {
			t.Fatalf("%v is not a table of its own", def)
		}
	}
	other := change(defs[0], func(d *protocol.Definition) { d.Name = "other" })
	o := s.Define(epoch, nil, other)
	for _, name := range []string{"/t", "section/t"} {
		expect(t, "found "+name, len(s.Lookup(name)), len(defs))
	}
	expect(t, "other", []int{len(s.Lookup("other")), len(s.Lookup("section/other")), len(s.Lookup("t"))}, "[1 0 0]")
	var specs []string
	for _, tb := range s.Tables() {
		specs = append(specs, tb.FullName()+" "+tb.KeySpec())
	}
	expect(t, "specs", strings.Join(specs, ", "),
		"section/t string len 8, section/t string len 9, section/t ip, section/t integer, section/t ipv6, section/t binary len 16, other string len 8")
	if o.Name() != "other" || o.KeyType() != protocol.KeyString || o.KeyLen() != 9 || s.Section() != "section" {
		t.Error("a table's own words differ")
	}
}

func TestStringLengthChanges(t *testing.T) {
	def := define(protocol.KeyString, 9, 1000, protocol.GPC0, protocol.HTTPReqRate)
	longer := change(def, func(d *protocol.Definition) { d.KeyLen = 100; d.Types |= 1 << protocol.ConnCount })
	s := NewSet("section", epoch)
	old := s.Define(epoch, nil, def)
	src := old.Source(def)
	long := strings.Repeat("x", 99)
	src.Merge(at(0), update("12345678", 1, 100, 2, 3), Live)
	src.Merge(at(0), update("local", 2, 100, 2, 3), Local)
	src.Merge(at(0), timed(50, "ending", 2, 100, 2, 3), Taught)

	tb := s.Define(at(50), def, longer)
	if tb == old || len(s.Tables()) != 1 {
		t.Fatal("the old table is still there")
	}
	expect(t, "went along", get(tb, "12345678", at(60)), "940 [1 0 160 2 3]")
	expect(t, "learned", learned(tb, at(60)), "[12345678]")
	expect(t, "changed", changed(tb, 0, at(60)), "[local]")
	tb.Source(longer).Merge(at(60), update(long, 9, 9, 9, 9, 9), Live)

	// Back again: what is too long stays behind.
	tb2 := s.Define(at(70), longer, def)
	expect(t, "went back", get(tb2, "12345678", at(70)), "930 [1 170 2 3]")
	expect(t, "entries", tb2.Stats().Entries, 2)
	check(t, tb2)

	// A source of a table that is gone does no harm.
	src.Merge(at(70), update("orphan", 1, 1, 1, 1), Live)
	expect(t, "orphan", get(tb2, "orphan", at(70)), "")
}

func TestStringLengthChangesOfOneOfTwo(t *testing.T) {
	def := define(protocol.KeyString, 9, 1000, protocol.GPC0)
	other := change(def, func(d *protocol.Definition) { d.Types = 1 << protocol.ConnCount })
	longer := change(def, func(d *protocol.Definition) { d.KeyLen = 100 })
	s := NewSet("section", epoch)
	old := s.Define(epoch, nil, def)
	s.Define(epoch, nil, other)
	old.Source(def).Merge(at(0), update("k", 1), Live)
	tb := s.Define(epoch, def, longer)
	expect(t, "both stay, each with what is declared", tables(s),
		"/t type string len 9 expire 1000 store conn_cnt\n/t type string len 100 expire 1000 store gpc0")
	expect(t, "copied", get(tb, "k", at(0)), "1000 [1]")
	expect(t, "stays", get(old, "k", at(0)), "1000 [0]")

	// The other one follows, and meets what is known better there.
	tb.Source(longer).Merge(at(10), update("k", 7), Live)
	old.Source(other).Merge(at(5), update("k", 8), Live)
	old.Source(other).Merge(at(5), update("new", 9), Live)
	s.Define(at(20), other, change(other, func(d *protocol.Definition) { d.KeyLen = 100 }))
	expect(t, "one is left", tables(s), "/t type string len 100 expire 1000 store gpc0,conn_cnt")
	expect(t, "known better", get(tb, "k", at(20)), "990 [7 0]")
	expect(t, "new", get(tb, "new", at(20)), "985 [0 9]")
}

func TestLifetimesThatGoAlong(t *testing.T) {
	for _, test := range []struct {
		old, new uint32
		want     string
	}{
		{1000, 1000, "900 [1]"},
		{1000, 500, "500 [1]"},
		{1000, 5000, "900 [1]"},
		{0, 0, "0 [1]"},
		{0, 700, "700 [1]"},
		{1000, 0, "0 [1]"},
	} {
		s := NewSet("section", epoch)
		def := define(protocol.KeyString, 9, test.old, protocol.GPC0)
		s.Define(epoch, nil, def).Source(def).Merge(at(0), update("k", 1), Live)
		tb := s.Define(at(100), def, change(def, func(d *protocol.Definition) { d.KeyLen, d.Expire = 10, test.new }))
		expect(t, fmt.Sprintf("from %d to %d", test.old, test.new), get(tb, "k", at(100)), test.want)
	}
}

func TestOtherKeyTypeTakesNothingAlong(t *testing.T) {
	def := define(protocol.KeyIPv4, 4, 1000, protocol.GPC0)
	s := NewSet("section", epoch)
	s.Define(epoch, nil, def).Source(def).Merge(epoch, update("aaaa", 1), Live)
	tb := s.Define(epoch, def, define(protocol.KeyInteger, 4, 1000, protocol.GPC0))
	expect(t, "tables", len(s.Tables()), 1)
	expect(t, "entries", tb.Stats().Entries, 0)
}

// A declarer's memory may reach further back than the set's.
func TestDefineAfterATableThatIsGone(t *testing.T) {
	def := define(protocol.KeyString, 9, 1000, protocol.GPC0)
	for name, was := range map[string]*protocol.Definition{
		"same":        def,
		"other types": change(def, func(d *protocol.Definition) { d.Types = 1 << protocol.ConnCount }),
		"other key":   define(protocol.KeyIPv4, 4, 1000, protocol.GPC0),
		"length":      change(def, func(d *protocol.Definition) { d.KeyLen = 20 }),
	} {
		s := NewSet("section", epoch)
		s.Define(epoch, was, def)
		expect(t, name, tables(s), "/t type string len 9 expire 1000 store gpc0")
		s.Define(epoch, nil, change(def, func(d *protocol.Definition) { d.Types = 1 << protocol.ServerID }))
		expect(t, name+", another", tables(s), "/t type string len 9 expire 1000 store server_id,gpc0")
	}
}

// A batch is read by the schema of its time, whatever becomes of the table.
func TestBatchOutlivesSchema(t *testing.T) {
	def := define(protocol.KeyString, 9, 1000, protocol.GPC0, protocol.HTTPReqRate, protocol.ServerKey, protocol.GPTArray)
	s := NewSet("section", epoch)
	tb := s.Define(epoch, nil, def)
	u := update("k", 1, 2, 3, 4, 0, 5, 6, 7)
	u.ServerKey = "old"
	tb.Source(def).Merge(epoch, u, Live)
	const want = "1000 [1 2 3 4 0 5 6 7] old"

	var old []*Batch
	pinned := func() {
		b := new(Batch)
		tb.Find([]byte("k"), epoch, b)
		old = append(old, b)
	}
	pinned()
	was := def
	for i := range 20 {
		is := change(def, func(d *protocol.Definition) {
			d.Params[protocol.GPTArray].Elements = 1 + i%5
			if i%3 == 0 {
				d.Types |= 1 << protocol.BytesOutRate
			}
			if i%4 == 0 {
				d.Types &^= 1 << protocol.ServerKey
			}
		})
		s.Define(epoch, was, is)
		was = is
		values := make([]uint64, tb.schema.layout.Words)
		nu := update("k", values...)
		nu.ServerKey = fmt.Sprint("new", i)
		tb.Source(is).Merge(epoch, nu, Live)
		check(t, tb)
		pinned()
		if got := entry(old[0], 0, epoch); got != want {
			t.Fatalf("after redefinition %d: %s", i, got)
		}
		if old[0].Definition().Types != def.Types || old[0].Layout().Words != 8 {
			t.Fatal("the batch's definition changed")
		}
	}
	for _, b := range old {
		b.Release()
		check(t, tb)
	}
	slots, _ := used(tb)
	expect(t, "dead slots left", slots, 1)
}

func TestSetExpire(t *testing.T) {
	s := NewSet("section", epoch)
	expect(t, "no tables", s.Expire(epoch, 10).IsZero(), true)
	for i, expire := range []uint32{0, 300, 100} {
		def := change(define(protocol.KeyString, 9, expire, protocol.GPC0), func(d *protocol.Definition) { d.Name = fmt.Sprint(i) })
		src := s.Define(epoch, nil, def).Source(def)
		src.Merge(epoch, update("a", 1), Live)
		src.Merge(epoch, update("b", 1), Live)
	}
	expect(t, "first end", s.Expire(at(99), 10), at(100))
	expect(t, "budget", s.Expire(at(100), 1), at(100))
	expect(t, "next end", s.Expire(at(100), 10), at(300))
	expect(t, "no more", s.Expire(at(1000), 10).IsZero(), true)
	entries := 0
	for _, tb := range s.Tables() {
		entries += tb.Stats().Entries
		check(t, tb)
	}
	expect(t, "entries for ever", entries, 2)
}
