package entries

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
)

// A Writer writes entries of a table to a file.
type Writer struct {
	out   io.Writer
	table *Table
	write func(e *Entry) error
	end   func() error

	buf    []byte
	names  []string // of the columns
	record []string
}

// NewWriter writes a file of that format.
func (t *Table) NewWriter(out io.Writer, format string) (*Writer, error) {
	w := &Writer{out: out, table: t, end: func() error { return nil }}
	switch format {
	case JSON:
		w.write = w.writeObject
	case Set:
		w.write = w.writeSet
	case CSV:
		c := csv.NewWriter(out)
		w.write = func(e *Entry) error { return w.writeRecord(c, e) }
		w.end = func() error { return w.endCSV(c) }
	default:
		return nil, fmt.Errorf("%q is no format to write: there are %s, %s and %s", format, JSON, CSV, Set)
	}
	return w, nil
}

// Write writes an entry.
func (w *Writer) Write(e *Entry) error { return w.write(e) }

// End writes what is left to write.
func (w *Writer) End() error { return w.end() }

func (w *Writer) writeSet(e *Entry) error {
	w.buf = append(w.table.AppendSet(w.buf[:0], e), '\n')
	_, err := w.out.Write(w.buf)
	return err
}

func (w *Writer) writeObject(e *Entry) error {
	w.buf = append(appendJSON(w.buf[:0], e), '\n')
	_, err := w.out.Write(w.buf)
	return err
}

func appendJSON(b []byte, e *Entry) []byte {
	b = appendQuoted(append(b, `{"key":`...), Escape(e.Key))
	if e.Expire > 0 {
		b = strconv.AppendInt(append(b, `,"expire":`...), e.Expire, 10)
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		b = append(append(append(b, `,"`...), f.Name...), `":`...)
		if f.Name == serverKey {
			b = appendQuoted(b, Escape(f.Value))
		} else {
			b = append(b, f.Value...)
		}
	}
	return append(b, '}')
}

func appendQuoted(b []byte, text string) []byte {
	quoted, _ := json.Marshal(text) // a string is always written
	return append(b, quoted...)
}

// writeRecord writes the names of the columns in front of the first one.
func (w *Writer) writeRecord(c *csv.Writer, e *Entry) error {
	if w.names == nil {
		w.names = []string{"key", "expire"}
		for _, f := range e.Fields {
			w.names = append(w.names, f.Name)
		}
		if err := c.Write(w.names); err != nil {
			return err
		}
	}
	w.record = append(w.record[:0], Escape(e.Key), "")
	if e.Expire > 0 {
		w.record[1] = strconv.FormatInt(e.Expire, 10)
	}
	for i, f := range e.Fields {
		if i+2 >= len(w.names) || f.Name != w.names[i+2] {
			break
		}
		w.record = append(w.record, f.Value)
	}
	if len(w.record) != len(w.names) || len(e.Fields)+2 != len(w.names) {
		return fmt.Errorf("%s stores other fields from %s on: HAProxys define it in two ways, or it was defined anew meanwhile; CSV can't have that, JSON can", w.table.Name, Escape(e.Key))
	}
	return c.Write(w.record)
}

func (w *Writer) endCSV(c *csv.Writer) error {
	if w.names == nil {
		if err := c.Write([]string{"key", "expire"}); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}
