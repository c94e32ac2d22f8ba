package protocol_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/peersd/peersd/protocol"
)

// Every truncation of every captured message that HAProxy sent is refused.
func TestTruncatedCaptures(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range captures(t) {
		if !c.byHAProxy() {
			continue
		}
		for _, e := range c.events {
			// Many messages are the same in many captures.
			if key := fmt.Sprintf("%x%s", e.frame.Payload, e); !seen[key] {
				seen[key] = true
				checkTruncations(t, e)
			}
		}
	}
}

// Every truncation of a hand-made message of every shape is refused too.
func TestTruncatedUpdates(t *testing.T) {
	for _, d := range handMadeDefinitions() {
		for _, u := range handMadeUpdates(d) {
			e := event{def: d, layout: protocol.NewLayout(d), update: u}
			f, _, err := protocol.ParseFrame(protocol.AppendUpdate(nil, e.layout, new(protocol.DictionaryWriter), &u))
			if err != nil {
				t.Fatalf("%v: %v", d, err)
			}
			e.frame = f
			checkTruncations(t, e)
		}
		f, _, err := protocol.ParseFrame(protocol.AppendDefinition(nil, d))
		if err != nil {
			t.Fatalf("%v: %v", d, err)
		}
		checkTruncations(t, event{frame: f, def: d})
	}
}

func TestTruncatedAcksAndSwitches(t *testing.T) {
	for _, id := range []uint64{0, 239, 240, 1 << 32, 1<<64 - 1} {
		for _, b := range [][]byte{
			protocol.AppendAck(nil, protocol.Ack{TableID: id, UpdateID: 7}),
			protocol.AppendSwitch(nil, id),
		} {
			f, _, err := protocol.ParseFrame(b)
			if err != nil {
				t.Fatal(err)
			}
			checkTruncations(t, event{frame: f})
		}
	}
}

// checkTruncations: of the frame of e, and of its payload, no beginning is
// taken for the whole.
func checkTruncations(t *testing.T, e event) {
	t.Helper()
	whole := protocol.AppendMessage(nil, e.frame.Type)
	if e.frame.Payload != nil {
		whole = protocol.AppendFrame(nil, e.frame.Type, e.frame.Payload)
	}
	for i := range whole {
		if _, n, err := protocol.ParseFrame(whole[:i]); n != 0 || err != nil {
			t.Fatalf("%v: first %d bytes of the frame are taken for %d: %v", e, i, n, err)
		}
	}
	for i := range e.frame.Payload {
		checkTruncated(t, e, e.frame.Payload[:i:i])
	}
}

func checkTruncated(t *testing.T, e event, payload []byte) {
	t.Helper()
	switch {
	case e.frame.Type.IsUpdate():
		u := protocol.Update{Values: make([]uint64, e.layout.Words)}
		var dict protocol.DictionaryReader
		if e.dict != nil {
			dict = *e.dict
		}
		checkError(t, protocol.ParseUpdate(e.frame.Type, payload, e.layout, &dict, e.prev, &u), protocol.ProtocolError)
	case e.frame.Type == protocol.AckMessage:
		_, err := protocol.ParseAck(payload)
		checkError(t, err, protocol.ProtocolError)
	case e.frame.Type == protocol.SwitchMessage:
		_, err := protocol.ParseSwitch(payload)
		checkError(t, err, protocol.ProtocolError)
	case e.frame.Type == protocol.DefinitionMessage:
		checkTruncatedDefinition(t, e.def, payload)
	}
}

// checkTruncatedDefinition: a definition may end before the expire, as it did
// in old versions; one that ends between two parameters is malformed.
func checkTruncatedDefinition(t *testing.T, whole *protocol.Definition, payload []byte) {
	t.Helper()
	d, err := protocol.ParseDefinition(payload)
	switch {
	case err != nil:
		checkError(t, err, protocol.ProtocolError)
		if d != nil {
			t.Errorf("%v comes along with %v", d, err)
		}
	default:
		old := *whole
		old.Expire, old.Params = 0, [protocol.NumDataTypes]protocol.Params{}
		if *d != old {
			t.Errorf("%x of %v is read as %v", payload, whole, d)
		}
	}
}

// handMadeDefinitions: each data type alone, all at once and none, and each
// type of key.
func handMadeDefinitions() []*protocol.Definition {
	add := func(d *protocol.Definition, t protocol.DataType, elements int) {
		d.Types |= 1 << t
		if t.IsArray() {
			d.Params[t].Elements = elements
		}
		if t.IsRate() {
			d.Params[t].Period = 10000
		}
	}
	var all []*protocol.Definition
	for t := range protocol.DataType(protocol.NumDataTypes) {
		d := &protocol.Definition{ID: 240, Name: "t1", KeyType: protocol.KeyIPv4, KeyLen: 4, Expire: 1<<32 - 1}
		add(d, t, 3)
		all = append(all, d)
	}
	for _, k := range []protocol.Definition{
		{Name: "none", KeyType: protocol.KeyInteger, KeyLen: 4},
		{Name: "integer", KeyType: protocol.KeyInteger, KeyLen: 4},
		{Name: "ip", KeyType: protocol.KeyIPv4, KeyLen: 4},
		{Name: "ipv6", KeyType: protocol.KeyIPv6, KeyLen: 16},
		{Name: "string", KeyType: protocol.KeyString, KeyLen: 17},
		{Name: "/binary", KeyType: protocol.KeyBinary, KeyLen: 32},
	} {
		for t := range protocol.DataType(protocol.NumDataTypes) {
			if k.Name != "none" {
				add(&k, t, 2)
			}
		}
		all = append(all, &k)
	}
	return all
}

// handMadeUpdates: values that take one byte, two, and as many as they can.
func handMadeUpdates(d *protocol.Definition) []protocol.Update {
	l := protocol.NewLayout(d)
	key := bytes.Repeat([]byte{'k'}, l.KeyLen)
	if l.KeyType == protocol.KeyString {
		key = key[1:]
	}
	var all []protocol.Update
	for _, v := range []uint64{0, 240, 1<<64 - 1} {
		u := protocol.Update{ID: 1<<32 - 1, Key: key, Values: make([]uint64, l.Words)}
		for _, c := range l.Columns {
			for i := range c.Words() {
				switch c.Type.Kind() {
				case protocol.Signed32, protocol.Unsigned64:
					u.Values[c.Offset+i] = v
				case protocol.Unsigned32, protocol.Rate:
					u.Values[c.Offset+i] = v & (1<<32 - 1)
				case protocol.Dictionary:
					u.ServerKey = "s1"[:min(v, 2)]
				}
			}
		}
		all = append(all, u)
		u.Timed, u.Remaining = true, 1<<32-1
		all = append(all, u)
	}
	return all
}
