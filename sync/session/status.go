package session

import (
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// A TableStatus is how far one table is on a session.
type TableStatus struct {
	Table *table.Table
	// LocalID and RemoteID are the numbers that we and the peer give the table;
	// RemoteID is 0 where the peer has not defined it.
	LocalID, RemoteID uint64
	// RemoteTypes are the data types that the peer stores, a bit field.
	RemoteTypes uint64
	// Acked and Pushed are how far the peer took our changes, and how far they
	// were sent; LastUpdate is the id of its last update.
	Acked, Pushed uint64
	// UnackedSince is when the first change was sent that the peer has not acked, or
	// when it acked one before it; zero where it has acked all.
	UnackedSince time.Time
	LastUpdate   uint32
	// Receiving and Sending: it is the table that the last message was of.
	Receiving, Sending bool
}

// TableStatus is how far each table is, in the order in which they are taught.
func (s *Session) TableStatus() []TableStatus {
	all := make([]TableStatus, 0, len(s.local))
	for _, l := range s.local {
		st := TableStatus{Table: l.table, LocalID: l.id, Acked: l.acked, Pushed: l.pushed, UnackedSince: l.unackedSince, Sending: s.sent == l}
		if r := s.byName[l.table.Name()]; r != nil && r.source.Table() == l.table {
			st.RemoteID, st.LastUpdate, st.Receiving = r.id, r.last, s.current == r
			st.RemoteTypes = s.cfg.Peer.Definition(r.name).Types
		}
		all = append(all, st)
	}
	return all
}

// Definitions are how the peer defines its tables, by their names on the wire: once it
// has given a lesson those of this session, for it may have others than before.
func (s *Session) Definitions() map[string]*protocol.Definition {
	if s.learning.state == learned && !s.cold {
		return s.cfg.Peer.definitionsSince(s.since)
	}
	return s.cfg.Peer.Definitions()
}

// Dictionaries are the strings of server keys that the peer knows by a number from
// 1 on, and those that we know of it, "" where a number is free.
func (s *Session) Dictionaries() (sent, received [protocol.DictionarySize]string) {
	return s.written.Strings(), s.dictionary.Strings()
}
