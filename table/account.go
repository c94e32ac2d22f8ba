package table

import "sync/atomic"

// An account counts the bytes that tables have reserved, in use or not: those of
// one table, and with them those of its Set.
type account struct {
	bytes atomic.Int64
	limit atomic.Int64 // 0 = none
	of    *account     // nil for a Set's
}

// add counts n bytes more, or less where n is negative. A nil account counts
// nothing.
func (a *account) add(n int) {
	for ; a != nil; a = a.of {
		a.bytes.Add(int64(n))
	}
}

// over is by how many bytes the limit would be exceeded if n came to it; it is
// negative where there is room, and where there is no limit.
func (a *account) over(n int) (bytes int64) {
	bytes = -1
	for ; a != nil; a = a.of {
		if limit := a.limit.Load(); limit > 0 {
			bytes = max(bytes, a.bytes.Load()+int64(n)-limit)
		}
	}
	return bytes
}

// short reports whether the limit is reached, or nearly so.
func (a *account) short() bool { return a.over(nearLimit) >= 0 }

// nearLimit is with how many bytes left memory counts as short.
const nearLimit = 1 << 20
