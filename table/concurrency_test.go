package table

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/peersd/peersd/protocol"
)

// whole is a definition of which every value of an entry is written equal, and
// the key begins with an entry's number. part lacks some of its types.
func whole(keyLen int) (full, part *protocol.Definition) {
	full = define(protocol.KeyBinary, keyLen, 200, protocol.GPC0, protocol.ConnCount, protocol.BytesInCount, protocol.BytesOutCount, protocol.ServerKey, protocol.GPTArray)
	full.Params[protocol.GPTArray].Elements = 20
	return full, change(full, func(d *protocol.Definition) { d.Types |= 1<<protocol.GlitchCount | 1<<protocol.GlitchRate })
}

func wholeUpdate(def *protocol.Definition) *protocol.Update {
	return &protocol.Update{Key: make([]byte, def.KeyLen), Values: make([]uint64, protocol.NewLayout(def).Words)}
}

func fill(u *protocol.Update, key, value uint32) {
	for i := range u.Key {
		u.Key[i] = byte(key)
	}
	for i := range u.Values {
		u.Values[i] = uint64(value)
	}
	u.ServerKey = servers[value%uint32(len(servers))]
}

var servers = strings.Fields("s0 s1 s2 s3 s4 s5 s6")

// torn says what is wrong with an entry.
func torn(u *protocol.Update) error {
	for _, k := range u.Key {
		if k != u.Key[0] {
			return fmt.Errorf("key % x is of two entries", u.Key)
		}
	}
	v := u.Values[0]
	// gpc0, conn_cnt, bytes_in_cnt, bytes_out_cnt, no word of server_key, gpt
	for _, i := range append([]int{1, 2, 3}, 5, 10, 24) {
		if u.Values[i] != v {
			return fmt.Errorf("values %v of entry %x are of two updates", u.Values, u.Key[0])
		}
	}
	if want := servers[v%uint64(len(servers))]; u.ServerKey != want {
		return fmt.Errorf("server key %q of entry %x with %d, want %q", u.ServerKey, u.Key[0], v, want)
	}
	return nil
}

// Two sessions learn the same keys, two teach, one dumps, one looks up, one
// expires, one redefines: no race, and nothing half-written is ever seen.
func TestConcurrently(t *testing.T) {
	for _, keyLen := range []int{4, 32, 33, 500} {
		t.Run(fmt.Sprint("keys of ", keyLen), func(t *testing.T) { testConcurrently(t, keyLen) })
	}
}

func testConcurrently(t *testing.T, keyLen int) {
	const keys = 100
	merges := steps(8000)
	full, more := whole(keyLen)
	set := NewSet("section", epoch)
	tb := set.Define(epoch, nil, full)
	var (
		now              atomic.Int64
		learners, others sync.WaitGroup
		done             atomic.Bool
		seen             atomic.Int64
	)
	for peer := range uint32(2) {
		learners.Go(func() {
			src, u := tb.Source(full), wholeUpdate(full)
			r := rand.New(rand.NewPCG(uint64(peer), 1))
			for range merges {
				fill(u, r.Uint32N(keys), r.Uint32())
				u.Timed, u.Remaining = r.IntN(2) == 0, r.Uint32N(200)
				src.Merge(at(now.Load()), u, How(r.IntN(int(Local)+1)))
			}
		})
	}
	read := func(b *Batch, buf []byte, dict *protocol.DictionaryWriter, u *protocol.Update) []byte {
		buf = buf[:0]
		for i := range b.Len() {
			b.Update(i, at(now.Load()), u)
			if err := torn(u); err != nil {
				t.Error(err)
				done.Store(true)
			}
			u.Timed = b.Expires(i)
			buf = protocol.AppendUpdate(buf, b.Layout(), dict, u)
		}
		seen.Add(int64(b.Len()))
		b.Release()
		return buf
	}
	for reader := range 4 {
		others.Go(func() {
			var (
				b        Batch
				u        protocol.Update
				buf      []byte
				dict     protocol.DictionaryWriter
				cursor   Cursor
				position uint64
			)
			for n := uint32(0); !done.Load(); n++ {
				switch reader {
				case 0, 1:
					if position = tb.Read(Log(reader), position, 50, at(now.Load()), &b); b.Len() == 0 {
						position = 0
					}
				case 2:
					if tb.Walk(&cursor, 30, at(now.Load()), &b); b.Len() == 0 {
						cursor = Cursor{}
					}
				case 3:
					tb.Find(bytes.Repeat([]byte{byte(n % keys)}, keyLen), at(now.Load()), &b)
				}
				buf = read(&b, buf, &dict, &u)
			}
		})
	}
	others.Go(func() {
		for !done.Load() {
			now.Add(1)
			tb.Expire(at(now.Load()), 3)
			tb.Stats()
			tb.Pending(Learned, 0)
		}
	})
	others.Go(func() {
		was, is := full, more
		for !done.Load() {
			set.Define(at(now.Load()), was, is)
			was, is = is, was
			set.Expire(at(now.Load()), 1)
		}
	})
	learners.Wait()
	done.Store(true)
	others.Wait()
	check(t, tb)
	for again := at(0); !again.IsZero(); {
		_, again = tb.Expire(at(now.Load()+1000), 100)
	}
	check(t, tb)
	if len(tb.store.free) != int(tb.store.next) || tb.store.longUsed() != 0 {
		t.Errorf("%d slots and %d long keys are left", int(tb.store.next)-len(tb.store.free), tb.store.longUsed())
	}
	t.Logf("%d entries read, %d slots, %d groups", seen.Load(), tb.store.next, tb.schema.groups)
}

// HAProxy's issue 2552, crash 1: the cleaner of old entries held the lock until
// it was done, and the teachers waited.
func TestIssue2552CleanerYields(t *testing.T) {
	n := 1_000_000
	if raceEnabled {
		n = 100_000
	}
	const budget = 100
	tb, src := newTable1(define(protocol.KeyIPv4, 4, 1000, protocol.GPC0))
	u := update("1234", 1)
	for i := range n {
		binary.BigEndian.PutUint32(u.Key, uint32(i))
		src.Merge(epoch, u, Live)
	}
	// One in ten was extended: putting those off costs the budget too.
	for i := 0; i < n; i += 10 {
		binary.BigEndian.PutUint32(u.Key, uint32(i))
		src.Merge(at(500), u, Live)
	}
	var (
		b      Batch
		turns  int
		reads  atomic.Int64
		done   atomic.Bool
		reader sync.WaitGroup
	)
	started := make(chan struct{})
	reader.Go(func() {
		var b Batch
		for i := uint32(0); !done.Load(); i += 10 {
			tb.Find(binary.BigEndian.AppendUint32(nil, i%uint32(n)), at(1000), &b)
			if b.Len() != 1 {
				t.Errorf("entry %d is gone before its end", i)
				done.Store(true)
			}
			b.Release()
			if reads.Add(1) == 1 {
				close(started)
			}
		}
	})
	<-started
	before := reads.Load()
	for left := n; ; turns++ {
		moved := tb.queue.heap[0].at
		dropped, again := tb.Expire(at(1000), budget)
		now := tb.Stats().Entries
		if dropped > budget || left-now != dropped {
			t.Fatalf("turn %d dropped %d, then %d entries, with a budget of %d", turns, dropped, left-now, budget)
		}
		left = now
		if again.After(at(1000)) {
			break
		}
		if moved > 1001 {
			t.Fatal("again, though nothing has ended")
		}
	}
	during := reads.Load() - before
	done.Store(true)
	reader.Wait()
	if want := n / budget; turns < want {
		t.Errorf("%d turns, which is less than %d: the budget is not kept", turns, want)
	}
	if during == 0 {
		t.Error("no reader got in")
	}
	expect(t, "entries left", tb.Stats().Entries, n/10)
	t.Logf("%d turns, %d reads meanwhile", turns, during)
	tb.Read(Learned, 0, 5, at(1000), &b)
	expect(t, "read after it", b.Len(), 5)
	b.Release()
	check(t, tb)
}

// A reader that meets nothing but what is over lets others in too.
func TestReadersYield(t *testing.T) {
	const n = 10 * maxPassed
	def := define(protocol.KeyIPv4, 4, 1000, protocol.GPC0)
	set := NewSet("section", epoch)
	tb := set.Define(epoch, nil, def)
	src, u := tb.Source(def), update("1234", 1)
	for i := range n {
		binary.BigEndian.PutUint32(u.Key, uint32(i))
		ends := epoch
		if i == 0 || i == n-1 {
			ends = at(500)
		}
		src.Merge(ends, u, Live)
	}
	var b Batch
	b.begin(tb)
	tick := tb.clock.tick(at(1000))
	var position uint64
	more, turns := true, 0
	for ; more; turns++ {
		before := position
		position, more = tb.readSome(Learned, 0, position, 10, tick, &b)
		if position > before+maxPassed {
			t.Fatalf("looked at %d entries in one turn", position-before)
		}
	}
	expect(t, "reader's turns", turns, n/maxPassed+1)
	expect(t, "entries", b.Len(), 2)
	b.Release()

	b.begin(tb)
	var cursor Cursor
	for turns = 1; ; turns++ {
		before := cursor
		if !tb.walkSome(Cursor{}, &cursor, 10, tick, &b) {
			break
		}
		if cursor.next > before.next+maxPassed {
			t.Fatalf("walked over %d slots in one turn", cursor.next-before.next)
		}
	}
	expect(t, "walker's turns", turns, n/maxPassed+1)
	expect(t, "entries", b.Len(), 2)
	b.Release()

	// The schema changes between two turns: the batch is filled anew, by one
	// schema, and nothing is lost or stays pinned.
	b.begin(tb)
	position, _ = tb.readSome(Learned, 0, 0, 10, tick, &b)
	expect(t, "first turn", b.Len(), 1)
	more2 := change(def, func(d *protocol.Definition) { d.Types |= 1 << protocol.ConnCount })
	set.Define(at(1000), def, more2)
	for more = true; more; {
		position, more = tb.readSome(Learned, 0, position, 10, tick, &b)
	}
	expect(t, "entries", []string{entry(&b, 0, at(1000)), entry(&b, 1, at(1000))}, "[500 [1 0] 500 [1 0]]")
	b.Release()
	cursor = Cursor{}
	tb.walkSome(Cursor{}, &cursor, 10, tick, &b)
	set.Define(at(1000), more2, def)
	for tb.walkSome(Cursor{}, &cursor, 10, tick, &b) {
	}
	expect(t, "entries", b.Len(), 2)
	b.Release()
	for s := range tb.store.next {
		if pins(tb.store.record(0, s)) != 0 {
			t.Fatalf("slot %d is still pinned", s)
		}
	}
}

// Crash 2: an entry was freed while a teacher read it.
func TestIssue2552FreedWhileTaught(t *testing.T) {
	full, _ := whole(300)
	tb, src := newTable1(full)
	u := wholeUpdate(full)
	for key := range uint32(10) {
		fill(u, key, 100+key)
		src.Merge(epoch, u, Live)
	}
	var teacher Batch
	tb.Read(Learned, 0, 10, epoch, &teacher)
	if n, _ := tb.Expire(at(200), 100); n != 10 {
		t.Fatalf("%d entries dropped", n)
	}
	expect(t, "entries", tb.Stats().Entries, 0)
	expect(t, "slots free", len(tb.store.free), 0)
	for key := range uint32(50) { // would reuse the slots, long keys and server keys
		fill(u, 50+key, key)
		src.Merge(at(200), u, Live)
	}
	var got protocol.Update
	for i := range teacher.Len() {
		teacher.Update(i, at(100), &got)
		if err := torn(&got); err != nil {
			t.Error(err)
		}
		if got.Key[0] != byte(i) || got.Values[0] != uint64(100+i) || got.Remaining != 100 {
			t.Errorf("entry %d became %x %d", i, got.Key[0], got.Values[0])
		}
		if teacher.Update(i, at(300), &got); got.Remaining != 0 {
			t.Errorf("entry %d lives on for %d ms", i, got.Remaining)
		}
	}
	generation := tb.store.generation(teacher.items[0].slot)
	first := teacher.items[0].slot
	teacher.Release()
	teacher.Release() // does nothing
	expect(t, "slots free", len(tb.store.free), 10)
	if tb.store.generation(first) != generation+1 {
		t.Error("the freed slot has its old identity")
	}
	check(t, tb)
}

// Crash 3: the same key, learned from two peers at once, was inserted twice.
func TestIssue2552SameKeyFromTwoPeers(t *testing.T) {
	const keys = 2000
	full, _ := whole(8)
	tb, _ := newTable1(full)
	var wg sync.WaitGroup
	for peer := range uint32(2) {
		wg.Go(func() {
			src, u := tb.Source(full), wholeUpdate(full)
			for key := range uint32(keys) {
				binary.BigEndian.PutUint32(u.Key, key)
				u.Values[0] = uint64(peer)
				src.Merge(epoch, u, How(peer)) // Live, Pushed
			}
		})
	}
	wg.Wait()
	expect(t, "entries", tb.Stats().Entries, keys)
	expect(t, "in the log", tb.logs[Learned].live, keys)
	check(t, tb)
	n, _ := tb.Expire(at(200), 3*keys)
	expect(t, "expired", n, keys)
	expect(t, "slots free", len(tb.store.free), int(tb.store.next))
	check(t, tb)
}
