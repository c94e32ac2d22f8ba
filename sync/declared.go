package peersync

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// A Declared is a table as haproxy.cfg has it: it is there without a peer that
// defines it.
type Declared struct {
	Definition *protocol.Definition
	Where      string // file and line
}

// declare makes tables those that are declared, in the place of those before.
// h.setting is held.
func (h *Hub) declare(tables []Declared) {
	now, were := time.Now(), h.declared()
	is := map[string]Declared{}
	for _, d := range tables {
		is[d.Definition.Name] = d
	}
	for name, was := range were {
		h.shapes.forgetTable(was.Where, name)
		if _, ok := is[name]; !ok {
			h.tables.Retract(was.Definition) // first, for room
		}
	}
	var refused []string
	for _, d := range tables {
		name := d.Definition.Name
		was, known := were[name]
		if h.tables.Define(now, was.Definition, d.Definition) == nil {
			refused = append(refused, d.Where)
			if !known {
				delete(is, name)
				continue
			}
			is[name], d = was, was
		}
		h.shapes.note(d.Where, name, table.KeySpec(d.Definition.KeyType, d.Definition.KeyLen))
	}
	h.declarations.Store(&is)
	if len(refused) > 0 {
		h.log.Warn().Int("tables", len(refused)).Msgf("there is no room for tables that are declared in %s; raise --max-memory", listed(refused))
	}
}

// declared are the tables that are declared, by name. It is not to be written to.
func (h *Hub) declared() map[string]Declared {
	if d := h.declarations.Load(); d != nil {
		return *d
	}
	return nil
}

// declarers are the lines of tables that are declared.
func (h *Hub) declarers() (all []Definer) {
	d := h.declared()
	for _, name := range slices.Sorted(maps.Keys(d)) {
		all = append(all, Definer{d[name].Where, d[name].Definition})
	}
	return all
}

// otherwise says how a peer's definition of a table differs from what is declared,
// where their keys are of one kind; "" where it doesn't.
func (d Declared) otherwise(is *protocol.Definition) string {
	was := d.Definition
	if was == nil || was.KeyType != is.KeyType || was.KeyLen != is.KeyLen {
		return ""
	}
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if was.Expire != is.Expire {
		say("expire %s in place of %s", lifetime(is.Expire), lifetime(was.Expire))
	}
	for t := range protocol.DataType(protocol.NumDataTypes) {
		has, should := is.Types&(1<<t) != 0, was.Types&(1<<t) != 0
		a, b := is.Params[t], was.Params[t]
		switch {
		case has && !should:
			say("%v besides", t)
		case !has && should:
			say("no %v", t)
		case has && a.Elements != b.Elements:
			say("%v of %d elements in place of %d", t, a.Elements, b.Elements)
		case has && a.Period != b.Period:
			say("%v over %s in place of %s", t, milliseconds(a.Period), milliseconds(b.Period))
		}
	}
	return strings.Join(all, ", ")
}

func lifetime(ms uint32) string {
	if ms == 0 {
		return "none"
	}
	return milliseconds(ms)
}
