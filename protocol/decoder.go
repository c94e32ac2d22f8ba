package protocol

import "encoding/binary"

// decoder reads the fields of one message. The first field that does not fit
// makes it fail for good: every later read returns zero, and a single check
// of ok at the end tells whether the whole message was there.
type decoder struct {
	b      []byte
	failed bool
}

func (d *decoder) fail() { d.b, d.failed = nil, true }

func (d *decoder) ok() bool { return !d.failed }

func (d *decoder) varint() uint64 {
	// The short form first: nearly every counter on the wire is below 240.
	if len(d.b) > 0 && d.b[0] < 240 {
		v := uint64(d.b[0])
		d.b = d.b[1:]
		return v
	}
	v, n := ParseVarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) uint32() uint32 {
	if len(d.b) < 4 {
		d.fail()
		return 0
	}
	v := binary.BigEndian.Uint32(d.b)
	d.b = d.b[4:]
	return v
}

// bytes returns the next n bytes, aliasing the message.
func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}
