// Package agree finds out whether a HAProxy and a peersd have the same entries, by
// what their runtime sockets say. It looks twice: what has changed in between is
// under way, and says nothing.
package agree
