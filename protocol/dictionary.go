package protocol

// DictionarySize is how many strings a session remembers in each direction.
// Ids are 1 to DictionarySize.
const DictionarySize = 128

// maxStringLen bounds a string of a dictionary, and with it what a session
// remembers. HAProxy's are names and addresses of servers, from lines of
// haproxy.cfg of up to 2048 bytes.
const maxStringLen = 2048

// A DictionaryReader is the cache of the strings that the peer has sent on
// one session. Its zero value is ready; it is not to outlive its session.
type DictionaryReader struct {
	strings [DictionarySize + 1]string
	defined [DictionarySize + 1]bool
}

// Strings are what the ids from 1 on stand for, "" where one was not defined.
func (r *DictionaryReader) Strings() [DictionarySize]string {
	return [DictionarySize]string(r.strings[1:])
}

// parse reads a dictionary value: its length, then an id, then, where bytes
// remain, the string that (re)defines the id. A length of 0 is no value. It
// allocates only where an id gets another string.
func (r *DictionaryReader) parse(d *decoder) (string, error) {
	value := decoder{b: d.bytes(d.varint())}
	if !d.ok() || len(value.b) == 0 {
		return "", nil // a cut-short message is reported by its own parser
	}
	id := value.varint()
	if !value.ok() || id < 1 || id > DictionarySize {
		return "", malformed("dictionary id %d is not 1 to %d", id, DictionarySize)
	}
	if len(value.b) > 0 {
		s := value.bytes(value.varint())
		if !value.ok() {
			return "", malformed("string of dictionary id %d is cut short", id)
		}
		if len(s) > maxStringLen {
			return "", malformed("string of dictionary id %d is longer than %d bytes", id, maxStringLen)
		}
		if r.strings[id] != string(s) {
			r.strings[id] = string(s)
		}
		r.defined[id] = true
	}
	if !r.defined[id] {
		return "", malformed("dictionary id %d was never defined", id)
	}
	return r.strings[id], nil
}

// A DictionaryWriter is the cache of the strings that were sent to the peer on
// one session: the least recently used one makes room for a new one. Its zero
// value is ready; it is not to outlive its session.
type DictionaryWriter struct {
	ids     map[string]uint8
	strings [DictionarySize + 1]string
	// next and prev are a ring of ids from the most recently used one, with
	// 0 as its root.
	next, prev [DictionarySize + 1]uint8
}

// Strings are what the ids from 1 on stand for, "" where one was not used.
func (w *DictionaryWriter) Strings() [DictionarySize]string {
	return [DictionarySize]string(w.strings[1:])
}

// append appends a dictionary value: s by its id alone where the peer knows
// it, "" as no value.
func (w *DictionaryWriter) append(b []byte, s string) []byte {
	if s == "" {
		return append(b, 0)
	}
	id, known := w.use(s)
	if known {
		return append(b, 1, id) // 128 is below 240: one byte
	}
	var lenBuf [MaxVarintLen]byte
	size := AppendVarint(lenBuf[:0], uint64(len(s)))
	b = AppendVarint(b, uint64(1+len(size)+len(s)))
	b = append(b, id)
	b = append(b, size...)
	return append(b, s...)
}

// use makes s the most recently used string and returns its id, and whether
// the peer knows it by that id already.
func (w *DictionaryWriter) use(s string) (id uint8, known bool) {
	if w.ids == nil {
		w.ids = make(map[string]uint8, DictionarySize)
	}
	if id, known = w.ids[s]; known {
		w.unlink(id)
	} else {
		if len(w.ids) < DictionarySize {
			id = uint8(len(w.ids) + 1)
		} else {
			id = w.prev[0]
			w.unlink(id)
			delete(w.ids, w.strings[id])
		}
		w.ids[s], w.strings[id] = id, s
	}
	first := w.next[0]
	w.next[id], w.prev[id] = first, 0
	w.next[0], w.prev[first] = id, id
	return id, known
}

func (w *DictionaryWriter) unlink(id uint8) {
	w.next[w.prev[id]], w.prev[w.next[id]] = w.next[id], w.prev[id]
}
