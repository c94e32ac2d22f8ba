package protocol

// A Column is where the values of one data type stand among the values of an
// update.
type Column struct {
	Type DataType
	// Elements is 1 but for arrays.
	Elements int
	// Offset of the first element, in words.
	Offset int

	kind Kind // of Type
	end  int  // offset of what follows
}

// Words is how many words the column takes.
func (c Column) Words() int { return c.end - c.Offset }

// A Layout is how the updates under one definition are read and written. It
// is made once a definition and then only read.
type Layout struct {
	KeyType KeyType
	KeyLen  int
	Columns []Column
	// Words is the length of [Update.Values].
	Words int
}

// NewLayout returns the layout of the updates under d, its known part.
func NewLayout(d *Definition) *Layout {
	l := &Layout{KeyType: d.KeyType, KeyLen: d.KeyLen}
	for t := range d.DataTypes() {
		c := Column{Type: t, Elements: 1, Offset: l.Words, kind: t.Kind()}
		if t.IsArray() {
			c.Elements = d.Params[t].Elements
		}
		l.Words += c.Elements * c.kind.Words()
		c.end = l.Words
		l.Columns = append(l.Columns, c)
	}
	return l
}
