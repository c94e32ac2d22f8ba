package table

import (
	"fmt"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
)

// What a seed of a test says is to be all that differs.
func init() { seed = [2]uint64{1, 0x9e3779b97f4a7c15} }

var epoch = time.Unix(1_700_000_000, 0)

// at is the instant ms after the epoch of the tests.
func at(ms int64) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

// define returns a definition with rates over 10 s and arrays of 3.
func define(key protocol.KeyType, keyLen int, expire uint32, types ...protocol.DataType) *protocol.Definition {
	def := &protocol.Definition{ID: 7, Name: "/t", KeyType: key, KeyLen: keyLen, Expire: expire}
	for _, dt := range types {
		def.Types |= 1 << dt
		if dt.IsRate() {
			def.Params[dt].Period = 10_000
		}
		if dt.IsArray() {
			def.Params[dt].Elements = 3
		}
	}
	return def
}

// change returns a copy of def with what f did to it.
func change(def *protocol.Definition, f func(*protocol.Definition)) *protocol.Definition {
	c := *def
	f(&c)
	return &c
}

// newTable1 returns a table of one shard: what is read of it is in order.
func newTable1(def *protocol.Definition) (*Table, *Source) {
	tb := newSet1().Define(epoch, nil, def)
	return tb, tb.Source(def)
}

func newSet1() *Set { return NewSet("section", epoch).WithShards(1) }

func update(key string, values ...uint64) *protocol.Update {
	return &protocol.Update{Key: []byte(key), Values: values}
}

func timed(remaining uint32, key string, values ...uint64) *protocol.Update {
	return &protocol.Update{Key: []byte(key), Values: values, Timed: true, Remaining: remaining}
}

// get is an entry as a text, "" where there is none.
func get(t *Table, key string, now time.Time) string {
	var b Batch
	t.Find([]byte(key), now, &b)
	defer b.Release()
	if b.Len() == 0 {
		return ""
	}
	return entry(&b, 0, now)
}

func entry(b *Batch, i int, now time.Time) string {
	var u protocol.Update
	b.Update(i, now, &u)
	s := fmt.Sprint(u.Remaining, u.Values)
	if u.ServerKey != "" {
		s += " " + u.ServerKey
	}
	return s
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %v, want %v", what, g, w)
	}
}

// keysOf are the keys that read pins, until there are no more.
func keysOf(now time.Time, read func(limit int, b *Batch)) (keys []string) {
	var (
		b Batch
		u protocol.Update
	)
	for {
		if read(3, &b); b.Len() == 0 {
			return keys
		}
		for i := range b.Len() {
			b.Update(i, now, &u)
			keys = append(keys, string(u.Key))
		}
		b.Release()
	}
}

// learned are the keys that a peer changed last.
func learned(t *Table, now time.Time) []string {
	var c LearnedCursor
	return keysOf(now, func(limit int, b *Batch) { t.ReadLearned(&c, limit, now, b) })
}

// changed are the keys that were changed last here, after a position.
func changed(t *Table, position uint64, now time.Time) []string {
	return keysOf(now, func(limit int, b *Batch) { position = t.ReadChanged(position, limit, now, b) })
}

// check fails the test where the table's parts contradict each other.
func check(t testing.TB, tb *Table) {
	t.Helper()
	tb.mu.Lock()
	defer tb.mu.Unlock()
	local, entries, memory := 0, 0, tb.overhead+logMemory(&tb.changed.log)
	servers := map[uint32]int32{}
	for sh := range tb.each {
		n, err := sh.consistent(tb.schema, servers)
		if local += n; err != nil {
			t.Fatalf("shard %d: %v", sh.number, err)
		}
		entries += sh.index.used - sh.cleared
		memory += sh.memory() + tb.shardSize()
	}
	if n := int(tb.entries.Load()); n != entries {
		t.Fatalf("%d entries counted, %d there", n, entries)
	}
	if k := tb.schema.servers; k != nil {
		for id := uint32(1); id < k.next; id++ {
			if n := k.at(id).uses.Load(); n != servers[id] || n > 0 && k.ids[k.get(id)] != id {
				t.Fatalf("server key %d is counted %d times, and used %d times", id, n, servers[id])
			}
			if key := k.get(id); key != "" {
				memory += len(key) + serverKeySize
			}
		}
	}
	if n := int(tb.account.bytes.Load()); n != memory {
		t.Fatalf("%d bytes counted, %d reserved", n, memory)
	}
	if tb.changed.log.live != local {
		t.Fatalf("%d entries in the log of local changes, %d in the store", tb.changed.log.live, local)
	}
}

// there reports whether there is an entry of key, be its lifetime over or not.
func there(t *Table, key string) bool {
	h := hash([]byte(key))
	sh := t.shard(h)
	if sh == nil {
		return false
	}
	_, r := sh.find([]byte(key), h)
	return r != nil
}

// memory is what a shard has reserved, looked for in all that it has.
func (sh *shard) memory() (bytes int) {
	for _, chunks := range sh.store.chunks {
		for _, c := range chunks {
			bytes += cap(c.bytes)
		}
	}
	for i := range sh.store.long {
		for _, c := range sh.store.long[i].chunks {
			bytes += cap(c)
		}
	}
	for _, in := range []*cells{&sh.index.cells, &sh.index.old} {
		for _, piece := range in.pieces {
			bytes += cap(piece)
		}
	}
	for _, piece := range sh.queue.pieces {
		bytes += len(piece) * nodeSize
	}
	return bytes + logMemory(&sh.learned)
}

func logMemory(l *updateLog) (bytes int) {
	cells := cap(l.spare)
	for _, b := range l.blocks {
		cells += cap(b.slots) + cap(b.offsets)
	}
	return cells * logCellSize
}

func (sh *shard) consistent(want *schema, servers map[uint32]int32) (local int, err error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.schema != want {
		return 0, fmt.Errorf("has another schema than the table")
	}
	var live, dead, queued, cleared int
	for s := range sh.store.next {
		r := sh.store.record(0, s)
		if positionOf(r) == 0 {
			if pins(r) != 0 {
				return 0, fmt.Errorf("slot %d is free and pinned", s)
			}
			continue
		}
		if id := sh.serverID(s); id != 0 {
			servers[id]++
		}
		if has(r, flagDead) {
			if dead++; pins(r) == 0 {
				return 0, fmt.Errorf("slot %d is dead, not pinned, and not free", s)
			}
			continue
		}
		live++
		if has(r, flagCleared) {
			cleared++
		}
		h := hash(sh.store.key(r))
		if f, found := sh.find(sh.store.key(r), h); found == nil || f != s || sh.table.shard(h) != sh {
			return 0, fmt.Errorf("slot %d is not found under its key", s)
		}
		log, entry := &sh.learned, s
		if has(r, flagLocal) {
			local++
			log, entry = &sh.table.changed.log, sh.entry(s)
		}
		if l := log.after(positionOf(r) - 1); !l.next() || l.slot != entry || l.position != positionOf(r) {
			return 0, fmt.Errorf("slot %d is not in its log at %d", s, positionOf(r))
		}
		expire, q := get48(r, atExpire), int32(getUint32(r, atQueue))
		if (expire == 0) != (q < 0) {
			return 0, fmt.Errorf("slot %d ends at %d and stands in the queue at %d", s, expire, q)
		}
		if q >= 0 {
			queued++
			if d := *sh.queue.node(int(q)); d.slot() != s || d.at() > expire {
				return 0, fmt.Errorf("slot %d, which ends at %d, is %v in the queue", s, expire, d)
			}
		}
	}
	if n := sh.learned.live + local; n != live {
		return 0, fmt.Errorf("%d entries in the logs, %d in the store", n, live)
	}
	if sh.index.used != live || sh.queue.len != queued {
		return 0, fmt.Errorf("%d entries indexed, %d queued; %d and %d in the store", sh.index.used, sh.queue.len, live, queued)
	}
	if sh.cleared != cleared {
		return 0, fmt.Errorf("%d cleared entries counted, %d in the store", sh.cleared, cleared)
	}
	if n := live + dead + sh.store.free.len; n != int(sh.store.next) {
		return 0, fmt.Errorf("%d slots used or free, %d in all", n, sh.store.next)
	}
	for i := 1; i < sh.queue.len; i++ {
		if sh.queue.node((i-1)/arity).at() > sh.queue.node(i).at() {
			return 0, fmt.Errorf("queue is out of order at %d", i)
		}
	}
	return local, nil
}

// used are how many slots and long keys of a table are not free.
func used(t *Table) (slots, long int) {
	for sh := range t.each {
		st := &sh.store
		slots += int(st.next) - st.free.len
		long += st.longUsed()
	}
	return slots, long
}

// longUsed is how many long keys are stored.
func (st *store) longUsed() (n int) {
	for c := range st.long {
		n += int(st.long[c].next) - st.long[c].free.len
	}
	return n
}
