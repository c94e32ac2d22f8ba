package peersync

import (
	"context"
	"fmt"
	"time"

	"github.com/peersd/peersd/table"
)

// cleaning: at most cleanBudget entries of a shard at a time, so that sessions
// get at it in between.
const (
	cleanEvery  = 100 * time.Millisecond
	cleanBudget = 32
)

func (h *Hub) clean(ctx context.Context) {
	lost := losses{h: h, known: map[*table.Table]loss{}}
	short := shortages{h: h, known: map[*table.Table]int{}}
	changes := uint64(0)
	for sleep(ctx, cleanEvery) {
		h.settle()
		for {
			now := time.Now()
			again := h.cfg.Tables.Expire(now, cleanBudget)
			lost.tell(now)
			short.tell(now)
			h.limits.tell(now, &h.cfg.Log)
			if again.IsZero() || again.After(now) || ctx.Err() != nil {
				break
			}
		}
		// What ended may have been cleared, and is to be told.
		if n := h.cfg.Tables.Changes(); n != changes {
			changes = n
			h.Wake()
		}
	}
}

// settle tells the tables which local changes all peers have taken: some at a time.
func (h *Hub) settle() {
	links := h.snapshot()
	for _, t := range h.cfg.Tables.Tables() {
		if t.Untaken() {
			t.Taken(takenByAll(t, links), settleBudget)
		}
	}
}

// settleBudget is how many changes of a table are settled at a time.
const settleBudget = 100_000

// takenByAll is how far all peers that have the table, whether they are there or
// not, took its local changes.
func takenByAll(t *table.Table, links []*link) uint64 {
	position := t.ChangedPosition()
	for _, l := range links {
		if taken, ok := l.taken(t); ok {
			position = min(position, taken)
		}
	}
	return position
}

// taken is [session.Peer.Taken].
func (l *link) taken(t *table.Table) (position uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.conn; c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	return l.peer.Taken(t)
}

// losses says in the log which entries were lost for want of room, at most once
// in lossesEvery.
type losses struct {
	h     *Hub
	next  time.Time // not before
	known map[*table.Table]loss
}

const lossesEvery = time.Minute

// A loss is what a table had lost when the log was told last.
type loss struct{ evicted, refused uint64 }

func (l *losses) tell(now time.Time) {
	if now.Before(l.next) {
		return
	}
	var parts []string
	known := map[*table.Table]loss{} // without tables that are gone
	for _, t := range l.h.cfg.Tables.Tables() {
		was, is := l.known[t], loss{}
		is.evicted, is.refused = t.Lost()
		known[t] = is
		if is != was {
			parts = append(parts, fmt.Sprintf("%s (%d evicted, %d refused)", t.FullName(), is.evicted-was.evicted, is.refused-was.refused))
		}
	}
	l.known = known
	if len(parts) == 0 {
		return
	}
	l.next = now.Add(lossesEvery)
	event := l.h.cfg.Log.Warn().Str("tables", some(parts)).Int64("memory", l.h.cfg.Tables.Memory())
	if limit := l.h.cfg.Tables.MemoryLimit(); limit > 0 {
		event.Int64("limit", limit)
	}
	event.Msg("entries were lost for want of room; raise --max-memory or --table-size")
}

// mostNamed is how many tables one line of the log names.
const mostNamed = 5
