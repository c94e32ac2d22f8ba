package session_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/sync/session"
)

// A stream is one that was captured, to be damaged.
type stream struct {
	*capture
	first  int              // number of its first byte among those of all streams
	bytes  []byte           // its own
	frames []protocol.Frame // of them, whole
	begins []int            // where each of them begins, and behind the last one
	end    error            // how it ends
	memory int64            // of the tables then
}

// streams are all captured directions that differ from each other.
func streams(t *testing.T) (all []*stream, size int) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range captures(t) {
		key := fmt.Sprint(c.version, string(c.frames))
		if seen[key] {
			continue
		}
		seen[key] = true
		s := &stream{capture: c, first: size, bytes: bytes.Clone(c.frames)}
		s.frames, s.begins, s.end = cut(s.bytes, 0, nil, nil)
		s.memory = s.play(s.frames, s.end).m.tables.Memory()
		all = append(all, s)
		size += len(s.bytes)
	}
	return all, size
}

// cut appends the frames of b from at on, and where they begin. end is that of the
// stream.
func cut(b []byte, at int, frames []protocol.Frame, begins []int) (_ []protocol.Frame, _ []int, end error) {
	for {
		begins = append(begins, at)
		f, n, err := protocol.ParseFrame(b[at:])
		switch {
		case err != nil:
			return frames, begins, err
		case n == 0 && at < len(b):
			return frames, begins, io.ErrUnexpectedEOF
		case n == 0:
			return frames, begins, io.EOF
		}
		frames, at = append(frames, f), at+n
	}
}

// frame is which one a byte is in.
func (s *stream) frame(at int) int {
	n, found := slices.BinarySearch(s.begins, at)
	if !found {
		n--
	}
	return n
}

// end takes the end of a session as the runner does, and reports what is wrong
// with it.
func (l *listening) end(why error) error {
	var broken *protocol.Error
	switch {
	case why == nil, errors.Is(why, io.EOF), errors.Is(why, io.ErrUnexpectedEOF):
		if err := l.output(); err != nil {
			return err
		}
	case errors.As(why, &broken):
		reply := session.AppendError(nil, why)
		if err := wellFormed(reply); err != nil || len(reply) == 0 {
			return fmt.Errorf("the reply to %q is %x: %w", why, reply, err)
		}
		l.TakeBack()
	default:
		return why
	}
	if !l.Consistent() {
		return fmt.Errorf("inconsistent after %v", why)
	}
	return nil
}

// play feeds a session with the frames of a stream that ends so.
func (s *stream) play(frames []protocol.Frame, end error) *listening {
	l := newMirror().begin(s.sender, s.version)
	if err := l.take(frames); err != nil {
		end = err
	}
	if l.wrong = l.end(end); l.wrong != nil {
		l.wrong = fmt.Errorf("%w, after %w", l.wrong, end)
	}
	return l
}

// Whatever byte of whatever a peer has sent is another one, the session ends as
// one that is whole, or is told what is wrong; and what it has left behind is no
// more than what the whole one has, and a message.
//
// Fed is each direction of each captured session, once where several are equal, as
// often as it has bytes. Each time one of them is changed by XOR with a number from
// 1 to 255, so that over all streams each number has its turn hundreds of times, and
// from that byte on the stream is cut into messages anew.
//
// A stream of up to 40 messages is fed whole. Of a longer one, which would take its
// length squared, fed are the changed message, the 6 before it and the 5 behind it;
// and of what comes before these the definition that they are under, resync requests
// and the like, and, where server keys are sent once, all.
func TestEachByteCorrupted(t *testing.T) {
	all, size := streams(t)
	if len(all) < 200 || size < 255*255 {
		t.Fatalf("%d streams of %d bytes", len(all), size)
	}
	for _, s := range all {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			for at := range s.bytes {
				if err := s.corrupt(at, byte(1+(s.first+at)%255)); err != nil {
					t.Fatalf("byte %d: %v", at, err)
				}
			}
		})
	}
}

// A stream of more than so many messages is fed in parts, of so many messages
// before the changed one and after it.
const (
	long = 40
	near = 6
)

// around is the part of the stream that is fed whole where the n-th message is
// changed: from the frame before on.
func (s *stream) around(n int) (before int, b []byte, frames []protocol.Frame, end error) {
	if len(s.frames) <= long {
		return 0, s.bytes, s.frames, s.end
	}
	before = max(n-near, 0)
	if last := n + near; last < len(s.frames) {
		return before, s.bytes[:s.begins[last]], s.frames[:last], io.EOF
	}
	return before, s.bytes, s.frames, s.end
}

// needed are those of the first n frames without which the others would not mean
// the same: the definition that they are under, and what is of no table. Where
// server keys are sent once, all are.
func (s *stream) needed(n int) (some []protocol.Frame) {
	if strings.HasPrefix(s.scenario, "server-key") {
		return s.frames[:n]
	}
	var def []protocol.Frame
	for i, f := range s.frames[:n] {
		switch {
		case f.Type == protocol.DefinitionMessage:
			def = s.frames[i : i+1]
		case !f.Type.IsUpdate() && f.Type != protocol.AckMessage:
			some = append(some, f)
		}
	}
	return slices.Concat(some, def)
}

// corrupt feeds the stream with one byte changed.
func (s *stream) corrupt(at int, by byte) error {
	s.bytes[at] ^= by
	defer func() { s.bytes[at] ^= by }()
	n := s.frame(at)
	before, b, frames, end := s.around(n)
	if n >= len(frames) || at < s.begins[n+1]-len(frames[n].Payload) {
		frames, _, end = cut(b, s.begins[n], slices.Clip(frames[:n]), nil)
	}
	if before > 0 {
		frames = slices.Concat(s.needed(before), frames[before:])
	}
	l := s.play(frames, end)
	if took := l.m.tables.Memory(); l.wrong == nil && took > 2*s.memory+protocol.MaxPayload {
		return fmt.Errorf("%d bytes of tables, and %d where it is whole", took, s.memory)
	}
	return l.wrong
}

// Wherever whatever a peer has sent ends, the session ends cleanly.
//
// Of a message that is not whole the session is told nothing. So each captured
// direction is fed once, message by message, and after each the session is looked
// at as if it had ended there; and each beginning of each message is read as the
// end of a stream.
func TestEachByteTheLast(t *testing.T) {
	all, _ := streams(t)
	for _, s := range all {
		l := newMirror().begin(s.sender, s.version)
		for n, f := range s.frames {
			for at := s.begins[n]; at < s.begins[n+1]; at++ {
				want := io.ErrUnexpectedEOF
				if at == s.begins[n] {
					want = io.EOF
				}
				if _, _, err := cut(s.bytes[:at], s.begins[n], nil, nil); !errors.Is(err, want) {
					t.Fatalf("%v: byte %d: %v", s, at, err)
				}
			}
			err := l.take([]protocol.Frame{f})
			if wrong := l.end(err); wrong != nil {
				t.Fatalf("%v: after message %d: %v", s, n, wrong)
			}
			if err != nil {
				break
			}
		}
	}
}
