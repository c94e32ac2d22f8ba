// Package screen is what `peersd top` shows: it reads what the runtime socket says of
// peers, tables and busy keys, and lays it out for a terminal of some size. What is
// shown of a table of millions of entries takes no more than of a small one.
package screen
