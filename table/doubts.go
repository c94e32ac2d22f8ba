package table

import "sync"

// doubts are the rows of lessons of which it can't be told whether they are fresher
// than what another origin has changed live, by the number of the lesson and by
// their ids: those of all sources of a set, the newest [maxDoubts].
type doubts struct {
	mu      sync.Mutex // taken under any other
	rows    map[doubt]struct{}
	order   []doubt // a ring once it is full
	oldest  int     // of a full ring
	lessons uint32  // numbers given away
}

type doubt struct{ lesson, id uint32 }

const (
	// maxDoubts bounds what is remembered: keys that changed live while lessons
	// were under way, and whose replay has not come since.
	maxDoubts = 1 << 16
	// doubtSize is about what one takes, in bytes.
	doubtSize = 32
)

// lesson returns the number of another lesson.
func (d *doubts) lesson() uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lessons++
	return d.lessons
}

// add remembers a row, and reports whether that took more memory.
func (d *doubts) add(row doubt) (grown bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.rows[row]; ok {
		return false
	}
	if d.rows == nil {
		d.rows = map[doubt]struct{}{}
	}
	d.rows[row] = struct{}{}
	if len(d.order) < maxDoubts {
		d.order = append(d.order, row)
		return true
	}
	delete(d.rows, d.order[d.oldest])
	d.order[d.oldest] = row
	d.oldest = (d.oldest + 1) % maxDoubts
	return false
}

func (d *doubts) has(row doubt) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.rows[row]
	return ok
}

// memory is what has been counted for them.
func (d *doubts) memory() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return int64(len(d.order)) * doubtSize
}
