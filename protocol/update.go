package protocol

import (
	"bytes"
	"encoding/binary"
	"math"
)

// An Update is the state of one entry of a stick table.
type Update struct {
	// ID is a number that the sender counts up a table. It wraps: compare
	// with [Before].
	ID uint32
	// Timed tells whether Remaining is meant: a lesson carries it, a live
	// change restarts the entry's lifetime at the table's expire.
	Timed bool
	// Remaining lifetime in ms. 0 in a table whose entries live for ever.
	Remaining uint32
	// Key of the entry: the 4 bytes of an integer in network order, the
	// bytes of an address or of a binary key, the characters of a string
	// without the NUL. It aliases the payload that it was read from.
	Key []byte
	// Values, laid out by [Layout]: a signed value is sign-extended; the
	// column of a dictionary type is not used.
	Values []uint64
	// ServerKey is the value of the only data type with a dictionary,
	// server_key. "" is none.
	ServerKey string
}

// Before reports whether the update id a comes before b, in the serial
// arithmetic of 32 bits that HAProxy uses too.
func Before(a, b uint32) bool { return int32(a-b) < 0 }

// ParseUpdate reads the payload of an update message of type t into u, whose
// Values have to be as long as l says. An incremental update gets the id after
// prev. What stands behind the known values is left alone. Nothing is
// allocated but for a new dictionary string. An error is an [*Error], and u is
// then of no use.
func ParseUpdate(t MessageType, payload []byte, l *Layout, dict *DictionaryReader, prev uint32, u *Update) error {
	d := decoder{b: payload}
	u.ID = prev + 1
	if t.explicit() {
		u.ID = d.uint32()
	}
	u.Timed, u.Remaining = t.timed(), 0
	if u.Timed {
		u.Remaining = d.uint32()
	}
	u.Key = d.key(l)
	u.ServerKey = ""
	for i := range l.Columns {
		c := &l.Columns[i]
		if c.kind == Dictionary {
			var err error
			if u.ServerKey, err = dict.parse(&d); err != nil {
				return err
			}
			continue
		}
		values := u.Values[c.Offset:c.end]
		if c.kind == Unsigned64 {
			values[0] = d.varint()
			continue
		}
		for i := range values {
			values[i] = narrow(c.kind, d.varint())
		}
	}
	if !d.ok() {
		return malformed("%v message is cut short", t)
	}
	return nil
}

// narrow keeps of v what HAProxy stores of it: 32 bits.
func narrow(k Kind, v uint64) uint64 {
	if k == Signed32 {
		return uint64(int64(int32(v)))
	}
	return v & math.MaxUint32
}

// key reads a key in its canonical form: a string ends at its first NUL, and
// at the defined length, as HAProxy's do.
func (d *decoder) key(l *Layout) []byte {
	if l.KeyType != KeyString {
		return d.bytes(uint64(l.KeyLen))
	}
	key := d.bytes(d.varint())
	if len(key) > l.KeyLen-1 {
		key = key[:l.KeyLen-1]
	}
	if i := bytes.IndexByte(key, 0); i >= 0 {
		key = key[:i]
	}
	return key
}

// AppendUpdate appends a whole update message with an explicit id: HAProxy 3.3
// and later ack incremental updates wrongly, and four bytes an update are a
// small price for acks that can be believed. The key of u, its values and its
// ServerKey have to be such as [ParseUpdate] gives them under l; the message
// then fits [MaxSend]. Nothing is allocated where b has room and the peer
// knows the ServerKey.
func AppendUpdate(b []byte, l *Layout, dict *DictionaryWriter, u *Update) []byte {
	t := UpdateMessage
	if u.Timed {
		t = TimedUpdateMessage
	}
	b = append(b, byte(t>>8), byte(t), 0) // the length: one byte nearly always
	start := len(b)
	b = binary.BigEndian.AppendUint32(b, u.ID)
	if u.Timed {
		b = binary.BigEndian.AppendUint32(b, u.Remaining)
	}
	if l.KeyType == KeyString {
		b = AppendVarint(b, uint64(len(u.Key)))
	}
	b = append(b, u.Key...)
	for i := range l.Columns {
		c := &l.Columns[i]
		if c.kind == Dictionary {
			b = dict.append(b, u.ServerKey)
			continue
		}
		for _, v := range u.Values[c.Offset:c.end] {
			if v < 240 { // nearly always
				b = append(b, byte(v))
			} else {
				b = AppendVarint(b, v)
			}
		}
	}
	return patchLength(b, start)
}

// patchLength writes the length of b[start:] in front of it, where one byte
// was left for it.
func patchLength(b []byte, start int) []byte {
	size := len(b) - start
	if size < 240 {
		b[start-1] = byte(size)
		return b
	}
	var buf [MaxVarintLen]byte
	length := AppendVarint(buf[:0], uint64(size))
	b = append(b, length[1:]...)
	copy(b[start+len(length)-1:], b[start:start+size])
	copy(b[start-1:], length)
	return b
}
