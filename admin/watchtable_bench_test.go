package admin

import (
	"bufio"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// BenchmarkWatch is what a watcher costs where nothing changes, and where all of 100000
// entries do.
func BenchmarkWatch(b *testing.B) {
	now := time.Now()
	tables := table.NewSet("mypeers", now)
	def := definition("t1", protocol.KeyIPv4, 4, protocol.GPC0, protocol.HTTPReqRate)
	tb := fill(tables, now, &def)
	src := tb.Source(&def)
	const n = 100_000
	change := func() {
		for i := range n {
			src.Merge(now, &protocol.Update{Key: []byte{10, byte(i >> 16), byte(i >> 8), byte(i)}, Values: []uint64{1, 0, 1, 0}}, table.Live)
		}
	}
	change()
	var out lineCounter
	w := &watching{cli: &cli{Server: &Server{Tables: tables}, out: bufio.NewWriterSize(&out, 32768)}, args: []string{"t1"}}
	if err := w.find(); err != nil {
		b.Fatal(err)
	}
	defer w.close()
	b.Run("idle", func(b *testing.B) {
		for b.Loop() {
			w.look()
		}
	})
	b.Run("all", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			change()
			b.StartTimer()
			for more := true; more; {
				more, _ = w.look()
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/entry")
	})
}
