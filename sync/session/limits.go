package session

import (
	"fmt"
	"maps"
	"slices"

	"github.com/peersd/peersd/protocol"
)

// What a peer may define where [Config] doesn't say.
const (
	DefaultMaxTables    = 1024
	DefaultMaxDataTypes = 16384
)

// admit bounds what the peer defines. What it has defined on earlier sessions,
// and not on this one, makes room: HAProxy may have been reloaded with other
// tables.
func (s *Session) admit(def *protocol.Definition) error {
	p := s.cfg.Peer
	own := s.own.with(p.definedSince(s.since, def.Name), def)
	if err := s.exceeds(own); err != nil {
		return err
	}
	s.own = own
	for s.over(p.all.with(p.Definition(def.Name), def)) {
		s.retract(p.oldest(def.Name).Name)
	}
	return nil
}

func (s *Session) over(t tally) bool {
	return t.tables > s.cfg.MaxTables || t.types > s.cfg.MaxDataTypes
}

// exceeds is the error of a peer that has defined t on this session, if that is
// too much.
func (s *Session) exceeds(t tally) error {
	switch {
	case t.tables > s.cfg.MaxTables:
		return s.refuse(TooManyTables, "it defines more than %d tables", s.cfg.MaxTables)
	case t.types > s.cfg.MaxDataTypes:
		return s.refuse(TooManyDataTypes, "its tables have more than %d data types", s.cfg.MaxDataTypes)
	}
	return nil
}

// count bounds how often the peer defines its tables: each once, and then as often
// again as there may be tables. It may repeat what it said of a table last as
// often as it likes, but what differs may cost every entry a move.
func (s *Session) count() error {
	if s.defined++; s.defined > 2*s.cfg.MaxTables {
		return s.refuse(TooManyTables, "it has defined tables anew more than %d times", 2*s.cfg.MaxTables)
	}
	return nil
}

func (s *Session) refuse(k Kind, format string, args ...any) error {
	s.cfg.Notify(Event{Kind: k})
	return &protocol.Error{Reply: protocol.ProtocolError, Reason: fmt.Sprintf(format, args...)}
}

func (s *Session) retract(name string) {
	s.cfg.Peer.forget(s.cfg.Tables, name)
	s.cfg.Notify(Event{Kind: Retracted, Name: name})
}

// TakeBack is to be called where the peer broke the protocol, after the last
// message: tables that it has defined for the first time on this session go, as
// far as they have no entries and nobody else has defined them.
func (s *Session) TakeBack() {
	all := s.cfg.Peer.definitions
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if d := all[name]; d.first > s.since && d.table.Entries() == 0 {
			s.retract(name)
		}
	}
}
