package table

import "math/bits"

// Keys that are too long for a record are kept beside them, in classes of
// sizes that are powers of two, without pointers into them.
const (
	minLongShift = 6  // 64 bytes
	longClasses  = 10 // up to 32 KiB
)

// longKeys are those of one class, in chunks as records are, of 512 bytes to 64
// KiB, but of one key at least.
type longKeys struct {
	chunks [][]byte
	next   uint32 // reference never used
	free   uint32 // the last one freed, plus 1; where its key was is the one before it
	frees  int    // how many those are
}

func longClass(n int) int { return max(bits.Len(uint(n-1))-minLongShift, 0) }

// longChunks are the first and the last shift of a class's chunks.
func longChunks(class int) (first, last int) { return max(3-class, 0), 10 - class }

// longKey returns the key of n bytes under ref.
func (st *store) longKey(ref uint32, n int) []byte { return st.longArea(ref, longClass(n))[:n:n] }

// longArea is where the key of a class under ref is.
func (st *store) longArea(ref uint32, class int) []byte {
	first, last := longChunks(class)
	chunk, at := chunkOf(slot(ref), first, last)
	return st.long[class].chunks[chunk][at<<(class+minLongShift):]
}

// putLong stores key and returns its reference, valid along with its length.
func (st *store) putLong(key []byte) (ref uint32) {
	class := longClass(len(key))
	l := &st.long[class]
	if l.free != 0 {
		ref = l.free - 1
		l.free = getUint32(st.longArea(ref, class), 0)
		l.frees--
	} else {
		ref = l.next
		first, last := longChunks(class)
		if chunk, at := chunkOf(slot(ref), first, last); at == 0 {
			l.chunks = append(l.chunks, make([]byte, chunkLen(chunk, first, last)<<(class+minLongShift)))
		}
		l.next++
	}
	copy(st.longKey(ref, len(key)), key)
	return ref
}

func (st *store) releaseLong(ref uint32, n int) {
	class := longClass(n)
	l := &st.long[class]
	putUint32(st.longArea(ref, class), 0, l.free)
	l.free = ref + 1
	l.frees++
}
