package peersync

import (
	"fmt"
	"strings"
	"time"

	"github.com/peersd/peersd/table"
)

// shortages says in the log what of the peers' definitions there is no room for, once
// each, and at most once in shortagesEvery.
type shortages struct {
	h       *Hub
	next    time.Time            // not before
	known   map[*table.Table]int // data types left out, when the log was told last
	refused uint64               // the same of definitions
}

const shortagesEvery = time.Minute

func (s *shortages) tell(now time.Time) {
	if now.Before(s.next) {
		return
	}
	var parts []string
	known := map[*table.Table]int{} // without tables that are gone
	for _, t := range s.h.cfg.Tables.Tables() {
		left := t.LeftOut()
		if len(left) == 0 {
			continue
		}
		known[t] = len(left)
		if len(left) > s.known[t] {
			parts = append(parts, fmt.Sprintf("%s (%s)", t.FullName(), strings.Trim(fmt.Sprint(left), "[]")))
		}
	}
	s.known = known
	if len(parts) > 0 {
		s.next = now.Add(shortagesEvery)
		s.h.cfg.Log.Warn().Str("tables", some(parts)).Int64("memory", s.h.cfg.Tables.Memory()).Int64("limit", s.h.cfg.Tables.MemoryLimit()).
			Msg("tables are mirrored without data types that there is no room for; raise --max-memory")
	}
	if refused := s.h.cfg.Tables.Refused(); refused > s.refused {
		s.next = now.Add(shortagesEvery)
		s.h.cfg.Log.Warn().Uint64("times", refused-s.refused).Int("tables", len(s.h.cfg.Tables.Tables())).
			Msg("tables are not mirrored, as there is no room for so many in all; raise --max-memory if that is meant to be")
		s.refused = refused
	}
}

// some is a list that fits into one line of the log.
func some(parts []string) string {
	if n := len(parts) - mostNamed; n > 0 {
		parts = append(parts[:mostNamed:mostNamed], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(parts, ", ")
}
