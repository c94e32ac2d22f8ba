package protocol

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// A Version of the protocol is its minor number; the major one is 2 for all
// that speak it.
type Version int

// The versions in use. The only difference: 2.0 has no timed updates.
const (
	Version20 Version = 0
	Version21 Version = 1
)

func (v Version) String() string { return "2." + strconv.Itoa(int(v)) }

// magic is how the first line of every hello begins.
const magic = "HAProxyS "

// MaxHello is the longest hello that is accepted, in bytes.
const MaxHello = 1024

// A Hello is what the peer that dials says first, in three lines of text.
type Hello struct {
	Version Version
	// Remote is the name of the peer being called.
	Remote string
	// Local is the name of the caller.
	Local string
	// PID and Relative are informative. PID is no proof of identity: in
	// containers it repeats. HAProxy sends 1 (older ones: 0 or more) as
	// Relative.
	PID, Relative int
}

// AppendHello appends the three lines of h.
func AppendHello(b []byte, h Hello) []byte {
	return fmt.Appendf(b, "%s%v\n%s\n%s %d %d\n", magic, h.Version, h.Remote, h.Local, h.PID, h.Relative)
}

// A HandshakeError says why a hello can't be accepted, and carries the status
// to answer it with.
type HandshakeError struct {
	Status Status
	Reason string
}

func (e *HandshakeError) Error() string { return e.Reason }

// ParseHello reads a hello from the front of b and returns it with the number
// of bytes that it took, 0 where b ends inside the hello. A carriage return
// before a line feed is dropped, as HAProxy does. An error is a
// [*HandshakeError]; what the three lines said as far as they could be read is
// returned with it.
func ParseHello(b []byte) (h Hello, n int, err error) {
	var lines [3]string
	b = b[:min(len(b), MaxHello)]
	rest := b
	for i := range lines {
		line, after, found := bytes.Cut(rest, []byte{'\n'})
		if !found {
			return h, 0, incompleteHello(b, i, line)
		}
		lines[i] = strings.TrimSuffix(string(line), "\r")
		rest = after
		if i == 0 {
			if h.Version, err = parseVersion(lines[0]); err != nil {
				return h, len(b) - len(rest), err
			}
		}
	}
	n = len(b) - len(rest)
	h.Remote = lines[1]
	name, numbers, found := strings.Cut(lines[2], " ")
	h.Local = name
	if !found {
		return h, n, &HandshakeError{StatusProtocol, "third line of the hello is not \"NAME PID NUMBER\""}
	}
	pid, relative, _ := strings.Cut(numbers, " ")
	// Informative only: HAProxy accepts anything here, and so do we.
	h.PID, _ = strconv.Atoi(pid)
	h.Relative, _ = strconv.Atoi(relative)
	return h, n, nil
}

// incompleteHello tells a hello that isn't all here yet from one that never
// will be one: too long, or not this protocol from its first bytes on.
func incompleteHello(b []byte, line int, part []byte) error {
	if line == 0 {
		k := min(len(part), len(magic))
		if string(part[:k]) != magic[:k] {
			return &HandshakeError{StatusProtocol, "not a peers protocol connection"}
		}
	}
	if len(b) == MaxHello {
		return &HandshakeError{StatusProtocol, fmt.Sprintf("hello is longer than %d bytes", MaxHello)}
	}
	return nil
}

// parseVersion reads the first line of a hello. A later minor version than
// 2.1 is refused with 502, whereupon HAProxy announces 2.0 at its next dial.
func parseVersion(line string) (Version, error) {
	text, found := strings.CutPrefix(line, magic)
	if !found {
		return 0, &HandshakeError{StatusProtocol, "not a peers protocol connection"}
	}
	major, minor, _ := strings.Cut(text, ".")
	maj, err := strconv.ParseUint(major, 10, 16)
	minorNumber, err2 := strconv.ParseUint(minor, 10, 16)
	if err != nil || err2 != nil {
		return 0, &HandshakeError{StatusVersion, fmt.Sprintf("%.20q is no protocol version", text)}
	}
	if maj != 2 || minorNumber > uint64(Version21) {
		return 0, &HandshakeError{StatusVersion, fmt.Sprintf("protocol version %d.%d is not supported", maj, minorNumber)}
	}
	return Version(minorNumber), nil
}

// A Status is the answer to a hello, one line of text.
type Status int

// The statuses. HAProxy does not dial again after any but [StatusSuccess]
// before it is called or restarted, [StatusTryAgain] included: where the
// reason is a passing one, close without a status instead.
const (
	StatusSuccess  Status = 200 // the session is established
	StatusTryAgain Status = 300 // only ever sent to a second connection of a local peer
	StatusProtocol Status = 501 // not this protocol
	StatusVersion  Status = 502 // the version is not supported
	StatusLocal    Status = 503 // the called name is not the acceptor's
	StatusRemote   Status = 504 // the caller's name is not known
)

// String says what the status means for whom it was sent to.
func (s Status) String() string {
	switch s {
	case StatusSuccess:
		return "200 (success)"
	case StatusTryAgain:
		return "300 (try again later)"
	case StatusProtocol:
		return "501 (not the peers protocol)"
	case StatusVersion:
		return "502 (version not supported)"
	case StatusLocal:
		return "503 (the called name is not its own)"
	case StatusRemote:
		return "504 (our name is not known to it)"
	}
	return strconv.Itoa(int(s))
}

// AppendStatus appends the line of s.
func AppendStatus(b []byte, s Status) []byte {
	return append(strconv.AppendInt(b, int64(s), 10), '\n')
}

// ParseStatus reads a status line from the front of b and returns it with the
// number of bytes that it took, 0 where b ends inside the line. An error is an
// [*Error]; there is nobody to send its Reply to.
func ParseStatus(b []byte) (s Status, n int, err error) {
	line, _, found := bytes.Cut(b[:min(len(b), maxStatus)], []byte{'\n'})
	if !found && len(b) < maxStatus {
		return 0, 0, nil
	}
	code, err := strconv.ParseUint(strings.TrimSuffix(string(line), "\r"), 10, 16)
	if !found || err != nil {
		return 0, 0, malformed("answer to the hello is no status: %.20q", line)
	}
	return Status(code), len(line) + 1, nil
}

// maxStatus bounds a status line: three digits, CR, LF, and some goodwill.
const maxStatus = 16
