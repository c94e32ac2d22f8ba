package table

// An expiryQueue orders entries by the tick at which they end: a heap of sixteen
// children a node, O(log n), exact.
//
// It is lazy in one direction. An entry whose lifetime is extended, as every
// live update does, stays where it is; only when it reaches the front is it
// put where it belongs. An entry whose lifetime is shortened moves at once.
// So the front is never later than the first true end.
//
// What costs is not the heap but the records, which are told of every move: the
// fewer levels, the better. A node is eight bytes, and all children of one lie in
// two cache lines. Nodes lie in pieces, so that growing copies nothing.
type expiryQueue struct {
	account *account
	pieces  [][]deadline
	len     int
}

// A deadline is a tick, no later than the record's expire, above a slot: 40
// bits of ms, 34 years. Those of one tick are in any order.
type deadline uint64

const (
	arity      = 16
	nodeSize   = 8
	pieceShift = 9 // 512 nodes, 4 KiB
	pieceNodes = 1 << pieceShift
)

func newDeadline(at int64, s slot) deadline { return deadline(at)<<slotBits | deadline(s) }
func (d deadline) at() int64                { return int64(d >> slotBits) }
func (d deadline) slot() slot               { return slot(d & slotMask) }

// The queue position is kept in the record, so that an entry can be moved and
// removed: place is told of every move.
type placer interface {
	place(s slot, position int32)
}

// where is the place of node i. The first one has its siblings' place to itself,
// so that the children of each begin where a cache line does.
func where(i int) (piece, at int) {
	i += arity - 1
	return i >> pieceShift, i & (pieceNodes - 1)
}

func (q *expiryQueue) node(i int) *deadline {
	piece, at := where(i)
	return &q.pieces[piece][at]
}

func (q *expiryQueue) push(p placer, at int64, s slot) {
	piece, last := where(q.len)
	if piece == len(q.pieces) {
		// The first piece is small at first: there may be thousands of queues.
		size := pieceNodes
		if piece == 0 {
			size = 2 * arity
		}
		q.pieces = append(q.pieces, make([]deadline, size))
		q.account.add(size * nodeSize)
	} else if piece := &q.pieces[piece]; last == len(*piece) {
		*piece = append(*piece, make([]deadline, last)...)
		q.account.add(last * nodeSize)
	}
	q.len++
	q.up(p, q.len-1, newDeadline(at, s))
}

// front returns the earliest deadline. It has to be checked against the
// record's own.
func (q *expiryQueue) front() (deadline, bool) {
	if q.len == 0 {
		return 0, false
	}
	return *q.node(0), true
}

// at is the tick of the node at a position.
func (q *expiryQueue) at(position int32) int64 { return q.node(int(position)).at() }

// replace makes the node at a position that of s.
func (q *expiryQueue) replace(position int32, s slot) {
	n := q.node(int(position))
	*n = newDeadline(n.at(), s)
}

// move sets the deadline at a position.
func (q *expiryQueue) move(p placer, position int32, at int64) {
	was := *q.node(int(position))
	q.put(p, int(position), was, newDeadline(at, was.slot()))
}

func (q *expiryQueue) remove(p placer, position int32) {
	q.len--
	last := *q.node(q.len)
	// One spare piece stays, so that an entry that comes and goes costs none.
	if piece, _ := where(q.len); piece+2 < len(q.pieces) {
		q.account.add(-len(q.pieces[piece+2]) * nodeSize)
		q.pieces[piece+2] = nil
		q.pieces = q.pieces[:piece+2]
	}
	if i := int(position); i < q.len {
		q.put(p, i, *q.node(i), last)
	}
}

// shrink gives back what an empty queue has kept.
func (q *expiryQueue) shrink() {
	if len(q.pieces) == 0 || len(q.pieces) == 1 && len(q.pieces[0]) <= 2*arity {
		return
	}
	for _, piece := range q.pieces {
		q.account.add(-len(piece) * nodeSize)
	}
	q.pieces = nil
}

// put puts d where it belongs, from i on, where was is.
func (q *expiryQueue) put(p placer, i int, was, d deadline) {
	if d < was {
		q.up(p, i, d)
	} else {
		q.down(p, i, d)
	}
}

func (q *expiryQueue) up(p placer, i int, d deadline) {
	for i > 0 {
		parent := (i - 1) / arity
		pd := *q.node(parent)
		if pd <= d {
			break
		}
		*q.node(i) = pd
		p.place(pd.slot(), int32(i))
		i = parent
	}
	*q.node(i) = d
	p.place(d.slot(), int32(i))
}

func (q *expiryQueue) down(p placer, i int, d deadline) {
	for first := arity*i + 1; first < q.len; first = arity*i + 1 {
		piece, at := where(first)
		children := q.pieces[piece][at : at+min(arity, q.len-first)]
		least, ld := 0, children[0]
		for c, cd := range children {
			if cd < ld {
				least, ld = c, cd
			}
		}
		if d <= ld {
			break
		}
		*q.node(i) = ld
		p.place(ld.slot(), int32(i))
		i = first + least
	}
	*q.node(i) = d
	p.place(d.slot(), int32(i))
}
