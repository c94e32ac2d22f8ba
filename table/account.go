package table

import "sync/atomic"

// An account counts the bytes that a table has reserved, in use or not.
type account struct {
	bytes atomic.Int64
	set   *Set // nil where it is of none
}

// add counts n bytes more, or less where n is negative. A nil account counts
// nothing.
func (a *account) add(n int) {
	if a != nil {
		a.bytes.Add(int64(n))
	}
}

// over is by how many bytes the Set's limit would be exceeded if n came to it; it
// is negative where there is room, and where there is no limit.
func (a *account) over(n int) (bytes int64) {
	if a == nil || a.set == nil {
		return -1
	}
	return a.set.over(n)
}

func (s *Set) over(n int) (bytes int64) {
	limit := s.memory.Load()
	if limit == 0 {
		return -1
	}
	bytes = s.Memory() + int64(n) - limit
	if tight := bytes > 0; s.tight.Load() != tight {
		s.tight.Store(tight)
	}
	return bytes
}

// short reports whether the limit is reached, or nearly so.
func (a *account) short() bool { return a.over(nearLimit) >= 0 }

// nearLimit is with how many bytes left memory counts as short.
const nearLimit = 1 << 20
