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
	"time"

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
	for _, shards := range []int{1, 4} {
		for _, keyLen := range []int{4, 33, 500} {
			t.Run(fmt.Sprintf("shards %d, keys of %d", shards, keyLen), func(t *testing.T) { testConcurrently(t, shards, keyLen) })
		}
	}
}

func testConcurrently(t *testing.T, shards, keyLen int) {
	const keys = 100
	merges := steps(5000)
	full, more := whole(keyLen)
	set := NewSet("section", epoch).WithShards(shards)
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
				learned  LearnedCursor
				position uint64
			)
			for n := uint32(0); !done.Load(); n++ {
				switch reader {
				case 0:
					if tb.ReadLearned(&learned, 50, at(now.Load()), &b); b.Len() == 0 {
						learned = LearnedCursor{}
					}
				case 1:
					if position = tb.ReadChanged(position, 50, at(now.Load()), &b); b.Len() == 0 {
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
			tb.ChangedPosition()
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
	slots, long := used(tb)
	expect(t, "slots and long keys left", []int{slots, long}, "[0 0]")
	t.Logf("%d entries read, %d slots, %d groups", seen.Load(), tb.Stats().Capacity, tb.schema.groups)
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
		moved := tb.open(0).queue.at(0)
		dropped, again := tb.Expire(at(1000), budget)
		now := tb.Stats().Entries
		if dropped > budget || left-now != dropped {
			t.Fatalf("turn %d dropped %d, then %d entries, with a budget of %d", turns, dropped, left-now, budget)
		}
		left = now
		if again.After(at(1001)) { // else there is more to do, or the shard was busy
			break
		}
		if dropped > 0 && moved > 1001 {
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
	tb.ReadLearned(new(LearnedCursor), 5, at(1000), &b)
	expect(t, "read after it", b.Len(), 5)
	b.Release()
	check(t, tb)
}

// A reader that meets nothing but what is over lets others in too.
func TestReadersYield(t *testing.T) {
	const n = 10 * maxPassed
	tb, src := newTable1(define(protocol.KeyIPv4, 4, 1000, protocol.GPC0))
	u := update("1234", 1)
	for i := range n {
		binary.BigEndian.PutUint32(u.Key, uint32(i))
		ends := epoch
		if i == 0 || i == n-1 {
			ends = at(500)
		}
		src.Merge(ends, u, Live)
	}
	var (
		b     Batch
		sh    = tb.open(0)
		tick  = tb.set.clock.tick(at(1000))
		read  learnedCursor
		walk  Cursor
		reads = map[string]func() (answer, uint64){
			"read": func() (answer, uint64) { return sh.readLearned(&read, 10, tick, &b), read.position },
			"walk": func() (answer, uint64) { return sh.walk(&walk, 10, tick, &b), n - uint64(walk.left) },
		}
	)
	for name, look := range reads {
		b.begin(tb)
		for turns, before := 1, uint64(0); ; turns++ {
			said, at := look()
			if at > before+maxPassed {
				t.Fatalf("%s: looked at %d entries in one turn", name, at-before)
			}
			if before = at; said == noMore {
				expect(t, name+": turns", turns, n/maxPassed+1)
				break
			}
		}
		expect(t, name+": entries", b.Len(), 2)
		b.Release()
	}
	expect(t, "lesson", len(learned(tb, at(1000))), 2)
}

// The schema changes between two turns of a reader, or in some of the shards
// while it is being changed: a batch is of one schema, nothing is lost, nothing
// comes twice, and nothing stays pinned.
func TestSchemaChangesWhileRead(t *testing.T) {
	const n = 1000
	def := define(protocol.KeyIPv4, 4, 1000, protocol.GPC0)
	set := NewSet("section", epoch).WithShards(8)
	tb := set.Define(epoch, nil, def)
	src, u := tb.Source(def), update("1234", 7)
	for i := range n {
		binary.BigEndian.PutUint32(u.Key, uint32(i))
		src.Merge(epoch, u, []How{Live, Local}[i%2])
	}
	var (
		cursor   Cursor
		learned  LearnedCursor
		position uint64
	)
	for name, read := range map[string]func(b *Batch){
		"learned": func(b *Batch) { tb.ReadLearned(&learned, 30, epoch, b) },
		"changed": func(b *Batch) { position = tb.ReadChanged(position, 30, epoch, b) },
		"walk":    func(b *Batch) { tb.Walk(&cursor, 30, epoch, b) },
	} {
		keys := map[string]bool{}
		var b Batch
		for turn := 0; ; turn++ {
			// One shard after the other goes over to the next schema.
			was := tb.schema
			next, c := was.with(change(was.def, func(d *protocol.Definition) { d.Types ^= 1 << protocol.ConnCount }), headerSize+4)
			for i := range tb.shards {
				if i == turn%8 {
					read(&b)
					for i := range b.Len() {
						b.Update(i, epoch, u)
						keys[string(u.Key)] = true
						if u.Values[0] != 7 || len(u.Values) != b.Layout().Words {
							t.Fatalf("%s: entry of %v", name, u.Values)
						}
					}
				}
				tb.open(i).adopt(next, c)
			}
			tb.schema = next
			if b.Len() == 0 {
				break
			}
			b.Release()
		}
		expect(t, name+": entries", len(keys), map[bool]int{true: n, false: n / 2}[name == "walk"])
	}
	check(t, tb)
	for i := range tb.shards {
		for s := range tb.open(i).store.next {
			if pins(tb.open(i).store.record(0, s)) != 0 {
				t.Fatalf("slot %d of shard %d is still pinned", s, i)
			}
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
	tb.ReadLearned(new(LearnedCursor), 10, epoch, &teacher)
	if n, _ := tb.Expire(at(200), 100); n != 10 {
		t.Fatalf("%d entries dropped", n)
	}
	expect(t, "entries", tb.Stats().Entries, 0)
	st := &tb.open(0).store
	expect(t, "slots free", st.free.len, 0)
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
	first := st.record(0, teacher.items[0].slot)
	before := generation(first)
	teacher.Release()
	teacher.Release() // does nothing
	expect(t, "slots free", st.free.len, 10)
	if generation(first) != before+1 {
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
	expect(t, "in the logs", len(learned(tb, epoch)), keys)
	check(t, tb)
	n, _ := tb.Expire(at(200), 3*keys)
	expect(t, "expired", n, keys)
	slots, _ := used(tb)
	expect(t, "slots left", slots, 0)
	check(t, tb)
}

// Whatever is merged at the same time, a reader of local changes skips none: of
// each key it gets the last one, of those in between any, in their order.
func TestNoLocalChangeIsSkipped(t *testing.T) {
	const keys, writers = 64, 3
	changes := steps(20_000)
	def := define(protocol.KeyIPv4, 4, 0, protocol.GPC0)
	set := NewSet("section", epoch).WithShards(8)
	tb := set.Define(epoch, nil, def)
	var (
		wg      sync.WaitGroup
		writing atomic.Int32
		last    [writers * keys]uint64 // by key: the value of its last local change
	)
	// Each writer has keys of its own, and the peer's updates are of others.
	writing.Store(writers)
	for w := range writers {
		wg.Go(func() {
			defer writing.Add(-1)
			src, u := tb.Source(def), update("1234", 0)
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for i := range changes {
				key := w*keys + r.IntN(keys)
				binary.BigEndian.PutUint32(u.Key, uint32(key))
				last[key], u.Values[0] = uint64(i+1), uint64(i+1)
				src.Merge(epoch, u, Local)
				binary.BigEndian.PutUint32(u.Key, 1000+uint32(r.IntN(keys)))
				src.Merge(epoch, u, Live)
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			var (
				b        Batch
				u        protocol.Update
				position uint64
				got      [writers * keys]uint64
			)
			for ended := false; ; {
				before := position
				if position = tb.ReadChanged(position, 20, epoch, &b); b.Len() == 0 {
					if ended {
						break
					}
					ended = writing.Load() == 0
				}
				for i := range b.Len() {
					b.Update(i, epoch, &u)
					key := binary.BigEndian.Uint32(u.Key)
					if b.Position(i) <= before || got[key] >= u.Values[0] {
						t.Errorf("key %d at %d is %d, after %d at %d", key, b.Position(i), u.Values[0], got[key], before)
						return
					}
					before, got[key] = b.Position(i), u.Values[0]
				}
				b.Release()
			}
			if got != last {
				t.Errorf("got %v, want %v", got, last)
			}
		})
	}
	wg.Wait()
	expect(t, "position", tb.ChangedPosition(), writers*changes)
	check(t, tb)
}

// A lesson that is read while peers go on has, in the end, each entry as it is
// then, or as it was when it was read last, if it has not changed since.
func TestLessonWhileLearning(t *testing.T) {
	const keys = 500
	def := define(protocol.KeyIPv4, 4, 0, protocol.GPC0)
	tb := NewSet("section", epoch).WithShards(8).Define(epoch, nil, def)
	src, u := tb.Source(def), update("1234", 0)
	for key := range uint32(keys) {
		binary.BigEndian.PutUint32(u.Key, key)
		src.Merge(epoch, u, Live)
	}
	var (
		done   atomic.Bool
		writer sync.WaitGroup
		last   [keys]uint64
	)
	writer.Go(func() {
		src, u := tb.Source(def), update("1234", 0)
		for i := uint64(0); !done.Load(); i++ { // one shard of which the entries change all the time
			binary.BigEndian.PutUint32(u.Key, uint32(i%7))
			last[i%7], u.Values[0] = i, i
			src.Merge(epoch, u, Live)
		}
	})
	var (
		c   LearnedCursor
		b   Batch
		got [keys]uint64
		met = map[uint32]bool{}
	)
	read := func() {
		tb.ReadLearned(&c, 3, epoch, &b)
		for i := range b.Len() {
			b.Update(i, epoch, u)
			key := binary.BigEndian.Uint32(u.Key)
			got[key], met[key] = u.Values[0], true
		}
	}
	turns := 0
	for ; len(met) < keys; turns++ {
		read()
		b.Release()
		if turns > 100*keys {
			t.Fatalf("%d of %d entries were taught: who changes all the time comes first", len(met), keys)
		}
	}
	done.Store(true)
	writer.Wait()
	for read(); b.Len() > 0; read() {
		b.Release()
	}
	if got != last {
		t.Errorf("got %v, want %v", got, last)
	}
	t.Logf("%d turns", turns)
}

// The cleaner passes over a shard that is busy, but not for ever.
func TestCleanerPutsOff(t *testing.T) {
	tb, src := newTable1(define(protocol.KeyString, 9, 1000, protocol.GPC0))
	src.Merge(epoch, update("k", 1), Live)
	sh := tb.open(0)
	sh.mu.Lock()
	for range maxPutOff {
		n, again := tb.Expire(at(1000), 10)
		expect(t, "put off", []any{n, again}, []any{0, at(1001)})
	}
	waited := make(chan int)
	go func() {
		n, _ := tb.Expire(at(1000), 10)
		waited <- n
	}()
	select {
	case <-waited:
		t.Fatal("the cleaner went in while the shard was locked")
	case <-time.After(5 * time.Millisecond):
	}
	sh.mu.Unlock()
	expect(t, "dropped", <-waited, 1)
	src.Merge(at(1000), update("k", 1), Live)
	sh.mu.Lock()
	_, again := tb.Expire(at(2000), 10)
	expect(t, "counts anew", again, at(2001))
	sh.mu.Unlock()
}
