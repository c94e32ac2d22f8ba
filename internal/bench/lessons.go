package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/peersd/peersd/internal/haproxytest"
)

// learning compares a HAProxy and peersd as learners, taught by the same HAProxy.
var learning = []column[round]{
	{"HAProxy: CPU s", func(r round) float64 { return r.haproxy.learnerCPU }, mark{}},
	{"wall s", func(r round) float64 { return r.haproxy.wall }, mark{}},
	{"peersd: CPU s", func(r round) float64 { return r.learn.learnerCPU }, mark{}},
	{"wall s", func(r round) float64 { return r.learn.wall }, mark{}},
	{"CPU ratio", func(r round) float64 { return r.learn.learnerCPU / r.haproxy.learnerCPU }, mark{limit: 0.3}},
	{"wall ratio", func(r round) float64 { return r.learn.wall / r.haproxy.wall }, mark{limit: 0.5}},
}

// teaching compares them as teachers of HAProxys.
var teaching = []column[round]{
	{"HAProxy: CPU s", func(r round) float64 { return r.haproxy.teacherCPU }, mark{}},
	{"wall s", func(r round) float64 { return r.haproxy.wall }, mark{}},
	{"its learner's CPU s", func(r round) float64 { return r.haproxy.learnerCPU }, mark{}},
	{"peersd: CPU s", func(r round) float64 { return r.teach.teacherCPU }, mark{}},
	{"wall s", func(r round) float64 { return r.teach.wall }, mark{}},
	{"its learner's CPU s", func(r round) float64 { return r.teach.learnerCPU }, mark{}},
	{"CPU ratio", func(r round) float64 { return r.teach.teacherCPU / r.haproxy.teacherCPU }, mark{limit: 1}},
	{"wall ratio", func(r round) float64 { return r.teach.wall / r.haproxy.wall }, mark{limit: 1}},
}

// memory compares what they have in memory after they were taught the same.
var memory = []column[round]{
	{"HAProxy: bytes", func(r round) float64 { return r.haproxyBytes }, mark{}},
	{"peersd: bytes", func(r round) float64 { return r.peersdBytes }, mark{}},
	{"ratio", func(r round) float64 { return r.peersdBytes / r.haproxyBytes }, mark{limit: 0.45}},
}

// lessons prints what was measured even where an error ends it early.
func (b *bench) lessons(ctx context.Context) error {
	var rows []row[round]
	err := b.eachWorld(func(w *world) error {
		rounds, err := w.run(ctx, b.rounds)
		if len(rounds) > 0 {
			rows = append(rows, row[round]{[]string{w.release.Version, w.key}, rounds})
		}
		return err
	})
	if len(rows) == 0 {
		return err
	}
	return errors.Join(err, b.printLessons(rows))
}

func (b *bench) eachWorld(f func(*world) error) error {
	for _, line := range b.lines {
		r, err := haproxytest.Find(line)
		if err != nil {
			return err
		}
		for _, key := range b.keys {
			w := &world{release: r, peersd: b.peersd, key: key, entries: b.entries}
			if err := f(w); err != nil {
				return fmt.Errorf("HAProxy %s, keys of type %s: %w", r.Version, key, err)
			}
		}
	}
	return nil
}

func (b *bench) printLessons(rows []row[round]) error {
	_, err := fmt.Fprintf(b.out, `
## Lessons

%s entries with random keys (ip, or string len 32), which store gpc0,http_req_rate(10s),conn_cnt. HAProxy has one thread, and peersd teaches
without a pace. Each ratio is peersd's figure over HAProxy's of the same round.
`, count(b.entries))
	labels := []string{"HAProxy", "keys"}
	return errors.Join(err,
		printTable(b.out, "Learning: HAProxy teaches HAProxy, or peersd", labels, learning, rows),
		printTable(b.out, "Teaching: HAProxy teaches HAProxy, or peersd does", labels, teaching, rows),
		printTable(b.out, "Memory: resident bytes an entry, after learning", labels, memory, rows))
}
