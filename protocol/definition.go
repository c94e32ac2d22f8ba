package protocol

import (
	"fmt"
	"iter"
	"math"
	"math/bits"
	"strings"
)

// A Definition tells the peer of which table the updates that follow are, and
// how they are laid out. The same table may be defined differently by two
// peers, and again by the same peer after a reload: updates are read by the
// definition that their own session brought last.
type Definition struct {
	// ID is the sender's number for the table, valid on one session.
	ID uint64
	// Name of the table. A table of a peers section begins with "/".
	Name string
	// KeyType and KeyLen: HAProxy drops a table in silence where they differ
	// from its own. KeyLen is in bytes; that of a string counts a NUL.
	KeyType KeyType
	KeyLen  int
	// Types is the bit field of the data types stored. Bits from
	// [NumDataTypes] on are of a later HAProxy; see [Definition.Unknown].
	Types uint64
	// Expire is the lifetime of an untouched entry in ms, 0 where entries
	// live for ever.
	Expire uint32
	// Params of the data types that have any.
	Params [NumDataTypes]Params
}

// maxNameLen bounds the name of a table. HAProxy's come from one word of
// haproxy.cfg, whose lines end at 2048 bytes.
const maxNameLen = 2048

// Params are the parameters of one data type.
type Params struct {
	// Elements of an array, 1 to [MaxElements].
	Elements int
	// Period of a rate in ms. 0 where the sender did not tell (HAProxy
	// before 1.8), and its rates then read 0.
	Period uint32
}

// Known is the part of Types that can be decoded.
func (d *Definition) Known() uint64 { return d.Types & (1<<NumDataTypes - 1) }

// Unknown is the part of Types that belongs to a later HAProxy. Values stand
// in updates in the order of the bits and carry no lengths, so unknown ones
// are a tail that is left alone.
func (d *Definition) Unknown() uint64 { return d.Types &^ (1<<NumDataTypes - 1) }

// DataTypes yields the known data types in the order of their values.
func (d *Definition) DataTypes() iter.Seq[DataType] {
	return func(yield func(DataType) bool) {
		for left := d.Known(); left != 0; left &= left - 1 {
			if !yield(DataType(bits.TrailingZeros64(left))) {
				return
			}
		}
	}
}

// AppendDefinition appends a whole table definition message. It defines the
// known part of d, which is what [AppendUpdate] writes.
func AppendDefinition(b []byte, d *Definition) []byte {
	p := make([]byte, 0, 128)
	p = AppendVarint(p, d.ID)
	p = AppendVarint(p, uint64(len(d.Name)))
	p = append(p, d.Name...)
	p = AppendVarint(p, uint64(d.KeyType))
	p = AppendVarint(p, uint64(d.KeyLen))
	p = AppendVarint(p, d.Known())
	p = AppendVarint(p, uint64(d.Expire))
	for t := range d.DataTypes() {
		if !t.IsArray() && !t.IsRate() {
			continue
		}
		p = AppendVarint(p, uint64(t))
		if t.IsArray() {
			p = AppendVarint(p, uint64(d.Params[t].Elements))
		}
		if t.IsRate() {
			p = AppendVarint(p, uint64(d.Params[t].Period))
		}
	}
	return AppendFrame(b, DefinitionMessage, p)
}

// ParseDefinition reads the payload of a table definition message. An error is
// an [*Error]. HAProxy passes over some of what is refused here (a key type that
// does not exist, parameters that are missing): no HAProxy sends it, so it is
// better said than passed over.
func ParseDefinition(payload []byte) (*Definition, error) {
	d := decoder{b: payload}
	def := &Definition{ID: d.varint()}
	name := d.bytes(d.varint())
	keyType, keyLen := d.varint(), d.varint()
	def.Types = d.varint()
	if !d.ok() {
		return nil, malformed("table definition is cut short")
	}
	if len(name) == 0 || len(name) > maxNameLen {
		return nil, malformed("table name in a definition has %d bytes, not 1 to %d", len(name), maxNameLen)
	}
	def.Name = string(name)
	if strings.ContainsFunc(def.Name, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, malformed("table name %q in a definition has spaces or control characters", name)
	}
	if err := def.setKey(keyType, keyLen); err != nil {
		return nil, err
	}
	if err := def.parseRest(&d); err != nil {
		return nil, err
	}
	return def, nil
}

func (d *Definition) setKey(keyType, keyLen uint64) error {
	if keyType > math.MaxUint8 || !KeyType(keyType).validLen(keyLen) {
		return malformed("table %q is defined with key type %d and key length %d, which do not exist together",
			d.Name, keyType, keyLen)
	}
	d.KeyType, d.KeyLen = KeyType(keyType), int(keyLen)
	return nil
}

// parseRest reads what follows the bit field. Old senders stop before it.
func (d *Definition) parseRest(in *decoder) error {
	if len(in.b) == 0 {
		return d.lacksParams()
	}
	expire := in.varint()
	if !in.ok() {
		return malformed("table definition is cut short")
	}
	if expire > math.MaxUint32 {
		return malformed("table %q is defined with an expire of %d ms", d.Name, expire)
	}
	d.Expire = uint32(expire)
	return d.parseParams(in)
}

// parseParams reads the parameters of the known data types. Those of unknown
// ones follow behind and are left alone.
func (d *Definition) parseParams(in *decoder) error {
	for t := range d.DataTypes() {
		if !t.IsArray() && !t.IsRate() {
			continue
		}
		if len(in.b) == 0 {
			return malformed("definition of table %q lacks the parameters of %v", d.Name, t)
		}
		got, n, period := in.varint(), uint64(1), uint64(0)
		if t.IsArray() {
			n = in.varint()
		}
		if t.IsRate() {
			period = in.varint()
		}
		switch {
		case !in.ok():
			return malformed("definition of table %q is cut short in the parameters of %v", d.Name, t)
		case got != uint64(t):
			return malformed("table %q is defined with parameters of data type %d where those of %v belong", d.Name, got, t)
		case n < 1 || n > MaxElements:
			return malformed("table %q is defined with %d elements of %v, not 1 to %d", d.Name, n, t, MaxElements)
		case period > math.MaxUint32:
			return malformed("table %q is defined with a period of %d ms for %v", d.Name, period, t)
		}
		p := &d.Params[t]
		p.Period = uint32(period)
		if t.IsArray() {
			p.Elements = int(n)
		}
	}
	return nil
}

// lacksParams: a sender that stops before the expire sends no parameters
// either, and an array can't be read without its size.
func (d *Definition) lacksParams() error {
	for t := range d.DataTypes() {
		if t.IsArray() {
			return malformed("definition of table %q lacks the parameters of %v", d.Name, t)
		}
	}
	return nil
}

// String is a definition as a person reads it:
// "t1 type ip len 4 expire 10000 store gpc0,http_req_rate(10000)".
func (d *Definition) String() string {
	s := fmt.Sprintf("%s type %v len %d expire %d store", d.Name, d.KeyType, d.KeyLen, d.Expire)
	sep := " "
	for t := range d.DataTypes() {
		s += sep + d.describe(t)
		sep = ","
	}
	if u := d.Unknown(); u != 0 {
		s += fmt.Sprintf("%sunknown(%#x)", sep, u)
	}
	return s
}

func (d *Definition) describe(t DataType) string {
	p := d.Params[t]
	switch {
	case t.IsArray() && t.IsRate():
		return fmt.Sprintf("%v(%d,%d)", t, p.Elements, p.Period)
	case t.IsArray():
		return fmt.Sprintf("%v(%d)", t, p.Elements)
	case t.IsRate():
		return fmt.Sprintf("%v(%d)", t, p.Period)
	}
	return t.String()
}
