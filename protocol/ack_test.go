package protocol_test

import (
	"bytes"
	"testing"

	"github.com/peersd/peersd/protocol"
)

func TestAck(t *testing.T) {
	for wire, want := range map[string]protocol.Ack{
		"0a84050100000001":   {TableID: 1, UpdateID: 1},
		"0a8405011234ffff":   {TableID: 1, UpdateID: 0x1234ffff},
		"0a8406f00080000001": {TableID: 240, UpdateID: 0x80000001},
	} {
		b := unhex(t, wire)
		f, _, err := protocol.ParseFrame(b)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := protocol.ParseAck(f.Payload); err != nil || got != want {
			t.Errorf("%s is read as %+v: %v", wire, got, err)
		}
		if got, err := protocol.ParseAck(append(f.Payload, "more"...)); err != nil || got != want {
			t.Errorf("%s with more behind it is read as %+v: %v", wire, got, err)
		}
		if got := protocol.AppendAck([]byte("x"), want); !bytes.Equal(got[1:], b) {
			t.Errorf("%+v is encoded as %x", want, got)
		}
	}
}

func TestSwitch(t *testing.T) {
	for wire, want := range map[string]uint64{
		"0a830109":                   9,
		"0a8302f000":                 240,
		"0a830afff0fefefefefefefe0e": 1<<64 - 1,
	} {
		b := unhex(t, wire)
		f, _, err := protocol.ParseFrame(b)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := protocol.ParseSwitch(f.Payload); err != nil || got != want {
			t.Errorf("%s is read as %d: %v", wire, got, err)
		}
		if got := protocol.AppendSwitch(nil, want); !bytes.Equal(got, b) {
			t.Errorf("%d is encoded as %x", want, got)
		}
	}
}
