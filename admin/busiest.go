package admin

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

const (
	// recent is how many entries, of those that changed last, the busiest are looked
	// for among. Who is busy has changed lately: a table of millions is not gone
	// through for that.
	recent = 10_000
	// mostBusiest is how many are shown at most, fewBusiest without a number.
	mostBusiest = 1000
	fewBusiest  = 10
)

// A ranking is what `show busiest` is about to show: lines, those that come first
// first.
type ranking struct {
	field *table.Field // by the value of which they are ranked, nil is by when they changed
	most  int
	lines []ranked
}

type ranked struct {
	id    uint64
	value int64
	since time.Duration
	line  []byte
}

// showBusiest shows entries of which a rate is high, of those that changed last.
func (c *cli) showBusiest(args []string) error {
	const usage = "Required arguments: <table> [data.<store_data_type>] [<number of entries>]\n"
	if len(args) == 0 {
		return refusal(usage)
	}
	found := c.Tables.Lookup(args[0])
	if len(found) == 0 {
		return refusal("No such table\n")
	}
	name, args := "", args[1:]
	if strings.HasPrefix(word(args, 0), "data.") {
		name, args = strings.TrimPrefix(args[0], "data."), args[1:]
	}
	most := fewBusiest
	if len(args) > 0 {
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 1 || n > mostBusiest || len(args) > 1 {
			return refusal(usage)
		}
		most = n
	}
	for _, t := range found {
		r := ranking{most: most}
		def := t.Definition()
		if err := r.by(&def, name); err != nil {
			return err
		}
		r.rank(t, time.Now())
		c.out.Write(r.appendTo(nil, t, &def))
	}
	return nil
}

// by ranks by the value of that name, and without one by a rate, if the table has any.
func (r *ranking) by(def *protocol.Definition, name string) error {
	if name == "" {
		r.field = busiestRate(def)
		return nil
	}
	f, known := parseField(name)
	if !known {
		return refusal("Unknown data type\n")
	}
	if !stored(def, f) || f.Element >= elements(def, f.Type) {
		return refusal("Data type not stored in this table\n")
	}
	r.field = &f
	return nil
}

// busiestRate is the rate by which keys are busy: of requests, sessions, or
// connections, and else the first one that the table has; nil where it has none.
func busiestRate(def *protocol.Definition) *table.Field {
	for _, dt := range []protocol.DataType{protocol.HTTPReqRate, protocol.SessRate, protocol.ConnRate} {
		if f := (table.Field{Type: dt}); stored(def, f) {
			return &f
		}
	}
	for dt := range def.DataTypes() {
		if dt.IsRate() {
			return &table.Field{Type: dt}
		}
	}
	return nil
}

// rank goes through the entries that changed last.
func (r *ranking) rank(t *table.Table, now time.Time) {
	last := recent
	if r.field == nil {
		last = r.most
	}
	var (
		changes = t.Changes(last)
		b       table.Batch
		u       protocol.Update
	)
	// Where a table changes faster than it is read, there is an end all the same.
	for left := 10 * recent; left > 0; {
		if changes.Read(atOnce, now, &b); b.Len() == 0 {
			return
		}
		left -= b.Len()
		for i := range b.Len() {
			if !b.Cleared(i) {
				b.Update(i, now, &u)
				r.add(&b, i, now, &u)
			}
		}
		b.Release()
	}
}

func (r *ranking) add(b *table.Batch, i int, now time.Time, u *protocol.Update) {
	e := ranked{id: b.ID(i), value: r.value(b, u), since: b.Since(i, now)}
	// One that has changed meanwhile comes again.
	r.lines = slices.DeleteFunc(r.lines, func(o ranked) bool { return o.id == e.id })
	at, _ := slices.BinarySearchFunc(r.lines, e, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.since, b.since))
	})
	if at >= r.most {
		return
	}
	e.line = appendUpdate(nil, b, i, u)
	if r.lines = slices.Insert(r.lines, at, e); len(r.lines) > r.most {
		r.lines = r.lines[:r.most]
	}
}

func (r *ranking) value(b *table.Batch, u *protocol.Update) int64 {
	if r.field == nil {
		return 0
	}
	for _, c := range b.Layout().Columns {
		if c.Type == r.field.Type && r.field.Element < c.Elements {
			return readValue(c, r.field.Element, b.Definition().Params[c.Type].Period, u)
		}
	}
	return 0 // the table has been defined anew since
}

// appendTo appends the head, what the entries are ranked by, and their lines as
// `show table` has them, with how many ms ago the entry changed.
func (r *ranking) appendTo(b []byte, t *table.Table, def *protocol.Definition) []byte {
	b = append(appendHead(b, t), "# busiest by: "...)
	if r.field == nil {
		b = append(b, "last change"...)
	} else {
		b = appendName(b, r.field.Type, r.field.Element, def.Params[r.field.Type].Period)
	}
	b = append(b, '\n')
	for _, e := range r.lines {
		b = append(append(b, e.line[:len(e.line)-1]...), " changed="...)
		b = append(strconv.AppendInt(b, e.since.Milliseconds(), 10), '\n')
	}
	return b
}
