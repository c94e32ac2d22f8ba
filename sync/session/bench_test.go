package session_test

import (
	"fmt"
	"testing"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/sync/session"
	"github.com/peersd/peersd/table"
)

// What a lesson takes of the teacher, for each entry that it has: of all keys, and of
// those of one shard.
func BenchmarkTeach(b *testing.B) {
	const entries = 100_000
	tables := table.NewSet("mypeers", epoch)
	tables.Cut(3)
	def := tableDefinition(1, "t0")
	source := tables.Define(epoch, nil, def).Source(def)
	for i := range entries {
		source.Merge(epoch, &protocol.Update{Key: fmt.Appendf(nil, "key-%d", i), Values: []uint64{1}}, table.Live)
	}
	for _, bb := range []struct {
		name  string
		shard int
	}{{"all keys", 0}, {"a third of them", 2}} {
		b.Run(bb.name, func(b *testing.B) {
			var out []byte
			for b.Loop() {
				s := session.New(epoch, session.Config{Version: protocol.Version21, Tables: tables, Peer: new(session.Peer), Shard: bb.shard})
				if err := s.Receive(epoch, protocol.Frame{Type: protocol.ResyncRequest}); err != nil {
					b.Fatal(err)
				}
				for done := false; !done; done = len(out) == 0 {
					out = s.AppendOutput(epoch, out[:0])
				}
				if sent := s.Stats().UpdatesOut; bb.shard == 0 && sent != entries || sent < entries/4 {
					b.Fatalf("%d updates", sent)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/entries, "ns/entry")
		})
	}
}
