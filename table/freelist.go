package table

// A freeList chains free places of a store through their own bytes, from linkAt
// on: the place after it, then the one before, each plus 1, 0 at the ends. A
// place anywhere in the list can be taken out of it, so that a store gives its
// last ones back.
type freeList struct {
	first uint32 // plus 1
	len   int
}

const linkAt = 4

// push adds a place. at tells where the bytes of one are.
func (l *freeList) push(at func(place uint32) []byte, place uint32) {
	b := at(place)
	putUint32(b, linkAt, l.first)
	putUint32(b, linkAt+4, 0)
	if l.first != 0 {
		putUint32(at(l.first-1), linkAt+4, place+1)
	}
	l.first = place + 1
	l.len++
}

// remove takes a place out of the list.
func (l *freeList) remove(at func(place uint32) []byte, place uint32) {
	b := at(place)
	after, before := getUint32(b, linkAt), getUint32(b, linkAt+4)
	if after != 0 {
		putUint32(at(after-1), linkAt+4, before)
	}
	if before != 0 {
		putUint32(at(before-1), linkAt, after)
	} else {
		l.first = after
	}
	clear(b[linkAt : linkAt+8])
	l.len--
}

// pop takes the place out of the list that was added last. There has to be one.
func (l *freeList) pop(at func(place uint32) []byte) (place uint32) {
	place = l.first - 1
	l.remove(at, place)
	return place
}
