// Package session is one peers session after its handshake, as a pure state
// machine: it does no I/O, has no clock and starts nothing. Whoever runs it
//
//   - calls [Session.Receive] with each message that comes, and closes the
//     connection where that returns an error, after sending what [AppendError]
//     appends;
//   - calls [Session.AppendOutput] after that, at each [Session.Deadline], and
//     when a table has changed, again and again until it appends nothing, and
//     sends what it appends: that is a bounded part each time, and the next one
//     is asked for when the peer has taken it;
//   - calls [Session.Tick] at each deadline, and gives the peer up where that
//     returns [ErrSilent].
//
// Instants are arguments, so that each path is a fast test: the transcripts in
// testdata show what a session says to what, one scenario a file. What outlives
// a session is in its [Peer], and in the tables.
//
// # Learning
//
//	settling ---- nothing was pushed for 50 ms, or 1 s is over: ----> asked
//	                       acks, "resync request"                     |   ^
//	                                                                  |   |
//	              "finished" or "partial": "confirm"                  |   | after "partial",
//	                 +------------------------------------------------+   | in 5 s, 10 s ... 5 min:
//	                 v                                                    | "resync request"
//	              learned ------------------------------------------------+
//
// A peer that is being taught is asked after its confirm, or after 5 s without. A
// HAProxy that asked before it said anything else has just started, and is not
// asked, unless this side has just started too ([Config].Began): after its confirm
// it counts as learned, or, where it was told "partial", is asked in 5 s.
//
// What an update means depends on when it comes:
//
//	state      untimed                            timed
//	settling   pushed: of unknown age             live, of another peersd
//	asked      pushed; a row with version 2.0     a row of the lesson
//	learned    live; a replay where its id        live, of another peersd
//	           is one of the lesson's
//
// Package table says what becomes of it ([table.How]). Rows of a lesson are not
// acked, nor what was pushed and can't be judged before the lesson is over, and
// what comes behind it till then: the peer sends these again. A definition holds until the peer defines its id or its name anew,
// as it does for each change of table; updates of what it has not defined are
// skipped.
//
// # Teaching
//
//	nothing ---- "resync request" ----> tables ---- "finished" or "partial" ----> unanswered
//	   ^                                 |  ^                                       |   |
//	   |                                 +--+------------- "resync request" --------+   |
//	   +--------------------------------------------------------- "confirm" ------------+
//
// A lesson is, for each table that the peer does not define otherwise, its
// definition, the entries that were learned, those that were changed here, and
// what was learned meanwhile. It is kept open for up to 4 s for what others are
// about to teach us, and begins anew where it is asked for again, but not within a
// second: then it is put off till that is over. What has only
// a bound for its lifetime, because it was pushed, comes last, when the true one
// is known or not to be had. Local changes are pushed from where the peer's last
// good ack left off; in the course of a lesson they are sent in half of each burst,
// and pushed once more after it, for only then they are acked. There are no queues:
// positions in each table's logs are all there is, so that a slow peer only lags
// behind.
//
// A peer that has a shard ([Config].Shard) is taught and pushed the keys of that
// alone. It will ack nothing of the others, so these count as taken with what was
// sent before them.
//
// Updates go out in bursts, at a rate ([Config].TeachRate), and wait while the peer
// does not read them: the kernel says so, where [Session.Watch] is told.
//
// # What a peer can take of us
//
// What it defines is bounded, and so is how often it defines tables otherwise than
// before: beyond that it breaks the protocol, and what it has defined for the first
// time on that session is taken back ([Session.TakeBack]), but for tables with
// entries. Its tables of earlier sessions make room for those of this one. How many
// new entries it has brought is counted ([Stats]); it is for the runner to read
// more slowly.
//
// # What is done for which HAProxy
//
// All of this was seen on real ones, of the versions 2.6 to 3.4 unless others
// are named (more of it is in docs/protocol.md):
//
//   - Heartbeats go out at once, after 10 ms, 250 ms, 1 s and 2 s, and so again
//     when another connection of the peer was closed ([Session.Nudge]): it
//     counts its 5 s of silence from its dial on, and when it drops an abandoned
//     dial it forgets that the other session is alive.
//   - What it pushes by itself is taken and acked before it is asked for a
//     lesson. Asked earlier, it sends the same again after our confirm, untimed,
//     and everything would live a full lifetime more. What was under way comes
//     again all the same, and is known by its id: a lesson begins with what was
//     not acked. Ids of what it has learned itself are 2^31 ahead.
//   - It pushes nothing before our confirm, and nothing, not even heartbeats,
//     while its own request is unanswered: it is answered even where there is
//     nothing to teach.
//   - While it learns, it holds back what it would push: it is asked for a
//     lesson after its confirm.
//   - From 3.3 on it says nothing while it learns, and closes a connection of its
//     own after 5 s of that (seen on 3.4): a lesson that is not acked and lasts
//     longer is told to the runner ([LongLesson]).
//   - "partial" is no fault: 5 s after its start, at the latest, it takes itself
//     for up to date, and then it is asked again.
//   - Acks of 3.3 to 3.5-dev5 are garbage after incremental updates. All updates
//     have explicit ids, and an ack counts only between the last good one and
//     what was sent. Before 3.3 rows of a lesson are acked: to no use, it ignores
//     our acks while it teaches, and we its while we teach.
//   - A live change is sent timed, with what is left of its lifetime, so that
//     it may be sent twice. To a peer that speaks 2.0 nothing is timed.
//   - Entries of a table without expire never end, and say so with 0 ms. To a
//     peer whose table has one, it is that which is sent.
//   - A table of another key type or length than its own it drops in silence:
//     it is not taught such.
//   - A "partial" without a lesson it confirms, and nothing else happens: that
//     is what [Session.Ping] does to see whether it is there.
//   - Unknown messages are skipped; data types that are not known are left out
//     of their table.
package session
