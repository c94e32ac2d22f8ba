package table

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// A slot is the number of a record.
type slot uint32

// A record begins with a header, in little-endian order:
//
//	 0  expire     48 bits  tick at which the entry ends, 0 = never (a free slot: see freeList)
//	 6  stamp      48 bits  tick of the last merge; rates' ages are as of then
//	12  position   48 bits  in its log
//	18  queue      int32    position in the expiry queue, -1 = not in it
//	22  pins       uint16   readers outside the lock
//	24  keyLen     uint16
//	26  generation uint16   counts the uses of the slot
//	28  flags      uint8
//	29  origin     uint8    of the last merge
//	30  the key, or the reference of a long one, then the first column group
//
// A record with pins is frozen: only its pins, its flags and its place in the
// expiry queue change, under the shard's lock, and no reader outside looks at
// those. A merge writes to a copy in another slot.
//
// 48 bits are 8,900 years in ms, and nine years of a million updates a second.
const (
	atExpire     = 0
	atStamp      = 6
	atPosition   = 12
	atQueue      = 18
	atPins       = 22
	atKeyLen     = 24
	atGeneration = 26
	atFlags      = 28
	atOrigin     = 29
	headerSize   = 30
)

// Flags of a record.
const (
	flagDead      = 1 << iota // out of the table; the last unpin frees it
	flagLocal                 // in the log of local changes, not of learned ones
	flagUncertain             // lifetime is an upper bound, see How
	flagLive                  // changed last by a live or local change
	flagOrdered               // by an ordered change, or since, see How
	flagTimed                 // its lifetime is its own: at the end it is cleared
	flagCleared               // nobody sees it; values are zero, see shard.clear
)

// inlineKey is the longest key that is kept in the record itself, in bytes.
const inlineKey = 32

// Records are allocated in chunks: the first ones small, since there may be
// thousands of shards with next to nothing, then 1024 records at a time. A
// chunk holds no pointers: the collector never looks into it.
const (
	firstShift = 4 // 16 records in the first chunk, and in the second
	chunkShift = 10
)

// chunkOf returns the chunk of a slot and its place there, where the first two
// chunks are of 1<<first, each other one twice as long as that before it, and
// all from some on of 1<<last.
func chunkOf(s slot, first, last int) (chunk, at int) {
	if s>>last > 0 {
		return last - first + int(s>>last), int(s & (1<<last - 1))
	}
	if chunk = bits.Len32(uint32(s >> first)); chunk > 0 {
		s -= 1 << (first + chunk - 1)
	}
	return chunk, int(s)
}

// chunkLen is how long a chunk is.
func chunkLen(chunk, first, last int) int { return 1 << min(max(first, first+chunk-1), last) }

// A chunk is some records, each of size bytes.
type chunk struct {
	bytes []byte
	size  int
}

// A store holds the records of one shard. A record that is pinned never moves, so
// that a reader outside the lock needs nothing but the records themselves.
type store struct {
	account *account
	keyArea int       // bytes of the key in a record
	size    []int     // of a record, by group
	chunks  [][]chunk // by group
	wide    int       // of the first group, so many may have records of more bytes yet
	next    slot      // behind the last one in use, or free
	free    freeList
	long    []longKeys // by class; none where all keys are short
}

// record returns the record of s in group g.
func (st *store) record(g int, s slot) []byte { return recordOf(st.chunks[g], s) }

func recordOf(chunks []chunk, s slot) []byte {
	n, at := chunkOf(s, firstShift, chunkShift)
	return chunks[n].record(at)
}

func (c *chunk) record(at int) []byte {
	at *= c.size
	return c.bytes[at : at+c.size : at+c.size]
}

// key returns the key of s, of which r is the record, valid as long as s is.
func (st *store) key(r []byte) []byte {
	n := int(binary.LittleEndian.Uint16(r[atKeyLen:]))
	if n <= st.keyArea {
		return r[headerSize : headerSize+n : headerSize+n]
	}
	return st.longKey(getUint32(r, headerSize), n)
}

// chunkCount is how many chunks each group has.
func (st *store) chunkCount() int {
	if len(st.chunks) == 0 {
		return 0
	}
	return len(st.chunks[0])
}

// capacity is how many records there are chunks for.
func (st *store) capacity() (records int) {
	for i := range st.chunkCount() {
		records += chunkLen(i, firstShift, chunkShift)
	}
	return records
}

// fitGroup lets chunks for records of size bytes be n: new ones are all zero.
func (st *store) fitGroup(chunks []chunk, n, size int) []chunk {
	for len(chunks) < n {
		chunks = append(chunks, st.newChunk(len(chunks), size))
	}
	for len(chunks) > n {
		last := len(chunks) - 1
		st.account.add(-cap(chunks[last].bytes))
		chunks[last] = chunk{}
		chunks = chunks[:last]
	}
	return chunks
}

func (st *store) newChunk(n, size int) chunk {
	c := chunk{make([]byte, chunkLen(n, firstShift, chunkShift)*size), size}
	st.account.add(cap(c.bytes))
	return c
}

// setGroup makes chunks, of records of size bytes, the last group g. There is
// none where size is 0.
func (st *store) setGroup(g, size int, chunks []chunk) {
	for i := g; i < len(st.chunks); i++ {
		st.fitGroup(st.chunks[i], 0, 0)
	}
	clear(st.chunks[g:])
	st.size, st.chunks = st.size[:g], st.chunks[:g]
	if size > 0 {
		st.size, st.chunks = append(st.size, size), append(st.chunks, chunks)
	}
}

// setFirst makes the records of the first group be of size bytes, which is no more
// than they have. Those that are there follow, see narrow.
func (st *store) setFirst(size int) {
	if size < st.size[0] {
		st.size[0], st.wide = size, st.chunkCount()
	}
}

// narrow makes the records of one more chunk as narrow as they are to be, and reports
// whether there was one. A chunk with a record that is pinned stays as it is so far.
func (st *store) narrow() bool {
	st.wide = min(st.wide, st.chunkCount())
	if st.wide == 0 {
		return false
	}
	n := st.wide - 1
	was := &st.chunks[0][n]
	if was.size > st.size[0] {
		length := chunkLen(n, firstShift, chunkShift)
		for i := range length {
			if pins(was.record(i)) > 0 {
				return false
			}
		}
		is := st.newChunk(n, st.size[0])
		for i := range length {
			copy(is.record(i), was.record(i))
		}
		st.account.add(-cap(was.bytes))
		*was = is
	}
	st.wide = n
	return true
}

// surplus is how many bytes narrow gives back.
func (st *store) surplus() (bytes int) {
	for n := range min(st.wide, st.chunkCount()) {
		c := &st.chunks[0][n]
		bytes += len(c.bytes) - len(c.bytes)/c.size*st.size[0]
	}
	return bytes
}

// full reports whether there is no slot left.
func (st *store) full() bool { return st.free.len == 0 && st.next >= maxSlots }

// growth is how many bytes the next slot costs, with a key of n bytes: none but
// where it takes another chunk.
func (st *store) growth(n int) (bytes int) {
	return st.slotGrowth() + st.longGrowth(n)
}

func (st *store) slotGrowth() (bytes int) {
	if st.free.len > 0 {
		return 0
	}
	if chunk, at := chunkOf(st.next, firstShift, chunkShift); at == 0 {
		bytes = chunkLen(chunk, firstShift, chunkShift) * st.width()
	}
	return bytes
}

// width is how many bytes a record has in all groups.
func (st *store) width() (bytes int) {
	for _, size := range st.size {
		bytes += size
	}
	return bytes
}

// header is where the record of a slot begins.
func (st *store) header(s uint32) []byte { return st.record(0, slot(s)) }

// alloc returns a slot whose record is zero but for its generation.
func (st *store) alloc() slot {
	if st.free.len > 0 {
		return slot(st.free.pop(st.header))
	}
	s := st.next
	st.next++
	st.fit()
	return s
}

// fit makes the chunks as many as the slots need.
func (st *store) fit() {
	n := 0
	if st.next > 0 {
		n, _ = chunkOf(st.next-1, firstShift, chunkShift)
		n++
	}
	if st.chunkCount() == n {
		return
	}
	for g, size := range st.size {
		st.chunks[g] = st.fitGroup(st.chunks[g], n, size)
	}
}

// release gives the slot back.
func (st *store) release(s slot) {
	r := st.record(0, s)
	st.releaseKey(r)
	generation := generation(r) + 1
	for g := range st.size {
		clear(st.record(g, s))
	}
	binary.LittleEndian.PutUint16(r[atGeneration:], generation)
	st.free.push(st.header, uint32(s))
}

// spare is how many slots are free beyond those that are kept: one in eight, and
// a chunk where memory is not short, so that a table whose entries come and go
// moves none.
func (st *store) spare(short bool) int {
	kept := int(st.next) / 8
	if !short {
		kept += 1 << chunkShift
	}
	return st.free.len - kept
}

// returns is how many bytes compaction, and narrow, give back where memory is short,
// when nobody reads any more.
func (st *store) returns() (bytes int) {
	bytes = st.surplus() + max(st.spare(true), 0)*st.width()
	for class := range st.long {
		bytes += max(st.long[class].spare(class, true), 0) << (class + minLongShift)
	}
	return bytes
}

// cut gives the last slot back to the collector, which has to be free.
func (st *store) cut() {
	st.next--
	st.free.remove(st.header, uint32(st.next))
	if _, at := chunkOf(st.next, firstShift, chunkShift); at == 0 {
		st.fit()
	}
}

// copyTo makes the record of to that of s: key, values and times.
func (st *store) copyTo(to, s slot) {
	r := st.record(0, to)
	generation := generation(r)
	for g := range st.size {
		copy(st.record(g, to), st.record(g, s))
	}
	binary.LittleEndian.PutUint16(r[atGeneration:], generation)
	binary.LittleEndian.PutUint16(r[atPins:], 0)
	if key := st.key(r); len(key) > st.keyArea {
		st.setKey(to, r, key)
	}
}

// setKey makes key that of s, of which r is the record.
func (st *store) setKey(s slot, r, key []byte) {
	binary.LittleEndian.PutUint16(r[atKeyLen:], uint16(len(key)))
	area := r[headerSize : headerSize+st.keyArea]
	if len(key) <= st.keyArea {
		copy(area, key)
		return
	}
	binary.LittleEndian.PutUint32(area, st.putLong(s, key))
}

func (st *store) releaseKey(r []byte) {
	if n := int(binary.LittleEndian.Uint16(r[atKeyLen:])); n > st.keyArea {
		st.releaseLong(getUint32(r, headerSize), n)
	}
}

// Accessors of header fields. They inline to single loads and stores.

func get48(r []byte, at int) int64 {
	return int64(binary.LittleEndian.Uint32(r[at:])) | int64(binary.LittleEndian.Uint16(r[at+4:]))<<32
}

func put48(r []byte, at int, v int64) {
	binary.LittleEndian.PutUint32(r[at:], uint32(v))
	binary.LittleEndian.PutUint16(r[at+4:], uint16(v>>32))
}

func getUint32(r []byte, at int) uint32    { return binary.LittleEndian.Uint32(r[at:]) }
func putUint32(r []byte, at int, v uint32) { binary.LittleEndian.PutUint32(r[at:], v) }

func generation(r []byte) uint16    { return binary.LittleEndian.Uint16(r[atGeneration:]) }
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
