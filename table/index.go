package table

// An index finds the slot of a key by its hash: open addressing, linear
// probing, deletion by shifting back, so that there are no tombstones.
//
// A cell holds the upper half of the hash beside the slot: most wrong
// candidates are told apart without touching their record, and growing reads
// no keys. Memory: 8 bytes a cell, at least a quarter of the cells free.
type index struct {
	cells []uint64 // hash>>32<<32 | slot+1; 0 is free
	used  int
}

const minCells = 16

func cell(hash uint64, s slot) uint64 { return hash&^0xffffffff | uint64(s) + 1 }

// home is the cell where a search begins. It is taken from the upper half of
// the hash, which is all that a cell remembers.
func (x *index) home(c uint64) uint64 { return c >> 32 & uint64(len(x.cells)-1) }

// find returns the slot under hash for which is reports true.
func (x *index) find(hash uint64, is func(slot) bool) (slot, bool) {
	if x.used == 0 {
		return 0, false
	}
	mask := uint64(len(x.cells) - 1)
	for i := x.home(hash); x.cells[i] != 0; i = (i + 1) & mask {
		if c := x.cells[i]; c>>32 == hash>>32 && is(slot(uint32(c)-1)) {
			return slot(uint32(c) - 1), true
		}
	}
	return 0, false
}

// insert adds s under hash. The key must not be there yet.
func (x *index) insert(hash uint64, s slot) {
	if 4*(x.used+1) > 3*len(x.cells) {
		x.resize(max(minCells, 2*len(x.cells)))
	}
	x.place(cell(hash, s))
	x.used++
}

func (x *index) place(c uint64) {
	mask := uint64(len(x.cells) - 1)
	i := x.home(c)
	for x.cells[i] != 0 {
		i = (i + 1) & mask
	}
	x.cells[i] = c
}

// replace makes the cell of old under hash point to s.
func (x *index) replace(hash uint64, old, s slot) {
	x.cells[x.position(cell(hash, old))] = cell(hash, s)
}

// remove takes s under hash out, and shrinks where most cells are free.
func (x *index) remove(hash uint64, s slot) {
	mask := uint64(len(x.cells) - 1)
	hole := x.position(cell(hash, s))
	for i := (hole + 1) & mask; x.cells[i] != 0; i = (i + 1) & mask {
		// A cell may fill the hole unless its home lies behind the hole.
		if (i-x.home(x.cells[i]))&mask >= (i-hole)&mask {
			x.cells[hole] = x.cells[i]
			hole = i
		}
	}
	x.cells[hole] = 0
	x.used--
	if len(x.cells) > minCells && 8*x.used < len(x.cells) {
		x.resize(len(x.cells) / 2)
	}
}

func (x *index) position(c uint64) uint64 {
	mask := uint64(len(x.cells) - 1)
	i := x.home(c)
	for x.cells[i] != c {
		i = (i + 1) & mask
	}
	return i
}

func (x *index) resize(cells int) {
	old := x.cells
	x.cells = make([]uint64, cells)
	for _, c := range old {
		if c != 0 {
			x.place(c)
		}
	}
}
