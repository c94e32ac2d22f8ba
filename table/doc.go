// Package table keeps stick tables: the mirror of what HAProxys store under
// one name, key type and key length.
//
// A [Set] makes its tables from the definitions that peers send. Updates come
// in through a [Source], one a definition and session, which maps what that
// session brings to what the table stores: several peers may define a table
// with different data types, and the table has them all.
//
// Entries live in records without pointers, found by an open hash of their
// keys. Each stands once in an update log, at its last change, so that a reader
// is nothing but a position; see [Table.Read]. What is read is pinned: a record
// with pins is frozen, a change goes to a copy, and a deletion waits for the
// last reader. So entries are encoded with no lock held, and nobody sees a
// half-written one.
//
// There is no clock here: instants come in as arguments. A lock guards one
// table; no function takes two tables' locks at once, and a Set's lock is taken
// before a table's.
package table
