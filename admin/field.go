package admin

import (
	"math"
	"strconv"
	"strings"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// parseField reads the name of a value, as it stands behind "data.": that of a data
// type, for an array with an index in brackets, which is 0 without. As in HAProxy,
// the name of an array may be cut short before its index.
func parseField(name string) (f table.Field, ok bool) {
	prefix, index, found := strings.Cut(name, "[")
	for dt := range protocol.DataType(protocol.NumDataTypes) {
		switch {
		case !found && name == dt.String():
			return table.Field{Type: dt}, true
		case found && dt.IsArray() && strings.HasPrefix(dt.String(), prefix):
			element, ok := parseIndex(index)
			return table.Field{Type: dt, Element: element}, ok
		}
	}
	return f, false
}

// parseIndex reads what stands behind the bracket: 32 bits of a number, and the
// other bracket.
func parseIndex(text string) (int, bool) {
	digits, found := strings.CutSuffix(text, "]")
	digits = strings.TrimLeft(digits, " \t\n\v\f\r")
	if !found || strings.Trim(digits, "+-0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil && n == 0 {
		return 0, false
	}
	return int(uint32(n)), true
}

// stored reports whether a table that is defined so has values of f.
func stored(def *protocol.Definition, f table.Field) bool { return def.Types&(1<<f.Type) != 0 }

// elements is how many values of a type a table has that is defined so.
func elements(def *protocol.Definition, dt protocol.DataType) int {
	if dt.IsArray() {
		return def.Params[dt].Elements
	}
	return 1
}

// parseValue reads a number as HAProxy does: decimal, of 64 bits, with a sign only
// where it is negative.
func parseValue(text string) (int64, bool) {
	if text == "-" {
		return 0, true
	}
	if strings.HasPrefix(text, "+") {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

// appendWords appends a value as updates have it. It is cut to what is stored; a
// rate is set so that it reads as v in the period that begins now, and fades out in
// the one after it.
func appendWords(values []uint64, k protocol.Kind, v int64) []uint64 {
	switch k {
	case protocol.Signed32:
		return append(values, uint64(int64(int32(v))))
	case protocol.Unsigned32:
		return append(values, uint64(v)&math.MaxUint32)
	case protocol.Rate:
		return append(values, 0, uint64(v)&math.MaxUint32, 0)
	}
	return append(values, uint64(v))
}

// readValue is the value of element e of a column as a filter sees it: a number
// below 2^63 or, beyond, a negative one. A server key has none: it is 0.
func readValue(c protocol.Column, e int, period uint32, u *protocol.Update) int64 {
	v := u.Values[c.Offset+e*c.Type.Kind().Words():]
	switch c.Type.Kind() {
	case protocol.Rate:
		return int64(table.ReadRate(period, uint32(v[0]), uint32(v[1]), uint32(v[2])))
	case protocol.Dictionary:
		return 0
	}
	return int64(v[0])
}
