package session_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/peersd/peersd/protocol"
)

// Messages as lines of text, the same in both directions:
//
//	heartbeat, resync request, resync finished, ... (the names of package protocol)
//	define id=1 t1 type ip len 4 expire 10000 store gpc0,http_req_rate(10000)
//	update 1 10.0.0.1 gpc0=3            + for the id makes it an incremental one
//	timed 1 5000ms 10.0.0.1 gpc0=3      likewise
//	switch 1
//	ack table=1 update=3
//	raw 0a81030102                      any bytes
//
// A rate is AGE/CURRENT/PREVIOUS, the elements of an array have commas between
// them, binary keys are 0x..., and a string is quoted where it has to be. Where
// only the id of a server key is sent, as the peer knows it, it stands in
// parentheses.

// A wire is one direction of one session: what the messages refer to.
type wire struct {
	tables  map[uint64]*wireTable
	current *wireTable
	reader  protocol.DictionaryReader
	writer  protocol.DictionaryWriter
}

type wireTable struct {
	def    *protocol.Definition
	layout *protocol.Layout
	last   uint32
}

func newWire() *wire { return &wire{tables: map[uint64]*wireTable{}} }

func (w *wire) define(def *protocol.Definition) {
	w.current = &wireTable{def: def, layout: protocol.NewLayout(def)}
	w.tables[def.ID] = w.current
}

// line is a frame as text.
func (w *wire) line(f protocol.Frame) (string, error) {
	switch {
	case f.Type == protocol.DefinitionMessage:
		def, err := protocol.ParseDefinition(f.Payload)
		if err != nil {
			return "", err
		}
		w.define(def)
		return fmt.Sprintf("define id=%d %v", def.ID, def), nil
	case f.Type == protocol.SwitchMessage:
		id, err := protocol.ParseSwitch(f.Payload)
		w.current = w.tables[id]
		return fmt.Sprintf("switch %d", id), err
	case f.Type == protocol.AckMessage:
		a, err := protocol.ParseAck(f.Payload)
		return fmt.Sprintf("ack table=%d update=%d", a.TableID, a.UpdateID), err
	case f.Type.IsUpdate():
		return w.updateLine(f)
	}
	return f.Type.String(), nil
}

func (w *wire) updateLine(f protocol.Frame) (string, error) {
	t := w.current
	if t == nil {
		return "", errors.New("an update without a table")
	}
	u := protocol.Update{Values: make([]uint64, t.layout.Words)}
	if err := protocol.ParseUpdate(f.Type, f.Payload, t.layout, &w.reader, t.last, &u); err != nil {
		return "", err
	}
	t.last = u.ID
	id := strconv.FormatUint(uint64(u.ID), 10)
	if f.Type == protocol.IncrementalUpdateMessage || f.Type == protocol.IncrementalTimedUpdateMessage {
		id = "+"
	}
	s := "update " + id
	if u.Timed {
		s = fmt.Sprintf("timed %s %dms", id, u.Remaining)
	}
	known := u.ServerKey != "" && !bytes.Contains(f.Payload, []byte(u.ServerKey))
	return s + " " + keyText(t.def.KeyType, u.Key) + valuesText(t.layout, &u, known), nil
}

// message is the bytes of a line of text.
func (w *wire) message(line string) ([]byte, error) {
	words := fields(line)
	switch words[0] {
	case "define":
		def, err := parseDefinition(words[1:])
		if err != nil {
			return nil, err
		}
		w.define(def)
		return w.appendDefinition(def), nil
	case "switch":
		id, err := strconv.ParseUint(words[1], 10, 64)
		w.current = w.tables[id]
		return protocol.AppendSwitch(nil, id), err
	case "ack":
		var a protocol.Ack
		_, err := fmt.Sscanf(line, "ack table=%d update=%d", &a.TableID, &a.UpdateID)
		return protocol.AppendAck(nil, a), err
	case "raw":
		return hex.DecodeString(strings.Join(words[1:], ""))
	case "update", "timed":
		return w.update(words)
	}
	for class := range 11 {
		for t := range 256 {
			m := protocol.MessageType(class<<8 | t)
			if m.String() == line {
				return protocol.AppendMessage(nil, m), nil
			}
		}
	}
	return nil, fmt.Errorf("no message: %q", line)
}

// appendDefinition is protocol.AppendDefinition with the unknown types, too.
func (w *wire) appendDefinition(def *protocol.Definition) []byte {
	b := protocol.AppendDefinition(nil, def)
	if def.Unknown() == 0 {
		return b
	}
	f, _, _ := protocol.ParseFrame(b)
	known := protocol.AppendVarint(nil, def.Known())
	all := protocol.AppendVarint(nil, def.Types)
	head := protocol.AppendVarint(nil, def.ID)
	head = protocol.AppendVarint(head, uint64(len(def.Name)))
	head = append(head, def.Name...)
	head = protocol.AppendVarint(head, uint64(def.KeyType))
	head = protocol.AppendVarint(head, uint64(def.KeyLen))
	p := append(slices.Clone(head), all...)
	return protocol.AppendFrame(nil, f.Type, append(p, f.Payload[len(head)+len(known):]...))
}

func (w *wire) update(words []string) ([]byte, error) {
	t := w.current
	if t == nil {
		return nil, errors.New("an update without a table")
	}
	u, rest, err := parseUpdate(t.def, t.layout, words)
	if err != nil {
		return nil, err
	}
	b := protocol.AppendUpdate(nil, t.layout, &w.writer, u)
	if words[1] != "+" {
		id, err := strconv.ParseUint(words[1], 10, 32)
		f, _, _ := protocol.ParseFrame(b)
		binary.BigEndian.PutUint32(f.Payload, uint32(id))
		return append(b, rest...), err
	}
	f, _, _ := protocol.ParseFrame(b)
	return protocol.AppendFrame(nil, f.Type+1, f.Payload[4:]), nil
}

// parseUpdate reads "update ID KEY VALUES" or "timed ID REMAINING KEY VALUES".
func parseUpdate(def *protocol.Definition, l *protocol.Layout, words []string) (u *protocol.Update, rest []byte, err error) {
	u = &protocol.Update{Values: make([]uint64, l.Words), Timed: words[0] == "timed"}
	words = words[2:]
	if u.Timed {
		if _, err := fmt.Sscanf(words[0], "%dms", &u.Remaining); err != nil {
			return nil, nil, err
		}
		words = words[1:]
	}
	if u.Key, err = parseKey(def.KeyType, words[0]); err != nil {
		return nil, nil, err
	}
	for _, word := range words[1:] {
		name, text, _ := strings.Cut(word, "=")
		i := slices.IndexFunc(l.Columns, func(c protocol.Column) bool { return c.Type.String() == name })
		if i < 0 {
			return nil, nil, fmt.Errorf("the table does not store %q", name)
		}
		c := l.Columns[i]
		if c.Type == protocol.ServerKey {
			u.ServerKey = unquote(text)
			continue
		}
		for i, number := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '/' }) {
			v, err := strconv.ParseInt(number, 10, 64)
			if err != nil {
				return nil, nil, err
			}
			u.Values[c.Offset+i] = uint64(v)
		}
	}
	return u, nil, nil
}

func valuesText(l *protocol.Layout, u *protocol.Update, known bool) (s string) {
	for _, c := range l.Columns {
		s += fmt.Sprintf(" %v=", c.Type)
		v := u.Values[c.Offset : c.Offset+c.Words()]
		switch c.Type.Kind() {
		case protocol.Dictionary:
			if known {
				s += "(" + quote(u.ServerKey) + ")"
			} else {
				s += quote(u.ServerKey)
			}
		case protocol.Signed32:
			s += fmt.Sprint(int64(v[0]))
		case protocol.Rate:
			var all []string
			for r := range slices.Chunk(v, 3) {
				all = append(all, fmt.Sprintf("%d/%d/%d", r[0], r[1], r[2]))
			}
			s += strings.Join(all, ",")
		default:
			s += strings.Trim(strings.ReplaceAll(fmt.Sprint(v), " ", ","), "[]")
		}
	}
	return s
}

func keyText(t protocol.KeyType, key []byte) string {
	switch t {
	case protocol.KeyString:
		return quote(string(key))
	case protocol.KeyIPv4, protocol.KeyIPv6:
		a, _ := netip.AddrFromSlice(key)
		return a.String()
	case protocol.KeyInteger:
		return strconv.FormatUint(uint64(binary.BigEndian.Uint32(key)), 10)
	}
	return "0x" + hex.EncodeToString(key)
}

func parseKey(t protocol.KeyType, text string) ([]byte, error) {
	switch t {
	case protocol.KeyString:
		return []byte(unquote(text)), nil
	case protocol.KeyIPv4, protocol.KeyIPv6:
		a, err := netip.ParseAddr(text)
		return a.AsSlice(), err
	case protocol.KeyInteger:
		v, err := strconv.ParseUint(text, 10, 32)
		return binary.BigEndian.AppendUint32(nil, uint32(v)), err
	}
	return hex.DecodeString(strings.TrimPrefix(text, "0x"))
}

// parseDefinition reads "id=1 t1 type ip len 4 expire 10000 store gpc0".
func parseDefinition(words []string) (*protocol.Definition, error) {
	def := &protocol.Definition{Name: words[1]}
	var keyType, store string
	text := words[0] + " " + strings.Join(words[2:], " ")
	n, err := fmt.Sscanf(text, "id=%d type %s len %d expire %d store %s", &def.ID, &keyType, &def.KeyLen, &def.Expire, &store)
	if n < 4 {
		return nil, err
	}
	for k := range protocol.KeyType(16) {
		if k.String() == keyType {
			def.KeyType = k
		}
	}
	for _, item := range strings.SplitAfter(strings.ReplaceAll(store, "),", ") "), " ") {
		for _, column := range splitColumns(strings.TrimSpace(item)) {
			if err := addColumn(def, column); err != nil {
				return nil, err
			}
		}
	}
	return def, nil
}

// splitColumns splits at commas, but not at those within parentheses, which
// only the last column has.
func splitColumns(s string) []string {
	head, params, found := strings.Cut(s, "(")
	columns := strings.Split(head, ",")
	if found {
		columns[len(columns)-1] += "(" + params
	}
	return columns
}

func addColumn(def *protocol.Definition, column string) error {
	if column == "" {
		return nil
	}
	name, params, _ := strings.Cut(strings.TrimSuffix(column, ")"), "(")
	var numbers []int
	for _, p := range strings.Split(params, ",") {
		n, _ := strconv.ParseInt(p, 0, 64)
		numbers = append(numbers, int(n))
	}
	if name == "unknown" {
		def.Types |= uint64(numbers[0])
		return nil
	}
	for dt := range protocol.DataType(protocol.NumDataTypes) {
		if dt.String() != name {
			continue
		}
		def.Types |= 1 << dt
		if dt.IsArray() {
			def.Params[dt].Elements = numbers[0]
		}
		if dt.IsRate() {
			def.Params[dt].Period = uint32(numbers[len(numbers)-1])
		}
		return nil
	}
	return fmt.Errorf("no data type %q", name)
}

// fields splits a line at spaces, but not at those within quotes.
func fields(line string) (words []string) {
	quoted := false
	return strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
}

func quote(s string) string {
	q := strconv.Quote(s)
	if s != "" && q == `"`+s+`"` && !strings.ContainsAny(s, " ()") {
		return s
	}
	return q
}

func unquote(s string) string {
	if u, err := strconv.Unquote(s); err == nil {
		return u
	}
	return s
}
