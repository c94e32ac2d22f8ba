package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/internal/haproxytest"
)

// A dumped is what `show table` of all entries took, and what became of live updates
// meanwhile. Memory is in MiB, resident.
type dumped struct {
	seconds, thousands, mib  float64 // thousand entries a second, MiB a second
	before, most, after      float64
	calm, meanwhile          float64 // thousand updates a second that were taken, of those sent at a rate
	calmMost, meanwhileMost  float64 // the same of as many as are taken
	cpuCalm, cpuWithTheDumps float64 // percent of one CPU, at the rate
}

var dumpColumns = []column[dumped]{
	{"s", func(d dumped) float64 { return d.seconds }, mark{}},
	{"thousand entries/s", func(d dumped) float64 { return d.thousands }, mark{}},
	{"MiB/s", func(d dumped) float64 { return d.mib }, mark{}},
	{"resident before, MiB", func(d dumped) float64 { return d.before }, mark{}},
	{"most during", func(d dumped) float64 { return d.most }, mark{}},
	{"after", func(d dumped) float64 { return d.after }, mark{}},
}

var besideColumns = []column[dumped]{
	{"thousand updates/s at the rate", func(d dumped) float64 { return d.calm }, mark{}},
	{"while dumping", func(d dumped) float64 { return d.meanwhile }, mark{}},
	{"ratio", func(d dumped) float64 { return d.meanwhile / d.calm }, mark{limit: 0.99, atLeast: true}},
	{"CPU %", func(d dumped) float64 { return d.cpuCalm }, mark{}},
	{"while dumping", func(d dumped) float64 { return d.cpuWithTheDumps }, mark{}},
	{"thousand updates/s at most", func(d dumped) float64 { return d.calmMost }, mark{}},
	{"while dumping", func(d dumped) float64 { return d.meanwhileMost }, mark{}},
}

// dump measures dumps of the table that the collector's part has.
func (b *bench) dump(ctx context.Context) error {
	var runs []dumped
	for i := range b.rounds {
		progress("dump: round %d of %d", i+1, b.rounds)
		run, err := b.dumpOnce(ctx)
		if err != nil {
			return err
		}
		runs = append(runs, run)
	}
	rows := []row[dumped]{{[]string{"measured"}, runs}}
	_, err := fmt.Fprintf(b.out, `
## Dump

show table of %s entries with IPv4 keys, to a client on the same machine that only counts; and the live updates that a session takes, sent at %d a
second, and as fast as they are taken, alone and while one dump follows the other. Who sends them and who reads the dumps want CPUs, too.
`, count(b.collectorEntries), b.collectorRate)
	return errors.Join(err,
		printTable(b.out, "A dump", []string{""}, dumpColumns, rows),
		printTable(b.out, "Updates beside it", []string{""}, besideColumns, rows))
}

func (b *bench) dumpOnce(ctx context.Context) (r dumped, err error) {
	host, release, err := haproxytest.Reserve()
	if err != nil {
		return r, err
	}
	defer release()
	d, err := startDaemon(b.peersd, host, nil, "--log-level", "warn", "--learn-rate", "0")
	if err != nil {
		return r, err
	}
	defer d.stop()
	l, err := connect(ctx, host+":10001", "peersd")
	if err != nil {
		return r, err
	}
	defer l.close()
	if err := l.teach(definition("ip"), b.collectorEntries); err != nil {
		return r, err
	}
	time.Sleep(time.Second)
	if err := b.dumpAlone(d, &r); err != nil {
		return r, err
	}
	sent := b.collectorEntries
	for _, p := range []struct {
		rate               int
		dumping            bool
		thousands, percent *float64
	}{
		{b.collectorRate, false, &r.calm, &r.cpuCalm},
		{b.collectorRate, true, &r.meanwhile, &r.cpuWithTheDumps},
		{unbounded, false, &r.calmMost, nil},
		{unbounded, true, &r.meanwhileMost, nil},
	} {
		if err := b.changeBeside(ctx, d, l, p.rate, p.dumping, &sent, p.thousands, p.percent); err != nil {
			return r, err
		}
	}
	return r, nil
}

const (
	unbounded  = 1 << 30 // updates a second
	besideTime = 10 * time.Second
)

// dumpAlone dumps once, and watches the daemon's memory.
func (b *bench) dumpAlone(d *daemon, r *dumped) (err error) {
	const mib = 1 << 20
	if r.before, err = resident(d.pid()); err != nil {
		return err
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if now, err := resident(d.pid()); err == nil {
				r.most = max(r.most, now)
			}
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	var n counter
	began := time.Now()
	err = admin.Do(d.socket(), "show table t1", &n)
	r.seconds = time.Since(began).Seconds()
	close(done)
	wg.Wait()
	if err == nil && n.lines != b.collectorEntries+1 {
		err = fmt.Errorf("the dump has %d lines of %d entries", n.lines, b.collectorEntries)
	}
	if err != nil {
		return err
	}
	r.thousands, r.mib = float64(n.lines)/1000/r.seconds, float64(n.bytes)/mib/r.seconds
	if r.after, err = resident(d.pid()); err != nil {
		return err
	}
	r.before, r.most, r.after = r.before/mib, r.most/mib, r.after/mib
	return nil
}

// changeBeside sends live updates for a while, and lets dumps take place meanwhile.
func (b *bench) changeBeside(ctx context.Context, d *daemon, l *loader, rate int, dumping bool, sent *int, thousands, percent *float64) error {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	if dumping {
		wg.Go(func() {
			for ctx.Err() == nil {
				w := counter{until: ctx}
				_ = admin.Do(d.socket(), "show table t1", &w) // the last one is cut short
			}
		})
	}
	before, err := takeAccount(d.pid())
	if err != nil {
		stop()
		return err
	}
	n, err := l.change(b.collectorEntries, rate, besideTime)
	*sent += n
	if err == nil {
		err = d.awaitUpdates(*sent, b.collectorEntries)
	}
	after, err2 := takeAccount(d.pid())
	stop()
	wg.Wait()
	took := after.at.Sub(before.at).Seconds()
	*thousands = float64(n) / 1000 / took
	if percent != nil {
		*percent = 100 * after.since(before, 0) / took
	}
	return errors.Join(err, err2)
}

// A counter counts lines and bytes, until it has to end.
type counter struct {
	until        context.Context
	lines, bytes int
}

func (c *counter) Write(b []byte) (int, error) {
	if c.until != nil && c.until.Err() != nil {
		return 0, c.until.Err()
	}
	c.lines += bytes.Count(b, []byte("\n"))
	c.bytes += len(b)
	return len(b), nil
}
