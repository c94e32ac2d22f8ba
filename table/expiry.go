package table

// An expiryQueue orders entries by the tick at which they end: a heap of four
// children a node, O(log n).
//
// It is lazy in one direction. An entry whose lifetime is extended, as every
// live update does, stays where it is; only when it reaches the front is it
// put where it belongs. An entry whose lifetime is shortened moves at once.
// So the front is never later than the first true end.
type expiryQueue struct {
	heap []deadline
}

type deadline struct {
	at int64 // tick, no later than the record's expire
	s  slot
}

// The queue position is kept in the record, so that an entry can be moved and
// removed: place is told of every move.
type placer interface {
	place(s slot, position int32)
}

func (q *expiryQueue) push(p placer, at int64, s slot) {
	q.heap = append(q.heap, deadline{at, s})
	q.up(p, len(q.heap)-1)
}

// front returns the earliest deadline. It has to be checked against the
// record's own.
func (q *expiryQueue) front() (deadline, bool) {
	if len(q.heap) == 0 {
		return deadline{}, false
	}
	return q.heap[0], true
}

// move sets the deadline at a position.
func (q *expiryQueue) move(p placer, position int32, at int64) {
	i := int(position)
	earlier := at < q.heap[i].at
	q.heap[i].at = at
	if earlier {
		q.up(p, i)
	} else {
		q.down(p, i)
	}
}

func (q *expiryQueue) remove(p placer, position int32) {
	i, last := int(position), len(q.heap)-1
	moved := q.heap[last]
	q.heap = q.heap[:last]
	if i == last {
		return
	}
	at := q.heap[i].at
	q.heap[i] = moved
	if moved.at < at {
		q.up(p, i)
	} else {
		q.down(p, i)
	}
}

func (q *expiryQueue) up(p placer, i int) {
	d := q.heap[i]
	for i > 0 {
		parent := (i - 1) / 4
		if q.heap[parent].at <= d.at {
			break
		}
		q.heap[i] = q.heap[parent]
		p.place(q.heap[i].s, int32(i))
		i = parent
	}
	q.heap[i] = d
	p.place(d.s, int32(i))
}

func (q *expiryQueue) down(p placer, i int) {
	d := q.heap[i]
	for {
		first := 4*i + 1
		if first >= len(q.heap) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(q.heap)); c++ {
			if q.heap[c].at < q.heap[least].at {
				least = c
			}
		}
		if q.heap[least].at >= d.at {
			break
		}
		q.heap[i] = q.heap[least]
		p.place(q.heap[i].s, int32(i))
		i = least
	}
	q.heap[i] = d
	p.place(d.s, int32(i))
}
