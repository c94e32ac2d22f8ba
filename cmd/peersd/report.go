package main

import (
	"bytes"
	"cmp"
	"container/heap"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/peersd/peersd/admin/entries"
)

// A report writes the answer to `show table` as it comes: its entries, all of them in
// their order, or the first ones in another.
type report struct {
	*tableView
	table  *entries.Table
	by     func(e *entries.Entry) rank
	entry  entries.Entry // the last one
	found  int
	ranked ranking
	print  func(e *entries.Entry, line []byte) error
	done   func() error // with what was printed
}

// errEnough ends the answer where all that is to be shown has come.
var errEnough = errors.New("that is enough")

func ignoreEnough(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func (v *tableView) newReport(t *entries.Table, by func(e *entries.Entry) rank) *report {
	r := &report{tableView: v, table: t, by: by, done: func() error { return nil }}
	r.ranked.most = v.top
	switch {
	case v.json:
		w, _ := t.NewWriter(v.stdout, entries.JSON) // there is that format
		r.print = func(e *entries.Entry, _ []byte) error { return w.Write(e) }
	case v.terminal:
		r.print = r.row
	default:
		r.print = func(_ *entries.Entry, line []byte) error {
			_, err := v.stdout.Write(line)
			return err
		}
	}
	return r
}

// line takes a line of the answer.
func (r *report) line(line []byte) error {
	if name, keyType, size, used, ok := entries.ParseHead(line); ok {
		if err := r.end(); err != nil || r.json {
			return err
		}
		if !r.terminal {
			_, err := r.stdout.Write(line)
			return err
		}
		_, err := fmt.Fprintln(r.stdout, r.paint(dim, fmt.Sprintf("%s, %s: %d of %d used", name, keyType, used, size)))
		return err
	}
	if line[0] == '#' {
		return errNoEntries
	}
	if err := r.table.Parse(line, &r.entry); err != nil {
		return err
	}
	r.found++
	if r.by != nil {
		r.ranked.add(r.by(&r.entry), line)
		return nil
	}
	if err := r.print(&r.entry, line); err != nil {
		return err
	}
	if r.found == r.top {
		return errEnough
	}
	return nil
}

// end writes what is left of a table.
func (r *report) end() error {
	for _, line := range r.ranked.take() {
		if err := r.table.Parse(line, &r.entry); err != nil {
			return err
		}
		if err := r.print(&r.entry, line); err != nil {
			return err
		}
	}
	done := r.done
	r.done = func() error { return nil }
	return done()
}

// row writes an entry for people. The first one of a table says what columns there
// are.
func (r *report) row(e *entries.Entry, _ []byte) error {
	head := []string{"key", ">expires"}
	for _, f := range e.Fields {
		head = append(head, ">"+f.Shown)
	}
	c := r.columns(head...)
	r.done = c.flush
	r.print = func(e *entries.Entry, _ []byte) error {
		cells := []string{entries.Escape(e.Key), r.lifetime(e.Expire)}
		for _, f := range e.Fields {
			cells = append(cells, entries.Escape(f.Value))
		}
		for len(cells) < len(head) {
			cells = append(cells, "")
		}
		c.row(cells[:len(head)]...)
		return c.err
	}
	return r.print(e, nil)
}

// lifetime is what is left of one, for people.
func (r *report) lifetime(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	switch {
	case ms == 0:
		return "-"
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d/time.Hour%24)
	}
	return d.Round(time.Second).String()
}

// A rank is where an entry stands: by a number, the greatest first, or by a key.
type rank struct {
	number int64
	key    netip.Addr
	text   string
}

func (a rank) compare(b rank) int {
	return cmp.Or(cmp.Compare(b.number, a.number), a.key.Compare(b.key), cmp.Compare(a.text, b.text))
}

// order is by what a table is sorted, nil where it is not.
func order(t *entries.Table, name string) (func(e *entries.Entry) rank, error) {
	switch name {
	case "":
		return nil, nil
	case "key":
		return func(e *entries.Entry) rank {
			if n, err := strconv.ParseInt(e.Key, 10, 64); err == nil {
				return rank{number: -n}
			}
			address, _ := netip.ParseAddr(e.Key) // else it is text
			return rank{key: address, text: e.Key}
		}, nil
	case "expire":
		return func(e *entries.Entry) rank { return rank{number: e.Expire} }, nil
	case "use":
		return func(e *entries.Entry) rank { return numbered(e.Use) }, nil
	}
	field, _, err := t.Field(name)
	return func(e *entries.Entry) rank {
		value, _ := e.Get(field)
		return numbered(value)
	}, err
}

// numbered is the rank of a value; one that is no number stands behind those that
// are.
func numbered(value string) rank {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return rank{number: -1 << 63, text: value}
	}
	return rank{number: n}
}

// A ranking keeps the lines that rank first, most of them or all.
type ranking struct {
	most  int
	lines []rankedLine // as soon as there are most: a heap with the last one on top
}

type rankedLine struct {
	rank
	line []byte
}

func (r *ranking) Len() int           { return len(r.lines) }
func (r *ranking) Less(i, j int) bool { return r.lines[i].compare(r.lines[j].rank) > 0 }
func (r *ranking) Swap(i, j int)      { r.lines[i], r.lines[j] = r.lines[j], r.lines[i] }
func (r *ranking) Push(x any)         { r.lines = append(r.lines, x.(rankedLine)) }
func (r *ranking) Pop() any           { panic("lines are replaced, not taken") }

func (r *ranking) add(by rank, line []byte) {
	if r.most == 0 || len(r.lines) < r.most {
		r.lines = append(r.lines, rankedLine{by, bytes.Clone(line)})
		if len(r.lines) == r.most {
			heap.Init(r)
		}
		return
	}
	if last := &r.lines[0]; by.compare(last.rank) < 0 {
		last.rank, last.line = by, append(last.line[:0], line...)
		heap.Fix(r, 0)
	}
}

// take returns all lines in their order, and forgets them.
func (r *ranking) take() (lines [][]byte) {
	slices.SortStableFunc(r.lines, func(a, b rankedLine) int { return a.compare(b.rank) })
	for _, l := range r.lines {
		lines = append(lines, l.line)
	}
	r.lines = nil
	return lines
}
