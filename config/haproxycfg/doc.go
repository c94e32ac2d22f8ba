// Package haproxycfg reads what HAProxy's own configuration files say of peers
// and stick tables, so that peersd takes the same files as HAProxy. [Read] gives
// a [Config] or says what is wrong, [Check] what would be done.
//
// The measure is HAProxy 3.2: its manual (doc/configuration.txt; sections below
// are of it), and where that is silent `haproxy -c` of 3.2.26. A folder of cases,
// testdata, says what was seen; TestConfig in e2e holds each of them against a
// HAProxy: the same files accepted, the same lines refused, and the same tables
// and peers as `show table`, `show peers` and the definitions on the wire have.
//
//	files.go        -f: files, and folders of them
//	words.go        a line into words: quotes, escapes, variables
//	reader.go       lines into statements: conditional blocks, sections
//	condition.go    what stands behind .if
//	environment.go  variables, and what conditions know of HAProxy (haproxy.go)
//	config.go       statements into a Config, line by line, then as a whole
//	global.go, peers.go, proxy.go, table.go, options.go, address.go
//	check.go        the report
//
// # Files
//
// -f may be repeated. In place of a folder stand its regular files *.cfg that
// don't begin with a dot, in the order of their names (management guide,
// section 3). A section ends with its file, and so does a block of conditions.
// A last line without a line feed is an error, as the file may have been cut
// short; so is a NUL.
//
// # Words
//
// Section 2.2. Outside of quotes a backslash escapes a space, \, #, ' and ";
// \t, \n, \r and \xNN are characters, and any other backslash stands for itself.
// The same holds between double quotes, where \$ is a dollar, too. Between single
// quotes nothing is special. A carriage return ends the line, unless it follows
// blanks. A line has 64 words at most. An empty word ends the arguments, of most
// keywords: HAProxy warns.
//
// Variables (section 2.3) are resolved between double quotes: "$NAME",
// "${NAME}", "${NAME-default}" where it is not set, and "${NAME[*]}" as several
// words. Behind one that is not set HAProxy takes the closing quote and the
// blanks for part of it, so that the next word goes on with this one (seen in
// 3.2). "${.FILE}", "${.LINE}" and "${.SECTION}" are where we are. An address is
// expanded once more, quotes or none (seen in 3.2).
//
// setenv, presetenv, unsetenv and resetenv change a copy, not this process.
// HAProxy reads global sections twice: a first time for localpeer and variables,
// which thus count before their lines, except where master-worker makes the
// worker start again from the environment of the start (seen in 3.2).
//
// # Conditions
//
// Section 2.4: .if, .elif, .else, .endif, nested up to 99 deep; ! before &&
// before ||; integers in C's notation; all predicates of 3.2. Quotes in arguments
// are resolved a second time. Lines that are left out still have to be cut into
// words. .alert refuses the file, .warning and .notice become messages, .diag is
// for HAProxy's -dD and says nothing. What version_atleast(), feature(),
// openssl_version_atleast() and enabled() are to go by is in [HAProxy]: peersd is
// none, and answers as the HAProxy that it was tested with unless it is told.
// OpenSSL's versions are compared as HAProxy does it, where 3.6.5 is not at least
// 3.6.5 (seen in 3.2).
//
// # Peers
//
// Section 11.2, the old form (peer) and the new one (bind, server); both forbid
// what HAProxy forbids. The line with the local peer's name says where to listen;
// without it HAProxy removes the section, with a warning. default-server counts
// for the lines behind it and adds up, default-bind for the one listener wherever
// it stands. In the old form the listener has TLS where default-bind says so, not
// by the options of the peer line. Where peersd reads the file, [Options.Mirror], its own
// server line may have an address, which HAProxy forbids; a server line without one is
// then that of the HAProxy whose file it is, which listens where the bind line says. A
// shard above the number of shards is left out, with a warning; of what is no number
// there, and of numbers below 0, HAProxy says nothing.
//
// # Tables
//
// Section 11.1. A table of a peers section is called section/name in `show
// table` and /name on the wire, that of a proxy as the proxy. A string of len n
// has a key of n+1 bytes, one without len of 32. Sizes have k, m and g for 2^10,
// 2^20 and 2^30 and end below 2^32 (section 2.6); times have us to d, are rounded
// up to ms and end at 2147483647 ms (section 2.5). store may be repeated and
// takes lists. A stick rule makes HAProxy store server_id and server_key in its
// table. The table of a disabled proxy, and of a disabled or incomplete section,
// is not synchronized.
//
// # What is not read
//
// Other directives of other sections are none of our business, so a file that
// HAProxy refuses for these is accepted. So are a host name that doesn't resolve,
// certificates that can't be read, and values of options that peers have no use
// for. Refused, though HAProxy takes them, are a bind line without an address and
// a key of 2 GiB or more. Options of bind and server lines that came with
// HAProxy 3.3 and 3.4 are accepted.
//
// Other lines of HAProxy differ, in little that a file should depend on: 3.4
// refuses empty words, and cuts the next word off from a variable that is not
// set, which is warned of; it refuses a frontend and a backend of one name. 3.0
// has no ipv4 for a type, no recv-only and no brates-factor, and does not look for
// localpeer and variables beforehand. 2.6 has no shards.
//
// # config-parser
//
// github.com/haproxytech/config-parser names the options of bind and server
// lines with their values, and reads log lines. It gets words that are cut
// already, one option at a time, since by itself (v5.1.6)
//
//   - it resolves no variable, escape or quote, and knows neither conditions nor
//     setenv;
//   - it passes over options that it doesn't know, and over such without their
//     value, without a word; it lacks some of 3.2, and has some that 3.2 has not;
//   - of a peer line it keeps name, address and shard alone, and only where the
//     shard comes first; it doesn't take the path of a UNIX socket;
//   - it gives up on a server line without an address;
//   - it gives up on a table line that doesn't begin with type, or has recv-only,
//     srvkey or brates-factor, and on a stick-table line likewise; of several
//     store words of a stick-table it keeps the last;
//   - of two sections of one name it keeps the second;
//   - it doesn't say on which line anything stands.
//
// TestTraps fails where one of these is no longer so.
package haproxycfg
