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
// of which three quarters have changed again, and so left it, is packed; where
// blocks become many for what they hold, neighbours are joined. Memory stays in
// proportion to the entries, whatever the number of updates: at most 4 cells
// for an entry in the log, and for 32 of them a block, but for the last block
// and a few more.
type updateLog struct {
	blocks []*logBlock // in order of positions
	bases  []uint64    // of the blocks, side by side for the search
	live   int         // entries
	spare  []uint32    // cells of a block that was packed, for the next one
}

const (
	blockLen  = 512
	fewBlocks = 16 // are not worth joining
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
	// Positions are counted up for two logs together: the cells between are
	// the other log's.
	for uint64(len(b.slots)) < position-b.base {
		b.slots = append(b.slots, 0)
	}
	b.slots = append(b.slots, uint32(s)+1)
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
	if l.spare == nil {
		b.slots = make([]uint32, 0, blockLen)
	}
	l.spare = nil
	l.blocks = append(l.blocks, b)
	l.bases = append(l.bases, position)
	return b
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

// settle packs block i where most of its cells are free. Blocks may have other
// indices after it.
func (l *updateLog) settle(i int) {
	b := l.blocks[i]
	if 4*b.live > cap(b.slots) || cap(b.slots) == 0 {
		return
	}
	if b.offsets == nil {
		l.spare = b.slots
	}
	l.blocks[i] = packed(b)
	if len(l.blocks) > fewBlocks && l.live < 32*len(l.blocks) {
		l.join()
	}
}

// replace makes the entry at position that of s.
func (l *updateLog) replace(position uint64, s slot) {
	b := l.blocks[l.block(position)]
	b.slots[b.seek(position)] = uint32(s) + 1
}

// next returns the first entry after position.
func (l *updateLog) next(position uint64) (at uint64, s slot, ok bool) {
	if len(l.blocks) == 0 {
		return 0, 0, false
	}
	i := max(l.block(position+1), 0)
	for ; i < len(l.blocks); i++ {
		b := l.blocks[i]
		for c := b.seek(position + 1); c < len(b.slots); c++ {
			if v := b.slots[c]; v != 0 {
				return b.position(c), slot(v - 1), true
			}
		}
	}
	return 0, 0, false
}

// block returns the index of the last block that begins at or before
// position, -1 where all begin after it.
func (l *updateLog) block(position uint64) int {
	i, exact := slices.BinarySearch(l.bases, position)
	if exact {
		return i
	}
	return i - 1
}

// join drops empty blocks and packs small neighbours into one. The last block
// stays as it is. Any two blocks that remain have more than half a block's
// entries, so that much has to change before there are too many again.
func (l *updateLog) join() {
	last := l.blocks[len(l.blocks)-1]
	blocks := slices.DeleteFunc(l.blocks[:len(l.blocks)-1], func(b *logBlock) bool { return b.live == 0 })
	kept := blocks[:0]
	for len(blocks) > 0 {
		n, live := 1, blocks[0].live
		for n < len(blocks) && live+blocks[n].live <= blockLen/2 && blocks[n].end()-blocks[0].base <= math.MaxUint32 {
			live += blocks[n].live
			n++
		}
		b := blocks[0]
		if n > 1 {
			b = packed(blocks[:n]...)
		}
		kept = append(kept, b)
		blocks = blocks[n:]
	}
	all := l.blocks
	l.blocks = append(kept, last)
	clear(all[len(l.blocks):])
	l.bases = l.bases[:0]
	for _, b := range l.blocks {
		l.bases = append(l.bases, b.base)
	}
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
