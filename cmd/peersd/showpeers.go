package main

import (
	"fmt"

	"github.com/peersd/peersd/admin"
	"github.com/spf13/cobra"
)

func (a *app) showPeersCommand() *cobra.Command {
	return a.showAnswer("peers", "the peers, and how their sessions are", `It shows the peers: whether there is a session, how far its lessons are, when each
was heard last, and how many updates came and went.`, a.peers)
}

// peers prints an answer to `show peers`. The daemon itself is in it for HAProxy's
// sake only.
func (a *app) peers(answer string) error {
	peers := admin.ParsePeers(answer)
	if a.json {
		return a.printJSON(peerObjects(peers))
	}
	c := a.columns("peer", "session", "address", "lessons", ">heard", ">updates in", ">out", ">sessions")
	for _, p := range peers {
		if p.Local {
			continue
		}
		state := a.paint(red, "none")
		if p.Active {
			state = a.paint(green, "active")
		}
		c.row(p.Name, state, p.Values["addr"], lessons(&p), orDash(p.Values["heard"]), orDash(p.Values["updates_in"]),
			orDash(p.Values["updates_out"]), p.Values["new_conn"])
	}
	return c.flush()
}

// lessons is how far those of a peer are, in words.
func lessons(p *admin.Peer) string {
	v := p.Values
	switch {
	case !p.Active:
		return "-"
	case v["teaching"] != "":
		return fmt.Sprintf("teaching %s of %s, %s left", v["teaching"], v["of"], v["left"])
	case v["learn_state"] == "FINISHED":
		return "finished"
	}
	return "learning"
}

func orDash(s string) string {
	if s == "" || s == "<NEVER>" {
		return "-"
	}
	return s
}

func peerObjects(peers []admin.Peer) []map[string]any {
	objects := []map[string]any{}
	for _, p := range peers {
		if p.Local {
			continue
		}
		tables := []map[string]any{}
		for _, t := range p.Tables {
			table := objectOf(t.Values)
			table["table"] = t.Name
			tables = append(tables, table)
		}
		peer := objectOf(p.Values)
		peer["peer"], peer["active"], peer["tables"] = p.Name, p.Active, tables
		objects = append(objects, peer)
	}
	return objects
}

func objectOf(values map[string]string) map[string]any {
	object := map[string]any{}
	for name, value := range values {
		if object[name] = jsonValue(value); value == "<NEVER>" {
			object[name] = nil
		}
	}
	return object
}
