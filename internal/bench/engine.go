package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// repeats is how much larger the large table is, and how many small ones are filled
// beside it, so that both take as many updates.
const repeats = 10

// speeds are how many million updates a second were taken: of new keys in a lesson,
// and of known ones live.
type speeds struct{ taught, live float64 }

// A pair is the same speed of small tables and of a large one, beside each other.
type pair struct{ small, large float64 }

func (b *bench) engine(ctx context.Context) error {
	progress("engine: encoding")
	small, large := record(b.engineEntries/repeats), record(b.engineEntries)
	var taught, live []pair
	for i := range b.rounds {
		progress("engine: round %d of %d", i+1, b.rounds)
		s, l, err := playBoth(ctx, small, large, i%2 == 1)
		if err != nil {
			return err
		}
		taught, live = append(taught, pair{s.taught, l.taught}), append(live, pair{s.live, l.live})
	}
	return b.printEngine(taught, live)
}

// playBoth plays both beside each other. It takes the large table first where it is told to: whatever makes the
// machine slower or faster meanwhile is not to be found in the ratios.
func playBoth(ctx context.Context, small, large *recording, largeFirst bool) (s, l speeds, err error) {
	if largeFirst {
		if l, err = play(ctx, large, 1); err != nil {
			return s, l, err
		}
		s, err = play(ctx, small, repeats)
		return s, l, err
	}
	if s, err = play(ctx, small, repeats); err != nil {
		return s, l, err
	}
	l, err = play(ctx, large, 1)
	return s, l, err
}

// play fills one table after the other. Each gets its memory from the kernel, as in a
// new process.
func play(ctx context.Context, r *recording, tables int) (speeds, error) {
	var taught, live time.Duration
	for range tables {
		if err := ctx.Err(); err != nil {
			return speeds{}, err
		}
		debug.FreeOSMemory()
		t, l, err := r.play()
		if err != nil {
			return speeds{}, err
		}
		taught, live = taught+t, live+l
	}
	million := float64(r.entries*tables) / 1e6
	return speeds{million / taught.Seconds(), million / live.Seconds()}, nil
}

func (b *bench) printEngine(taught, live []pair) error {
	small, large := b.engineEntries/repeats, b.engineEntries
	_, err := fmt.Fprintf(b.out, `
## Engine

What a HAProxy sends goes, from memory, through protocol.Reader and session.Receive into a table, in one goroutine: a lesson of random IPv4 keys that
are all new, then a live update of each in another random order. There is one table of %s entries, or %d of %s entries one after the other.
`, count(large), repeats, count(small))
	columns := []column[pair]{
		{count(small) + " entries: million updates/s", func(p pair) float64 { return p.small }, mark{}},
		{count(large) + " entries: million updates/s", func(p pair) float64 { return p.large }, mark{}},
		{"ratio", func(p pair) float64 { return p.large / p.small }, mark{limit: 0.8, atLeast: true}},
	}
	rows := []row[pair]{{[]string{"new, in a lesson"}, taught}, {[]string{"known, live"}, live}}
	return errors.Join(err, printTable(b.out, "Updates a second, by the size of the table", []string{"keys"}, columns, rows))
}
