package agree

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	peersync "github.com/peersd/peersd/sync"
)

const (
	// sample is how many entries of a table are compared, at least, of each side. Of
	// tables that have no more than that all are.
	sample = 2000
	// mostSuspects is how many entries are looked at twice.
	mostSuspects = 200
	// between the two looks, what was under way arrives.
	between = time.Second
	// soonOver is what is left of a lifetime, in ms, of which the clocks of two
	// machines may think otherwise.
	soonOver = 5000
	// mostShown is how many entries a finding names.
	mostShown = 3
)

// pause is between the two looks.
var pause = func() { time.Sleep(between) }

// A comparison is of one table.
type comparison struct {
	name            string
	haproxy, peersd *side
	theirs, ours    head
	compared        int
	suspects        map[string]pair // by their keys
	more            bool            // there are more suspects than are looked at
}

// A pair is one entry as both sides have it, nil where it is not there.
type pair struct{ theirs, ours *entry }

// Compare tells about which entries the HAProxy of that name and socket, and the peersd
// of another one, disagree. Only tables that both have are looked at.
func Compare(name, haproxy, peersd string) (found []peersync.Finding) {
	them := &side{haproxy, "name its runtime socket with --haproxy " + name + "=PATH, as stats socket has it, of level operator"}
	us := &side{peersd, "start peersd serve with --socket-level operator"}
	unreachable := func(err error) []peersync.Finding {
		f := peersync.Finding{Severity: peersync.Fault, Code: "haproxy-unreachable", Peer: name, Says: fmt.Sprintf("%s can't be compared: %v", name, err)}
		if why := (failure{}); errors.As(err, &why) {
			f.Do = why.remedy
		}
		return append(found, f)
	}
	theirs, err := them.tables()
	if err != nil {
		return unreachable(err)
	}
	ours, err := us.tables()
	if err != nil {
		return unreachable(err)
	}
	var all []*comparison
	for _, table := range slices.Sorted(maps.Keys(ours)) {
		if t, ok := theirs[table]; ok && t.keyType == ours[table].keyType {
			all = append(all, &comparison{name: table, haproxy: them, peersd: us, theirs: t, ours: ours[table]})
		}
	}
	if len(all) == 0 && len(ours) > 0 {
		return append(found, peersync.Finding{Severity: peersync.Note, Code: "nothing-compared", Peer: name,
			Says: fmt.Sprintf("%s has none of the tables that peersd has", name), Do: "see whether it is the right HAProxy, and whether --section has the name of its peers section"})
	}
	suspicious := false
	for _, c := range all {
		if err := c.look(); err != nil {
			return unreachable(err)
		}
		suspicious = suspicious || len(c.suspects) > 0
	}
	if !suspicious {
		return nil
	}
	pause()
	for _, c := range all {
		if err := c.lookAgain(); err != nil {
			return unreachable(err)
		}
		if len(c.suspects) > 0 {
			found = append(found, c.finding(name))
		}
	}
	return found
}

// look looks at some entries of each side, and for the same ones on the other.
func (c *comparison) look() error {
	theirs, allTheirs, err := c.haproxy.some(c.name, sample)
	if err != nil {
		return err
	}
	ours, allOurs, err := c.peersd.some(c.name, sample)
	if err != nil {
		return err
	}
	keys := union(theirs, ours)
	if c.ours.keyType == "binary" && !(allTheirs && allOurs) {
		// They can't be asked for: only those count that both have shown.
		keys = slices.DeleteFunc(keys, func(key string) bool {
			_, here := ours[key]
			_, there := theirs[key]
			return !here || !there
		})
	} else {
		if !allTheirs {
			err = c.haproxy.lookUp(c.name, missing(keys, theirs), theirs)
		}
		if err == nil && !allOurs {
			err = c.peersd.lookUp(c.name, missing(keys, ours), ours)
		}
	}
	c.compared, c.suspects = len(keys), map[string]pair{}
	for _, key := range keys {
		if p := pairOf(key, theirs, ours); !p.agree() {
			if c.more = len(c.suspects) == mostSuspects; c.more {
				break
			}
			c.suspects[key] = p
		}
	}
	return err
}

// lookAgain keeps those about which both sides say the same as before.
func (c *comparison) lookAgain() error {
	theirs, ours, err := map[string]entry{}, map[string]entry{}, error(nil)
	keys := slices.Sorted(maps.Keys(c.suspects))
	if c.ours.keyType == "binary" {
		if theirs, _, err = c.haproxy.some(c.name, sample); err == nil {
			ours, _, err = c.peersd.some(c.name, sample)
		}
	} else if err = c.haproxy.lookUp(c.name, keys, theirs); err == nil {
		err = c.peersd.lookUp(c.name, keys, ours)
	}
	maps.DeleteFunc(c.suspects, func(key string, was pair) bool {
		is := pairOf(key, theirs, ours)
		return is.agree() || !same(was.theirs, is.theirs) || !same(was.ours, is.ours)
	})
	return err
}

func union(a, b map[string]entry) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

// missing are the keys that are not in all.
func missing(keys []string, all map[string]entry) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		_, there := all[key]
		return there
	})
}

func pairOf(key string, theirs, ours map[string]entry) (p pair) {
	if e, ok := theirs[key]; ok {
		p.theirs = &e
	}
	if e, ok := ours[key]; ok {
		p.ours = &e
	}
	return p
}

// agree reports whether both sides say the same, as far as that can be told: an entry
// that a stream of HAProxy holds may have changes that are not pushed yet. One that is
// missing is the same as one in which all is zero: so HAProxy keeps what was cleared.
func (p pair) agree() bool {
	switch {
	case p.theirs != nil && p.theirs.inUse:
		return true
	case p.theirs == nil:
		return p.ours == nil || p.ours.zero() || p.ours.soonOver()
	case p.ours == nil:
		return p.theirs.zero() || p.theirs.soonOver()
	}
	return p.differs() == ""
}

// differs is the first field that both have, with different values, "" where there is
// none.
func (p pair) differs() string {
	for _, name := range p.theirs.shown {
		if ours, stored := p.ours.fields[name]; stored && ours != p.theirs.fields[name] {
			return name
		}
	}
	return ""
}

func (e *entry) zero() bool {
	for _, value := range e.fields {
		if value != "0" && value != "-" {
			return false
		}
	}
	return true
}

func (e *entry) soonOver() bool {
	ms, err := strconv.Atoi(e.expire)
	return err == nil && ms > 0 && ms < soonOver
}

// same reports whether nothing has happened to an entry.
func same(was, is *entry) bool {
	if was == nil || is == nil {
		return was == is
	}
	return maps.Equal(was.fields, is.fields)
}

// finding names some of the entries that are not the same.
func (c *comparison) finding(haproxy string) peersync.Finding {
	var some []string
	for _, key := range slices.Sorted(maps.Keys(c.suspects)) {
		if len(some) == mostShown {
			some = append(some, "and so on")
			break
		}
		some = append(some, c.suspects[key].describe(key, haproxy))
	}
	number := strconv.Itoa(len(c.suspects))
	if c.more {
		number = "at least " + number
	}
	f := peersync.Finding{Severity: peersync.Fault, Code: "haproxy-disagrees", Peer: haproxy, Table: c.name,
		Says: fmt.Sprintf("%s and peersd disagree about %s of %d entries of %s: %s", haproxy, number, c.compared, c.name, strings.Join(some, ", ")),
		Do:   "see whether it has a session (`peersd show peers`); a HAProxy takes up what it has missed when it is started"}
	if c.theirs.used >= c.theirs.size {
		f.Do = "its table is full: raise its size in haproxy.cfg"
	}
	return f
}

func (p pair) describe(key, haproxy string) string {
	switch {
	case p.theirs == nil:
		return fmt.Sprintf("%s is missing on %s", key, haproxy)
	case p.ours == nil:
		return fmt.Sprintf("%s is missing on peersd", key)
	}
	name := p.differs()
	return fmt.Sprintf("%s has %s=%s on %s and %s on peersd", key, name, p.theirs.fields[name], haproxy, p.ours.fields[name])
}
