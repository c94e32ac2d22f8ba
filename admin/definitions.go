package admin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/peersd/peersd/protocol"
	peersync "github.com/peersd/peersd/sync"
)

// Definitions are what peers say of the tables, and whose they are: the answer to `show
// definitions json`.
type Definitions struct {
	Section string        `json:"section"`
	Names   []string      `json:"names"` // that we answer to
	Peers   []DefiningOne `json:"peers"`
}

// A DefiningOne is a peer that is known.
type DefiningOne struct {
	Name string `json:"name"`
	// Met is whether there was a session with it.
	Met bool `json:"met"`
	// Tables are its definitions, as they are on the wire.
	Tables [][]byte `json:"tables,omitempty"`
}

// Definers are who says what.
func (d *Definitions) Definers() (all []peersync.Definer, err error) {
	for _, p := range d.Peers {
		for _, wire := range p.Tables {
			f, _, err := protocol.ParseFrame(wire)
			if err != nil {
				return nil, err
			}
			def, err := protocol.ParseDefinition(f.Payload)
			if err != nil {
				return nil, err
			}
			all = append(all, peersync.Definer{Who: p.Name, Definition: def})
		}
	}
	return all, nil
}

// showDefinitions writes how peers define the tables, a line each, or [Definitions].
func (c *cli) showDefinitions(args []string) error {
	all := c.Hub.Definers()
	switch {
	case len(args) == 1 && args[0] == "json":
		return json.NewEncoder(c.out).Encode(c.definitions(all))
	case len(args) > 0:
		return refusal("Nothing more than json is understood here: show definitions\n")
	}
	var b strings.Builder
	for _, d := range all {
		fmt.Fprintf(&b, "%s: %v\n", appendText(nil, d.Who), d.Definition)
	}
	_, err := c.out.WriteString(b.String())
	return err
}

func (c *cli) definitions(all []peersync.Definer) *Definitions {
	d := &Definitions{Section: c.Tables.Section(), Names: c.Hub.Names()}
	for _, p := range c.Hub.Status() {
		d.Peers = append(d.Peers, DefiningOne{Name: p.Name, Met: p.Sessions > 0})
	}
	for _, def := range all {
		i := slices.IndexFunc(d.Peers, func(p DefiningOne) bool { return p.Name == def.Who })
		if i >= 0 {
			d.Peers[i].Tables = append(d.Peers[i].Tables, protocol.AppendDefinition(nil, def.Definition))
		}
	}
	return d
}
