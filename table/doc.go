// Package table keeps stick tables: the mirror of what HAProxys store under
// one name, key type and key length.
//
// A [Set] makes its tables from the definitions that peers send. Updates come
// in through a [Source], one a definition and session, which maps what that
// session brings to what the table stores: several peers may define a table
// with different data types, and the table has them all.
//
// A table is cut into shards by the hash of the key, each with a lock of its own.
// Entries live in records without pointers, found by an open hash. Each stands
// once in a log, at its last change: those that a peer changed last in their
// shard's, those that were changed here in the table's, whose positions go over
// the wire. So a reader is nothing but a position in each; see
// [Table.ReadLearned] and [Table.ReadChanged], and [Changes], which is both. What is read is pinned: a record
// with pins is frozen, a change goes to a copy, and a deletion waits for the last
// reader. So entries are encoded with no lock held, and nobody sees a half-written
// one.
//
// What somebody orders here ([Ordered], [Batch.Clear]) has to reach every peer: until a
// peer has acked it, what that peer says of the entry counts for nothing, and until all
// have, and teach nothing older, the entry stays among the local changes. There is no deletion on the wire, so
// what is cleared stays for as long too, with zeros for values, and only readers of
// local changes see it.
//
// Nothing that is done under a shard's lock goes through all its entries: the
// index is resized, schemas are changed, and entries are read and dropped a few
// at a time.
//
// There is no clock here: instants come in as arguments. Locks are taken in this
// order: a takeover's, a Set's, a table's (of what is declared), a shard's, that of the
// table's log of local changes, of its notes, of its server keys or of the set's doubts.
// Nobody holds two shards' at once.
package table
