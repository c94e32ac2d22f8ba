package protocol_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/peersd/peersd/protocol"
)

func FuzzVarint(f *testing.F) {
	for _, v := range []uint64{0, 239, 240, 2287, 2288, 264431, 264432, 1<<32 - 1, 1<<64 - 1} {
		f.Add(protocol.AppendVarint(nil, v), v)
	}
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x0f"), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, v uint64) {
		wire := protocol.AppendVarint(nil, v)
		if got, n := protocol.ParseVarint(wire); got != v || n != len(wire) || n > protocol.MaxVarintLen {
			t.Errorf("%d is encoded as %x and read as %d, %d bytes", v, wire, got, n)
		}
		if v, n := protocol.ParseVarint(b); n > 0 && !bytes.Equal(protocol.AppendVarint(nil, v), b[:n]) {
			t.Errorf("%x is read as %d", b[:n], v)
		}
	})
}

func FuzzHello(f *testing.F) {
	for _, c := range captures(f) {
		if c.byCaller() && (c.scenario == "status-byhand" || c.scenario == "hs-idle") {
			f.Add(c.data)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkHelloSplit(t, b)
		h, n, err := protocol.ParseHello(b)
		if n > len(b) || n > protocol.MaxHello && err == nil {
			t.Errorf("took %d bytes of %d", n, len(b))
		}
		if err != nil || n == 0 || strings.HasSuffix(h.Remote, "\r") {
			return
		}
		// Numbers are longer when they are written out than "" was.
		wire := protocol.AppendHello(nil, h)
		if again, n, err := protocol.ParseHello(wire); len(wire) <= protocol.MaxHello && (again != h || n != len(wire) || err != nil) {
			t.Errorf("%+v is read again as %+v: %v", h, again, err)
		}
	})
}

func FuzzStatus(f *testing.F) {
	for _, s := range []string{"200\n", "300\r\n", "501\n\x00\x00", "2", "\n", "HTTP/1.1 400 Bad Request\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		status, n, err := protocol.ParseStatus(b)
		if err != nil {
			checkError(t, err, protocol.ProtocolError)
			return
		}
		for i := range n {
			if _, n, err := protocol.ParseStatus(b[:i]); n != 0 || err != nil {
				t.Errorf("first %d bytes are read, %d bytes: %v", i, n, err)
			}
		}
		again, _, err := protocol.ParseStatus(protocol.AppendStatus(nil, status))
		if n > 0 && (again != status || err != nil) {
			t.Errorf("%d is read again as %d: %v", status, again, err)
		}
	})
}

func FuzzFrame(f *testing.F) {
	for _, c := range captures(f) {
		if c.scenario == "errors" || c.version == "3.4" {
			f.Add(c.frames)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, err := readAll(bytes.NewReader(b))
		bytewise, err2 := readAll(iotest.OneByteReader(bytes.NewReader(b)))
		if !slices.EqualFunc(whole, bytewise, sameText) || fmt.Sprint(err) != fmt.Sprint(err2) {
			t.Errorf("read byte by byte it differs: %v, %v", err, err2)
		}
		var again []byte
		for _, e := range whole {
			again = protocol.AppendMessage(again, e.frame.Type)
			if e.frame.Type&0x80 != 0 {
				again = protocol.AppendFrame(again[:len(again)-2], e.frame.Type, e.frame.Payload)
			}
		}
		if !bytes.HasPrefix(b, again) || err == nil && len(again) != len(b) {
			t.Errorf("encoded again as %x: %v", again, err)
		}
	})
}

// addPayloads adds as seeds what the captures have of messages.
func addPayloads(f *testing.F, add func(e event)) {
	seen := map[string]bool{}
	for _, c := range captures(f) {
		for _, e := range c.events {
			if shape := fmt.Sprint(e.frame.Type, len(e.frame.Payload), e.def); !seen[shape] {
				seen[shape] = true
				add(e)
			}
		}
	}
}

func FuzzDefinition(f *testing.F) {
	addPayloads(f, func(e event) {
		if e.frame.Type == protocol.DefinitionMessage {
			f.Add(e.frame.Payload)
		}
	})
	f.Fuzz(func(t *testing.T, payload []byte) {
		d, err := protocol.ParseDefinition(payload)
		if err != nil {
			return
		}
		frame, n, err := protocol.ParseFrame(protocol.AppendDefinition(nil, d))
		if err != nil || n == 0 || n > protocol.MaxSend {
			t.Fatalf("%v takes %d bytes: %v", d, n, err)
		}
		d.Types = d.Known()
		if again, err := protocol.ParseDefinition(frame.Payload); err != nil || *again != *d {
			t.Errorf("%v is read again as %v: %v", d, again, err)
		}
	})
}

func FuzzUpdate(f *testing.F) {
	addPayloads(f, func(e event) {
		if e.layout != nil {
			definition, _, _ := protocol.ParseFrame(protocol.AppendDefinition(nil, e.def))
			f.Add(definition.Payload, uint8(e.frame.Type), e.frame.Payload)
		}
	})
	f.Fuzz(func(t *testing.T, definition []byte, low uint8, payload []byte) {
		message := protocol.UpdateMessage&^0xff | protocol.MessageType(low)
		d, err := protocol.ParseDefinition(definition)
		if err != nil || !message.IsUpdate() || len(payload) > protocol.MaxPayload {
			return
		}
		e := event{def: d, layout: protocol.NewLayout(d)}
		e.update.Values = make([]uint64, e.layout.Words)
		var r, again protocol.DictionaryReader
		if err := protocol.ParseUpdate(message, payload, e.layout, &r, 7, &e.update); err != nil {
			checkError(t, err, protocol.ProtocolError)
			return
		}
		b := protocol.AppendUpdate(nil, e.layout, new(protocol.DictionaryWriter), &e.update)
		if len(b) > protocol.MaxSend {
			t.Errorf("%v takes %d bytes", e, len(b))
		}
		checkDecodes(t, b, e, &again)
	})
}

func FuzzAck(f *testing.F) {
	addPayloads(f, func(e event) {
		if e.frame.Type == protocol.AckMessage || e.frame.Type == protocol.SwitchMessage {
			f.Add(e.frame.Payload)
		}
	})
	f.Fuzz(func(t *testing.T, payload []byte) {
		if ack, err := protocol.ParseAck(payload); err == nil {
			frame, _, _ := protocol.ParseFrame(protocol.AppendAck(nil, ack))
			if !bytes.HasPrefix(payload, frame.Payload) {
				t.Errorf("%x is read as %+v", payload, ack)
			}
		}
		if id, err := protocol.ParseSwitch(payload); err == nil {
			frame, _, _ := protocol.ParseFrame(protocol.AppendSwitch(nil, id))
			if !bytes.HasPrefix(payload, frame.Payload) {
				t.Errorf("%x is read as a switch to %d", payload, id)
			}
		}
	})
}
