package peersync

import (
	"fmt"
	"strings"
	"time"

	"github.com/peersd/peersd/protocol"
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
	now := time.Now()
	is := map[string]Declared{}
	for _, d := range tables {
		name := d.Definition.Name
		is[name] = d
		was := h.declared()[name]
		if was.Definition != nil {
			h.shapes.forgetTable(was.Where, name)
		}
		h.shapes.note(d.Where, h.tables.Define(now, was.Definition, d.Definition))
	}
	for name, was := range h.declared() {
		if is[name].Definition == nil {
			h.shapes.forgetTable(was.Where, name)
			h.tables.Retract(was.Definition)
		}
	}
	h.declarations.Store(&is)
}

// declared are the tables that are declared, by name. It is not to be written to.
func (h *Hub) declared() map[string]Declared {
	if d := h.declarations.Load(); d != nil {
		return *d
	}
	return nil
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
		say("expire %s in place of %s", milliseconds(is.Expire), milliseconds(was.Expire))
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

func milliseconds(ms uint32) string {
	if ms == 0 {
		return "none"
	}
	return (time.Duration(ms) * time.Millisecond).String()
}
