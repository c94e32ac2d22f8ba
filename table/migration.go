package table

// A migration takes a shard to its next schema, a few records at a time. Until
// it is over the shard goes by the schema of before, and its store is not
// compacted.
type migration struct {
	next *schema
	transition
	chunks []chunk // of the new last group
	upTo   slot    // below it, the records of that group are as they have to be
}

// adopt goes over to the next schema.
func (sh *shard) adopt(next *schema, c transition) {
	m := &migration{next: next, transition: c}
	m.fit(&sh.store, sh.chunkCount()) // what takes longest, without the lock
	for !sh.adoptSome(m) {
	}
}

func (sh *shard) chunkCount() int {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.store.chunkCount()
}

func (m *migration) fit(st *store, chunks int) {
	if m.size > 0 {
		m.chunks = st.fitGroup(m.chunks, chunks, m.size)
	}
}

// adoptSome goes on with m, and reports whether it is over.
func (sh *shard) adoptSome(m *migration) (over bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.migration = m
	m.fit(&sh.store, sh.store.chunkCount())
	if len(m.moved) == 0 {
		m.upTo = sh.store.next
	}
	for end := min(m.upTo+maxPassed, sh.store.next); m.upTo < end; m.upTo++ {
		m.move(&sh.store, m.upTo)
	}
	if m.upTo < sh.store.next {
		return false
	}
	sh.migration, sh.schema = nil, m.next
	sh.store.setGroup(m.group, m.size, m.chunks)
	sh.store.setFirst(m.next.size[0])
	return true
}

// changed is told of each record that has changed, or was freed.
func (m *migration) changed(st *store, s slot) {
	if m != nil && s < m.upTo {
		m.move(st, s)
	}
}

// move copies to the new group what the groups before have of it.
func (m *migration) move(st *store, s slot) {
	for _, dt := range m.moved {
		from, to := m.from.column(dt), m.next.column(dt)
		n := min(from.size(), to.size())
		copy(recordOf(m.chunks, s)[to.offset:], st.record(from.group, s)[from.offset:][:n])
	}
}
