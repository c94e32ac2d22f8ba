package admin

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

var setting = verb{
	required: "Required arguments: <table> key <key> [data.<store_data_type> <value>]* or <table> ptr <ptr> [data.<store_data_type> <value>]*\n",
	gerund:   "Inserting keys into",
	changes:  true,
	entry:    (*cli).setEntry,
}

func (c *cli) setTable(args []string) error { return c.onTable(&setting, args) }

// An order is what a command sets, kept for the next one: an import is many that set
// the same fields.
type order struct {
	def    *protocol.Definition
	fields []table.Field
	source *table.Source // of these
	update protocol.Update
	parsed []table.Field
}

// setEntry orders the values that the words name, and makes the entry where there
// is none. As with HAProxy, what stands in front of what is refused is done; but
// not where it is the lifetime that is refused.
func (c *cli) setEntry(t *table.Table, key []byte, words []string) error {
	def, _ := t.Schema()
	lifetime, words, err := cutLifetime(def, words)
	if err != nil {
		return err
	}
	o := &c.order
	u := &o.update
	u.Key, u.Timed, u.Remaining = key, lifetime > 0, uint32(lifetime.Milliseconds())
	o.parsed, u.Values, err = parseFields(def, words, o.parsed[:0], u.Values[:0])
	if o.def != def || !slices.Equal(o.fields, o.parsed) { // a definition is of one table
		o.def, o.fields = def, slices.Clone(o.parsed)
		o.source = t.SourceOf(o.fields)
	}
	if !o.source.Merge(time.Now(), u, table.Ordered) {
		return refusal("Unable to allocate a new entry\n")
	}
	c.changed = true
	return err
}

// cutLifetime cuts "expire <time>" from the end of words, which HAProxy does not
// have. The lifetime is 0 without.
func cutLifetime(def *protocol.Definition, words []string) (lifetime time.Duration, rest []string, err error) {
	n := len(words)
	switch {
	case n > 0 && words[n-1] == "expire":
		return 0, nil, refusal("expire needs a time, as in 10m; a number without a unit is of milliseconds\n")
	case n < 2 || words[n-2] != "expire":
		return 0, words, nil
	}
	lifetime, ok := parseTime(words[n-1], time.Millisecond)
	if !ok || lifetime == 0 {
		return 0, nil, refusal(fmt.Sprintf("'%s' is no time to live, as in 10m, of at most %dms\n", words[n-1], math.MaxInt32))
	}
	if most := time.Duration(def.Expire) * time.Millisecond; most > 0 && lifetime > most {
		return 0, nil, refusal(fmt.Sprintf("HAProxy forgets an entry of this table after %dms; that is the longest for expire\n", def.Expire))
	}
	return lifetime, words[:n-2], nil
}

// parseFields reads names of values and values, up to the first that is refused, and
// appends them.
func parseFields(def *protocol.Definition, words []string, fields []table.Field, values []uint64) ([]table.Field, []uint64, error) {
	for i := 0; i < len(words); i += 2 {
		name, found := strings.CutPrefix(words[i], "data.")
		if !found {
			return fields, values, refusal("\"data.<type>\" followed by a value expected\n")
		}
		f, v, err := parseSetting(def, name, word(words, i+1))
		if err != nil {
			return fields, values, err
		}
		fields, values = append(fields, f), appendWords(values, f.Type.Kind(), v)
	}
	return fields, values, nil
}

func parseSetting(def *protocol.Definition, name, value string) (f table.Field, v int64, err error) {
	f, known := parseField(name)
	if !known {
		return f, 0, refusal("Unknown data type\n")
	}
	if !stored(def, f) {
		return f, 0, refusal("Data type not stored in this table\n")
	}
	if v, known = parseValue(value); !known {
		return f, 0, refusal("Require a valid integer value to store\n")
	}
	if f.Element >= elements(def, f.Type) {
		return f, 0, refusal("index out of range in this data array\n")
	}
	return f, v, nil
}
