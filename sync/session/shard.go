package session

import "time"

// A peer may be one of several that have a shard of each table: it is taught no
// other keys, live and in lessons. All else is as for any peer: all tables are
// defined, and what it sends of other shards is taken, as HAProxy does.

// cuts reports whether a key is of another shard than the peer's.
func (s *Session) cuts(l *localTable, key []byte) bool {
	if s.cfg.Shard == 0 {
		return false
	}
	if l.shards == nil {
		shards := l.table.Shards()
		l.shards = &shards
	}
	return l.shards.Of(key) != s.cfg.Shard
}

// parts is how many parts of about the same size a table has of which the peer is
// taught one.
func (s *Session) parts() int {
	if s.cfg.Shard == 0 {
		return 1
	}
	return max(s.cfg.Tables.Parts(), 1)
}

// passOver takes what was cut of a table's local changes for taken, where all that
// was pushed before it was: there will be no ack of it.
func (s *Session) passOver(now time.Time, l *localTable) {
	if s.cfg.Shard != 0 && l.acked >= l.last && l.acked < l.pushed {
		s.taken(now, l, l.pushed)
	}
}
