package session

import (
	"sync"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// arrivals is where updates that came one after the other are decoded, so that
// the table takes them all at once. It may take 150 KB, so that sessions share it.
type arrivals struct {
	list   []table.Arrival
	values []uint64 // of all of them
}

var sharedArrivals = sync.Pool{New: func() any { return new(arrivals) }}

// maxWords bounds the values of all arrivals: those of tables with long arrays
// are fewer at once.
const maxWords = 1 << 13

// reset makes room for n updates, or as many as there may be of words each, and
// returns how many that are.
func (a *arrivals) reset(n, words int) int {
	n = min(n, table.MaxArrivals)
	if words > 0 {
		n = min(n, max(maxWords/words, 1))
	}
	if len(a.list) < n {
		a.list = make([]table.Arrival, min(max(n, 2*len(a.list)), table.MaxArrivals))
	}
	if len(a.values) < n*words {
		a.values = make([]uint64, n*words)
	}
	for i := range a.list[:n] {
		a.list[i].Values = a.values[i*words : (i+1)*words : (i+1)*words]
	}
	return n
}

// receiveUpdates takes the updates that frames begin with, or some of them, and
// returns how many. They are of one table: only a message in between changes it.
func (s *Session) receiveUpdates(now time.Time, frames []protocol.Frame) (n int, err error) {
	for n < len(frames) && frames[n].Type.IsUpdate() {
		n++
	}
	if n == 0 {
		return 0, nil
	}
	r := s.current
	if r == nil {
		s.stats.Skipped += uint64(n)
		return n, nil
	}
	layout := r.source.Layout()
	shared := sharedArrivals.Get().(*arrivals)
	defer sharedArrivals.Put(shared)
	n = shared.reset(n, layout.Words)
	for i, f := range frames[:n] {
		a := &shared.list[i]
		if err = protocol.ParseUpdate(f.Type, f.Payload, layout, &s.dictionary, r.last, &a.Update); err != nil {
			n = i // those before it count
			break
		}
		r.last = a.ID
		a.How = s.learning.judge(now, r, &a.Update, s.cfg.Version)
	}
	s.merge(now, r, shared.list[:n])
	return n, err
}

// merge lets the table have what has arrived.
func (s *Session) merge(now time.Time, r *remoteTable, all []table.Arrival) {
	s.stats.UpdatesIn += uint64(len(all))
	r.source.MergeAll(now, all)
	for i := range all {
		a := &all[i]
		if a.Added {
			s.stats.Added++
		}
		r.held = r.held || a.How == table.Pushed && !a.Changed
		// Rows of a lesson are not acked: a HAProxy that teaches ignores acks,
		// and one that comes too late would be taken for another's.
		if a.How != table.Taught && !r.held {
			r.toAck, r.owed, s.heard = a.ID, true, true
		}
		a.Key, a.ServerKey = nil, "" // they are the messages'
	}
}
