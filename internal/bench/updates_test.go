package main

import (
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
)

// What is encoded reads as updates with ids that follow each other.
func TestStream(t *testing.T) {
	for _, key := range []string{"ip", "string"} {
		s := newStream(definition(key))
		var b []byte
		for i := range 300 {
			b = s.appendTaught(b, i, time.Minute)
		}
		for i := range 300 {
			b = s.appendLive(b, i)
		}
		var (
			types = map[protocol.MessageType]int{}
			keys  = map[string]int{}
			dict  protocol.DictionaryReader
			u     = protocol.Update{Values: make([]uint64, s.layout.Words)}
		)
		for id := uint32(1); len(b) > 0; id++ {
			f, n, err := protocol.ParseFrame(b)
			if err != nil || n == 0 {
				t.Fatalf("message %d: %d bytes, %v", id, n, err)
			}
			if err := protocol.ParseUpdate(f.Type, f.Payload, s.layout, &dict, u.ID, &u); err != nil {
				t.Fatal(err)
			}
			if u.ID != id || u.Values[0] != uint64(id-1)%200 || u.Timed && u.Remaining != 60_000 {
				t.Fatalf("message %d: %+v", id, u)
			}
			types[f.Type]++
			keys[string(u.Key)]++
			b = b[n:]
		}
		if types[protocol.TimedUpdateMessage] != 2 || types[protocol.IncrementalTimedUpdateMessage] != 298 ||
			types[protocol.UpdateMessage] != 1 || types[protocol.IncrementalUpdateMessage] != 299 || len(keys) != 300 {
			t.Errorf("%s: %v, %d keys", key, types, len(keys))
		}
	}
}
