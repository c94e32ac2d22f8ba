package table

import "encoding/binary"

// An index finds the slot of a key by its hash: open addressing, linear
// probing, deletion by shifting back. It is resized a few cells at an operation,
// so that none is long.
//
// A cell is six bytes: a slot, and the low half of its key's hash, as much as it
// takes to find a cell's home. So most wrong candidates are told apart, and
// cells are moved, without a look at the records.
type index struct {
	account *account
	cells   cells
	used    int
	// While it is resized: the cells of before, of which those below moved
	// are in cells by now.
	old   cells
	moved uint64
}

// slotBits are how many bits of a cell are the slot, and how many the hash.
const (
	slotBits = 24
	slotMask = 1<<slotBits - 1
	cellSize = 6
	freeCell = 0
	goneCell = 1<<(2*slotBits) - 1 // in old: was removed; a search goes on past it
	minCells = 16
	moveStep = 32 // cells an operation

	// Of 16 cells at most 13 are used. A hash of 24 bits is a home for no
	// more than 2^24 cells: that is 13 million entries a shard.
	mostUsed = 13
	maxSlots = mostUsed << (slotBits - 4)
)

// cells are a power of two of them, or none. They lie in pieces, each made when
// its first cell is taken: a table of millions grows without a pause for clearing
// megabytes.
type cells struct {
	account *account
	pieces  [][]byte // nil where all cells are free
	len     uint64
}

const (
	cellShift  = 12 // 4096 cells, 24 KiB
	pieceCells = 1 << cellShift
)

func (x *index) newCells(n uint64) cells {
	return cells{x.account, make([][]byte, (n+pieceCells-1)>>cellShift), n}
}

func (c *cells) get(i uint64) uint64 {
	p := c.pieces[i>>cellShift]
	if p == nil {
		return freeCell
	}
	i = i & (pieceCells - 1) * cellSize
	p = p[i : i+cellSize]
	return uint64(binary.LittleEndian.Uint32(p)) | uint64(binary.LittleEndian.Uint16(p[4:]))<<32
}

func (c *cells) put(i, v uint64) {
	p := c.pieces[i>>cellShift]
	if p == nil {
		p = make([]byte, min(c.len, pieceCells)*cellSize)
		c.account.add(cap(p))
		c.pieces[i>>cellShift] = p
	}
	put48(p, int(i&(pieceCells-1)*cellSize), int64(v))
}

// drop gives a piece back.
func (c *cells) drop(piece uint64) {
	c.account.add(-cap(c.pieces[piece]))
	c.pieces[piece] = nil
}

// home is where the search for a hash begins.
func (c *cells) home(hash uint64) uint64 { return hash & slotMask & (c.len - 1) }

func newCell(hash uint64, s slot) uint64 { return hash&slotMask<<slotBits | uint64(s) + 1 }
func cellSlot(c uint64) slot             { return slot(c&slotMask) - 1 }
func cellHash(c uint64) uint64           { return c >> slotBits }

// A probe goes over the slots of which the hash may be the one looked for.
type probe struct {
	x    *index
	in   *cells
	hash uint64
	i    uint64 // the next cell of in
	left uint64 // so many are to be looked at, at most
	at   uint64 // the cell of slot
	slot slot
}

func (x *index) probe(hash uint64) probe {
	return probe{x: x, in: &x.cells, hash: hash & slotMask, i: x.cells.home(hash), left: x.cells.len}
}

// next goes on to the next slot, and reports whether there is one.
func (p *probe) next() bool {
	for {
		for ; p.left > 0; p.left-- {
			v := p.in.get(p.i)
			if v == freeCell {
				break
			}
			p.at = p.i
			if p.i++; p.i == p.in.len {
				p.i = p.first()
			}
			if cellHash(v) == p.hash && v != goneCell {
				p.slot = cellSlot(v)
				p.left--
				return true
			}
		}
		if p.in == &p.x.old || p.x.old.len == 0 {
			return false
		}
		p.in = &p.x.old
		p.i, p.left = max(p.in.home(p.hash), p.x.moved), p.in.len-p.x.moved
	}
}

// first is where the cells begin that were not moved.
func (p *probe) first() uint64 {
	if p.in == &p.x.old {
		return p.x.moved
	}
	return 0
}

// seek returns where s is, which has to be there under hash.
func (x *index) seek(hash uint64, s slot) (in *cells, at uint64) {
	p := x.probe(hash)
	for p.next() && p.slot != s {
	}
	return p.in, p.at
}

// touch reads the cell that a search for a hash begins with.
func (x *index) touch(hash uint64) byte {
	if x.cells.len == 0 {
		return 0
	}
	return byte(x.cells.get(x.cells.home(hash)))
}

// likely is the slot that a search for a hash most likely finds first, maxSlots
// where there seems to be none.
func (x *index) likely(hash uint64) slot {
	i := x.cells.home(hash)
	for range min(likelyWithin, x.cells.len) {
		v := x.cells.get(i)
		if v == freeCell {
			break
		}
		if cellHash(v) == hash&slotMask {
			return cellSlot(v)
		}
		i = (i + 1) & (x.cells.len - 1)
	}
	return maxSlots
}

// likelyWithin is how many cells likely looks at, about those of a cache line.
const likelyWithin = 8

// place puts v in the first free cell from its home on.
func (c *cells) place(v uint64) {
	i := c.home(cellHash(v))
	for c.get(i) != freeCell {
		i = (i + 1) & (c.len - 1)
	}
	c.put(i, v)
}

// close frees cell i and lets those behind it, which it may have put off, close
// the gap.
func (c *cells) close(i uint64) {
	mask := c.len - 1
	hole := i
	for i = (i + 1) & mask; ; i = (i + 1) & mask {
		v := c.get(i)
		if v == freeCell {
			break
		}
		// A cell may fill the hole unless its home lies behind the hole.
		if (i-cellHash(v))&mask >= (i-hole)&mask {
			c.put(hole, v)
			hole = i
		}
	}
	c.put(hole, freeCell)
}

// insert adds s under hash. The key must not be there yet.
func (x *index) insert(hash uint64, s slot) {
	x.step()
	if 16*uint64(x.used+1) > mostUsed*x.cells.len {
		x.resize(max(minCells, 2*x.cells.len))
	}
	x.cells.place(newCell(hash, s))
	x.used++
}

// replace makes the cell of s under hash that of another slot.
func (x *index) replace(hash uint64, s, by slot) {
	in, at := x.seek(hash, s)
	in.put(at, newCell(hash, by))
}

// remove takes s under hash out, and begins to shrink where most cells are
// free.
func (x *index) remove(hash uint64, s slot) {
	if in, at := x.seek(hash, s); in == &x.old {
		in.put(at, goneCell)
	} else {
		in.close(at)
	}
	x.used--
	x.step()
	if x.old.len == 0 && x.cells.len > minCells && 8*uint64(x.used) < x.cells.len {
		x.resize(x.cells.len / 2)
	}
}

// resize begins to move to n cells. The last move is over by then: it took
// fewer operations than there are between two.
func (x *index) resize(n uint64) {
	x.old, x.moved = x.cells, 0
	x.cells = x.newCells(n)
}

// step moves a few cells.
func (x *index) step() {
	if x.old.len == 0 {
		return
	}
	end := min(x.moved+moveStep, x.old.len)
	for ; x.moved < end; x.moved++ {
		if v := x.old.get(x.moved); v != freeCell && v != goneCell {
			x.cells.place(v)
		}
	}
	if x.moved%pieceCells == 0 || x.moved == x.old.len {
		x.old.drop((x.moved - 1) >> cellShift)
	}
	if x.moved == x.old.len {
		x.old = cells{}
	}
}
