package table

import (
	"math"
	"math/bits"
	"slices"
	"unsafe"

	"github.com/peersd/peersd/protocol"
)

// A schema is how a table's entries are laid out at one moment. It is never
// changed: a table gets another one, and who still reads entries by the old
// one goes on doing so.
//
// Values live in column groups. The first group is part of the entry's record;
// data types that come later form groups of their own, so that a table grows
// without an entry being moved. Where types come and go again and again, all
// groups but the first are made one. Where they go, so that the columns in use fill
// less than half of the bytes, the first group is cut behind some of them, too, and
// those behind the cut are moved.
type schema struct {
	def     *protocol.Definition         // with ID 0; what the table is taught as
	layout  *protocol.Layout             // of def
	columns []column                     // present ones, behind one that is not
	at      [protocol.NumDataTypes]uint8 // of a data type's column, 0 where it has none
	groups  int
	size    []int       // of the records of each group, in bytes
	whole   *mapping    // to its own layout
	servers *serverKeys // nil without that column
	account *account    // for them
}

// A column is where the values of one data type are stored.
type column struct {
	present  bool
	kind     protocol.Kind
	elements int
	group    int
	offset   int // in the group's record, in bytes
}

// column is where the values of t are stored; it is not present where they aren't.
func (s *schema) column(t protocol.DataType) *column { return &s.columns[s.at[t]] }

func (s *schema) add(t protocol.DataType, c column) {
	s.at[t] = uint8(len(s.columns))
	s.columns = append(s.columns, c)
}

// width is how many bytes one value of kind k is stored in.
func width(k protocol.Kind) int {
	switch k {
	case protocol.Unsigned64:
		return 8
	case protocol.Rate:
		return 12
	}
	return 4
}

func (c *column) size() int { return c.elements * width(c.kind) }

// A mapping carries values between the layout of one definition and the
// columns of one schema. It is made once for the two.
type mapping struct {
	schema *schema
	pairs  []pair
	// server is the column of the server key, nil without.
	server *column
	// partial: the schema has rates that the layout doesn't bring.
	partial bool
}

type pair struct {
	from   int // offset in Update.Values
	column column
}

func newMapping(l *protocol.Layout, s *schema) *mapping {
	m := &mapping{schema: s}
	left := s.rates()
	for _, c := range l.Columns {
		col := *s.column(c.Type)
		if !col.present {
			continue
		}
		if col.kind == protocol.Dictionary {
			m.server = &col
			continue
		}
		// Of arrays of different sizes, what both have.
		col.elements = min(col.elements, c.Elements)
		m.pairs = append(m.pairs, pair{c.Offset, col})
		if col.kind == protocol.Rate {
			left -= col.elements
		}
	}
	m.partial = left > 0
	return m
}

// mapTo returns how the updates of src are stored by a schema.
func (src *Source) mapTo(s *schema) *mapping {
	if src.layout == nil {
		return newFieldMapping(src.fields, s)
	}
	return newMapping(src.layout, s)
}

// rates is how many rates an entry has.
func (s *schema) rates() (n int) {
	for i := range s.columns {
		if c := &s.columns[i]; c.kind == protocol.Rate {
			n += c.elements
		}
	}
	return n
}

// maxGroups bounds how many places an entry is scattered over.
const maxGroups = 4

// A transition is what it takes to go from one schema to the next.
type transition struct {
	from *schema
	// group is the new last group, of records of size bytes; there is no new
	// one where size is 0.
	group, size int
	// moved are the columns that have to be copied there: those of arrays that
	// grew and, where there were many groups, all of the groups from that one
	// on, which it replaces.
	moved []protocol.DataType
}

// with returns the schema that stores what def says, by def's parameters. What
// is stored already and still fits stays where it is; the rest forms a new
// group. head is what precedes the columns of the first group.
func (s *schema) with(def *protocol.Definition, head int) (next *schema, c transition) {
	c = transition{from: s, group: s.groups}
	first := math.MaxInt
	switch {
	case c.group == 0:
		c.size = head
	case 2*(head+valuesOf(def, nil)) < s.width():
		c.group, first = 1, head+valuesOf(def, s)
	case c.group >= maxGroups:
		c.group = 1
	}
	next = &schema{columns: make([]column, 1, 1+bits.OnesCount64(def.Known())), def: def, groups: c.group, size: slices.Clone(s.size[:c.group]), account: s.account}
	cut := head
	for t := range def.DataTypes() {
		col, elements := *s.column(t), elementsOf(def, t)
		if col.present && elements <= col.elements && col.group < c.group && (col.group > 0 || col.offset+elements*width(col.kind) <= first) {
			col.elements = elements
			if col.group == 0 {
				cut = max(cut, col.offset+col.size())
			}
			next.add(t, col)
			continue
		}
		if col.present {
			c.moved = append(c.moved, t)
		}
		col = column{present: true, kind: t.Kind(), elements: elements, group: c.group, offset: c.size}
		next.add(t, col)
		c.size += col.size()
	}
	if first < math.MaxInt {
		next.size[0] = cut
	}
	if c.size > 0 {
		next.groups++
		next.size = append(next.size, c.size)
	}
	if next.column(protocol.ServerKey).present {
		if next.servers = s.servers; next.servers == nil {
			next.servers = newServerKeys(s.account)
		}
	}
	next.layout = protocol.NewLayout(next.def)
	next.whole = newMapping(next.layout, next)
	return next, c
}

// memory is what s takes, in bytes, but for its server keys, and for its definition,
// which most often is a declaration.
func (s *schema) memory() int {
	size := int(unsafe.Sizeof(*s)) + cap(s.columns)*int(unsafe.Sizeof(column{})) + len(s.size)*int(unsafe.Sizeof(0))
	if s.layout != nil {
		size += int(unsafe.Sizeof(*s.layout)) + cap(s.layout.Columns)*int(unsafe.Sizeof(protocol.Column{}))
		size += int(unsafe.Sizeof(*s.whole)) + cap(s.whole.pairs)*int(unsafe.Sizeof(pair{}))
	}
	return size
}

// stored is def without what s does not store.
func (s *schema) stored(def *protocol.Definition) *protocol.Definition {
	some := *def
	for t := range def.DataTypes() {
		switch c := s.column(t); {
		case !c.present:
			some.Types &^= 1 << t
			some.Params[t] = protocol.Params{}
		case t.IsArray():
			some.Params[t].Elements = min(some.Params[t].Elements, c.elements)
		}
	}
	return &some
}

// width is how many bytes a record has in all groups.
func (s *schema) width() (bytes int) {
	for _, size := range s.size {
		bytes += size
	}
	return bytes
}

// valuesOf is how many bytes the values of def take; where s is given, of those that
// are in its first group.
func valuesOf(def *protocol.Definition, s *schema) (bytes int) {
	for t := range def.DataTypes() {
		if s == nil || s.column(t).present && s.column(t).group == 0 {
			bytes += elementsOf(def, t) * width(t.Kind())
		}
	}
	return bytes
}

// elementsOf is how many values a data type of def has.
func elementsOf(def *protocol.Definition, t protocol.DataType) int {
	if t.IsArray() {
		return def.Params[t].Elements
	}
	return 1
}
