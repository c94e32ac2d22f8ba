package table

import (
	"encoding/binary"
	"math"
	"slices"
)

// A slot is the number of a record.
type slot uint32

// A record begins with a header, in little-endian order:
//
//	 0  expire    int64   tick at which the entry ends, 0 = never
//	 8  stamp     int64   tick of the last merge; rates' ages are as of then
//	16  position  uint64  in the update log
//	24  queue     int32   position in the expiry queue, -1 = not in it
//	28  pins      uint16  readers outside the lock
//	30  flags     uint8
//	31  origin    uint8   of the last merge
//	32  keyLen    uint16
//	34  generation uint16 counts the uses of the slot
//	36  the key, or the reference of a long one, then the first column group
//
// A record with pins is frozen: only its pins, its flags and its place in the
// expiry queue change, under the table's lock, and no reader outside looks at
// those. A merge writes to a copy in another slot.
const (
	atExpire     = 0
	atStamp      = 8
	atPosition   = 16
	atQueue      = 24
	atPins       = 28
	atFlags      = 30
	atOrigin     = 31
	atKeyLen     = 32
	atGeneration = 34
	headerSize   = 36
)

// Flags of a record.
const (
	flagDead      = 1 << iota // out of the table; the last unpin frees it
	flagLocal                 // in the log of local changes, not of learned ones
	flagUncertain             // lifetime is an upper bound, see How
	flagLive                  // changed last by a live or local change
)

// inlineKey is the longest key that is kept in the record itself, in bytes.
const inlineKey = 32

// chunkRecords is how many records are allocated at a time. A chunk holds no
// pointers: the collector never looks into it.
const chunkRecords = 1 << chunkShift
const chunkShift = 8

// A view is what it takes to read records. A reader outside the lock has a
// copy of its own, and looks only at records that are pinned for it.
type view struct {
	keyArea int                   // bytes of the key in a record
	size    []int                 // of a record, by group
	chunks  [][][]byte            // by group
	long    [longClasses][][]byte // keys that don't fit the record, see longkeys.go
}

// record returns the record of s in group g.
func (v *view) record(g int, s slot) []byte {
	size := v.size[g]
	at := int(s&(chunkRecords-1)) * size
	return v.chunks[g][s>>chunkShift][at : at+size : at+size]
}

// key returns the key of s, valid as long as s is.
func (v *view) key(s slot) []byte {
	r := v.record(0, s)
	n := int(binary.LittleEndian.Uint16(r[atKeyLen:]))
	if n <= v.keyArea {
		return r[headerSize : headerSize+n : headerSize+n]
	}
	return v.longKey(getUint32(r, headerSize), n)
}

// A store holds the records of one table.
type store struct {
	view
	next     slot // first slot never used
	free     []slot
	longNext [longClasses]uint32
	longFree [longClasses][]uint32
}

// setGroup makes g, of records of size bytes, all zero, the last group. There is
// none where size is 0.
func (st *store) setGroup(g, size int) {
	// Readers hold the old lists: they are replaced, never written to.
	sizes, groups := slices.Clone(st.size[:g]), slices.Clone(st.chunks[:g])
	if size > 0 {
		var chunks [][]byte
		if g > 0 {
			chunks = make([][]byte, len(st.chunks[0]))
		}
		for i := range chunks {
			chunks[i] = make([]byte, chunkRecords*size)
		}
		sizes, groups = append(sizes, size), append(groups, chunks)
	}
	st.size, st.chunks = sizes, groups
}

// alloc returns a slot whose record is zero but for its generation.
func (st *store) alloc() slot {
	if n := len(st.free); n > 0 {
		s := st.free[n-1]
		st.free = st.free[:n-1]
		return s
	}
	s := st.next
	if int(s>>chunkShift) == len(st.chunks[0]) {
		// A reader's own list ends before what is appended to it here.
		chunks := make([][][]byte, len(st.chunks))
		for g := range chunks {
			chunks[g] = append(st.chunks[g], make([]byte, chunkRecords*st.size[g]))
		}
		st.chunks = chunks
	}
	st.next++
	return s
}

// release gives the slot back.
func (st *store) release(s slot) {
	st.releaseKey(st.record(0, s))
	generation := st.generation(s) + 1
	for g := range st.chunks {
		clear(st.record(g, s))
	}
	binary.LittleEndian.PutUint16(st.record(0, s)[atGeneration:], generation)
	st.free = append(st.free, s)
}

// copyTo makes the record of to that of s: key, values and times.
func (st *store) copyTo(to, s slot) {
	generation := st.generation(to)
	for g := range st.chunks {
		copy(st.record(g, to), st.record(g, s))
	}
	r := st.record(0, to)
	binary.LittleEndian.PutUint16(r[atGeneration:], generation)
	binary.LittleEndian.PutUint16(r[atPins:], 0)
	if key := st.key(s); len(key) > st.keyArea {
		st.setKey(to, key)
	}
}

func (st *store) generation(s slot) uint16 {
	return binary.LittleEndian.Uint16(st.record(0, s)[atGeneration:])
}

func (st *store) setKey(s slot, key []byte) {
	r := st.record(0, s)
	binary.LittleEndian.PutUint16(r[atKeyLen:], uint16(len(key)))
	area := r[headerSize : headerSize+st.keyArea]
	if len(key) <= st.keyArea {
		copy(area, key)
		return
	}
	binary.LittleEndian.PutUint32(area, st.putLong(key))
}

func (st *store) releaseKey(r []byte) {
	if n := int(binary.LittleEndian.Uint16(r[atKeyLen:])); n > st.keyArea {
		st.releaseLong(getUint32(r, headerSize), n)
	}
}

// Accessors of header fields. They inline to single loads and stores.

func getInt64(r []byte, at int) int64    { return int64(binary.LittleEndian.Uint64(r[at:])) }
func putInt64(r []byte, at int, v int64) { binary.LittleEndian.PutUint64(r[at:], uint64(v)) }
func getUint32(r []byte, at int) uint32  { return binary.LittleEndian.Uint32(r[at:]) }
func putUint32(r []byte, at int, v uint32) {
	binary.LittleEndian.PutUint32(r[at:], v)
}
func pins(r []byte) uint16          { return binary.LittleEndian.Uint16(r[atPins:]) }
func has(r []byte, flag byte) bool  { return r[atFlags]&flag != 0 }
func setFlag(r []byte, flag byte)   { r[atFlags] |= flag }
func clearFlag(r []byte, flag byte) { r[atFlags] &^= flag }

// pin counts one more reader of r. A record with more readers than can be
// counted stays pinned for ever: a lost slot, but nobody's entry changes.
func pin(r []byte) {
	if n := pins(r); n < math.MaxUint16 {
		binary.LittleEndian.PutUint16(r[atPins:], n+1)
	}
}

// unpin counts one reader less.
func unpin(r []byte) {
	if n := pins(r); n < math.MaxUint16 {
		binary.LittleEndian.PutUint16(r[atPins:], n-1)
	}
}
