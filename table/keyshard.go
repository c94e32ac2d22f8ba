package table

import "github.com/peersd/peersd/protocol"

// Cut says that the section has `shards n`: the tables are cut in so many parts, for
// peers that are taught one; 0 is none. Sessions that are under way may go on with
// what was said before. These have nothing to do with the shards of a table in memory.
func (s *Set) Cut(n int) { s.parts.Store(int32(n)) }

// Parts is what [Set.Cut] was told.
func (s *Set) Parts() int { return int(s.parts.Load()) }

// Shards tells of which part a key of the table is.
func (t *Table) Shards() protocol.Shards {
	if t.set.Parts() == 0 {
		return protocol.Shards{}
	}
	return protocol.NewShards(t.set.Parts(), t.FullName(), t.keyType)
}
