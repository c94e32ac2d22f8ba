package table

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
)

// order sets fields of an entry, as somebody orders it.
func order(t *Table, now time.Time, u *protocol.Update, fields ...Field) bool {
	return t.SourceOf(fields).Merge(now, u, Ordered)
}

// clearKey is [Batch.Clear] of a key.
func clearKey(t *Table, key string, now time.Time) bool {
	var b Batch
	defer b.Release()
	t.Find([]byte(key), now, &b)
	return b.Len() > 0 && b.Clear(0, now)
}

// told is what readers of local changes after a position get, entry by entry.
func told(t *Table, position uint64, now time.Time) string {
	var (
		b   Batch
		all []string
	)
	t.ReadChanged(position, 100, now, &b)
	defer b.Release()
	for i := range b.Len() {
		var u protocol.Update
		b.Update(i, now, &u)
		all = append(all, string(u.Key)+":"+entry(&b, i, now))
	}
	return strings.Join(all, " ")
}

// An order brings some values, and leaves the others as they are.
func TestOrderedFields(t *testing.T) {
	def := define(protocol.KeyString, 33, 60_000, protocol.ServerID, protocol.GPC0, protocol.HTTPReqRate, protocol.BytesInCount, protocol.ServerKey, protocol.GPTArray)
	before := func(values string) string { return "60000 [" + values + "] s1" }
	tests := []struct {
		name   string
		fields []Field
		values []uint64
		want   string // of server_id, gpc0, http_req_rate, bytes_in_cnt, server_key, gpt
	}{
		{"nothing", nil, nil, before("1 2 1000 4 5 6 0 7 8 9")},
		{"a counter", []Field{{Type: protocol.GPC0}}, []uint64{20}, before("1 20 1000 4 5 6 0 7 8 9")},
		{"a signed one", []Field{{Type: protocol.ServerID}}, []uint64{1<<64 - 1}, before("18446744073709551615 2 1000 4 5 6 0 7 8 9")},
		{"64 bits", []Field{{Type: protocol.BytesInCount}}, []uint64{1 << 40}, before("1 2 1000 4 5 1099511627776 0 7 8 9")},
		{"a rate", []Field{{Type: protocol.HTTPReqRate}}, []uint64{0, 30, 0}, before("1 2 0 30 0 6 0 7 8 9")},
		{"an element", []Field{{protocol.GPTArray, 1}}, []uint64{80}, before("1 2 1000 4 5 6 0 7 80 9")},
		{"elements, backwards", []Field{{protocol.GPTArray, 2}, {protocol.GPTArray, 0}}, []uint64{90, 70}, before("1 2 1000 4 5 6 0 70 8 90")},
		{"twice the same", []Field{{Type: protocol.GPC0}, {Type: protocol.GPC0}}, []uint64{20, 21}, before("1 21 1000 4 5 6 0 7 8 9")},
		{"a server key, another type, an element too many, and one that is right",
			[]Field{{Type: protocol.ServerKey}, {Type: protocol.GPC1Rate}, {protocol.GPTArray, 3}, {Type: protocol.GPC0}},
			[]uint64{0, 1, 1, 1, 1, 20}, before("1 20 1000 4 5 6 0 7 8 9")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tb, src := newTable1(def)
			u := update("k", 1, 2, 0, 4, 5, 6, 0, 7, 8, 9)
			u.ServerKey = "s1"
			src.Merge(at(0), u, Live)
			expect(t, "taken", order(tb, at(1000), update("k", tt.values...), tt.fields...), true)
			expect(t, "the entry", get(tb, "k", at(1000)), tt.want)
			check(t, tb)
		})
	}
}

func TestOrderedKeyIsNew(t *testing.T) {
	tb, _ := newTable1(define(protocol.KeyString, 33, 60_000, protocol.GPT0, protocol.GPC0))
	order(tb, at(0), update("k", 3), Field{Type: protocol.GPC0})
	expect(t, "the entry", get(tb, "k", at(0)), "60000 [0 3]")
}

// What a peer says before it has acked an order was said without knowing of it.
func TestOrderAgainstPeers(t *testing.T) {
	tb, lb1 := newTable1(define(protocol.KeyString, 33, 60_000, protocol.GPT0, protocol.GPC0))
	def := tb.Definition()
	lb2 := tb.Source(&def)
	lb1.Origin, lb2.Origin = 1, 2
	lb1.Merge(at(0), update("k", 0, 1), Live)
	order(tb, at(10), update("k", 1), Field{Type: protocol.GPT0})
	ordered := tb.ChangedPosition()

	for how, what := range map[How]string{Live: "live", Pushed: "pushed", Replayed: "replayed", Taught: "taught"} {
		expect(t, what, lb1.Merge(at(20), timed(60_000, "k", 0, 2), how), false)
	}
	expect(t, "the entry", get(tb, "k", at(20)), "59990 [1 1]")
	lb1.Acked(ordered - 1)
	expect(t, "an ack of less", lb1.Merge(at(20), update("k", 0, 2), Live), false)

	lb1.Acked(ordered)
	expect(t, "after the ack", lb1.Merge(at(30), update("k", 1, 3), Live), true)
	expect(t, "the entry, changed", get(tb, "k", at(30)), "60000 [1 3]")
	expect(t, "what lb2 is still to be told", told(tb, ordered-1, at(30)), "k:60000 [1 3]")
	expect(t, "of lb2, which has not acked", lb2.Merge(at(30), update("k", 0, 9), Live), false)

	tb.Taken(ordered, 100)
	lb1.Merge(at(40), update("k", 0, 4), Live)
	expect(t, "told when all have taken it", told(tb, 0, at(40)), "")
	expect(t, "learned", fmt.Sprint(learned(tb, at(40))), "[k]")
	check(t, tb)
}

// Nobody acks what is too long to be sent.
func TestOrderOfLongKey(t *testing.T) {
	tb, lb1 := newTable1(define(protocol.KeyString, protocol.MaxKey+10, 60_000, protocol.GPC0))
	key := strings.Repeat("k", protocol.MaxKey+1)
	order(tb, at(0), update(key, 1), Field{Type: protocol.GPC0})
	expect(t, "a peer's change", lb1.Merge(at(0), update(key, 2), Live), true)
	expect(t, "cleared", clearKey(tb, key, at(0)), true)
	expect(t, "slots in use", tb.open(0).index.used, 0)
	check(t, tb)
}

// An entry with a lifetime of its own has it whatever peers do meanwhile, and is
// cleared at its end.
func TestOrderWithLifetime(t *testing.T) {
	for expire, left := range map[uint32]int{60_000: clearedAtPeers, 0: clearedAtPeers, 100: 100} {
		tb, lb1 := newTable1(define(protocol.KeyString, 33, expire, protocol.GPT0, protocol.GPC0))
		order(tb, at(0), timed(2000, "k", 1), Field{Type: protocol.GPT0})
		expect(t, "told", told(tb, 0, at(0)), "k:2000 [1 0]")
		lb1.Acked(tb.ChangedPosition())
		for ms := range int64(19) {
			expect(t, "a peer's change", lb1.Merge(at(100*ms), update("k", 1, uint64(ms)), Live), true)
		}
		expect(t, "before its end", get(tb, "k", at(1999)), "1 [1 18]")

		if expire > 0 { // seen by a peer's change, or else by the cleaner
			expect(t, "a peer's change at its end", lb1.Merge(at(2000), update("k", 1, 19), Live), false)
		} else {
			tb.Expire(at(2000), 10)
		}
		expect(t, "at its end", get(tb, "k", at(2000)), "")
		expect(t, "told at its end", told(tb, 1, at(2000)), fmt.Sprintf("k:%d [0 0]", left))
		expect(t, "entries, expired", []any{tb.Stats().Entries, tb.Stats().Expired}, "[0 1]")

		lb1.Acked(tb.ChangedPosition())
		lb1.Merge(at(2001), update("k", 0, 20), Live)
		expect(t, "a new one", get(tb, "k", at(2001)), fmt.Sprint(expire, " [0 20]"))
		check(t, tb)
	}
}

// Without a lifetime of its own, an order gives that of the table again.
func TestLifetimeIsOrderedAway(t *testing.T) {
	tb, lb1 := newTable1(define(protocol.KeyString, 33, 60_000, protocol.GPT0))
	order(tb, at(0), timed(2000, "k", 1), Field{Type: protocol.GPT0})
	order(tb, at(100), update("k", 1), Field{Type: protocol.GPT0})
	expect(t, "the entry", get(tb, "k", at(100)), "60000 [1]")
	lb1.Acked(tb.ChangedPosition())
	lb1.Merge(at(1000), update("k", 1), Live)
	expect(t, "extended by a peer", get(tb, "k", at(1000)), "60000 [1]")
}

// Nobody sees a cleared entry but who is to be told of it.
func TestClear(t *testing.T) {
	tb, lb1 := newTable1(define(protocol.KeyString, 33, 60_000, protocol.GPC0, protocol.ServerKey))
	def := tb.Definition()
	lb2 := tb.Source(&def)
	lb1.Origin, lb2.Origin = 1, 2
	u := update("k", 1, 0)
	u.ServerKey = "s1"
	lb1.Merge(at(0), u, Live)
	id := idOf(tb, "k", at(0))

	expect(t, "cleared, twice, not there", []any{clearKey(tb, "k", at(10)), clearKey(tb, "k", at(10)), clearKey(tb, "x", at(10))}, "[true false false]")
	expect(t, "found", get(tb, "k", at(10)), "")
	expect(t, "found by its id", getID(tb, id, at(10)), "")
	var (
		cursor Cursor
		b      Batch
	)
	tb.Walk(&cursor, 10, at(10), &b)
	expect(t, "walked over", b.Len(), 0)
	expect(t, "entries, dropped", []any{tb.Stats().Entries, tb.Stats().Dropped}, "[0 1]")
	expect(t, "learned", fmt.Sprint(learned(tb, at(10))), "[]")
	expect(t, "told", told(tb, 0, at(10)), "k:1000 [0 0]")
	check(t, tb)

	expect(t, "a change of lb2, which does not know", lb2.Merge(at(20), update("k", 5, 0), Live), false)
	lb2.Acked(tb.ChangedPosition())
	expect(t, "its copy, in a lesson", lb2.Merge(at(20), timed(59_000, "k", 5, 0), Taught), false)
	expect(t, "its next change", lb2.Merge(at(20), update("k", 6, 0), Live), true)
	expect(t, "the new entry", get(tb, "k", at(20)), "60000 [6 0]")
	expect(t, "told lb1", told(tb, 0, at(20)), "k:60000 [6 0]")
	check(t, tb)
}

// A cleared entry goes when all have taken it, and else with the last copy of it.
func TestClearedEntryGoes(t *testing.T) {
	const key = "a key of more than 32 bytes, to see that it goes too"
	tests := []struct {
		name   string
		expire uint32
		goes   func(tb *Table)
	}{
		{"taken", 60_000, func(tb *Table) { tb.Taken(tb.ChangedPosition(), 10) }},
		{"over", 60_000, func(tb *Table) { tb.Expire(at(60_000), 10) }},
		{"over, without expire", 0, func(tb *Table) { tb.Expire(at(clearedHere), 10) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tb, lb1 := newTable1(define(protocol.KeyString, 100, tt.expire, protocol.GPC0))
			lb1.Merge(at(0), update(key, 1), Live)
			var reader Batch
			tb.Find([]byte(key), at(0), &reader)
			expect(t, "cleared while it is read", clearKey(tb, key, at(0)), true)
			expect(t, "as it was read", entry(&reader, 0, at(0)), fmt.Sprint(tt.expire, " [1]"))
			reader.Release()
			tb.Taken(tb.ChangedPosition()-1, 10)
			tb.Expire(at(1000), 10)
			expect(t, "in use before", tb.open(0).index.used, 1)
			expect(t, "expired before", tb.Stats().Expired, 0)
			tt.goes(tb)
			expect(t, "in use", tb.open(0).index.used, 0)
			expect(t, "expired", tb.Stats().Expired, 0)
			slots, long := used(tb)
			expect(t, "slots, long keys", []any{slots, long}, "[0 0]")
			check(t, tb)
		})
	}
}

// What was cleared is no entry any more, and takes no room of others: not in a full
// table, and not in one that evicts. Where it comes back, it needs room as any other.
func TestClearedTakesNoRoom(t *testing.T) {
	for _, noPurge := range []bool{true, false} {
		set := newSet1()
		set.Limit("/t", Limits{Size: 10, NoPurge: noPurge})
		def := define(protocol.KeyInteger, 4, 60_000, protocol.GPC0)
		tb := set.Define(epoch, nil, def)
		lb1 := tb.Source(def)
		key := func(i int) string { return string(number(i, 4)) }
		expect(t, "taken", mergeNumbers(lb1, 4, fromTo(1000, 1010)), 10)
		for i := range 10 {
			clearKey(tb, key(1000+i), at(1))
		}
		expect(t, "entries", []any{tb.Entries(), tb.Stats().Entries}, "[0 0]")
		expect(t, "others", mergeNumbers(lb1, 4, fromTo(1010, 1020)), 10)
		check(t, tb)
		lb1.Acked(tb.ChangedPosition())
		expect(t, "back in the full table", lb1.Merge(at(2), update(key(1000), 1), Live), !noPurge)
		evicted, refused := tb.Lost()
		expect(t, "entries, evicted, refused", []any{tb.Entries(), evicted, refused}, map[bool]string{true: "[10 0 1]", false: "[10 1 0]"}[noPurge])
		check(t, tb)
		tb.Taken(tb.ChangedPosition(), 100)
		expect(t, "entries", []any{tb.Entries(), tb.Stats().Entries}, "[10 10]")
		check(t, tb)
	}
}

// Taken does no more than it was told at once.
func TestTakenIsBounded(t *testing.T) {
	tb, _ := newTable1(define(protocol.KeyString, 33, 60_000, protocol.GPC0))
	for i := range 1000 {
		key := fmt.Sprint("k", i)
		order(tb, at(0), update(key, 1), Field{Type: protocol.GPC0})
		clearKey(tb, key, at(0))
	}
	expect(t, "untaken", tb.Untaken(), true)
	calls := 1
	for tb.Taken(tb.ChangedPosition(), 100) {
		calls++
	}
	expect(t, "calls", calls, 1000/128+1)
	expect(t, "untaken", tb.Untaken(), false)
	expect(t, "left", tb.open(0).index.used, 0)
	check(t, tb)
}

func idOf(t *Table, key string, now time.Time) uint64 {
	var b Batch
	defer b.Release()
	t.Find([]byte(key), now, &b)
	return b.ID(0)
}

func getID(t *Table, id uint64, now time.Time) string {
	var b Batch
	defer b.Release()
	t.FindID(id, now, &b)
	if b.Len() == 0 {
		return ""
	}
	return entry(&b, 0, now)
}

func TestFindID(t *testing.T) {
	def := define(protocol.KeyString, 33, 60_000, protocol.GPC0)
	for _, shards := range []int{1, 8, 64} {
		tb := NewSet("section", epoch).WithShards(shards).Define(epoch, nil, def)
		src := tb.Source(def)
		for i := range 5000 {
			src.Merge(at(0), update(fmt.Sprint("k", i), uint64(i)), Live)
		}
		for i := range 5000 {
			id := idOf(tb, fmt.Sprint("k", i), at(0))
			expect(t, "by its id", getID(tb, id, at(0)), fmt.Sprintf("60000 [%d]", i))
			expect(t, "by one that is nobody's", getID(tb, id^1<<30, at(0)), "")
		}
		id := idOf(tb, "k1", at(0))
		expect(t, "when it is over", getID(tb, id, at(60_000)), "")
	}
}

// A peer in a world of several, as a HAProxy is one: it counts requests of its own
// in each copy, pushes a copy that it has changed, whole, takes what it is sent,
// whole, and acks it.
type orderedPeer struct {
	copies   map[string][2]uint64
	out      []string // keys to push
	source   *Source
	position uint64   // how far it was sent local changes
	toAck    []uint64 // on the way to us
}

// Whatever the peers do at the same time, and however much some of them lag: each
// of them ends with what was ordered last.
func TestOrdersReachAll(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		def := define(protocol.KeyString, 33, 0, protocol.GPT0, protocol.GPC0)
		tb, _ := newTable1(def)
		keys := []string{"a", "b", "c"}
		want := map[string]uint64{}
		var peers []*orderedPeer
		for i := range 3 {
			p := &orderedPeer{copies: map[string][2]uint64{}, source: tb.Source(def)}
			p.source.Origin = uint8(i + 1)
			peers = append(peers, p)
		}
		for range 400 {
			key, p := keys[r.IntN(len(keys))], peers[r.IntN(len(peers))]
			switch n := r.IntN(100); {
			case n < 5:
				want[key] = r.Uint64N(100) + 1
				order(tb, at(0), update(key, want[key]), Field{Type: protocol.GPT0})
			case n < 8:
				clearKey(tb, key, at(0))
				want[key] = 0
			case n < 40:
				p.request(key)
			case n < 65:
				p.push()
			case n < 80:
				p.pull(tb)
			case n < 95:
				p.ack()
			default:
				tb.Taken(takenBy(peers), r.IntN(100))
			}
		}
		for range 3 {
			for _, p := range peers {
				for len(p.out) > 0 {
					p.push()
				}
				p.pull(tb)
				for len(p.toAck) > 0 {
					p.ack()
				}
			}
		}
		for i, p := range peers {
			for key, v := range p.copies {
				if v[0] != want[key] {
					t.Fatalf("seed %d: peer %d has %d for %s, ordered was %d", seed, i, v[0], key, want[key])
				}
			}
		}
		check(t, tb)
	}
}

func (p *orderedPeer) request(key string) {
	v := p.copies[key]
	v[1]++
	p.copies[key] = v
	p.out = append(p.out, key)
}

// push sends one change, and before it the acks of what it knew when it made it:
// they are on the same connection.
func (p *orderedPeer) push() {
	if len(p.out) == 0 {
		return
	}
	for len(p.toAck) > 0 {
		p.ack()
	}
	key := p.out[0]
	p.out = p.out[1:]
	v := p.copies[key]
	p.source.Merge(at(0), update(key, v[0], v[1]), Live)
}

// pull takes some local changes.
func (p *orderedPeer) pull(tb *Table) {
	var (
		b Batch
		u protocol.Update
	)
	p.position = tb.ReadChanged(p.position, 2, at(0), &b)
	defer b.Release()
	for i := range b.Len() {
		b.Update(i, at(0), &u)
		p.copies[string(u.Key)] = [2]uint64{u.Values[0], u.Values[1]}
		p.toAck = append(p.toAck, b.Position(i))
	}
}

func (p *orderedPeer) ack() {
	if len(p.toAck) > 0 {
		p.source.Acked(p.toAck[0])
		p.toAck = p.toAck[1:]
	}
}

func takenBy(peers []*orderedPeer) uint64 {
	taken := peers[0].source.acked
	for _, p := range peers {
		taken = min(taken, p.source.acked)
	}
	return taken
}
