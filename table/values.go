package table

import (
	"encoding/binary"

	"github.com/peersd/peersd/protocol"
)

// write stores what u brings in s, of which r is the record. Columns that u
// does not bring stay as they are; a rate among them only ages.
func (sh *shard) write(s slot, r []byte, m *mapping, u *protocol.Update, tick int64) {
	if before := get48(r, atStamp); before != 0 {
		tick = max(tick, before) // a clock read earlier than another's runs nothing back
		if m.partial {
			sh.age(s, tick-before)
		}
	}
	put48(r, atStamp, tick)
	group := 0
	for i := range m.pairs {
		p := &m.pairs[i]
		if p.column.group != group {
			group = p.column.group
			r = sh.store.record(group, s)
		}
		storeValues(r[p.column.offset:], &p.column, u.Values[p.from:])
	}
	if m.server != nil {
		r := sh.store.record(m.server.group, s)
		had := getUint32(r, m.server.offset)
		if servers := sh.schema.servers; servers.get(had) != u.ServerKey {
			putUint32(r, m.server.offset, servers.acquire(u.ServerKey))
			servers.release(had)
		}
	}
}

func storeValues(r []byte, c *column, values []uint64) {
	if c.kind == protocol.Unsigned64 {
		for i := range c.elements {
			binary.LittleEndian.PutUint64(r[8*i:], values[i])
		}
		return
	}
	if c.kind == protocol.Rate {
		for i := range c.elements {
			r, v := r[12*i:], values[3*i:]
			putUint32(r, 0, begun(uint32(v[0])))
			putUint32(r, 4, uint32(v[1]))
			putUint32(r, 8, uint32(v[2]))
		}
		return
	}
	for i, v := range values[:c.elements] {
		binary.LittleEndian.PutUint32(r[4*i:], uint32(v))
	}
}

// loadValues reads the values of c; its rates are as of ms ago.
func loadValues(r []byte, c *column, values []uint64, ms int64) {
	switch c.kind {
	case protocol.Unsigned64:
		for i := range c.elements {
			values[i] = binary.LittleEndian.Uint64(r[8*i:])
		}
	case protocol.Signed32:
		for i := range c.elements {
			values[i] = uint64(int64(int32(binary.LittleEndian.Uint32(r[4*i:]))))
		}
	case protocol.Rate:
		for i := range c.elements {
			r, v := r[12*i:12*i+12], values[3*i:3*i+3]
			v[0] = uint64(ageRate(binary.LittleEndian.Uint32(r), ms))
			v[1] = uint64(binary.LittleEndian.Uint32(r[4:]))
			v[2] = uint64(binary.LittleEndian.Uint32(r[8:]))
		}
	default:
		for i := range c.elements {
			values[i] = uint64(binary.LittleEndian.Uint32(r[4*i:]))
		}
	}
}

// age makes the rates of s, which are as of the record's stamp, ones of ms
// later.
func (sh *shard) age(s slot, ms int64) {
	for i := range sh.schema.columns {
		c := &sh.schema.columns[i]
		if c.kind != protocol.Rate {
			continue
		}
		r := sh.store.record(c.group, s)[c.offset:]
		for e := range c.elements {
			putUint32(r, 12*e, ageRate(getUint32(r, 12*e), ms))
		}
	}
}

// equal reports whether the values of u are those of the entry in s. The ages
// of rates are left aside: they grow by themselves.
func (sh *shard) equal(s slot, m *mapping, u *protocol.Update) bool {
	for i := range m.pairs {
		p := &m.pairs[i]
		r := sh.store.record(p.column.group, s)[p.column.offset:]
		for e := range p.column.elements {
			if !equalValue(r, p.column.kind, u.Values[p.from:], e) {
				return false
			}
		}
	}
	if m.server != nil {
		return sh.schema.servers.get(sh.serverID(s)) == u.ServerKey
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

// serverID is the id of the server key of s among the table's.
func (sh *shard) serverID(s slot) uint32 {
	if sh.schema.servers == nil {
		return 0
	}
	c := sh.schema.column(protocol.ServerKey)
	return getUint32(sh.store.record(c.group, s), c.offset)
}
