package table

import (
	"sync"
	"sync/atomic"
)

// serverKeys holds each server key of a table once, whatever the number of
// entries that have it. Id 0 is none. A key goes when no entry has it any more.
//
// An entry's own id is read without a lock: nothing changes under it as long as
// the entry has it. The lock is taken last of all.
type serverKeys struct {
	account *account
	pages   atomic.Pointer[[]*serverPage] // replaced, never written to

	mu   sync.Mutex
	ids  map[string]uint32
	next uint32 // never used
	free []uint32
}

// serverKeySize is about what a server key takes beyond its own length: in the
// map, in a page, in the list of free ones.
const serverKeySize = 64

type serverPage [64]serverKey

type serverKey struct {
	key  string // "" where it is free
	uses atomic.Int32
}

func newServerKeys(a *account) *serverKeys {
	k := &serverKeys{account: a, ids: map[string]uint32{}, next: 1}
	k.pages.Store(new([]*serverPage))
	return k
}

func (k *serverKeys) at(id uint32) *serverKey {
	pages := *k.pages.Load()
	return &pages[id/uint32(len(serverPage{}))][id%uint32(len(serverPage{}))]
}

// get returns the key of an id that somebody uses.
func (k *serverKeys) get(id uint32) string {
	if id == 0 {
		return ""
	}
	return k.at(id).key
}

// acquire returns the id of key and counts one more use of it.
func (k *serverKeys) acquire(key string) uint32 {
	if key == "" {
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	id, ok := k.ids[key]
	if !ok {
		id = k.newID()
		k.at(id).key = key
		k.ids[key] = id
		k.account.add(len(key) + serverKeySize)
	}
	k.at(id).uses.Add(1)
	return id
}

// newID returns one that is free.
func (k *serverKeys) newID() uint32 {
	if n := len(k.free); n > 0 {
		id := k.free[n-1]
		k.free = k.free[:n-1]
		return id
	}
	pages := *k.pages.Load()
	if int(k.next) >= len(pages)*len(serverPage{}) {
		pages = append(pages[:len(pages):len(pages)], new(serverPage))
		k.pages.Store(&pages)
	}
	k.next++
	return k.next - 1
}

// addUse counts one more use of an id that somebody uses.
func (k *serverKeys) addUse(id uint32) {
	if id != 0 {
		k.at(id).uses.Add(1)
	}
}

// release counts one use less.
func (k *serverKeys) release(id uint32) {
	if id == 0 || k.at(id).uses.Add(-1) > 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	// Somebody may have acquired it since, or been faster.
	s := k.at(id)
	if s.uses.Load() > 0 || s.key == "" {
		return
	}
	k.account.add(-len(s.key) - serverKeySize)
	delete(k.ids, s.key)
	s.key = ""
	k.free = append(k.free, id)
}

// abandon counts no memory of k any more: nobody uses it.
func (k *serverKeys) abandon() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key := range k.ids {
		k.account.add(-len(key) - serverKeySize)
	}
}
