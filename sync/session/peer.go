package session

import (
	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// A Peer is what is remembered of a peer from one session to the next. It is
// used by one session at a time. Its zero value is a peer never met.
type Peer struct {
	// definitions are what the peer defined last, by the name of the table.
	definitions map[string]*protocol.Definition
	// acked is how far, in the log of local changes, the peer has said that
	// it took what it was sent.
	acked map[*table.Table]uint64
}

// Definition is how the peer defined the table of that name last, nil where it
// never did.
func (p *Peer) Definition(name string) *protocol.Definition { return p.definitions[name] }

func (p *Peer) define(def *protocol.Definition) {
	if p.definitions == nil {
		p.definitions = map[string]*protocol.Definition{}
	}
	p.definitions[def.Name] = def
}

// maxTables is how many tables a peer may define: what it can take of memory is
// bounded.
const maxTables = 8192

// mayDefine reports whether the peer may define a table of that name.
func (p *Peer) mayDefine(name string) bool {
	return p.definitions[name] != nil || len(p.definitions) < maxTables
}

// takes reports whether the peer is to be taught t: it does not define the
// name in another way. HAProxy would drop the table in silence.
func (p *Peer) takes(t *table.Table) bool {
	def := p.definitions[t.Name()]
	return def == nil || t.Fits(def)
}

// ack moves the position that the peer has acked in t.
func (p *Peer) ack(t *table.Table, position uint64) {
	if p.acked == nil {
		p.acked = map[*table.Table]uint64{}
	}
	p.acked[t] = position
}
