package main

import "time"

// A phase is what peersd did over a time, and what Go's collector did in it.
type phase struct {
	updates      int // that it was sent
	lasted       time.Duration
	cpu          float64 // seconds
	collections  []collection
	bytesAnEntry float64 // resident, at the end
}

// measurePhase measures d, a daemon with GODEBUG=gctrace=1 and so many entries in the
// end, while run sends it updates. It fails where an update was not received: sent
// tells how many came before.
func measurePhase(d *daemon, entries, sent int, run func() (updates int, err error)) (p phase, err error) {
	earlier, err := parseTrace(d.log.String())
	if err != nil {
		return p, err
	}
	before, err := takeAccount(d.pid())
	if err != nil {
		return p, err
	}
	if p.updates, err = run(); err != nil {
		return p, err
	}
	if err := d.awaitUpdates(sent+p.updates, entries); err != nil {
		return p, err
	}
	after, err := takeAccount(d.pid())
	if err != nil {
		return p, err
	}
	p.lasted, p.cpu = after.at.Sub(before.at), after.since(before, 0)
	all, err := parseTrace(d.log.String())
	if err != nil {
		return p, err
	}
	p.collections = all[len(earlier):]
	bytes, err := resident(d.pid())
	p.bytesAnEntry = bytes / float64(entries)
	return p, err
}

// thousands is how many thousand updates came a second.
func (p phase) thousands() float64 { return float64(p.updates) / 1000 / p.lasted.Seconds() }

// percent is some seconds as percent of one CPU over the phase.
func (p phase) percent(seconds float64) float64 { return 100 * seconds / p.lasted.Seconds() }

func (p phase) cpuPercent() float64 { return p.percent(p.cpu) }

func (p phase) collectorPercent() float64 {
	var all time.Duration
	for _, c := range p.collections {
		all += c.cpu
	}
	return p.percent(all.Seconds())
}

// longestStop is in ms.
func (p phase) longestStop() float64 {
	var longest time.Duration
	for _, c := range p.collections {
		longest = max(longest, c.stopped)
	}
	return longest.Seconds() * 1000
}
