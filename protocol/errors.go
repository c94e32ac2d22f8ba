package protocol

import "fmt"

// An Error says that a peer broke the protocol. It carries what to tell the
// peer before the connection is closed, so that the reply and the log line
// come from one value.
type Error struct {
	// Reply is what HAProxy sends in the same case: [ProtocolError], or
	// [SizeLimit] for a message over [MaxPayload].
	Reply MessageType
	// Reason is one clause for the log, without a trailing period.
	Reason string
}

func (e *Error) Error() string { return e.Reason }

func malformed(format string, args ...any) *Error {
	return &Error{Reply: ProtocolError, Reason: fmt.Sprintf(format, args...)}
}
