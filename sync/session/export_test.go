package session

// Consistent reports whether what is kept of the peer's tables agrees, and is no
// more than the peer may define.
func (s *Session) Consistent() bool {
	p, all := s.cfg.Peer, tally{}
	for name, d := range p.definitions {
		if all = all.with(nil, d.Definition); d.Name != name || !d.table.Fits(d.Definition) || d.first > d.last || d.last > p.turns {
			return false
		}
	}
	return len(s.tables) == len(s.order) && len(s.byName) == len(s.order) && p.all == all && !s.over(all) && !s.over(s.own)
}

var AckedPosition = ackedPosition
