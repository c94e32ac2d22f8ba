package admin

import (
	"context"
	"errors"
	"strings"

	"github.com/peersd/peersd/admin/entries"
	"github.com/peersd/peersd/protocol"
)

// NoSuchTable is the answer that there is none of that name.
const NoSuchTable = RefusedError("No such table")

// Describe asks the socket what a table stores, and what its keys are. No answer says
// so: for each data type it is asked for entries by a filter that is refused, and why
// tells whether the type is stored. Of several tables of that name it is the first one.
func Describe(socket, name string) (*entries.Table, error) {
	t := &entries.Table{Name: name}
	var probes Script
	for dt := range protocol.DataType(protocol.NumDataTypes) {
		if err := probes.Add([]byte("show table " + name + " data." + dt.String() + " eq x")); err != nil {
			return nil, NoSuchTable
		}
	}
	var missing error
	err := probes.Run(context.Background(), socket, func(i int, refused error) {
		switch {
		case errors.Is(refused, NoSuchTable):
			missing = refused
		case refused != nil && strings.Contains(refused.Error(), "Require a valid integer"):
			t.Types |= 1 << i
		}
	})
	if err = errors.Join(err, missing); err != nil {
		return nil, err
	}
	return t, DoLines(socket, "show table", func(line []byte) error {
		full, keyType, _, _, ok := entries.ParseHead(line)
		if ok && t.KeyType == 0 && (full == name || strings.HasPrefix(name, "/") && strings.HasSuffix(full, name)) {
			t.KeyType = keyTypeOf(keyType)
		}
		return nil
	})
}

func keyTypeOf(name string) protocol.KeyType {
	for _, k := range []protocol.KeyType{protocol.KeyInteger, protocol.KeyIPv4, protocol.KeyIPv6, protocol.KeyString} {
		if k.String() == name {
			return k
		}
	}
	return protocol.KeyBinary
}

// DoLines is [Do] that calls line with each line of the answer, its line feed
// included, which is valid till it returns.
func DoLines(socket, command string, line func([]byte) error) error {
	w := lineWriter{do: line}
	return Do(socket, command, &w)
}

// A lineWriter calls do with each line that is written to it.
type lineWriter struct {
	do   func(line []byte) error
	held []byte // the beginning of a line
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.held = append(w.held, b...)
	if b[len(b)-1] != '\n' {
		return len(b), nil
	}
	err := w.do(w.held)
	w.held = w.held[:0]
	return len(b), err
}
