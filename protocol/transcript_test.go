package protocol_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/peersd/peersd/internal/testkit"
	"github.com/peersd/peersd/protocol"
)

var rewrite = flag.Bool("rewrite", false, "write the transcripts in testdata anew")

// transcribed tells of which captures there is a transcript: all of the newest
// version, and of the others what differs most.
func transcribed(c capture) bool {
	several := []string{"data-types", "key-types", "server-key", "reconnect-after-inc", "varint"}
	return c.version == "3.4" || slices.Contains(several, c.scenario)
}

func TestTranscripts(t *testing.T) {
	texts := map[string]string{}
	for _, c := range captures(t) {
		if transcribed(c) {
			path := filepath.Join("..", "testdata", "transcripts", c.version, c.scenario+".txt")
			texts[path] += transcript(t, c) + "\n"
		}
	}
	for path, got := range texts {
		if *rewrite {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs: %s", path, testkit.FirstDifference(got, string(want)))
		}
	}
}

// transcript is c as a person reads it, one line a message.
func transcript(t *testing.T, c capture) string {
	s := fmt.Sprintf("# %s\n", strings.TrimSuffix(c.file, ".bin"))
	if c.byCaller() {
		h, _, err := protocol.ParseHello(c.data)
		s += fmt.Sprintf("hello %v remote=%q local=%q pid=%d relative=%d", h.Version, h.Remote, h.Local, h.PID, h.Relative)
		if err != nil {
			s += fmt.Sprintf(" error: %v", err)
		}
	} else {
		status, _, err := protocol.ParseStatus(c.data)
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		s += fmt.Sprintf("status %v", status)
	}
	for _, e := range c.events {
		s += "\n" + e.String()
	}
	if c.err != nil {
		s += "\nerror: " + c.err.Error()
	}
	return s + "\n"
}

// However a stream arrives, the same messages come out of it; and what HAProxy
// sent is read without an error.
func TestCapturesAreReadHoweverTheyArrive(t *testing.T) {
	for _, c := range captures(t) {
		bytewise, err := readAll(iotest.OneByteReader(bytes.NewReader(c.frames)))
		if !slices.EqualFunc(c.events, bytewise, sameText) || fmt.Sprint(err) != fmt.Sprint(c.err) {
			t.Errorf("%v: read byte by byte it differs", c)
		}
		if !c.byHAProxy() {
			continue
		}
		if c.err != nil {
			t.Errorf("%v: %v", c, c.err)
		}
		for _, e := range c.events {
			if e.err != nil {
				t.Errorf("%v: %v", c, e)
			}
		}
	}
}

func sameText(a, b event) bool { return a.String() == b.String() }

// Each message that HAProxy sent is encoded to the very bytes that it came as,
// dictionary ids included. Only incremental updates we send as explicit ones.
func TestCapturesEncodeAgain(t *testing.T) {
	for _, c := range captures(t) {
		if !c.byHAProxy() {
			continue
		}
		var w protocol.DictionaryWriter
		var r protocol.DictionaryReader
		for _, e := range c.events {
			got := encode(e, &w)
			want := protocol.AppendFrame(nil, e.frame.Type, e.frame.Payload)
			switch e.frame.Type {
			case protocol.IncrementalUpdateMessage, protocol.IncrementalTimedUpdateMessage:
				checkDecodes(t, got, e, &r)
			case protocol.UpdateMessage, protocol.TimedUpdateMessage:
				checkDecodes(t, got, e, &r)
				if !bytes.Equal(got, want) {
					t.Errorf("%v: %v is encoded as\n%x, not\n%x", c, e, got, want)
				}
			case protocol.DefinitionMessage, protocol.AckMessage:
				if !bytes.Equal(got, want) {
					t.Errorf("%v: %v is encoded as\n%x, not\n%x", c, e, got, want)
				}
			default:
				if !bytes.Equal(got, want[:2]) {
					t.Errorf("%v: %v is encoded as %x, not %x", c, e, got, want)
				}
			}
		}
	}
}

func encode(e event, w *protocol.DictionaryWriter) []byte {
	switch {
	case e.layout != nil:
		return protocol.AppendUpdate(nil, e.layout, w, &e.update)
	case e.def != nil:
		return protocol.AppendDefinition(nil, e.def)
	case e.frame.Type == protocol.AckMessage:
		return protocol.AppendAck(nil, e.ack)
	}
	return protocol.AppendMessage(nil, e.frame.Type)
}

// checkDecodes: b is a whole update message that reads as that of e.
func checkDecodes(t *testing.T, b []byte, e event, r *protocol.DictionaryReader) {
	t.Helper()
	f, n, err := protocol.ParseFrame(b)
	if err != nil || n != len(b) {
		t.Fatalf("%v: frame of %d of %d bytes: %v", e, n, len(b), err)
	}
	again := e
	again.update = protocol.Update{Values: make([]uint64, e.layout.Words)}
	if err := protocol.ParseUpdate(f.Type, f.Payload, e.layout, r, 0, &again.update); err != nil {
		t.Fatalf("%v: %v", e, err)
	}
	if again.String() != e.String() {
		t.Errorf("read again as\n%v, not\n%v", again, e)
	}
}

// What a hand-made client was answered by HAProxy is what our errors say to
// answer: nothing, unless the session is lost. But for three definitions that
// HAProxy passes over with all that follows: we say so, and end the session.
func TestErrorsAgreeWithHAProxy(t *testing.T) {
	answers := map[string]protocol.MessageType{}
	for _, c := range captures(t) {
		if c.scenario == "errors" && !c.byCaller() {
			for _, e := range c.events {
				if e.frame.Type == protocol.ProtocolError || e.frame.Type == protocol.SizeLimit {
					answers[strings.TrimSuffix(c.String(), ".s2c.bin")] = e.frame.Type
				}
			}
		}
	}
	if len(answers) != 2*5 {
		t.Fatalf("HAProxy answered %d messages with an error, not 10", len(answers))
	}
	for _, c := range captures(t) {
		if c.scenario != "errors" || !c.byCaller() {
			continue
		}
		err := c.err
		for _, e := range c.events {
			err = errors.Join(err, e.err)
		}
		got := protocol.MessageType(0)
		if broken := (*protocol.Error)(nil); errors.As(err, &broken) {
			got = broken.Reply
		}
		want := answers[strings.TrimSuffix(c.String(), ".c2s.bin")]
		switch strings.TrimSuffix(c.file, ".c2s.bin") {
		case "conn11", "conn12", "conn14": // a key of 8 bytes in IPv4, key type 99, a rate without period
			want = protocol.ProtocolError
		}
		if got != want {
			t.Errorf("%v: %v: reply %#x, not %#x", c, err, got, want)
		}
	}
}

// In the scenario data-types the table d_NAME stores NAME alone.
func TestDataTypesAreNamedAsInHAProxy(t *testing.T) {
	seen := map[protocol.DataType]bool{}
	for _, c := range captures(t) {
		if c.scenario != "data-types" {
			continue
		}
		for _, e := range c.events {
			name, found := "", false
			if e.def != nil {
				name, found = strings.CutPrefix(e.def.Name, "d_")
			}
			if !found {
				continue
			}
			types := slices.Collect(e.def.DataTypes())
			if len(types) != 1 || types[0].String() != name {
				t.Errorf("%v: %v stores %v", c, e.def.Name, types)
				continue
			}
			seen[types[0]] = true
		}
	}
	if len(seen) != protocol.NumDataTypes {
		t.Errorf("%d data types seen of %d", len(seen), protocol.NumDataTypes)
	}
}
