package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A collection is one of Go's garbage collector.
type collection struct {
	// stopped is for how long the world was stopped in all, at its beginning and
	// at its end.
	stopped time.Duration
	// cpu is what it took of all CPUs, of idle ones too.
	cpu time.Duration
}

// parseTrace reads the collections from what a process with GODEBUG=gctrace=1 wrote,
// among other lines. See package runtime for the format.
func parseTrace(log string) (all []collection, err error) {
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "gc ") || !strings.HasSuffix(line, "\n") {
			continue
		}
		c, err := parseCollection(line)
		if err != nil {
			return nil, fmt.Errorf("%w in %q; has gctrace another format now?", err, line)
		}
		all = append(all, c)
	}
	return all, nil
}

// parseCollection reads
//
//	gc 3 @0.10s 0%: 0.015+0.35+0.008 ms clock, 0.03+0.30/0.31/0+0.016 ms cpu, 8->9->4 MB, ...
func parseCollection(line string) (c collection, err error) {
	_, rest, _ := strings.Cut(line, ": ")
	clock, rest, ok := strings.Cut(rest, " ms clock, ")
	cpu, _, ok2 := strings.Cut(rest, " ms cpu, ")
	if !ok || !ok2 {
		return c, fmt.Errorf("no clock or CPU phases")
	}
	phases, err := milliseconds(strings.Split(clock, "+"))
	if err != nil || len(phases) != 3 {
		return c, fmt.Errorf("not three clock phases: %w", err)
	}
	c.stopped = phases[0] + phases[2]
	parts, err := milliseconds(strings.FieldsFunc(cpu, func(r rune) bool { return r == '+' || r == '/' }))
	for _, p := range parts {
		c.cpu += p
	}
	return c, err
}

func milliseconds(texts []string) (all []time.Duration, err error) {
	for _, t := range texts {
		ms, err := strconv.ParseFloat(t, 64)
		if err != nil {
			return nil, err
		}
		all = append(all, time.Duration(ms*float64(time.Millisecond)))
	}
	return all, nil
}
