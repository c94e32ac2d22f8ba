// Package admin is how a running daemon is inspected: the runtime socket, which
// speaks HAProxy's own commands in HAProxy's own formats, and its client.
package admin
