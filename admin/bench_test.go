package admin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
	peersync "github.com/peersd/peersd/sync"
	"github.com/peersd/peersd/table"
	"github.com/rs/zerolog"
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

// What an import takes for an entry: `set table` many a line, over the socket. The
// client is in the same process.
func BenchmarkSetTable(b *testing.B) {
	tables := table.NewSet("mypeers", time.Now())
	def := definition("t1", protocol.KeyIPv4, 4, protocol.GPT0, protocol.GPC0)
	def.Expire = 3_600_000
	tables.Define(time.Now(), nil, &def)
	s := &Server{Tables: tables, Hub: peersync.New(peersync.Config{Tables: tables, Log: zerolog.Nop()}), Log: zerolog.Nop()}
	path := filepath.Join(b.TempDir(), "s")
	l, err := Listen(path, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go s.Serve(ctx, l)
	c, err := net.Dial("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	var lines [][]byte
	line := []byte("prompt i")
	for i := range b.N {
		command := fmt.Appendf(nil, ";set table t1 key 10.%d.%d.%d data.gpt0 1 expire 600000", i>>16&255, i>>8&255, i&255)
		if len(line)+len(command) >= maxLine {
			lines, line = append(lines, append(line, '\n')), nil
			command = command[1:]
		}
		line = append(line, command...)
	}
	lines = append(lines, append(line, '\n'))
	b.ResetTimer()
	go func() {
		for _, line := range lines {
			c.Write(line)
		}
	}()
	answers := make([]byte, 65536)
	for left := b.N + 1; left > 0; {
		n, err := c.Read(answers)
		if err != nil {
			b.Fatal(err)
		}
		left -= n
	}
	b.StopTimer()
	if got := len(tables.Tables()); got != 1 || tables.Tables()[0].Stats().Entries == 0 {
		b.Fatal("nothing was set")
	}
}
