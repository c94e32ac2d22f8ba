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
