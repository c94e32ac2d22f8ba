package protocol_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/peersd/peersd/protocol"
)

// A capture is one recorded direction of one connection.
type capture struct {
	version, scenario, file string
	data                    []byte
	frames                  []byte // what follows the handshake
	// events are frames, decoded, up to the error of the Reader, which is nil
	// where the stream ends between two messages.
	events []event
	err    error
}

// captures returns every recorded direction in testdata/captures.
func captures(tb testing.TB) []capture {
	tb.Helper()
	all, err := readCaptures()
	if err != nil || len(all) < 400 {
		tb.Fatalf("%d captures: %v", len(all), err)
	}
	return all
}

var readCaptures = sync.OnceValues(func() (all []capture, err error) {
	paths, err := filepath.Glob("../testdata/captures/*/*/*.bin")
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		part := strings.Split(filepath.ToSlash(path), "/")[3:]
		c := capture{version: part[0], scenario: part[1], file: part[2]}
		if c.data, err = os.ReadFile(path); err != nil {
			return nil, err
		}
		n, err := c.handshake()
		if c.byHAProxy() && (err != nil || n == 0) {
			return nil, fmt.Errorf("%v: handshake of %d bytes: %v", c, n, err)
		}
		if err == nil {
			c.frames = c.data[n:]
			c.events, c.err = readAll(bytes.NewReader(c.frames))
		}
		all = append(all, c)
	}
	return all, nil
})

// handshake returns how many bytes of the data are the handshake.
func (c capture) handshake() (n int, err error) {
	if c.byCaller() {
		_, n, err = protocol.ParseHello(c.data)
	} else {
		_, n, err = protocol.ParseStatus(c.data)
	}
	return n, err
}

func (c capture) String() string { return c.version + "/" + c.scenario + "/" + c.file }

// byCaller: the direction that begins with a hello, not with a status.
func (c capture) byCaller() bool { return strings.Contains(c.file, ".c2s.") }

// byHAProxy: the sender was no hand-made client.
func (c capture) byHAProxy() bool {
	handMade := []string{"errors", "downgrade-2.0", "status-byhand"}
	return !c.byCaller() || !slices.Contains(handMade, c.scenario)
}

func readAll(src io.Reader) (all []event, err error) {
	r, l := protocol.NewReader(src), listener{tables: map[uint64]*table{}}
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, l.hear(protocol.Frame{Type: f.Type, Payload: bytes.Clone(f.Payload)}))
	}
}

// A listener reads the messages of one direction of a session.
type listener struct {
	tables  map[uint64]*table
	current *table // nil before any definition, and after one that was refused
	dict    protocol.DictionaryReader
}

type table struct {
	def    *protocol.Definition
	layout *protocol.Layout
	lastID uint32
}

// An event is one message, decoded. What its type has no use for is zero.
type event struct {
	frame  protocol.Frame
	err    error
	def    *protocol.Definition
	layout *protocol.Layout
	update protocol.Update
	prev   uint32                     // the update id before it
	dict   *protocol.DictionaryReader // as it was before it, where the table has one
	ack    protocol.Ack
	id     uint64 // of a switch
}

func (l *listener) hear(f protocol.Frame) event {
	e := event{frame: f}
	switch {
	case f.Type == protocol.DefinitionMessage:
		e.def, e.err = protocol.ParseDefinition(f.Payload)
		l.current = nil
		if e.err == nil {
			l.current = &table{def: e.def, layout: protocol.NewLayout(e.def)}
			l.tables[e.def.ID] = l.current
		}
	case f.Type == protocol.SwitchMessage:
		e.id, e.err = protocol.ParseSwitch(f.Payload)
		l.current = l.tables[e.id]
	case f.Type == protocol.AckMessage:
		e.ack, e.err = protocol.ParseAck(f.Payload)
	case f.Type.IsUpdate() && l.current != nil:
		t := l.current
		e.def, e.layout, e.prev = t.def, t.layout, t.lastID
		if t.def.Types&(1<<protocol.ServerKey) != 0 {
			before := l.dict
			e.dict = &before
		}
		e.update.Values = make([]uint64, t.layout.Words)
		e.err = protocol.ParseUpdate(f.Type, f.Payload, t.layout, &l.dict, t.lastID, &e.update)
		t.lastID = e.update.ID
	}
	return e
}

// String is the line of e in a transcript.
func (e event) String() string {
	switch {
	case e.err != nil:
		return fmt.Sprintf("%v: error: %v", e.frame.Type, e.err)
	case e.layout != nil:
		return fmt.Sprintf("%v %s", e.frame.Type, describe(e))
	case e.frame.Type.IsUpdate():
		return fmt.Sprintf("%v without a table", e.frame.Type)
	case e.def != nil:
		return fmt.Sprintf("%v %d: %v", e.frame.Type, e.def.ID, e.def)
	case e.frame.Type == protocol.AckMessage:
		return fmt.Sprintf("ack table %d update %d", e.ack.TableID, e.ack.UpdateID)
	case e.frame.Type == protocol.SwitchMessage:
		return fmt.Sprintf("table switch %d", e.id)
	case len(e.frame.Payload) > 0:
		return fmt.Sprintf("%v (%d bytes)", e.frame.Type, len(e.frame.Payload))
	}
	return e.frame.Type.String()
}

func describe(e event) string {
	u := &e.update
	s := fmt.Sprintf("%d %s %s", u.ID, e.def.Name, keyText(e.def.KeyType, u.Key))
	if u.Timed {
		s += fmt.Sprintf(" for %dms", u.Remaining)
	}
	for _, c := range e.layout.Columns {
		s += fmt.Sprintf(" %v=", c.Type)
		v := u.Values[c.Offset : c.Offset+c.Words()]
		switch c.Type.Kind() {
		case protocol.Dictionary:
			s += fmt.Sprintf("%q", u.ServerKey)
		case protocol.Signed32:
			s += fmt.Sprint(int64(v[0]))
		case protocol.Rate:
			for r := range slices.Chunk(v, 3) {
				s += fmt.Sprint(r)
			}
		default:
			s += strings.Trim(strings.ReplaceAll(fmt.Sprint(v), " ", ","), "[]")
		}
	}
	return s
}

func keyText(t protocol.KeyType, key []byte) string {
	switch t {
	case protocol.KeyString:
		return fmt.Sprintf("%q", key)
	case protocol.KeyIPv4, protocol.KeyIPv6:
		addr, _ := netip.AddrFromSlice(key)
		return addr.String()
	}
	return "0x" + hex.EncodeToString(key)
}
