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
	if a == nil {
		return
	}
	a.bytes.Add(int64(n))
	if a.set != nil {
		a.set.reserved.Add(int64(n))
	}
}

// over is by how many bytes the limit of memory would be exceeded if n came to
// what tables have reserved; it is negative where there is room, and where there
// is no limit.
func (s *Set) over(n int) (bytes int64) {
	if limit := s.memory.Load(); limit > 0 {
		return s.reserved.Load() + int64(n) - limit
	}
	return -1
}

// short reports whether the limit is reached, or nearly so: by the last part in
// sixteen.
func (s *Set) short() bool { return s.over(int(s.memory.Load()/16)) >= 0 }
