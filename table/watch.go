package table

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Changes reads the entries of a table that have changed, as a session that teaches
// does: it is positions in the logs. So it costs nothing that nobody reads, and an
// entry that has changed many times since comes once. It is used by one goroutine.
type Changes struct {
	table   *Table
	learned LearnedCursor
	changed uint64
	here    bool // local changes are read first, the next time
}

// Changes begins about last entries before now, those that changed last, and with
// what changes from now on where last is 0.
func (t *Table) Changes(last int) *Changes {
	c := &Changes{table: t, changed: t.changed.last(last)}
	c.learned.shards = make([]learnedCursor, len(t.shards))
	for i := range t.shards {
		c.learned.shards[i].position = t.shards[i].Load().last((last + len(t.shards) - 1) / len(t.shards))
	}
	return c
}

// Table is whose changes these are.
func (c *Changes) Table() *Table { return c.table }

// Read pins up to limit entries that have changed, for b, which has to be released.
// b is empty where there is nothing new. Entries that were cleared may be among
// them: see [Batch.Cleared].
func (c *Changes) Read(limit int, now time.Time, b *Batch) {
	c.here = !c.here // where one changes all the time, the other has its turn
	for range 2 {
		if c.here {
			c.changed = c.table.ReadChanged(c.changed, limit, now, b)
		} else {
			c.table.ReadLearned(&c.learned, limit, now, b)
		}
		if b.Len() > 0 {
			return
		}
		c.here = !c.here
	}
}

// A Watch reads what becomes of a table's entries from an instant on: [Changes], and
// what stands in no log. It has to be closed.
type Watch struct {
	*Changes
	noted uint64
}

// Watch returns a Watch that begins now.
func (t *Table) Watch() *Watch { return &Watch{noted: t.notes.open(), Changes: t.Changes(0)} }

// Close ends the watch.
func (w *Watch) Close() { w.table.notes.close() }

// Noted returns the keys of entries of which something became that stands in no
// log, each with the last that did: it ended, or a peer has changed it while an
// ordered change had yet to reach others. missed is how many others there were, too
// many of them at once, or with keys too long.
func (w *Watch) Noted() (keys []Note, missed int) {
	keys, w.noted = w.table.notes.after(w.noted, &missed)
	return keys, missed
}

// A Note is what became of an entry: it ended, or else was changed. By now there may
// be another one of its key.
type Note struct {
	Key   []byte
	Ended bool
}

// notes are the last ones of a table, kept while somebody watches it. The lock is
// taken after a shard's.
type notes struct {
	watches atomic.Int32 // written to under mu
	mu      sync.Mutex
	ring    []Note // note number n is at n modulo its length
	next    uint64 // the number of the next one
}

// What is kept for all who watch one table: 1 MiB of keys at most.
const (
	maxNotes   = 4096
	maxNoteKey = 256
)

func (n *notes) open() (next uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watches.Add(1) == 1 {
		n.ring = make([]Note, maxNotes)
	}
	return n.next
}

func (n *notes) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.watches.Add(-1) == 0 {
		n.ring = nil
	}
}

// add notes what became of the entry of key. Where nobody watches, that is nothing.
func (n *notes) add(key []byte, ended bool) {
	if n.watches.Load() == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ring == nil {
		return
	}
	note := Note{Ended: ended}
	if len(key) <= maxNoteKey {
		note.Key = slices.Clone(key)
	}
	n.ring[n.next%maxNotes] = note
	n.next++
}

// after returns the notes from number from on, of each key the last one, and the
// number of the next one to come.
func (n *notes) after(from uint64, missed *int) (keys []Note, next uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if from == n.next {
		return nil, from
	}
	first := from
	if n.next > maxNotes {
		first = max(from, n.next-maxNotes)
	}
	*missed = int(first - from)
	known := map[string]bool{}
	for i := n.next; i > first; i-- {
		note := n.ring[(i-1)%maxNotes]
		switch {
		case note.Key == nil:
			*missed++
		case !known[string(note.Key)]:
			known[string(note.Key)] = true
			keys = append(keys, note)
		}
	}
	slices.Reverse(keys)
	return keys, n.next
}

// last is a position after which about n entries have changed.
func (c *changedLog) last(n int) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.last(n, c.position.Load())
}

func (sh *shard) last(n int) uint64 {
	if sh == nil {
		return 0
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.learned.last(n, sh.position)
}

// last is a position after which n entries stand, where there are as many, and some
// more: blocks are not cut. end is that after which there is none.
func (l *updateLog) last(n int, end uint64) uint64 {
	for i := len(l.blocks) - 1; i >= 0 && n > 0; i-- {
		n -= l.blocks[i].live
		end = l.blocks[i].base - 1
	}
	return end
}
