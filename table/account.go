package table

import (
	"sync"
	"sync/atomic"
)

// An account counts the bytes that a table has reserved, in use or not, and that
// all tables of its set have.
type account struct {
	bytes atomic.Int64 // changed under mu

	mu  sync.Mutex // for a moment, under whatever lock
	set *Set       // nil where it is of none, or of none any more
}

// add counts n bytes more, or less where n is negative. A nil account counts
// nothing.
func (a *account) add(n int) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bytes.Add(int64(n))
	if a.set != nil {
		a.set.reserved.Add(int64(n))
	}
}

// leave takes what the account has counted, and will count, out of its set's: the
// table has gone, and what somebody still does with it goes with it.
func (a *account) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.set.reserved.Add(-a.bytes.Load())
	a.set = nil
}
