package table

import "math/bits"

// Keys that are too long for a record are kept beside them, in classes of
// sizes that are powers of two, without pointers into them.
const (
	minLongShift = 6  // 64 bytes
	longClasses  = 10 // up to 32 KiB
)

// MaxKey is the longest key that an entry can have, in bytes. Updates of longer
// ones change nothing.
const MaxKey = 1<<(minLongShift+longClasses-1) - ownerSize

// longKeys are those of one class, in chunks as records are, of 512 bytes to 64
// KiB, but of one key at least. In front of each key stands whose it is: the slot
// plus 1, or 0 where the place is free.
type longKeys struct {
	chunks [][]byte
	next   uint32 // behind the last place in use, or free
	free   freeList
}

const ownerSize = 4

func longClass(n int) int { return max(bits.Len(uint(n+ownerSize-1))-minLongShift, 0) }

// longChunks are the first and the last shift of a class's chunks.
func longChunks(class int) (first, last int) { return max(3-class, 0), 10 - class }

// area is the place of a key, its owner first.
func (l *longKeys) area(class int, ref uint32) []byte {
	first, last := longChunks(class)
	chunk, at := chunkOf(slot(ref), first, last)
	return l.chunks[chunk][at<<(class+minLongShift):]
}

// areas is what a freeList needs to know.
func (l *longKeys) areas(class int) func(ref uint32) []byte {
	return func(ref uint32) []byte { return l.area(class, ref) }
}

// longKey returns the key of n bytes under ref.
func (st *store) longKey(ref uint32, n int) []byte {
	class := longClass(n)
	return st.long[class].area(class, ref)[ownerSize : ownerSize+n : ownerSize+n]
}

// putLong stores the key of a slot and returns its reference, valid along with
// its length.
func (st *store) putLong(owner slot, key []byte) (ref uint32) {
	class := longClass(len(key))
	l := &st.long[class]
	if l.free.len > 0 {
		ref = l.free.pop(l.areas(class))
	} else {
		ref = l.next
		l.next++
		st.fitLong(class)
	}
	area := l.area(class, ref)
	putUint32(area, 0, uint32(owner)+1)
	copy(area[ownerSize:], key)
	return ref
}

// fitLong makes the chunks of a class as many as its places need.
func (st *store) fitLong(class int) {
	l, n := &st.long[class], 0
	first, last := longChunks(class)
	if l.next > 0 {
		n, _ = chunkOf(slot(l.next-1), first, last)
		n++
	}
	for len(l.chunks) < n {
		c := make([]byte, chunkLen(len(l.chunks), first, last)<<(class+minLongShift))
		st.account.add(cap(c))
		l.chunks = append(l.chunks, c)
	}
	for i := n; i < len(l.chunks); i++ {
		st.account.add(-cap(l.chunks[i]))
		l.chunks[i] = nil
	}
	l.chunks = l.chunks[:n]
}

func (st *store) releaseLong(ref uint32, n int) {
	class := longClass(n)
	l := &st.long[class]
	putUint32(l.area(class, ref), 0, 0)
	l.free.push(l.areas(class), ref)
}

// spare is how many places are free beyond those that are kept, as store.spare.
func (l *longKeys) spare(class int, short bool) int {
	kept := int(l.next) / 8
	if !short {
		_, last := longChunks(class)
		kept += 1 << last
	}
	return l.free.len - kept
}

// longSize is how many bytes a key of n bytes takes beside its record.
func (st *store) longSize(n int) int {
	if n <= st.keyArea {
		return 0
	}
	return 1 << (longClass(n) + minLongShift)
}

// longGrowth is how many bytes a key of n bytes makes its class grow by.
func (st *store) longGrowth(n int) int {
	if n <= st.keyArea {
		return 0
	}
	class := longClass(n)
	l := &st.long[class]
	first, last := longChunks(class)
	chunk, at := chunkOf(slot(l.next), first, last)
	if l.free.len > 0 || at > 0 {
		return 0
	}
	return chunkLen(chunk, first, last) << (class + minLongShift)
}

// compactLong moves keys of a class from the end to free places, as many as most
// at most, and gives chunks back, where more than an eighth is free. It stops at
// the key of a pinned record.
func (st *store) compactLong(class, most int, short bool) (moved int) {
	l := &st.long[class]
	for ; moved < most && l.spare(class, short) > 0; moved++ {
		ref := l.next - 1
		if owner := getUint32(l.area(class, ref), 0); owner != 0 {
			r := st.record(0, slot(owner-1))
			if pins(r) > 0 {
				break
			}
			key := st.key(r)
			putUint32(r, headerSize, st.putLong(slot(owner-1), key))
			st.releaseLong(ref, len(key))
		}
		l.free.remove(l.areas(class), ref)
		l.next--
		st.fitLong(class)
	}
	return moved
}
