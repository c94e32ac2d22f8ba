package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/peersd/peersd/config"
	"github.com/peersd/peersd/internal/haproxytest"
)

// options are what the flags say.
type options struct {
	parts, lines, keys []string
	rounds             int
	entries            int // of the lessons

	teachRate int           // of the paced lessons, updates/s
	idle      time.Duration // for how long a HAProxy is watched that is idle

	engineEntries int // of the large table; the small one has a tenth

	collectorEntries int
	collectorRate    int // updates a second
	collectorSeconds int
}

func readOptions(args []string) (*options, error) {
	o := &options{}
	var all []string
	for _, p := range parts {
		all = append(all, p.name)
	}
	var (
		flags = flag.NewFlagSet("bench", flag.ExitOnError)
		which = flags.String("parts", strings.Join(all, ","), "what is measured")
		lines = flags.String("lines", strings.Join(haproxytest.Lines, ","), "lessons: release lines of HAProxy")
		keys  = flags.String("keys", "ip,string", "lessons: types of keys")
	)
	flags.IntVar(&o.rounds, "rounds", 5, "how often each is measured")
	flags.IntVar(&o.entries, "entries", 1_000_000, "lessons: entries in the table")
	flags.IntVar(&o.teachRate, "teach-rate", config.DefaultTeachRate, "pace: updates a second of the lessons that have one")
	flags.DurationVar(&o.idle, "idle", 8*time.Second, "pace: for how long a HAProxy is watched that is idle")
	flags.IntVar(&o.engineEntries, "engine-entries", 10_000_000, "engine: entries in the large table; the small one has a tenth")
	flags.IntVar(&o.collectorEntries, "collector-entries", 10_000_000, "collector: entries in the table")
	flags.IntVar(&o.collectorRate, "collector-rate", 100_000, "collector: live updates a second")
	flags.IntVar(&o.collectorSeconds, "collector-seconds", 150, "collector: for how long they come; Go forces a collection every two minutes")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("there are flags only, no %q; see -help", flags.Arg(0))
	}
	return o, errors.Join(
		choose(&o.parts, "parts", *which, all),
		choose(&o.lines, "lines", *lines, haproxytest.Lines),
		choose(&o.keys, "keys", *keys, []string{"ip", "string"}),
		o.checkNumbers())
}

// choose sets to to the words of a flag, all of which have to be known.
func choose(to *[]string, name, value string, known []string) error {
	*to = strings.Split(value, ",")
	for _, w := range *to {
		if !slices.Contains(known, w) {
			return fmt.Errorf("-%s knows no %q; give some of %s", name, w, strings.Join(known, ","))
		}
	}
	return nil
}

func (o *options) checkNumbers() error {
	if min(o.rounds, o.entries, o.teachRate, o.engineEntries/10, o.collectorEntries, o.collectorRate, o.collectorSeconds) < 1 {
		return errors.New("numbers begin at 1, that of -engine-entries at 10")
	}
	if o.entries > tableSize {
		return fmt.Errorf("HAProxy's table has room for %d entries, not for the %d of -entries", tableSize, o.entries)
	}
	return nil
}

func (o *options) has(part string) bool { return slices.Contains(o.parts, part) }
