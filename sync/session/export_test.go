package session

import (
	"fmt"

	"github.com/peersd/peersd/protocol"
)

// MaxTables is how many tables a peer may define.
const MaxTables = maxTables

// Defined makes p one that has defined so many tables already.
func (p *Peer) Defined(tables int) {
	for i := range tables {
		p.define(&protocol.Definition{Name: fmt.Sprint("old", i)})
	}
}

// Consistent reports whether what is kept of the peer's tables agrees.
func (s *Session) Consistent() bool {
	return len(s.tables) == len(s.order) && len(s.byName) == len(s.order) && len(s.order) <= maxTables
}

var AckedPosition = ackedPosition
