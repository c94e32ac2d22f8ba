// Package discover finds peers that come and go: where the DNS says that they are,
// and where a file does.
//
// A [Place] is what the user wrote. Each is looked up again when its TTL is over,
// and each address found there is an endpoint. The protocol needs the name of
// whom it dials, which the DNS doesn't know; [Prober] says how it is found.
// What comes of it all, peers by name, is the roster, and goes to the hub as a
// whole each time that it changes.
package discover
