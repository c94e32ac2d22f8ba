package protocol

import (
	"errors"
	"fmt"
	"io"
)

// MaxPayload is the longest payload that is accepted where nothing else is said,
// in bytes. It is HAProxy's default tune.bufsize; a message over it is answered
// with [SizeLimit], as HAProxy does.
const MaxPayload = 16384

// MaxSend is the longest message, header included, that is ever sent, in
// bytes. HAProxy closes a session over a message that does not fit its buffer
// beside the headroom that it keeps (tune.maxrewrite, 1024).
const MaxSend = MaxPayload - 1024

// headerLen is the longest header of a frame: class, type, and a payload
// length of at most 5 bytes, as in HAProxy.
const headerLen = 2 + 5

// A Frame is one message as it came, not yet looked into.
type Frame struct {
	Type MessageType
	// Payload is what followed the length, nil for messages without one. It
	// is valid until the next call of the [Reader].
	Payload []byte
}

// AppendFrame appends a frame of type t around payload. t has to be one that
// carries a payload.
func AppendFrame(b []byte, t MessageType, payload []byte) []byte {
	b = AppendVarint(AppendMessage(b, t), uint64(len(payload)))
	return append(b, payload...)
}

// ParseFrame reads one frame from the front of b and returns it with the
// number of bytes that it took, 0 where b ends inside the frame. An error is
// always an [*Error]: a reserved class, a length of more than 5 bytes or one
// over [MaxPayload].
func ParseFrame(b []byte) (f Frame, n int, err error) { return parseFrame(b, MaxPayload) }

func parseFrame(b []byte, longest int) (f Frame, n int, err error) {
	if len(b) < 2 {
		if len(b) == 1 && b[0] == classReserved {
			return Frame{}, 0, malformed("message of the reserved class 255")
		}
		return Frame{}, 0, nil
	}
	f.Type = MessageType(b[0])<<8 | MessageType(b[1])
	if f.Type.reserved() {
		return Frame{}, 0, malformed("message of the reserved class 255")
	}
	if !f.Type.hasPayload() {
		return f, 2, nil
	}
	size, sizeLen := ParseVarint(b[2:min(len(b), headerLen)])
	switch {
	case sizeLen == 0 && len(b) >= headerLen:
		return Frame{}, 0, malformed("length of %v takes more than %d bytes", f.Type, headerLen-2)
	case sizeLen == 0:
		return Frame{}, 0, nil
	case size > uint64(longest):
		return Frame{}, 0, &Error{
			Reply:  SizeLimit,
			Reason: fmt.Sprintf("%v is longer than %d bytes", f.Type, longest),
		}
	}
	n = 2 + sizeLen + int(size)
	if n > len(b) {
		return Frame{}, 0, nil
	}
	f.Payload = b[2+sizeLen : n : n]
	return f, n, nil
}

// A Reader cuts a stream into frames. It never holds more than two messages of
// the longest payload that it accepts.
type Reader struct {
	src     io.Reader
	longest int    // payload
	buf     []byte // buf[:end] was read, buf[:pos] handed out
	pos     int
	end     int
}

// NewReader returns a Reader of src that accepts payloads of up to [MaxPayload].
func NewReader(src io.Reader) *Reader { return NewReaderSize(src, MaxPayload) }

// NewReaderSize returns a Reader of src that accepts payloads of up to longest
// bytes, which is not to be more than 2^30.
func NewReaderSize(src io.Reader, longest int) *Reader {
	return &Reader{src: src, longest: longest, buf: make([]byte, 2*(headerLen+longest))}
}

// Next returns the next frame. Its payload is valid until the next call.
//
// The error is an [*Error] where the peer broke the protocol, [io.EOF] where
// the stream ended between two frames, [io.ErrUnexpectedEOF] where it ended
// inside one, or what the source returned.
func (r *Reader) Next() (Frame, error) {
	for {
		f, n, err := parseFrame(r.buf[r.pos:r.end], r.longest)
		if err != nil {
			return Frame{}, err
		}
		if n > 0 {
			r.pos += n
			return f, nil
		}
		if err := r.fill(); err != nil {
			return Frame{}, err
		}
	}
}

// NextAll appends the next frame to frames and, without waiting for the source,
// those that came along with it, as long as there is room. All their payloads are
// valid until the next call. An error is one of Next's: no frame was appended.
func (r *Reader) NextAll(frames []Frame) ([]Frame, error) {
	f, err := r.Next()
	if err != nil {
		return frames, err
	}
	for frames = append(frames, f); len(frames) < cap(frames); frames = append(frames, f) {
		var n int
		if f, n, err = parseFrame(r.buf[r.pos:r.end], r.longest); n == 0 || err != nil {
			break // the next call says it again
		}
		r.pos += n
	}
	return frames, nil
}

func (r *Reader) fill() error {
	if r.pos > 0 {
		r.end = copy(r.buf, r.buf[r.pos:r.end])
		r.pos = 0
	}
	for range maxEmptyReads {
		n, err := r.src.Read(r.buf[r.end:])
		r.end += n
		switch {
		case n > 0:
			return nil
		case errors.Is(err, io.EOF) && r.end > 0:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

// maxEmptyReads is how often in a row a source may return nothing and no error.
const maxEmptyReads = 100
