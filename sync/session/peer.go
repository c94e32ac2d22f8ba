package session

import (
	"time"

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
	// taughtFrom is when the peer has asked for the lesson that it has not
	// confirmed, zero without one; taughtFor the longest time that one took.
	taughtFrom time.Time
	taughtFor  time.Duration
}

// asksFor and confirms are told of a lesson that the peer is given. One that broke
// goes on with the next one.
func (p *Peer) asksFor(now time.Time) {
	if p.taughtFrom.IsZero() {
		p.taughtFrom = now
	}
}

func (p *Peer) confirms(now time.Time) {
	p.taughtFor = p.handedBack(now)
	p.taughtFrom = time.Time{}
}

// handedBackAtMost bounds what is remembered of a lesson that broke: the peer may
// have been gone ever since.
const handedBackAtMost = time.Minute

// handedBack is how long that may have been under way to the peer which it hands
// back in a lesson of its own: its copies live longer by as much, and so look later
// than changes that others made meanwhile.
func (p *Peer) handedBack(now time.Time) time.Duration {
	longest := p.taughtFor
	if !p.taughtFrom.IsZero() {
		longest = max(longest, now.Sub(p.taughtFrom))
	}
	return min(longest, handedBackAtMost)
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
