package session

import (
	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// A Kind of event.
type Kind int

// The events, with the fields of [Event] that go with them.
const (
	// Defined: the peer defined a table for the first time, or otherwise
	// than before. Table, Definition.
	Defined Kind = iota
	// TooManyTables, TooManyDataTypes: the peer defined more than it may, and
	// has broken the protocol.
	TooManyTables
	TooManyDataTypes
	// Retracted: what the peer has defined under a name does not count any
	// more. Name.
	Retracted
	// LessonAsked: the peer was asked for a lesson.
	LessonAsked
	// Learned: the peer's lesson is over. UpToDate, Updates.
	Learned
	// TeachAsked: the peer has asked for a lesson. Lesson.
	TeachAsked
	// Teaching: how far the lesson is, from time to time. Lesson.
	Teaching
	// LongLesson: the peer, if it has made the connection itself, may close it
	// before the lesson is over, and then over and over again. Lesson.
	LongLesson
	// Taught: the last message of a lesson was appended. UpToDate, Updates.
	Taught
	// TaughtConfirmed: the peer has confirmed its lesson. LessonDue, and UpToDate
	// where it knows nothing that this side lacks.
	TaughtConfirmed
	// AckIgnored: the peer acked what was never sent to it. Table, Ack.
	AckIgnored
	// PeerError: the peer says that this side broke the protocol. Type.
	PeerError
)

// An Event is something that an operator may want to know of.
type Event struct {
	Kind       Kind
	Table      *table.Table
	Definition *protocol.Definition
	Name       string // of a table
	UpToDate   bool
	LessonDue  bool // the peer will be asked for its own now
	Lesson     Lesson
	Updates    uint64
	Ack        protocol.Ack
	Type       protocol.MessageType
}
