package admin

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// The formats are those of HAProxy 3.2 (src/stick_table.c), so that tools that
// read its socket read ours.

// appendHead appends the line that a table's dump begins with.
func appendHead(b []byte, t *table.Table) []byte {
	s := t.Stats()
	size := s.Size
	if size == 0 {
		size = s.Capacity
	}
	b = append(append(b, "# table: "...), t.FullName()...)
	b = append(append(b, ", type: "...), t.KeyType().String()...)
	b = strconv.AppendInt(append(b, ", size:"...), int64(size), 10)
	b = strconv.AppendInt(append(b, ", used:"...), int64(s.Entries), 10)
	return append(b, '\n')
}

// appendEntry appends the line of entry i. u is scratch.
func appendEntry(b []byte, batch *table.Batch, i int, now time.Time, u *protocol.Update) []byte {
	batch.Update(i, now, u)
	return appendUpdate(b, batch, i, u)
}

// appendUpdate is appendEntry where u holds the entry already.
func appendUpdate(b []byte, batch *table.Batch, i int, u *protocol.Update) []byte {
	layout := batch.Layout()
	b = strconv.AppendUint(append(b, "0x"...), batch.ID(i), 16)
	b = appendKey(append(b, ": key="...), layout.KeyType, u.Key)
	b = strconv.AppendInt(append(b, " use="...), int64(batch.Uses(i)), 10)
	b = strconv.AppendUint(append(b, " exp="...), uint64(u.Remaining), 10)
	b = strconv.AppendInt(append(b, " shard="...), int64(batch.Shard(i)), 10)
	for _, c := range layout.Columns {
		for e := range c.Elements {
			b = appendName(append(b, ' '), c.Type, e, batch.Definition().Params[c.Type].Period)
			b = append(b, '=')
			b = appendValue(b, c, e, batch.Definition().Params[c.Type].Period, u)
		}
	}
	return append(b, '\n')
}

// appendName appends the name of element e of a data type. The index of an
// array stands before the first underscore: gpc3, gpc3_rate(10000).
func appendName(b []byte, t protocol.DataType, e int, period uint32) []byte {
	prefix, suffix, found := t.String(), "", false
	if t.IsArray() {
		prefix, suffix, found = strings.Cut(prefix, "_")
		prefix = prefix + strconv.Itoa(e)
	}
	b = append(b, prefix...)
	if found {
		b = append(append(b, '_'), suffix...)
	}
	if t.IsRate() {
		b = strconv.AppendUint(append(b, '('), uint64(period), 10)
		b = append(b, ')')
	}
	return b
}

func appendValue(b []byte, c protocol.Column, e int, period uint32, u *protocol.Update) []byte {
	kind := c.Type.Kind()
	v := u.Values[c.Offset+e*kind.Words():]
	switch kind {
	case protocol.Signed32:
		return strconv.AppendInt(b, int64(v[0]), 10)
	case protocol.Rate:
		return strconv.AppendUint(b, table.ReadRate(period, uint32(v[0]), uint32(v[1]), uint32(v[2])), 10)
	case protocol.Dictionary:
		if u.ServerKey == "" {
			return append(b, '-')
		}
		return appendText(b, u.ServerKey)
	}
	return strconv.AppendUint(b, v[0], 10)
}

// appendKey appends a key as HAProxy prints it.
func appendKey(b []byte, t protocol.KeyType, key []byte) []byte {
	switch t {
	case protocol.KeyInteger:
		return strconv.AppendUint(b, uint64(binary.BigEndian.Uint32(key)), 10)
	case protocol.KeyIPv4:
		return netip.AddrFrom4([4]byte(key)).AppendTo(b)
	case protocol.KeyIPv6:
		return appendIPv6(b, [16]byte(key))
	case protocol.KeyString:
		return appendText(b, key)
	}
	for _, c := range key {
		b = append(b, hexDigits[c>>4], hexDigits[c&15])
	}
	return b
}

// appendIPv6 appends an address as inet_ntop does, which HAProxy uses: unlike
// net/netip it writes IPv4-compatible addresses with dots too.
func appendIPv6(b []byte, a [16]byte) []byte {
	compatible := [12]byte(a[:12]) == [12]byte{} && (a[12] != 0 || a[13] != 0)
	if compatible {
		return netip.AddrFrom4([4]byte(a[12:])).AppendTo(append(b, "::"...))
	}
	return netip.AddrFrom16(a).AppendTo(b)
}

const hexDigits = "0123456789ABCDEF"

// appendText appends a string key, escaped as HAProxy's dump_text does it
// (src/tools.c). A server's key comes from the network here, and is escaped too.
func appendText[T string | []byte](b []byte, text T) []byte {
	for i := range len(text) {
		c := text[i]
		switch {
		case c == ' ' || c == '=' || c == '\\':
			b = append(b, '\\', c)
		case c > ' ' && c < 0x7f:
			b = append(b, c)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == 0x1b:
			b = append(b, `\e`...)
		default:
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}
