package entries

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The formats of files.
const (
	Keys = "keys" // a key a line; lines that begin with "#" are left out
	CSV  = "csv"  // the first line names the columns: key, and any of expire and fields
	JSON = "json" // an object a line: {"key":"10.0.0.1","expire":600000,"gpt0":1}
	Set  = "set"  // `set table` commands, for other sockets; it is written only
)

// maxLine is how long a line of a file may be.
const maxLine = 1 << 17

// A LineError is what is wrong with a line of a file. What stands behind it can be
// read.
type LineError struct {
	Line int
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }
func (e *LineError) Unwrap() error { return e.Err }

// A Reader reads the entries of a table from a file.
type Reader struct {
	table *Table
	in    *bufio.Reader
	line  int
	next  func(e *Entry) error // of the format
}

// NewReader reads a file of that format, or, where it is "", of the one that its
// first line is of.
func (t *Table) NewReader(file io.Reader, format string) (*Reader, error) {
	r := &Reader{table: t, in: bufio.NewReaderSize(file, maxLine)}
	if mark, _ := r.in.Peek(3); string(mark) == "\xef\xbb\xbf" {
		r.in.Discard(3) // some editors begin a file so
	}
	if format == "" {
		format = r.format()
	}
	switch format {
	case Keys:
		r.next = r.nextKey
	case JSON:
		r.next = r.nextObject
	case CSV:
		return r, r.beginCSV()
	default:
		return nil, fmt.Errorf("%q is no format of a file: there are %s, %s and %s", format, Keys, CSV, JSON)
	}
	return r, nil
}

// format looks at the first line.
func (r *Reader) format() string {
	_, _ = r.in.Peek(1) // some of it
	start, _ := r.in.Peek(r.in.Buffered())
	if !bytes.Contains(start, []byte("\n")) {
		start, _ = r.in.Peek(maxLine)
	}
	first, _, _ := strings.Cut(string(start), "\n")
	first = strings.TrimSpace(first)
	switch columns := strings.Split(first, ","); {
	case strings.HasPrefix(first, "{"):
		return JSON
	case slices.ContainsFunc(columns, func(c string) bool { return strings.Trim(c, `" `) == "key" }):
		return CSV
	}
	return Keys
}

// Line is the line in which the last entry begins.
func (r *Reader) Line() int { return r.line }

// Next reads an entry. The error is a [LineError] where a line is wrong, and io.EOF
// behind the last one.
func (r *Reader) Next(e *Entry) error {
	*e = Entry{}
	err := r.next(e)
	if err == nil {
		e.Key, err = r.table.Key(e.Key)
	}
	if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, new(fileError)) {
		return &LineError{r.line, err}
	}
	return err
}

// A fileError is what keeps a file from being read.
type fileError struct{ error }

// text is the next line that there is something in.
func (r *Reader) text() (string, error) {
	for {
		r.line++
		text, err := r.in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.in.ReadSlice('\n')
			}
			return "", fmt.Errorf("it is longer than %d bytes", maxLine)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fileError{err}
		}
		if line := bytes.TrimSpace(text); len(line) > 0 {
			return string(line), nil
		}
		if err != nil {
			return "", err
		}
	}
}

func (r *Reader) nextKey(e *Entry) (err error) {
	for e.Key == "" || strings.HasPrefix(e.Key, "#") {
		if e.Key, err = r.text(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) nextObject(e *Entry) error {
	text, err := r.text()
	if err != nil {
		return err
	}
	hasKey := false
	err = eachMember(text, func(name, value string) error {
		hasKey = hasKey || name == "key"
		return r.take(e, name, value)
	})
	if err == nil && !hasKey {
		err = errors.New(`it has no "key"`)
	}
	return err
}

func (r *Reader) beginCSV() error {
	c := csv.NewReader(r.in)
	c.ReuseRecord = true
	c.FieldsPerRecord = -1
	record, err := c.Read()
	r.line = 1
	if err != nil {
		return &LineError{1, csvError(err)}
	}
	var names []string
	for _, name := range record {
		name = strings.TrimSpace(name)
		if name != "key" && name != "expire" && name != serverKey {
			if _, _, err := r.table.Field(name); err != nil {
				return &LineError{1, err}
			}
		}
		if slices.Contains(names, name) {
			return &LineError{1, fmt.Errorf("there are two columns %q", name)}
		}
		names = append(names, name)
	}
	if !slices.Contains(names, "key") {
		return &LineError{1, errors.New(`it is to name the columns, and one of them "key"`)}
	}
	r.next = func(e *Entry) error { return r.nextRecord(c, names, e) }
	return nil
}

func (r *Reader) nextRecord(c *csv.Reader, names []string, e *Entry) error {
	record, err := c.Read()
	if err != nil {
		return r.csvError(err)
	}
	r.line, _ = c.FieldPos(0)
	if len(record) != len(names) {
		return fmt.Errorf("it has %d columns, and the first line names %d", len(record), len(names))
	}
	for i, value := range record {
		if err := r.take(e, names[i], value); err != nil {
			return err
		}
	}
	return nil
}

// csvError is what is wrong, in the line in which the record begins.
func (r *Reader) csvError(err error) error {
	var wrong *csv.ParseError
	if errors.As(err, &wrong) {
		r.line = wrong.StartLine
		return csvError(err)
	}
	if errors.Is(err, io.EOF) {
		return err
	}
	return fileError{err}
}

func csvError(err error) error {
	var wrong *csv.ParseError
	if errors.As(err, &wrong) {
		return fmt.Errorf("it is no CSV: %w", wrong.Err)
	}
	return err
}

const serverKey = "server_key"

// take is what a column or a member of that name says of e. An empty one says
// nothing, and a server's key, which can't be set, is left out.
func (r *Reader) take(e *Entry, name, value string) (err error) {
	switch {
	case name == "key":
		e.Key = value
	case value == "" || name == serverKey:
	case name == "expire":
		e.Expire, err = ParseTime(value)
	default:
		var f Field
		if f, err = r.table.Set(name, value); err == nil {
			e.Set(f)
		}
	}
	return err
}

// ParseTime reads a time as HAProxy has it: a number of milliseconds, or one with a
// unit, as in 10m.
func ParseTime(text string) (ms int64, err error) {
	digits, unit := text, time.Millisecond
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"ms", time.Millisecond}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}} {
		if d, found := strings.CutSuffix(text, u.name); found {
			digits, unit = d, u.unit
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if each := unit.Milliseconds(); err == nil && n > 0 && n <= math.MaxInt32/each {
		return n * each, nil
	}
	return 0, fmt.Errorf("%q is no time to live, as in 10m, of at most %dms", text, math.MaxInt32)
}
