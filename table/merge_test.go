package table

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/peersd/peersd/protocol"
)

// step is one update of the entry "k", and what the entry is after it.
type step struct {
	at    int64 // ms
	how   How
	u     *protocol.Update
	taken bool
	want  string // remaining and values; "" for none
}

func TestMergeHow(t *testing.T) {
	k := func(v uint64) *protocol.Update { return update("k", v) }
	kt := func(remaining uint32, v uint64) *protocol.Update { return timed(remaining, "k", v) }
	for name, steps := range map[string][]step{
		"live restarts the lifetime": {
			{0, Live, k(1), true, "1000 [1]"},
			{600, Live, k(1), true, "1000 [1]"},
			{700, Local, k(2), true, "1000 [2]"},
			{800, Pushed, k(3), true, "1000 [3]"},
		},
		"taught fills a gap with its own lifetime": {{0, Taught, kt(300, 5), true, "300 [5]"}},
		"taught staler is refused": {
			{0, Live, k(1), true, "1000 [1]"},
			{100, Taught, kt(899, 5), false, "900 [1]"},
		},
		"taught as fresh or fresher replaces": {
			{0, Live, k(1), true, "1000 [1]"},
			{100, Taught, kt(900, 5), true, "900 [5]"},
			{200, Taught, kt(801, 6), true, "801 [6]"},
		},
		"taught a little longer is no news by itself": {
			{0, Taught, kt(100, 1), true, "100 [1]"},
			{50, Taught, kt(200, 1), false, "50 [1]"},
			{50, Taught, kt(200, 2), true, "200 [2]"},
		},
		"taught after pushed is believed, once": {
			{0, Pushed, k(1), true, "1000 [1]"},
			{0, Taught, kt(200, 1), true, "200 [1]"},
			{0, Taught, kt(199, 9), false, "200 [1]"},
		},
		"taught after pushed is believed where it is longer": {
			{0, Pushed, k(1), true, "1000 [1]"},
			{500, Taught, kt(700, 2), true, "700 [2]"},
		},
		"live after pushed is certain": {
			{0, Pushed, k(1), true, "1000 [1]"},
			{0, Live, k(2), true, "1000 [2]"},
			{0, Taught, kt(200, 1), false, "1000 [2]"},
		},
		"untimed lesson fills gaps": {{0, Taught, k(1), true, "1000 [1]"}},
		"untimed lesson replaces nothing": {
			{0, Live, k(1), true, "1000 [1]"},
			{500, Taught, k(2), false, "500 [1]"},
		},
		"untimed lesson replaces not even what was pushed": {
			{0, Pushed, k(1), true, "1000 [1]"},
			{500, Taught, k(2), false, "500 [1]"},
			{500, Taught, kt(100, 3), true, "100 [3]"},
		},
		"replayed equal is nothing": {
			{0, Taught, kt(300, 5), true, "300 [5]"},
			{100, Replayed, k(5), false, "200 [5]"},
		},
		"replayed with other values is taken": {
			{0, Taught, kt(300, 5), true, "300 [5]"},
			{100, Replayed, k(6), true, "1000 [6]"},
		},
		"replayed of nothing known is taken": {{0, Replayed, k(6), true, "1000 [6]"}},
		"replayed makes a pushed one certain where it is taken": {
			{0, Pushed, k(1), true, "1000 [1]"},
			{0, Replayed, k(2), true, "1000 [2]"},
			{0, Taught, kt(10, 3), false, "1000 [2]"},
		},
		"lifetimes are capped at the definition's": {
			{0, Taught, kt(1001, 5), true, "1000 [5]"},
			{0, Taught, kt(math.MaxUint32, 6), true, "1000 [6]"},
		},
		"a timed live one keeps its lifetime": {{0, Live, kt(10, 1), true, "10 [1]"}},
		"nothing is left of it": {
			{0, Taught, kt(0, 5), false, ""},
			{0, Live, kt(0, 5), false, ""},
		},
		"remaining 0 does not end what is known": {
			{0, Live, k(1), true, "1000 [1]"},
			{0, Taught, kt(0, 5), false, "1000 [1]"},
		},
		"last ms": {
			{0, Taught, kt(1, 5), true, "1 [5]"},
			{1, Replayed, k(5), true, "1000 [5]"}, // it had ended
		},
		"ended is as if unknown": {
			{0, Live, k(1), true, "1000 [1]"},
			{1000, Taught, kt(10, 2), true, "10 [2]"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tb, src := newTable1(define(protocol.KeyString, 9, 1000, protocol.GPC0))
			runSteps(t, tb, src, steps)
		})
	}
}

func runSteps(t *testing.T, tb *Table, src *Source, steps []step) {
	t.Helper()
	for i, s := range steps {
		if taken := src.Merge(at(s.at), s.u, s.how); taken != s.taken {
			t.Fatalf("step %d: taken %v, want %v", i, taken, s.taken)
		}
		if got := get(tb, "k", at(s.at)); got != s.want {
			t.Fatalf("step %d: %q, want %q", i, got, s.want)
		}
		check(t, tb)
	}
}

func TestMergeForEver(t *testing.T) {
	tb, src := newTable1(define(protocol.KeyString, 9, 0, protocol.GPC0))
	const day = 86_400_000
	runSteps(t, tb, src, []step{
		{0, Taught, timed(0, "k", 1), true, "0 [1]"},
		{1, Taught, timed(0, "k", 2), false, "0 [1]"},
		{2, Taught, update("k", 2), false, "0 [1]"},
		{3, Live, update("k", 3), true, "0 [3]"},
		{4, Replayed, update("k", 3), false, "0 [3]"},
		{5, Pushed, update("k", 4), true, "0 [4]"},
		{6, Taught, timed(0, "k", 5), true, "0 [5]"},
		{7, Taught, timed(99, "k", 6), false, "0 [5]"},
		{1000 * day, Replayed, update("k", 5), false, "0 [5]"},
	})
	if n, again := tb.Expire(at(1e12), 10); n != 0 || !again.IsZero() {
		t.Errorf("Expire of a table without ends: %d, %v", n, again)
	}
	var b Batch
	if tb.Find([]byte("k"), at(1e12), &b); b.Expires(0) {
		t.Error("entry has an end")
	}
	b.Release()
}

// Two peers define the table with other lifetimes: each one's updates live as
// long as its own definition says.
func TestMergeLifetimesOfTwoDefinitions(t *testing.T) {
	def := define(protocol.KeyString, 9, 1000, protocol.GPC0)
	for0 := change(def, func(d *protocol.Definition) { d.Expire = 0 })
	longest := change(def, func(d *protocol.Definition) { d.Expire = math.MaxUint32 })
	tb, src := newTable1(def)
	src0, srcMax := tb.Source(for0), tb.Source(longest)

	src.Merge(at(0), update("k", 1), Live)
	src0.Merge(at(0), update("k", 2), Live) // leaves the expiry queue
	expect(t, "for ever", get(tb, "k", at(1e15)), "0 [2]")
	check(t, tb)
	src.Merge(at(0), update("k", 3), Live) // and comes back to it
	expect(t, "1 s", get(tb, "k", at(1)), "999 [3]")
	check(t, tb)
	srcMax.Merge(at(0), update("k", 4), Live)
	expect(t, "longest", get(tb, "k", at(0)), "4294967295 [4]")
	expect(t, "longest, last ms", get(tb, "k", at(math.MaxUint32-1)), "1 [4]")
	expect(t, "longest, over", get(tb, "k", at(math.MaxUint32)), "")
	srcMax.Merge(at(0), timed(math.MaxUint32, "k", 5), Taught)
	expect(t, "taught longest", get(tb, "k", at(0)), "4294967295 [5]")
	_, again := tb.Expire(at(0), 10)
	n, _ := tb.Expire(again, 10)
	for n == 0 && !again.IsZero() {
		n, again = tb.Expire(again, 10)
	}
	expect(t, "dropped at its end", n, 1)
}

func TestMergeLogs(t *testing.T) {
	tb, src := newTable1(define(protocol.KeyString, 9, 1000, protocol.GPC0))
	for _, k := range []string{"a", "b", "c"} {
		src.Merge(epoch, update(k, 1), Live)
	}
	src.Merge(epoch, update("b", 2), Local)
	expect(t, "learned", learned(tb, epoch), "[a c]")
	expect(t, "changed", changed(tb, 0, epoch), "[b]")
	p := tb.ChangedPosition()
	expect(t, "changed since", changed(tb, p, epoch), "[]")
	src.Merge(epoch, update("d", 1), Local)
	src.Merge(epoch, update("b", 3), Local)
	expect(t, "changed", changed(tb, 0, epoch), "[d b]")
	expect(t, "changed since", changed(tb, p, epoch), "[d b]")
	src.Merge(epoch, update("a", 2), Live)
	src.Merge(epoch, update("b", 3), Live)
	expect(t, "learned again", learned(tb, epoch), "[c a b]")
	expect(t, "changed again", changed(tb, 0, epoch), "[d]")
	src.Merge(epoch, timed(1, "a", 9), Taught) // refused
	expect(t, "learned still", learned(tb, epoch), "[c a b]")
	s := tb.Stats()
	expect(t, "stats", []uint64{uint64(s.Entries), uint64(s.Capacity), s.Merged, s.Stale, s.Expired}, "[4 16 8 1 0]")
	expect(t, "after the end", append(learned(tb, at(1000)), changed(tb, 0, at(1000))...), "[]")
}

// What an update does not bring stays, and rates among it age on.
func TestMergePartial(t *testing.T) {
	all := define(protocol.KeyString, 9, 0, protocol.ServerID, protocol.GPC0, protocol.HTTPReqRate, protocol.BytesInCount, protocol.BytesInRate, protocol.ServerKey)
	some := define(protocol.KeyString, 9, 0, protocol.GPC0, protocol.BytesInRate)
	tb, src := newTable1(all)
	part := tb.Source(some)
	minus3 := uint64(math.MaxUint64 - 2)
	u := update("k", minus3, 5, 100, 20, 30, 1<<40, 200, 21, 31, 0)
	u.ServerKey = "s1"
	src.Merge(at(0), u, Live)
	part.Merge(at(50), update("k", 6, 1, 2, 3), Live)
	expect(t, "partial", get(tb, "k", at(50)), "0 [18446744073709551613 6 150 20 30 1099511627776 1 2 3 0] s1")
	expect(t, "later", get(tb, "k", at(60)), "0 [18446744073709551613 6 160 20 30 1099511627776 11 2 3 0] s1")
	part.Merge(at(70), update("k", 6, 1, 2, 3), Live)
	part.Merge(at(70), update("k", 6, 1, 2, 3), Live)
	expect(t, "twice", get(tb, "k", at(70)), "0 [18446744073709551613 6 170 20 30 1099511627776 1 2 3 0] s1")
	// One late by a clock that was read before: nothing runs backwards.
	part.Merge(at(69), update("k", 6, 1, 2, 3), Live)
	expect(t, "late", get(tb, "k", at(70)), "0 [18446744073709551613 6 170 20 30 1099511627776 1 2 3 0] s1")

	u.ServerKey = ""
	src.Merge(at(80), u, Live)
	expect(t, "no server", get(tb, "k", at(80)), "0 [18446744073709551613 5 100 20 30 1099511627776 200 21 31 0]")
	check(t, tb)
}

// HAProxy's threads have clocks of their own: what one counts at 5 ms another one
// may push at 4 ms, with an age of -1.
func TestRatesThatAreYetToBegin(t *testing.T) {
	tb, src := newTable1(define(protocol.KeyString, 9, 1000, protocol.HTTPReqRate))
	for age, want := range map[uint32]string{
		0:                       "990 [10 3 0]",
		math.MaxUint32:          "990 [10 3 0]",
		math.MaxUint32 - 999:    "990 [10 3 0]",
		math.MaxUint32 - 1000:   "990 [4294966295 3 0]", // over long ago
		4294949264:              "990 [4294949264 3 0]",
		math.MaxInt32:           "990 [2147483647 3 0]",
		math.MaxInt32 - 1 - 100: "990 [2147483556 3 0]",
	} {
		src.Merge(at(0), update("k", uint64(age), 3, 0), Live)
		expect(t, fmt.Sprintf("age %d", age), get(tb, "k", at(10)), want)
	}
	check(t, tb)
}

func TestReplayedCompares(t *testing.T) {
	def := define(protocol.KeyString, 9, 1000, protocol.ServerID, protocol.BytesInCount, protocol.HTTPReqRate, protocol.ServerKey, protocol.GPTArray)
	_, src := newTable1(def)
	base := func() *protocol.Update {
		u := update("k", math.MaxUint64, 100, 2, 3, 1<<40, 0, 7, 8, 9)
		u.ServerKey = "s"
		return u
	}
	src.Merge(at(0), base(), Live)
	older := base()
	older.Values[1] = 50_000
	if src.Merge(at(10), base(), Replayed) || src.Merge(at(10), older, Replayed) {
		t.Error("equal values, of whatever age, were taken")
	}
	for _, i := range []int{0, 2, 3, 4, 6, 7, 8} {
		u := base()
		u.Values[i]++
		if !src.Merge(at(10), u, Replayed) {
			t.Errorf("value %d differs, and was not taken", i)
		}
		src.Merge(at(10), base(), Live)
	}
	u := base()
	u.ServerKey = ""
	if !src.Merge(at(10), u, Replayed) {
		t.Error("another server was not taken")
	}
}

func TestKeyTypesAndLengths(t *testing.T) {
	for _, test := range []struct {
		key  protocol.KeyType
		len  int
		keys []string
	}{
		{protocol.KeyInteger, 4, []string{"\x00\x00\x00\x00", "\x00\x00\x00\x01", "\xff\xff\xff\xff"}},
		{protocol.KeyIPv4, 4, []string{"\x00\x00\x00\x00", "\x7f\x00\x00\x01"}},
		{protocol.KeyIPv6, 16, []string{strings.Repeat("\x00", 16), strings.Repeat("\x00", 10) + "\xff\xff\x7f\x00\x00\x01"}},
		{protocol.KeyString, 1, []string{""}},
		{protocol.KeyString, 2, []string{"", "a", "b"}},
		{protocol.KeyString, 33, []string{"", "a=b c'\"\x80\xff", strings.Repeat("x", 31), strings.Repeat("x", 32)}},
		{protocol.KeyString, 8192, []string{"", "a", strings.Repeat("x", 32), strings.Repeat("x", 33), strings.Repeat("x", 64), strings.Repeat("x", 65), strings.Repeat("x", 8191), strings.Repeat("x", 8190) + "y"}},
		{protocol.KeyBinary, 1, []string{"\x00", "\x01"}},
		{protocol.KeyBinary, 3, []string{"\x00\x00\x00", "\x00\x00\x01"}},
		{protocol.KeyBinary, 8192, []string{strings.Repeat("\x00", 8192), strings.Repeat("\x00", 8191) + "\x01"}},
	} {
		def := define(test.key, test.len, 1000, protocol.GPC0)
		tb, src := newTable1(def)
		for round := range 3 {
			for i, k := range test.keys {
				src.Merge(epoch, update(k, uint64(10*round+i)), Live)
			}
			check(t, tb)
			for i, k := range test.keys {
				expect(t, tb.KeySpec()+" "+k[:min(len(k), 20)], get(tb, k, epoch), "1000 ["+strconv.Itoa(10*round+i)+"]")
			}
			expect(t, tb.KeySpec()+": entries", tb.Stats().Entries, len(test.keys))
		}
		n, _ := tb.Expire(at(1000), 100)
		expect(t, "expired", n, len(test.keys))
		expect(t, "left", fmt.Sprint(used(tb)), "0 0")
		check(t, tb)
	}
}

// A row that was under way looks fresher than it is. Where that may be so, what
// another origin has changed live stays; and where the row was the fresher one
// after all, its replay is taken.
func TestTaughtAfterLive(t *testing.T) {
	def := define(protocol.KeyString, 9, 60_000, protocol.GPC0)
	timed := func(key string, id, remaining uint32, value uint64) *protocol.Update {
		u := update(key, value)
		u.ID, u.Timed, u.Remaining = id, true, remaining
		return u
	}
	replay := func(key string, id uint32, value uint64) *protocol.Update {
		u := update(key, value)
		u.ID = id
		return u
	}
	for name, test := range map[string]struct {
		live, asked, comes int64
		row                *protocol.Update
		taken              bool
	}{
		"staler, changed before the lesson was asked for": {1015, 1020, 1080, timed("k", 1, 59_987, 7), false},
		"fresher, changed while the lesson was under way": {1010, 1000, 1502, timed("k", 1, 59_999, 7), false},
		"fresher by more than it can have been under way": {1010, 2000, 2100, timed("k", 1, 59_999, 7), true},
		"staler by its lifetime":                          {1010, 1000, 1100, timed("k", 1, 50_000, 7), false},
	} {
		tb := NewSet("section", epoch).Define(epoch, nil, def)
		live, lesson := tb.Source(def), tb.Source(def)
		live.Origin, lesson.Origin = 1, 2
		live.Merge(at(test.live), update("k", 5), Live)
		lesson.LessonAsked(at(test.asked))
		if taken := lesson.Merge(at(test.comes), test.row, Taught); taken != test.taken {
			t.Errorf("%s: taken %v", name, taken)
		}
		// Only of a row that was in doubt is the replay believed.
		doubted := strings.Contains(name, "before the lesson") || strings.Contains(name, "while")
		if taken := lesson.Merge(at(test.comes+100), replay("k", 1, 8), Replayed); taken != (doubted || test.taken) {
			t.Errorf("%s: its replay is taken %v", name, taken)
		}
		if taken := lesson.Merge(at(test.comes+200), replay("other", 2, 8), Replayed); !taken {
			t.Errorf("%s: the replay of an unknown key is not taken", name)
		}
	}
}

// A shard without a slot left takes nothing new, and changes nothing that is
// pinned, since that takes a copy.
func TestFullShard(t *testing.T) {
	tb, src := newTable1(define(protocol.KeyString, 9, 1000, protocol.GPC0))
	merge := func(key string, v uint64) bool { return src.Merge(epoch, update(key, v), Live) }
	merge("a", 1)
	merge("b", 1)
	st := &tb.open(0).store
	next := st.next
	st.next = maxSlots
	var b Batch
	tb.Find([]byte("a"), epoch, &b)
	expect(t, "taken: pinned, known, new", []bool{merge("a", 2), merge("b", 2), merge("c", 2)}, "[false true false]")
	b.Release()
	expect(t, "taken: no longer pinned", merge("a", 3), true)
	st.next = next
	expect(t, "entries", get(tb, "a", epoch)+get(tb, "b", epoch)+get(tb, "c", epoch), "1000 [3]1000 [2]")
	check(t, tb)
}

func TestIDs(t *testing.T) {
	tb, src := newTable1(define(protocol.KeyIPv4, 4, 1000, protocol.GPC0))
	id := func(k string) uint64 {
		var b Batch
		tb.Find([]byte(k), epoch, &b)
		defer b.Release()
		return b.ID(0)
	}
	src.Merge(epoch, update("aaaa", 1), Live)
	src.Merge(epoch, update("bbbb", 1), Live)
	a := id("aaaa")
	src.Merge(epoch, update("aaaa", 2), Live)
	if a != id("aaaa") || a == id("bbbb") {
		t.Error("the id of an entry is not its own")
	}
}

// A key that is too long for an entry changes nothing, whatever else comes.
func TestLongestKey(t *testing.T) {
	def := define(protocol.KeyString, math.MaxInt32, 1000, protocol.GPC0)
	tb, src := newTable1(def)
	longest := strings.Repeat("k", MaxKey)
	all := []Arrival{{Update: *update(longest+"k", 1)}, {Update: *update(longest, 2)}, {Update: *update("k", 3)}, {Update: *update(longest, 4)}}
	src.MergeAll(epoch, all)
	for i, want := range []string{"false false", "true true", "true true", "true false"} {
		expect(t, fmt.Sprint("arrival ", i, " changed, added"), fmt.Sprint(all[i].Changed, " ", all[i].Added), want)
	}
	expect(t, "entries", tb.Entries(), 2)
	expect(t, "the longest", get(tb, longest, epoch), "1000 [4]")
	check(t, tb)
}

// Instants before the set was made, of a clock that was set back, are taken for
// the beginning: nothing lives for ever by mistake.
func TestClockSetBack(t *testing.T) {
	tb, src := newTable1(define(protocol.KeyString, 9, 100, protocol.GPC0))
	for ms := int64(-300); ms < 0; ms++ {
		src.Merge(at(ms), update("k", 1), Live)
		expect(t, "entry", get(tb, "k", at(ms)), "100 [1]")
	}
	if get(tb, "k", at(100)) != "" {
		t.Error("the entry did not end")
	}
}

func TestUses(t *testing.T) {
	tb, src := newTable1(define(protocol.KeyString, 9, 1000, protocol.GPC0))
	src.Merge(epoch, update("k", 1), Live)
	var a, b Batch
	tb.Find([]byte("k"), epoch, &a)
	tb.ReadLearned(new(LearnedCursor), 10, epoch, &b)
	expect(t, "uses", []int{a.Uses(0), b.Uses(0)}, "[0 1]")
	src.Merge(epoch, update("k", 2), Live) // goes to a copy, which nobody reads
	b.Release()
	tb.Find([]byte("k"), epoch, &b)
	expect(t, "uses of the copy", b.Uses(0), 0)
	a.Release()
	b.Release()
}

func TestSchema(t *testing.T) {
	def := define(protocol.KeyString, 9, 1000, protocol.GPC0)
	set := NewSet("section", epoch)
	tb := set.Define(epoch, nil, def)
	src := tb.Source(def)
	src.Merge(epoch, update("k", 1), Live)
	var b Batch
	tb.Find([]byte("k"), epoch, &b)
	d, l := tb.Schema()
	if d != b.Definition() || l != b.Layout() || *d != tb.Definition() || src.Table() != tb || src.Layout().Words != 1 {
		t.Error("a batch is laid out by another schema than the table")
	}
	b.Release()
	set.Define(epoch, def, change(def, func(d *protocol.Definition) { d.Types = 0 }))
	if d2, l2 := tb.Schema(); d2 == d || l2 == l || d.Types != 1<<protocol.GPC0 {
		t.Error("a schema was changed, not replaced")
	}
}

// What is remembered of rows in doubt is bounded for all sources together, and counts
// for the memory of the set. The newest ones stay.
func TestDoubtsAreBounded(t *testing.T) {
	set := newSet1()
	def := define(protocol.KeyInteger, 4, 3600_000, protocol.GPC0)
	var lessons []*Source
	for n := range 3 {
		d := change(def, func(d *protocol.Definition) { d.Name = fmt.Sprint("/t", n) })
		tb := set.Define(epoch, nil, d)
		live, lesson := tb.Source(d), tb.Source(d)
		live.Origin, lesson.Origin = 1, 2
		lesson.LessonAsked(at(0))
		live.Merge(at(10_000), update("key1", 1), Live)
		before := set.Memory()
		for i := range maxDoubts / 2 {
			u := timed(3600_000, "key1", 2)
			u.ID = uint32(i)
			expect(t, "taken", lesson.Merge(at(10_001), u, Taught), false)
		}
		grown := int64(maxDoubts / 2 * doubtSize)
		if n == 2 {
			grown = 0
		}
		expect(t, "counted", set.Memory()-before, grown)
		lessons = append(lessons, lesson)
	}
	checkSet(t, set)
	replay := func(n int) bool {
		u := update("key1", 2)
		u.ID = maxDoubts/2 - 1
		return lessons[n].Merge(at(10_002), u, Replayed)
	}
	expect(t, "believed", []any{replay(0), replay(1), replay(2)}, "[false true true]")
	lessons[2].LessonAsked(at(10_003))
	expect(t, "of the lesson before", lessons[2].doubted(1), false)
}
