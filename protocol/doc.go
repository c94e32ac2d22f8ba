// Package protocol is the wire format of HAProxy's peers protocol, versions
// 2.0 and 2.1, as HAProxy 2.6 to 3.4 speak it: the text handshake ([Hello],
// [Status]), framing ([Reader], [Frame]), and a file for each message.
//
// Each message has an Append function that writes it whole, header included,
// and a Parse function that reads its payload. There is no I/O here but for
// [Reader], and no clock. Errors are [*Error] and [*HandshakeError], which carry
// what to tell the peer.
//
// Updates are the messages that come by the million: [ParseUpdate] and
// [AppendUpdate] allocate nothing but for strings that are new to a session.
package protocol
