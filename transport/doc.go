// Package transport makes the connections of peers as haproxy.cfg says them: over
// TCP or UNIX sockets, with TLS or without. Package peersync gets a [net.Listener]
// and a function that dials, and knows nothing of it.
//
// A [Transport] is what global sections say. Of a bind line it makes a [Server], of
// a peer or server line a [Client]; messages tell what is wrong with the line, and
// what of it Go's crypto/tls can't do.
//
//	address.go       where to listen and to dial
//	server.go        bind lines
//	client.go        peer and server lines
//	global.go        defaults, folders that names of files begin in
//	options.go       versions, ciphers, curves, ALPN
//	ciphers.go       OpenSSL's words for cipher suites
//	certificate.go   crt
//	generate.go      ca-sign-file
//	authority.go     ca-file, crl-file, and what is verified by them
//	files.go         files that change
//	name.go          names in certificates
//	conn.go          a connection, and what is known of its other end
//
// # Files
//
// Files are read at the start, which fails where one can't be read. On each
// handshake the files that it needs are looked at, and read again where one has
// changed: other times, size or inode, or another list of files in a folder. What
// can't be read then leaves what was there before in use, and the log says so.
// Sessions that are established stay.
//
// # Verification
//
// OpenSSL's rules, as HAProxy has them: a chain has to end with a certificate that
// has signed itself and is in ca-file or ca-verify-file; others in there only help
// to find it. With a crl-file there has to be a list of each authority in the chain,
// and none may be out of date.
//
// HAProxy verifies the name of a server where there is sni or verifyhost, and that
// of a client never: [CheckName] does.
//
// # Reload
//
// A configuration that is read again makes another [Transport], whose clients are
// those of the one before wherever their lines say the same, and a [Listener] goes
// on with another [Server].
package transport
