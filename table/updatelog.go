package table

import (
	"math"
	"slices"
)

// An updateLog is the order in which entries changed last: each entry stands
// in it once. A reader is nothing but a position, so any number of them, at
// any lag, cost nothing here.
//
// The log is cut into blocks. The last one is dense, a cell a position. A block
// of which three quarters have changed again, and so left it, is packed, and
// joined with a neighbour where both are small. Memory stays in proportion to
// the entries, whatever the number of updates: at most 4 cells for an entry in
// the log, and for 32 of them a block, but for the last block and a few more.
type updateLog struct {
	account *account
	blocks  []*logBlock // in order of positions
	bases   []uint64    // of the blocks, side by side for the search
	live    int         // entries
	spare   []uint32    // cells of a block that was packed, for the next one
}

const (
	blockLen    = 512
	logCellSize = 4
)

type logBlock struct {
	base  uint64   // position of the first cell
	slots []uint32 // slot+1; 0 where the entry has left
	// offsets from base, one a cell, once the block is packed.
	offsets []uint32
	live    int
}

// append adds s at position, which has to be after all others.
func (l *updateLog) append(position uint64, s slot) {
	var b *logBlock
	if n := len(l.blocks); n > 0 {
		b = l.blocks[n-1]
	}
	if b == nil || position-b.base >= blockLen {
		b = l.begin(position)
	}
	before := cap(b.slots)
	for uint64(len(b.slots)) < position-b.base {
		b.slots = append(b.slots, 0) // a position that was not used
	}
	b.slots = append(b.slots, uint32(s)+1)
	if after := cap(b.slots); after != before {
		l.count(after - before)
	}
	b.live++
	l.live++
}

// begin returns a new last block.
func (l *updateLog) begin(position uint64) *logBlock {
	if n := len(l.blocks); n > 0 {
		if b := l.blocks[n-1]; b.live == 0 {
			b.base, b.slots = position, b.slots[:0]
			l.bases[n-1] = position
			return b
		}
		l.settle(n - 1)
	}
	b := &logBlock{base: position, slots: l.spare[:0]}
	if l.spare == nil && len(l.blocks) > 0 {
		b.slots = make([]uint32, 0, blockLen)
		l.count(blockLen)
	}
	l.spare = nil
	l.blocks = append(l.blocks, b)
	l.bases = append(l.bases, position)
	return b
}

// count counts the memory of cells that came or went.
func (l *updateLog) count(cells int) { l.account.add(cells * logCellSize) }

// retire takes leave of a block. The cells of a dense one are kept for the next.
func (l *updateLog) retire(b *logBlock) {
	if b.offsets == nil {
		b, l.spare = &logBlock{slots: l.spare}, b.slots
	}
	l.count(-cap(b.slots) - cap(b.offsets))
}

// shrink gives back what a log that has no entries has kept.
func (l *updateLog) shrink() {
	for _, b := range l.blocks {
		l.count(-cap(b.slots) - cap(b.offsets))
	}
	l.count(-cap(l.spare))
	l.blocks, l.bases, l.spare = nil, nil, nil
}

// remove takes out the entry at position.
func (l *updateLog) remove(position uint64) {
	i := l.block(position)
	b := l.blocks[i]
	b.slots[b.seek(position)] = 0
	b.live--
	l.live--
	if i < len(l.blocks)-1 {
		l.settle(i)
	}
}

// settle packs block i where most of its cells are free, and joins it with a
// neighbour where both are small. Blocks may have other indices after it.
func (l *updateLog) settle(i int) {
	b := l.blocks[i]
	if 4*b.live > cap(b.slots) {
		return
	}
	last := len(l.blocks) - 1
	switch {
	case b.live == 0:
		l.retire(b)
		l.blocks, l.bases = slices.Delete(l.blocks, i, i+1), slices.Delete(l.bases, i, i+1)
	case i > 0 && joinable(l.blocks[i-1], b):
		l.pack(i-1, i)
	case i+1 < last && joinable(b, l.blocks[i+1]):
		l.pack(i, i+1)
	default:
		l.pack(i, i)
	}
}

// joinable reports whether two neighbours are small enough to be one.
func joinable(a, b *logBlock) bool {
	return a.live+b.live <= blockLen/2 && b.end()-a.base <= math.MaxUint32
}

// pack makes the blocks i to j one, of their cells in use.
func (l *updateLog) pack(i, j int) {
	b := packed(l.blocks[i : j+1]...)
	for _, old := range l.blocks[i : j+1] {
		l.retire(old)
	}
	l.count(cap(b.slots) + cap(b.offsets))
	l.blocks[i] = b
	l.blocks, l.bases = slices.Delete(l.blocks, i+1, j+1), slices.Delete(l.bases, i+1, j+1)
}

// replace makes the entry at position that of s.
func (l *updateLog) replace(position uint64, s slot) {
	b := l.blocks[l.block(position)]
	b.slots[b.seek(position)] = uint32(s) + 1
}

// A logReader goes over the entries of a log that does not change meanwhile.
type logReader struct {
	blocks []*logBlock
	cell   int
	// What next has found.
	position uint64
	slot     slot
}

// after returns a reader of the entries after position.
func (l *updateLog) after(position uint64) logReader {
	r := logReader{blocks: l.blocks[max(l.block(position+1), 0):]}
	if len(r.blocks) > 0 {
		r.cell = r.blocks[0].seek(position + 1)
	}
	return r
}

// next goes on to the next entry, and reports whether there is one.
func (r *logReader) next() bool {
	for ; len(r.blocks) > 0; r.blocks, r.cell = r.blocks[1:], 0 {
		for b := r.blocks[0]; r.cell < len(b.slots); {
			c := r.cell
			r.cell++
			if v := b.slots[c]; v != 0 {
				r.position, r.slot = b.position(c), slot(v-1)
				return true
			}
		}
	}
	return false
}

// block returns the index of the last block that begins at or before
// position, -1 where all begin after it.
func (l *updateLog) block(position uint64) int {
	bases := l.bases
	last := len(bases) - 1
	if last < 0 || position >= bases[last] {
		return last
	}
	// Two blocks begin blockLen apart at the least, and most do so exactly: it can't
	// be farther from the end than this, and is seldom nearer.
	low := max(last-1-int((bases[last]-1-position)/blockLen), -1)
	step := 1
	for low+step <= last && bases[low+step] <= position {
		low += step
		step *= 2
	}
	// It is low, or one of those up to low+step.
	for step /= 2; step > 0; step /= 2 {
		if low+step <= last && bases[low+step] <= position {
			low += step
		}
	}
	return low
}

// blockOf is the block that block finds, nil where there is none.
func (l *updateLog) blockOf(position uint64) *logBlock {
	if i := l.block(position); i >= 0 {
		return l.blocks[i]
	}
	return nil
}

// packed returns a block of the cells in use of blocks, one behind the other.
func packed(blocks ...*logBlock) *logBlock {
	live := 0
	for _, b := range blocks {
		live += b.live
	}
	out := &logBlock{
		base:    blocks[0].base,
		slots:   make([]uint32, 0, live),
		offsets: make([]uint32, 0, live),
		live:    live,
	}
	for _, b := range blocks {
		for c, v := range b.slots {
			if v != 0 {
				out.slots = append(out.slots, v)
				out.offsets = append(out.offsets, uint32(b.position(c)-out.base))
			}
		}
	}
	return out
}

// end is the position of the last cell of a block that is not empty.
func (b *logBlock) end() uint64 { return b.position(len(b.slots) - 1) }

func (b *logBlock) position(cell int) uint64 {
	if b.offsets == nil {
		return b.base + uint64(cell)
	}
	return b.base + uint64(b.offsets[cell])
}

// seek returns the first cell at or after position.
func (b *logBlock) seek(position uint64) int {
	if position <= b.base {
		return 0
	}
	offset := position - b.base
	if b.offsets == nil {
		return int(min(offset, uint64(len(b.slots))))
	}
	if offset > math.MaxUint32 {
		return len(b.slots)
	}
	cell, _ := slices.BinarySearch(b.offsets, uint32(offset))
	return cell
}

// touch reads the cell at position.
func (b *logBlock) touch(position uint64) byte {
	if c := b.seek(position); c < len(b.slots) {
		return byte(b.slots[c])
	}
	return 0
}
