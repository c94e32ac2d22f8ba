package table

import "math/bits"

// Keys that are too long for a record are kept beside them, in classes of
// sizes that are powers of two, without pointers into them.
const (
	minLongShift = 6  // 64 bytes
	longClasses  = 10 // up to 32 KiB
	longAtOnce   = 32 // keys a chunk
)

func longClass(n int) int { return max(bits.Len(uint(n-1))-minLongShift, 0) }

// longKey returns the key of n bytes under ref.
func (v *view) longKey(ref uint32, n int) []byte {
	class := longClass(n)
	at := int(ref%longAtOnce) << (class + minLongShift)
	return v.long[class][ref/longAtOnce][at : at+n : at+n]
}

// putLong stores key and returns its reference, valid along with its length.
func (st *store) putLong(key []byte) (ref uint32) {
	class := longClass(len(key))
	if free := st.longFree[class]; len(free) > 0 {
		ref = free[len(free)-1]
		st.longFree[class] = free[:len(free)-1]
	} else {
		ref = st.longNext[class]
		if int(ref/longAtOnce) == len(st.long[class]) {
			st.long[class] = append(st.long[class], make([]byte, longAtOnce<<(class+minLongShift)))
		}
		st.longNext[class]++
	}
	copy(st.longKey(ref, len(key)), key)
	return ref
}

func (st *store) releaseLong(ref uint32, n int) {
	class := longClass(n)
	st.longFree[class] = append(st.longFree[class], ref)
}
