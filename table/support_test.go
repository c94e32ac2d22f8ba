package table

import (
	"fmt"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
)

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

func newTable1(def *protocol.Definition) (*Table, *Source) {
	tb := NewSet("section", epoch).Define(epoch, nil, def)
	return tb, tb.Source(def)
}

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

// keysOf are the keys of a log after a position, in order.
func keysOf(t *Table, log Log, position uint64, now time.Time) (keys []string) {
	var (
		b Batch
		u protocol.Update
	)
	for {
		position = t.Read(log, position, 3, now, &b)
		if b.Len() == 0 {
			return keys
		}
		for i := range b.Len() {
			b.Update(i, now, &u)
			keys = append(keys, string(u.Key))
		}
		b.Release()
	}
}

// check fails the test where the table's parts contradict each other.
func check(t testing.TB, tb *Table) {
	t.Helper()
	tb.mu.Lock()
	defer tb.mu.Unlock()
	if err := tb.consistent(); err != nil {
		t.Fatal(err)
	}
}

func (t *Table) consistent() error {
	var live, dead, queued int
	servers := map[uint32]uint32{}
	for s := range t.store.next {
		r := t.store.record(0, s)
		if positionOf(r) == 0 {
			if pins(r) != 0 {
				return fmt.Errorf("slot %d is free and pinned", s)
			}
			continue
		}
		if id := t.serverID(s); id != 0 {
			servers[id]++
		}
		if has(r, flagDead) {
			if dead++; pins(r) == 0 {
				return fmt.Errorf("slot %d is dead, not pinned, and not free", s)
			}
			continue
		}
		live++
		key := t.store.key(s)
		if f, ok := t.find(key, hash(key)); !ok || f != s {
			return fmt.Errorf("slot %d is not found under its key", s)
		}
		if at, f, ok := t.log(r).next(positionOf(r) - 1); !ok || f != s || at != positionOf(r) {
			return fmt.Errorf("slot %d is not in its log at %d", s, positionOf(r))
		}
		expire, q := getInt64(r, atExpire), int32(getUint32(r, atQueue))
		if (expire == 0) != (q < 0) {
			return fmt.Errorf("slot %d ends at %d and stands in the queue at %d", s, expire, q)
		}
		if q >= 0 {
			queued++
			if d := t.queue.heap[q]; d.s != s || d.at > expire {
				return fmt.Errorf("slot %d, which ends at %d, is %v in the queue", s, expire, d)
			}
		}
	}
	if n := t.logs[0].live + t.logs[1].live; n != live {
		return fmt.Errorf("%d entries in the logs, %d in the store", n, live)
	}
	if t.index.used != live || len(t.queue.heap) != queued {
		return fmt.Errorf("%d entries indexed, %d queued; %d and %d in the store", t.index.used, len(t.queue.heap), live, queued)
	}
	if n := live + dead + len(t.store.free); n != int(t.store.next) {
		return fmt.Errorf("%d slots used or free, %d in all", n, t.store.next)
	}
	for id := range t.servers.uses {
		if t.servers.uses[id] != servers[uint32(id)] {
			return fmt.Errorf("server key %d is counted %d times, and used %d times", id, t.servers.uses[id], servers[uint32(id)])
		}
	}
	for i, d := range t.queue.heap {
		if i > 0 && t.queue.heap[(i-1)/4].at > d.at {
			return fmt.Errorf("queue is out of order at %d", i)
		}
	}
	return nil
}

// longUsed is how many long keys are stored.
func (st *store) longUsed() (n int) {
	for c := range st.longNext {
		n += int(st.longNext[c]) - len(st.longFree[c])
	}
	return n
}
