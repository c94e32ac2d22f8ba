package protocol

import "fmt"

// MessageType is the two bytes that every message begins with: its class in
// the high byte, its type within the class in the low one.
type MessageType uint16

// The classes of messages.
const (
	classControl    = 0
	classError      = 1
	classStickTable = 10
	classReserved   = 255
)

// The messages of protocol versions 2.0 and 2.1.
const (
	ResyncRequest  MessageType = classControl << 8   // teach me everything
	ResyncFinished MessageType = classControl<<8 | 1 // the lesson is over, and the teacher was up to date
	ResyncPartial  MessageType = classControl<<8 | 2 // the lesson is over, but the teacher itself lacks something
	ResyncConfirm  MessageType = classControl<<8 | 3 // the answer to either
	Heartbeat      MessageType = classControl<<8 | 4

	ProtocolError MessageType = classError << 8   // sent just before closing
	SizeLimit     MessageType = classError<<8 | 1 // sent just before closing

	UpdateMessage                 MessageType = classStickTable<<8 | 0x80
	IncrementalUpdateMessage      MessageType = classStickTable<<8 | 0x81
	DefinitionMessage             MessageType = classStickTable<<8 | 0x82
	SwitchMessage                 MessageType = classStickTable<<8 | 0x83
	AckMessage                    MessageType = classStickTable<<8 | 0x84
	TimedUpdateMessage            MessageType = classStickTable<<8 | 0x85
	IncrementalTimedUpdateMessage MessageType = classStickTable<<8 | 0x86
)

// hasPayload reports whether a varint length and that many bytes follow.
func (t MessageType) hasPayload() bool { return t&0x80 != 0 }

// reserved reports whether t is of the class that nobody may send.
func (t MessageType) reserved() bool { return t>>8 == classReserved }

// IsUpdate reports whether t is one of the four kinds of updates.
func (t MessageType) IsUpdate() bool {
	return t == UpdateMessage || t == IncrementalUpdateMessage ||
		t == TimedUpdateMessage || t == IncrementalTimedUpdateMessage
}

// explicit reports whether an update carries its id; where it doesn't, the id
// is the one after that of the update before it.
func (t MessageType) explicit() bool { return t == UpdateMessage || t == TimedUpdateMessage }

// timed reports whether an update carries a remaining lifetime.
func (t MessageType) timed() bool {
	return t == TimedUpdateMessage || t == IncrementalTimedUpdateMessage
}

var messageNames = map[MessageType]string{
	ResyncRequest:                 "resync request",
	ResyncFinished:                "resync finished",
	ResyncPartial:                 "resync partial",
	ResyncConfirm:                 "resync confirm",
	Heartbeat:                     "heartbeat",
	ProtocolError:                 "protocol error",
	SizeLimit:                     "size limit",
	UpdateMessage:                 "update",
	IncrementalUpdateMessage:      "incremental update",
	DefinitionMessage:             "table definition",
	SwitchMessage:                 "table switch",
	AckMessage:                    "ack",
	TimedUpdateMessage:            "timed update",
	IncrementalTimedUpdateMessage: "incremental timed update",
}

func (t MessageType) String() string {
	if name, ok := messageNames[t]; ok {
		return name
	}
	return fmt.Sprintf("unknown message %d/%d", t>>8, t&0xff)
}

// AppendMessage appends a message that has no payload: a control or an error
// message.
func AppendMessage(b []byte, t MessageType) []byte {
	return append(b, byte(t>>8), byte(t))
}
