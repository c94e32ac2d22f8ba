package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
)

// collector prints what was measured even where an error ends it early: rounds are
// long.
func (b *bench) collector(ctx context.Context) (err error) {
	var taught, live []phase
	for i := range b.rounds {
		progress("collector: round %d of %d", i+1, b.rounds)
		var t, l phase
		if t, l, err = b.collect(ctx); err != nil {
			break
		}
		taught, live = append(taught, t), append(live, l)
	}
	if len(live) == 0 {
		return err
	}
	return errors.Join(err, b.printCollector(taught, live))
}

// collect teaches a new peersd all entries, and changes them for a time.
func (b *bench) collect(ctx context.Context) (taught, live phase, err error) {
	host, release, err := haproxytest.Reserve()
	if err != nil {
		return taught, live, err
	}
	defer release()
	// At this level nothing comes between the parts of the collector's lines.
	d, err := startDaemon(b.peersd, host, []string{"GODEBUG=gctrace=1"}, "--log-level", "warn")
	if err != nil {
		return taught, live, err
	}
	defer d.stop()
	l, err := connect(ctx, host+":10001", "peersd")
	if err != nil {
		return taught, live, err
	}
	defer l.close()
	taught, err = measurePhase(d, b.collectorEntries, 0, func() (int, error) {
		return b.collectorEntries, l.teach(definition("ip"), b.collectorEntries)
	})
	if err != nil {
		return taught, live, err
	}
	time.Sleep(time.Second) // what the lesson has caused is no part of the steady phase
	live, err = measurePhase(d, b.collectorEntries, taught.updates, func() (int, error) {
		return l.change(b.collectorEntries, b.collectorRate, time.Duration(b.collectorSeconds)*time.Second)
	})
	return taught, live, err
}

func (b *bench) printCollector(taught, live []phase) error {
	_, err := fmt.Fprintf(b.out, `
## Garbage collector

A peersd with GODEBUG=gctrace=1 is taught %s entries with random IPv4 keys, and then, for %d s, sent %d live updates a second, each of a random
one of them. It has received all that was sent, or there would be no figures. The longest stop is that of both stop-the-world phases of one
collection. CPU is percent of one CPU over the time of the phase; that of the collector counts idle time that it used.
`, count(b.collectorEntries), b.collectorSeconds, b.collectorRate)
	kept := mark{limit: 0.99 * float64(b.collectorRate) / 1000, atLeast: true}
	some := mark{limit: 1, atLeast: true, always: true} // without one there is nothing to see
	return errors.Join(err,
		printPhase(b.out, "The lesson", taught, mark{}, mark{}, mark{}),
		printPhase(b.out, "Live updates", live, kept, some, mark{limit: 2}))
}

func printPhase(w io.Writer, title string, runs []phase, rate, collections, collectorCPU mark) error {
	columns := []column[phase]{
		{"thousand updates/s", phase.thousands, rate},
		{"collections", func(p phase) float64 { return float64(len(p.collections)) }, collections},
		{"longest stop, ms", phase.longestStop, mark{limit: 1, always: true}},
		{"collector's CPU %", phase.collectorPercent, collectorCPU},
		{"peersd's CPU %", phase.cpuPercent, mark{}},
		{"resident bytes an entry", func(p phase) float64 { return p.bytesAnEntry }, mark{}},
	}
	return printTable(w, title, []string{""}, columns, []row[phase]{{[]string{"measured"}, runs}})
}
