package table

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
)

// follower keeps what it learns from a Watch, as somebody who follows the table would.
type follower struct {
	*Watch
	entries map[string]string
	got     []string // since it was looked at last: keys, "-" in front of those that ended
	missed  int
}

func follow(tb *Table) *follower {
	return &follower{Watch: tb.Watch(), entries: map[string]string{}}
}

func (f *follower) look(now time.Time) string {
	var b Batch
	for more := true; more; b.Release() {
		f.Read(3, now, &b)
		more = b.Len() > 0
		f.take(&b, now)
	}
	notes, missed := f.Noted()
	f.missed += missed
	for _, n := range notes {
		f.Table().Find(n.Key, now, &b)
		switch {
		case b.Len() == 0 && n.Ended:
			f.got = append(f.got, "-"+string(n.Key))
			delete(f.entries, string(n.Key))
		case b.Len() > 0 && !n.Ended:
			f.take(&b, now)
		}
		b.Release()
	}
	got := strings.Join(f.got, " ")
	f.got = nil
	return got
}

func (f *follower) take(b *Batch, now time.Time) {
	var u protocol.Update
	for i := range b.Len() {
		if b.Cleared(i) {
			continue
		}
		b.Update(i, now, &u)
		f.got = append(f.got, string(u.Key))
		f.entries[string(u.Key)] = fmt.Sprint(u.Values)
	}
}

func TestWatch(t *testing.T) {
	tb, lb1 := newTable1(define(protocol.KeyString, 33, 60_000, protocol.GPC0))
	here := tb.SourceOf([]Field{{Type: protocol.GPC0}})
	lb1.Merge(at(0), update("before", 1), Live)
	f := follow(tb)
	defer f.Close()
	expect(t, "what was before", f.look(at(1)), "")

	lb1.Merge(at(2), update("a", 1), Live)
	lb1.Merge(at(2), update("b", 1), Live)
	lb1.Merge(at(3), update("a", 2), Live)
	expect(t, "the last change of each", f.look(at(4)), "b a")
	expect(t, "each once", f.look(at(5)), "")

	here.Merge(at(6), update("c", 1), Ordered)
	expect(t, "what is ordered", f.look(at(7)), "c")
	lb1.Acked(tb.ChangedPosition())
	lb1.Merge(at(8), update("c", 7), Live)
	lb1.Merge(at(9), update("c", 8), Live)
	expect(t, "a peer's change, while the order has yet to reach another", f.look(at(10)), "c")
	expect(t, "its value", f.entries["c"], "[8]")

	clear := func(key string, now time.Time) {
		var b Batch
		tb.Find([]byte(key), now, &b)
		b.Clear(0, now)
		b.Release()
	}
	clear("a", at(11))
	expect(t, "what was cleared", f.look(at(12)), "-a")
	clear("b", at(13))
	lb1.Acked(tb.ChangedPosition())
	lb1.Merge(at(14), update("b", 3), Live)
	expect(t, "what was cleared, and is there again: as the order's entry, and as changed since", f.look(at(15)), "b b")
	tb.Taken(tb.ChangedPosition(), 1000)
	expect(t, "the cleared one is gone altogether", f.look(at(16)), "")

	here.Merge(at(20), timed(10, "d", 1), Ordered)
	expect(t, "for a time", f.look(at(21)), "d")
	tb.Expire(at(31), 1000)
	expect(t, "that is over", f.look(at(32)), "-d")
	for more := true; more; {
		n, _ := tb.Expire(at(60_031), 1000)
		more = n > 0
	}
	expect(t, "all lifetimes are over", f.look(at(60_032)), "-before -b -c")
	check(t, tb)
}

// Who wants to see something at once begins a little before.
func TestChanges(t *testing.T) {
	tb, lb1 := newTable1(define(protocol.KeyInteger, 4, 60_000, protocol.GPC0))
	here := tb.SourceOf([]Field{{Type: protocol.GPC0}})
	const n = 5000
	for i := range n {
		lb1.Merge(at(int64(i)), update(fmt.Sprintf("%04d", i), 1), Live)
	}
	for range 3 * blockLen { // it stands at the end, alone in its block
		lb1.Merge(at(n), update("0000", 1), Live)
	}
	here.Merge(at(n), update("here", 1), Local)
	for _, last := range []int{0, 1, 100, 10_000} {
		f := follow(tb)
		f.Changes = tb.Changes(last)
		f.look(at(n))
		f.Close()
		got := len(f.entries)
		if least, most := min(last, n+1), min(last+2*blockLen, n+1); last == 0 && got != 0 || got < least || got > most {
			t.Errorf("the last %d are %d", last, got)
		}
		_, newest := f.entries["0000"]
		if last > 0 && !newest {
			t.Errorf("the newest is not among the last %d", last)
		}
	}
}

// Who is too slow for it misses ends, and is told so; keys that are too long are
// missed too. Nothing is kept where nobody watches.
func TestWatchMissed(t *testing.T) {
	tb, lb1 := newTable1(define(protocol.KeyString, 1000, 60_000))
	drop := func(keys ...string) {
		var b Batch
		for _, key := range keys {
			lb1.Merge(at(0), update(key), Live)
			tb.Find([]byte(key), at(0), &b)
			b.take(0)
			b.Release()
		}
	}
	slow, other := follow(tb), follow(tb)
	drop("x", strings.Repeat("long", 100))
	expect(t, "the other one", other.look(at(0)), "-x")
	expect(t, "and misses", other.missed, 1)
	other.Close()
	for i := range maxNotes + 10 {
		drop(fmt.Sprint(i))
	}
	got := strings.Fields(slow.look(at(0)))
	expect(t, "the last ones", fmt.Sprintln(len(got), got[0], slow.missed), fmt.Sprintln(maxNotes, "-10", 2+10))
	slow.Close()
	if tb.notes.ring != nil {
		t.Error("notes are kept though nobody watches")
	}
	drop("y")
	again := follow(tb)
	defer again.Close()
	drop("z")
	expect(t, "another watch", again.look(at(0)), "-z")
}

// Whatever happens, who follows has in the end what the table has.
func TestWatchRandom(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		set := NewSet("s", epoch).WithShards(4)
		def := define(protocol.KeyString, 33, 1000, protocol.GPC0)
		tb := set.Define(epoch, nil, def)
		lb1, here := tb.Source(def), tb.SourceOf([]Field{{Type: protocol.GPC0}})
		f := follow(tb)
		var b Batch
		now := at(0)
		for i := range 2000 {
			now = now.Add(time.Duration(random.IntN(3)) * time.Millisecond)
			key := fmt.Sprint(random.IntN(30))
			switch n := random.IntN(20); {
			case n < 10:
				lb1.Merge(now, update(key, uint64(i)), Live)
			case n < 12:
				here.Merge(now, update(key, uint64(i)), Ordered)
			case n == 12:
				here.Merge(now, timed(uint32(random.IntN(50)+1), key, uint64(i)), Ordered)
			case n < 15:
				if tb.Find([]byte(key), now, &b); b.Len() > 0 {
					b.Clear(0, now)
				}
				b.Release()
			case n == 15:
				lb1.Acked(tb.ChangedPosition())
			case n == 16:
				tb.Taken(tb.ChangedPosition(), 10)
			case n == 17:
				tb.Expire(now, 3)
			default:
				f.look(now)
			}
		}
		for range 10 {
			set.Expire(now, 1000)
		}
		f.look(now)
		f.Close()
		compareFollowed(t, seed, tb, f.entries, now)
	}
}

func compareFollowed(t *testing.T, seed uint64, tb *Table, got map[string]string, now time.Time) {
	t.Helper()
	var (
		b Batch
		u protocol.Update
		c Cursor
	)
	want := map[string]string{}
	for tb.Walk(&c, 10, now, &b); b.Len() > 0; tb.Walk(&c, 10, now, &b) {
		for i := range b.Len() {
			b.Update(i, now, &u)
			want[string(bytes.Clone(u.Key))] = fmt.Sprint(u.Values)
		}
		b.Release()
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("seed %d: followed\n%v, the table has\n%v", seed, got, want)
	}
}

// The age of a change is that of the last one.
func TestSince(t *testing.T) {
	tb, lb1 := newTable1(define(protocol.KeyString, 33, 60_000, protocol.GPC0))
	lb1.Merge(at(5), update("a", 1), Live)
	lb1.Merge(at(10), update("a", 1), Live)
	var b Batch
	tb.Find([]byte("a"), at(20), &b)
	defer b.Release()
	expect(t, "since", b.Since(0, at(25)), 15*time.Millisecond)
	expect(t, "a clock that was read earlier", b.Since(0, at(1)), time.Duration(0))
}
