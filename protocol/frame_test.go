package protocol_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/peersd/peersd/protocol"
)

// checkError: err is an [*protocol.Error] with a reason and the given reply.
func checkError(tb testing.TB, err error, reply protocol.MessageType) {
	tb.Helper()
	var broken *protocol.Error
	if !errors.As(err, &broken) || broken.Reply != reply || broken.Error() == "" {
		tb.Errorf("%v is no Error with a reason and the reply %q", err, reply)
	}
}

func TestParseFrame(t *testing.T) {
	long := protocol.AppendFrame(nil, protocol.UpdateMessage, make([]byte, protocol.MaxPayload))
	for _, tt := range []struct {
		name    string
		in      []byte
		want    protocol.MessageType
		payload int
	}{
		{"control", []byte{0, 3}, protocol.ResyncConfirm, 0},
		{"error", []byte{1, 1}, protocol.SizeLimit, 0},
		{"no payload", []byte{10, 0x83, 0}, protocol.SwitchMessage, 0},
		{"payload", []byte{10, 0x83, 2, 7, 7}, protocol.SwitchMessage, 2},
		{"longest payload", long, protocol.UpdateMessage, protocol.MaxPayload},
		{"unknown class", []byte{7, 1}, 0x0701, 0},
		{"unknown class with a payload", []byte{7, 0xc8, 1, 7}, 0x07c8, 1},
		{"unknown control message", []byte{0, 9}, 0x0009, 0},
		{"unknown control message with a payload", []byte{0, 0x90, 1, 7}, 0x0090, 1},
		{"unknown stick-table message", []byte{10, 5}, 0x0a05, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, n, err := protocol.ParseFrame(append(bytes.Clone(tt.in), 10, 0x80))
			if f.Type != tt.want || len(f.Payload) != tt.payload || n != len(tt.in) || err != nil {
				t.Errorf("read as %v with %d bytes of payload from %d bytes: %v", f.Type, len(f.Payload), n, err)
			}
			for i := range tt.in {
				if f, n, err := protocol.ParseFrame(tt.in[:i]); f.Type != 0 || n != 0 || err != nil {
					t.Fatalf("first %d bytes are read as %v, %d bytes: %v", i, f.Type, n, err)
				}
			}
		})
	}
}

func TestParseFrameRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		reply    protocol.MessageType
	}{
		{"reserved class", "ff00", protocol.ProtocolError},
		{"first byte of the reserved class", "ff", protocol.ProtocolError},
		{"reserved class with a length", "ff8000", protocol.ProtocolError},
		{"a byte too long", "0a80f1f106", protocol.SizeLimit},
		{"17000 bytes", "0a8ff89707", protocol.SizeLimit},
		{"4 GB", "0a80fff0fefe7e", protocol.SizeLimit},
		{"length of 6 bytes", "0a8fffffffffffff", protocol.ProtocolError},
		{"length of 10 bytes", "0a8ffff0fefefefefefefe0e", protocol.ProtocolError},
		{"length of 11 bytes", "0a8fffffffffffffffffffffff", protocol.ProtocolError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := unhex(t, tt.in)
			_, n, err := protocol.ParseFrame(in)
			checkError(t, err, tt.reply)
			_, err = protocol.NewReader(iotest.OneByteReader(bytes.NewReader(in))).Next()
			checkError(t, err, tt.reply)
			if n != 0 {
				t.Errorf("took %d bytes", n)
			}
		})
	}
}

// emptyReader returns nothing, twice before each byte.
type emptyReader struct {
	src   io.Reader
	calls int
}

func (r *emptyReader) Read(p []byte) (int, error) {
	if r.calls++; r.calls%3 != 0 {
		return 0, nil
	}
	return r.src.Read(p[:1])
}

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

func TestReader(t *testing.T) {
	var stream []byte
	var want []protocol.Frame
	for _, size := range []int{0, 1, 239, 240, protocol.MaxPayload, 0, protocol.MaxPayload, protocol.MaxPayload, 3} {
		f := protocol.Frame{Type: protocol.UpdateMessage, Payload: bytes.Repeat([]byte{byte(size)}, size)}
		want = append(want, f, protocol.Frame{Type: protocol.Heartbeat})
		stream = protocol.AppendFrame(stream, f.Type, f.Payload)
		stream = protocol.AppendMessage(stream, protocol.Heartbeat)
	}
	for name, src := range map[string]io.Reader{
		"whole":            bytes.NewReader(stream),
		"byte by byte":     iotest.OneByteReader(bytes.NewReader(stream)),
		"halves":           iotest.HalfReader(bytes.NewReader(stream)),
		"end with data":    iotest.DataErrReader(bytes.NewReader(stream)),
		"nothing at times": &emptyReader{src: bytes.NewReader(stream)},
	} {
		t.Run(name, func(t *testing.T) {
			r := protocol.NewReader(src)
			for i := range want {
				f, err := r.Next()
				if err != nil || f.Type != want[i].Type || !bytes.Equal(f.Payload, want[i].Payload) {
					t.Fatalf("frame %d is %v with %d bytes: %v", i, f.Type, len(f.Payload), err)
				}
			}
			for range 2 {
				if _, err := r.Next(); err != io.EOF {
					t.Errorf("at the end: %v", err)
				}
			}
		})
	}
}

// How long a message may be is whoever reads it to say.
func TestReaderSize(t *testing.T) {
	for _, longest := range []int{1024, protocol.MaxPayload, 1 << 20} {
		for size, want := range map[int]bool{longest - 1: true, longest: true, longest + 1: false} {
			frame := protocol.AppendFrame(nil, protocol.UpdateMessage, make([]byte, size))
			all := slices.Concat(frame, frame, frame)
			r := protocol.NewReaderSize(bytes.NewReader(all), longest)
			for range 3 {
				f, err := r.Next()
				if want && (err != nil || len(f.Payload) != size) {
					t.Errorf("%d bytes of at most %d: %v", size, longest, err)
				}
				if !want {
					checkError(t, err, protocol.SizeLimit)
				}
			}
		}
	}
}

func TestReaderErrors(t *testing.T) {
	broken := errors.New("broken pipe")
	for _, tt := range []struct {
		name string
		src  io.Reader
		want error
	}{
		{"empty", strings.NewReader(""), io.EOF},
		{"ends in a type", strings.NewReader("\x0a"), io.ErrUnexpectedEOF},
		{"ends in a length", strings.NewReader("\x0a\x80\xf0"), io.ErrUnexpectedEOF},
		{"ends in a payload", strings.NewReader("\x0a\x80\x02\x00"), io.ErrUnexpectedEOF},
		{"fails", iotest.ErrReader(broken), broken},
		{"fails in a frame", io.MultiReader(strings.NewReader("\x0a"), iotest.ErrReader(broken)), broken},
		{"never gets on", stuckReader{}, io.ErrNoProgress},
	} {
		if _, err := protocol.NewReader(tt.src).Next(); err != tt.want {
			t.Errorf("%s: %v, not %v", tt.name, err, tt.want)
		}
	}
}

// What came along with a frame is there without another wait for the source.
func TestReaderNextAll(t *testing.T) {
	types := func(frames []protocol.Frame) (b []byte) {
		for _, f := range frames {
			b = append(b, byte(f.Type>>8), byte(f.Type))
		}
		return b
	}
	for _, tt := range []struct {
		name string
		src  io.Reader
		room int
		want []string // of each call
		err  error
	}{
		{"as they come", io.MultiReader(strings.NewReader("\x00\x04\x00\x00\x0a"), strings.NewReader("\x80\x00\x00\x01")), 10,
			[]string{"\x00\x04\x00\x00", "\x0a\x80\x00\x01"}, io.EOF},
		{"as many as there is room for", strings.NewReader("\x00\x04\x00\x00\x00\x01"), 2,
			[]string{"\x00\x04\x00\x00", "\x00\x01"}, io.EOF},
		{"without room, one", strings.NewReader("\x00\x04\x00\x00"), 0, []string{"\x00\x04", "\x00\x00"}, io.EOF},
		{"until one ends early", strings.NewReader("\x00\x04\x0a\x80"), 10, []string{"\x00\x04"}, io.ErrUnexpectedEOF},
		{"until one is wrong", strings.NewReader("\x00\x04\xff\x00"), 10, []string{"\x00\x04"},
			&protocol.Error{Reply: protocol.ProtocolError, Reason: "message of the reserved class 255"}},
	} {
		r, frames := protocol.NewReader(tt.src), make([]protocol.Frame, 0, tt.room)
		for _, want := range tt.want {
			got, err := r.NextAll(frames)
			if err != nil || string(types(got)) != want {
				t.Errorf("%s: % x, %v; want % x", tt.name, types(got), err, want)
			}
		}
		if got, err := r.NextAll(frames); len(got) > 0 || fmt.Sprint(err) != fmt.Sprint(tt.err) {
			t.Errorf("%s: in the end % x and %v, want %v", tt.name, types(got), err, tt.err)
		}
	}
}

func TestMessageTypes(t *testing.T) {
	for wire, name := range map[string]string{
		"0000":   "resync request",
		"0001":   "resync finished",
		"0002":   "resync partial",
		"0003":   "resync confirm",
		"0004":   "heartbeat",
		"0100":   "protocol error",
		"0101":   "size limit",
		"0a8000": "update",
		"0a8100": "incremental update",
		"0a8200": "table definition",
		"0a8300": "table switch",
		"0a8400": "ack",
		"0a8500": "timed update",
		"0a8600": "incremental timed update",
		"0102":   "unknown message 1/2",
		"0aff00": "unknown message 10/255",
	} {
		f, _, err := protocol.ParseFrame(unhex(t, wire))
		if err != nil || f.Type.String() != name {
			t.Errorf("%s is %q, not %q: %v", wire, f.Type, name, err)
		}
		if got := f.Type.IsUpdate(); got != strings.HasSuffix(name, "update") {
			t.Errorf("%v is an update: %v", f.Type, got)
		}
	}
}
