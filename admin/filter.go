package admin

import (
	"cmp"
	"fmt"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// A filter lets entries through of which a value compares to another one in a
// certain way.
type filter struct {
	field table.Field
	op    func(order int) bool // of the entry's value and that of the filter
	value int64
}

// maxFilters is how many filters one command may have.
const maxFilters = 4

var operators = map[string]func(order int) bool{
	"eq": func(order int) bool { return order == 0 },
	"ne": func(order int) bool { return order != 0 },
	"le": func(order int) bool { return order <= 0 },
	"ge": func(order int) bool { return order >= 0 },
	"lt": func(order int) bool { return order < 0 },
	"gt": func(order int) bool { return order > 0 },
}

// parseFilters reads the filters that args are, for a table that is defined so.
// Where it stands in the line an extra word is told: two words and the table's name
// precede.
func parseFilters(def *protocol.Definition, args []string) (all []filter, err error) {
	for len(all) < maxFilters && len(args) > 3*len(all) {
		f, err := parseFilter(def, args[3*len(all):])
		if err != nil {
			return nil, refusal(fmt.Sprintf("Filter entry #%d: %s\n", len(all)+1, err))
		}
		all = append(all, f)
	}
	if n := 3 * len(all); len(args) > n {
		return nil, refusal(fmt.Sprintf("Detected extra data in filter, %dth word of input, after '%s'\n", 3+n+1, args[n-1]))
	}
	return all, nil
}

func parseFilter(def *protocol.Definition, args []string) (f filter, err error) {
	name, known := args[0], false
	// Five characters precede the name; HAProxy does not look which.
	if f.field, known = parseField(name[min(len("data."), len(name)):]); !known {
		return f, refusal("Unknown data type")
	}
	if !stored(def, f.field) {
		return f, refusal("Data type not stored in this table")
	}
	if f.op = operators[word(args, 1)]; f.op == nil {
		return f, refusal(`Require and operator among "eq", "ne", "le", "ge", "lt", "gt"`)
	}
	if f.value, known = parseValue(word(args, 2)); !known {
		return f, refusal("Require a valid integer value to compare against")
	}
	return f, nil
}

// passes reports whether all filters let an entry through, of which u was read by
// a layout and a definition.
func passes(filters []filter, l *protocol.Layout, def *protocol.Definition, u *protocol.Update) bool {
	for i := range filters {
		if !filters[i].passes(l, def, u) {
			return false
		}
	}
	return true
}

func (f *filter) passes(l *protocol.Layout, def *protocol.Definition, u *protocol.Update) bool {
	for _, c := range l.Columns {
		if c.Type == f.field.Type {
			return f.field.Element < c.Elements &&
				f.op(cmp.Compare(readValue(c, f.field.Element, def.Params[c.Type].Period, u), f.value))
		}
	}
	return false // the table has been defined anew since
}
