package main

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-isatty"
)

// Output is for people on a terminal, columns and colours, and for programs
// elsewhere: a line a thing, its columns separated by tabs, or what the socket
// answers, as it is.

// isTerminal reports whether a person sees what is written to w, or types what is
// read from it.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// A color is what a terminal is told to write in.
type color string

const (
	bold   color = "1"
	red    color = "31"
	green  color = "32"
	yellow color = "33"
	dim    color = "2"
)

// paint colours text, on a terminal that may be coloured (https://no-color.org).
func (a *app) paint(c color, text string) string {
	if text == "" || !a.terminal || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// printJSON writes a value as one line of JSON.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// columnsAhead is how many rows are looked at before the first one is written. The
// columns are as wide as these need; more than that is not kept in memory.
const columnsAhead = 1000

// columns writes rows below a head, aligned on a terminal, and with tabs between
// them elsewhere.
type columns struct {
	a      *app
	right  []bool // columns of numbers
	widths []int
	ahead  [][]string
	err    error
}

// columns begins a table. The names of columns of numbers begin with ">".
func (a *app) columns(head ...string) *columns {
	c := &columns{a: a, right: make([]bool, len(head)), widths: make([]int, len(head))}
	for i, name := range head {
		name, c.right[i] = strings.CutPrefix(name, ">")
		head[i] = a.paint(bold, name)
	}
	if !a.terminal {
		head[0] = "# " + head[0]
	}
	c.row(head...)
	return c
}

// row adds a row.
func (c *columns) row(cells ...string) {
	if !c.a.terminal {
		c.write(strings.Join(cells, "\t"))
		return
	}
	if c.ahead == nil && c.widths[0] > 0 {
		c.write(c.align(cells))
		return
	}
	if c.ahead = append(c.ahead, cells); len(c.ahead) == columnsAhead {
		c.flush()
	}
}

// flush writes what is kept, and tells what has gone wrong.
func (c *columns) flush() error {
	for _, cells := range c.ahead {
		for i, cell := range cells {
			c.widths[i] = max(c.widths[i], width(cell))
		}
	}
	for _, cells := range c.ahead {
		c.write(c.align(cells))
	}
	c.ahead = nil
	return c.err
}

func (c *columns) write(line string) {
	if c.err == nil {
		_, c.err = io.WriteString(c.a.stdout, line+"\n")
	}
}

func (c *columns) align(cells []string) string {
	var b strings.Builder
	for i, cell := range cells {
		if i > 0 {
			b.WriteString("  ")
		}
		space := strings.Repeat(" ", max(0, c.widths[i]-width(cell)))
		switch {
		case c.right[i]:
			b.WriteString(space + cell)
		case i < len(cells)-1:
			b.WriteString(cell + space)
		default:
			b.WriteString(cell)
		}
	}
	return b.String()
}

// width is how many characters of text are seen: colours are not.
func width(text string) (n int) {
	for text != "" {
		before, after, _ := strings.Cut(text, "\x1b[")
		n += utf8.RuneCountInString(before)
		_, text, _ = strings.Cut(after, "m")
	}
	return n
}
