package admin

import (
	"bufio"
	"context"
	"io"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// What a dump takes for an entry, and what it is to a session that merges meanwhile.
func BenchmarkDump(b *testing.B) {
	const entries = 1_000_000
	tables := table.NewSet("mypeers", time.Now())
	def := definition("t1", protocol.KeyInteger, 4, protocol.GPC0, protocol.HTTPReqRate, protocol.ConnCount)
	t1 := tables.Define(time.Now(), nil, &def)
	src := t1.Source(&def)
	u := protocol.Update{Key: make([]byte, 4), Values: make([]uint64, 5)}
	merge := func(i int) {
		u.Key[0], u.Key[1], u.Key[2] = byte(i), byte(i>>8), byte(i>>16)
		src.Merge(time.Now(), &u, table.Live)
	}
	for i := range entries {
		merge(i)
	}
	c := &cli{ctx: context.Background(), out: bufio.NewWriterSize(io.Discard, 32768)}
	b.Run("entries", func(b *testing.B) {
		for range b.N {
			c.dump(t1, nil)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/entries, "ns/entry")
	})
	for name, dumping := range map[string]bool{"merge": false, "merge while dumping": true} {
		b.Run(name, func(b *testing.B) {
			ctx, stop := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() {
				defer close(done)
				for dumping && ctx.Err() == nil {
					d := &cli{ctx: ctx, out: bufio.NewWriterSize(io.Discard, 32768)}
					d.dump(t1, nil)
				}
			}()
			worst := time.Duration(0)
			for i := range b.N {
				began := time.Now()
				merge(i % entries)
				worst = max(worst, time.Since(began))
			}
			b.ReportMetric(float64(worst.Microseconds()), "µs-worst")
			stop()
			<-done
		})
	}
}
