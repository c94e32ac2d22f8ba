package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
)

// A taught is what users of a HAProxy saw while it was taught, and afterwards. Times
// of requests are in ms.
type taught struct {
	lasted         float64 // the lesson, seconds
	p50, p99, most float64
	idle50, idle99 float64
}

// ratio is how much longer the slowest one in a hundred requests took in the lesson.
func (t *taught) ratio() float64 { return t.p99 / t.idle99 }

// A paceRound is a lesson at a pace, and one without.
type paceRound struct{ paced, unpaced taught }

// paceColumns are the figures of a HAProxy.
var paceColumns = []column[paceRound]{
	{"lesson s", func(r paceRound) float64 { return r.paced.lasted }, mark{limit: 10}},
	{"p50 ms", func(r paceRound) float64 { return r.paced.p50 }, mark{}},
	{"p99 ms", func(r paceRound) float64 { return r.paced.p99 }, mark{}},
	{"longest ms", func(r paceRound) float64 { return r.paced.most }, mark{}},
	{"idle p50", func(r paceRound) float64 { return r.paced.idle50 }, mark{}},
	{"idle p99", func(r paceRound) float64 { return r.paced.idle99 }, mark{}},
	{"p99 ratio", func(r paceRound) float64 { return r.paced.ratio() }, mark{limit: 2}},
	{"unpaced: lesson s", func(r paceRound) float64 { return r.unpaced.lasted }, mark{}},
	{"p50 ms", func(r paceRound) float64 { return r.unpaced.p50 }, mark{}},
	{"p99 ms", func(r paceRound) float64 { return r.unpaced.p99 }, mark{}},
	{"longest ms", func(r paceRound) float64 { return r.unpaced.most }, mark{}},
	{"p99 ratio", func(r paceRound) float64 { return r.unpaced.ratio() }, mark{}},
}

// pace measures what lessons cost the users of the HAProxys that learn. It prints
// what was measured even where an error ends it early.
func (b *bench) pace(ctx context.Context) error {
	var rows []row[paceRound]
	for _, line := range b.lines {
		r, err := haproxytest.Find(line)
		if err != nil {
			return err
		}
		rounds, err := b.paceOf(ctx, r)
		if len(rounds) > 0 {
			rows = append(rows, row[paceRound]{[]string{r.Version}, rounds})
		}
		if err != nil {
			return errors.Join(fmt.Errorf("HAProxy %s: %w", r.Version, err), b.printPace(rows))
		}
	}
	return b.printPace(rows)
}

func (b *bench) paceOf(ctx context.Context, r haproxytest.Release) (rounds []paceRound, err error) {
	paced, err := b.newTeacher(ctx, b.teachRate)
	if err != nil {
		return nil, err
	}
	defer paced.close()
	unpaced, err := b.newTeacher(ctx, 0)
	if err != nil {
		return nil, err
	}
	defer unpaced.close()
	// A peersd that is as young as HAProxy would ask that for its entries in turn.
	if err := sleepFor(ctx, youngFor); err != nil {
		return nil, err
	}
	for i := range b.rounds {
		progress("pace: HAProxy %s, round %d of %d", r.Version, i+1, b.rounds)
		var p paceRound
		if p.paced, err = b.teachUnderLoad(ctx, r, paced); err != nil {
			return rounds, err
		}
		if p.unpaced, err = b.teachUnderLoad(ctx, r, unpaced); err != nil {
			return rounds, err
		}
		rounds = append(rounds, p)
	}
	return rounds, nil
}

// youngFor is for how long peersd does not rely on having met all HAProxys that have
// just started.
const youngFor = 16 * time.Second

// A teacher is a peersd that was taught all entries by a loader, which stays, and the
// server that users of a HAProxy want, all on an address of their own.
type teacher struct {
	host  string
	d     *daemon
	close func()
}

func (b *bench) newTeacher(ctx context.Context, rate int) (t *teacher, err error) {
	t = &teacher{}
	var undo []func()
	t.close = func() {
		for _, f := range slices.Backward(undo) {
			f()
		}
	}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	host, release, err := haproxytest.Reserve()
	if err != nil {
		return nil, err
	}
	t.host, undo = host, append(undo, release)
	stop, err := haproxytest.StartOrigin(host + ":9000")
	if err != nil {
		return nil, err
	}
	undo = append(undo, stop)
	if t.d, err = startDaemon(b.peersd, host, nil, "--peer", "lb1="+host+":10010", "--peer", "loader="+host+":10012", "--teach-rate", strconv.Itoa(rate)); err != nil {
		return nil, err
	}
	undo = append(undo, t.d.stop)
	l, err := connect(ctx, host+":10001", "peersd")
	if err != nil {
		return nil, err
	}
	undo = append(undo, l.close)
	if err := l.teach(definition("ip"), b.entries); err != nil {
		return nil, err
	}
	l.stay()
	return t, nil
}

// paceConfig is a HAProxy with users, whose requests are counted, and the table that
// it is taught.
const paceConfig = `
global
    fd-hard-limit 1000
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
peers mypeers
    peer lb1 %[1]s:10010
    peer peersd %[1]s:10001
    peer loader %[1]s:10012
    table users type string len 32 size 100k expire 1h store http_req_cnt,http_req_rate(10s)
frontend web
    bind %[1]s:8080
    http-request track-sc0 req.hdr(x-user) table mypeers/users
    default_backend app
backend app
    server s1 %[1]s:9000
backend t1
    stick-table type ip size 20m expire 1h store gpc0,http_req_rate(10s),conn_cnt peers mypeers
`

// teachUnderLoad starts a HAProxy with its users, and lets it be taught.
func (b *bench) teachUnderLoad(ctx context.Context, r haproxytest.Release, by *teacher) (t taught, err error) {
	lb, err := haproxytest.Start(r, haproxytest.Options{Name: "lb1", Config: fmt.Sprintf(paceConfig, by.host)})
	if err != nil {
		return t, err
	}
	defer lb.Kill()
	began := time.Now()
	l := startLoad(ctx, by.host+":8080")
	over, err := awaitLesson(ctx, by.d, b.entries)
	if err == nil {
		err = sleepFor(ctx, time.Second+b.idle)
	}
	if err := errors.Join(err, l.stop()); err != nil {
		return t, err
	}
	if n, err := haproxyLearner(lb).used(); err != nil || n < b.entries {
		return t, errors.Join(err, fmt.Errorf("HAProxy has %d of %d entries", n, b.entries))
	}
	busy, idle := l.between(began, over), l.between(over.Add(time.Second), time.Now())
	if len(busy) < 100 || len(idle) < 100 {
		return t, fmt.Errorf("%d requests in the lesson and %d after it are too few for percentiles", len(busy), len(idle))
	}
	return taught{
		lasted: over.Sub(began).Seconds(),
		p50:    percentile(busy, 50), p99: percentile(busy, 99), most: percentile(busy, 100),
		idle50: percentile(idle, 50), idle99: percentile(idle, 99),
	}, nil
}

func sleepFor(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// awaitLesson returns when the lesson was over that d gives, and that which d asks for
// in turn. It asks d, not HAProxy.
func awaitLesson(ctx context.Context, d *daemon, entries int) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, patience(entries))
	defer cancel()
	for {
		answer, err := d.command("show peers")
		if err != nil {
			return time.Time{}, err
		}
		_, answer, _ = strings.Cut(answer, "id=lb1(remote")
		sent, err := number(answer, "updates_out=")
		if err != nil || sent >= entries && strings.Contains(answer, "learn_state=FINISHED") {
			return time.Now(), err
		}
		if err := sleepFor(ctx, 20*time.Millisecond); err != nil {
			return time.Time{}, fmt.Errorf("%d of %d entries were taught: %w", sent, entries, err)
		}
	}
}

func (b *bench) printPace(rows []row[paceRound]) error {
	_, err := fmt.Fprintf(b.out, `
## Pace

peersd teaches %s entries with IPv4 keys to a HAProxy with one thread that has just started, at %d a second, and then another one without a pace, while
%d requests a second go through that HAProxy to a server. Times are those of requests, as clients see them, from the first one after the start to the end of
the lesson; idle is the same process after it.
`, count(b.entries), b.teachRate, loadConnections*int(time.Second/loadEvery))
	return errors.Join(err, printTable(b.out, "What users see while a HAProxy learns", []string{"HAProxy"}, paceColumns, rows))
}
