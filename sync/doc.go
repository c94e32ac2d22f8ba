// Package peersync runs peers sessions over the network: it listens and dials,
// settles who stays when both did, and gives each session one reader and one
// writer goroutine. The folder is called sync; import it as
//
//	peersync "github.com/peersd/peersd/sync"
//
// so that a bare sync always means the standard library.
//
// A [Hub] knows all peers, a link each. A link has at most one established
// connection, and what is remembered of the peer between two.
//
// Lock order: link.mu, then conn.mu, then what is taken last and held for a few
// instructions: Hub.mu, handshakes.mu, misnamed.mu, shapes.mu, the locks of package table, and
// a limit's after any of them. No lock is held across I/O.
package peersync
