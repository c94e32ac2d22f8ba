package table

import (
	"encoding/binary"

	"github.com/peersd/peersd/protocol"
)

// write stores what u brings in s, of which r is the record. Columns that u
// does not bring stay as they are; a rate among them only ages.
func (t *Table) write(s slot, r []byte, m *mapping, u *protocol.Update, tick int64) {
	if before := getInt64(r, atStamp); before != 0 {
		tick = max(tick, before) // a clock read earlier than another's runs nothing back
		if m.partial {
			t.age(s, tick-before)
		}
	}
	putInt64(r, atStamp, tick)
	group := 0
	for i := range m.pairs {
		p := &m.pairs[i]
		if p.column.group != group {
			group = p.column.group
			r = t.store.record(group, s)
		}
		storeValues(r[p.column.offset:], p.column.kind, u.Values[p.from:], p.column.elements)
	}
	if m.server != nil {
		r := t.store.record(m.server.group, s)
		had := getUint32(r, m.server.offset)
		if t.servers.get(had) != u.ServerKey {
			putUint32(r, m.server.offset, t.servers.acquire(u.ServerKey))
			t.servers.release(had)
		}
	}
}

func storeValues(r []byte, k protocol.Kind, values []uint64, elements int) {
	switch k {
	case protocol.Unsigned64:
		for i := range elements {
			binary.LittleEndian.PutUint64(r[8*i:], values[i])
		}
	default:
		for i := range elements * k.Words() {
			binary.LittleEndian.PutUint32(r[4*i:], uint32(values[i]))
		}
	}
}

func loadValues(r []byte, k protocol.Kind, values []uint64, elements int) {
	switch k {
	case protocol.Unsigned64:
		for i := range elements {
			values[i] = binary.LittleEndian.Uint64(r[8*i:])
		}
	case protocol.Signed32:
		for i := range elements {
			values[i] = uint64(int64(int32(binary.LittleEndian.Uint32(r[4*i:]))))
		}
	default:
		for i := range elements * k.Words() {
			values[i] = uint64(binary.LittleEndian.Uint32(r[4*i:]))
		}
	}
}

// age makes the rates of s, which are as of the record's stamp, ones of ms
// later.
func (t *Table) age(s slot, ms int64) {
	for i := range t.schema.columns {
		c := &t.schema.columns[i]
		if !c.present || c.kind != protocol.Rate {
			continue
		}
		r := t.store.record(c.group, s)[c.offset:]
		for e := range c.elements {
			putUint32(r, 12*e, ageRate(getUint32(r, 12*e), ms))
		}
	}
}

// equal reports whether the values of u are those of the entry in s. The ages
// of rates are left aside: they grow by themselves.
func (t *Table) equal(s slot, m *mapping, u *protocol.Update) bool {
	for i := range m.pairs {
		p := &m.pairs[i]
		r := t.store.record(p.column.group, s)[p.column.offset:]
		for e := range p.column.elements {
			if !equalValue(r, p.column.kind, u.Values[p.from:], e) {
				return false
			}
		}
	}
	if m.server != nil {
		return t.servers.get(t.serverID(s)) == u.ServerKey
	}
	return true
}

func equalValue(r []byte, k protocol.Kind, values []uint64, e int) bool {
	switch k {
	case protocol.Unsigned64:
		return binary.LittleEndian.Uint64(r[8*e:]) == values[e]
	case protocol.Rate:
		return getUint32(r, 12*e+4) == uint32(values[3*e+1]) && getUint32(r, 12*e+8) == uint32(values[3*e+2])
	}
	return getUint32(r, 4*e) == uint32(values[e])
}

// serverID is the id of the server key of s among the table's strings.
func (t *Table) serverID(s slot) uint32 {
	c := &t.schema.columns[protocol.ServerKey]
	if !c.present {
		return 0
	}
	return getUint32(t.store.record(c.group, s), c.offset)
}
