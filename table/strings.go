package table

// A stringTable holds each server key once, whatever the number of entries
// that have it. Id 0 is none. A string goes when no entry has it any more.
type stringTable struct {
	ids     map[string]uint32
	strings []string
	uses    []uint32
	free    []uint32
}

// acquire returns the id of s and counts one more use of it.
func (t *stringTable) acquire(s string) uint32 {
	if s == "" {
		return 0
	}
	if id, ok := t.ids[s]; ok {
		t.uses[id]++
		return id
	}
	if t.ids == nil {
		t.ids = map[string]uint32{}
		t.strings, t.uses = []string{""}, []uint32{0}
	}
	var id uint32
	if n := len(t.free); n > 0 {
		id = t.free[n-1]
		t.free = t.free[:n-1]
		t.strings[id], t.uses[id] = s, 1
	} else {
		id = uint32(len(t.strings))
		t.strings, t.uses = append(t.strings, s), append(t.uses, 1)
	}
	t.ids[s] = id
	return id
}

func (t *stringTable) addUse(id uint32) {
	if id != 0 {
		t.uses[id]++
	}
}

func (t *stringTable) release(id uint32) {
	if id == 0 {
		return
	}
	if t.uses[id]--; t.uses[id] == 0 {
		delete(t.ids, t.strings[id])
		t.strings[id] = ""
		t.free = append(t.free, id)
	}
}

func (t *stringTable) get(id uint32) string {
	if id == 0 {
		return ""
	}
	return t.strings[id]
}
