package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/protocol"
)

// A badHello is one that is refused, in status and words.
type badHello struct {
	name, hello string
	status      string // "" is none: a HAProxy does not dial again after one
	says        string // in the log
}

var badHellos = []badHello{
	{"another protocol", "GET / HTTP/1.1\r\nHost: peersd\r\n\r\n", "501", "not a peers protocol connection"},
	{"no protocol", "\x17\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "501", "not a peers protocol connection"},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "", "it speaks TLS, and we don't"},
	{"version 3.0", "HAProxyS 3.0\npeersd\nlb1 1 1\n", "502", "version 3.0 is not supported"},
	{"version 2.9", "HAProxyS 2.9\npeersd\nlb1 1 1\n", "502", "version 2.9 is not supported"},
	{"version in words", "HAProxyS two\npeersd\nlb1 1 1\n", "502", `"two" is no protocol version`},
	{"another's name", "HAProxyS 2.1\nlb2\nlb1 1 1\n", "503", "start peersd with -L lb2"},
	{"our own name", "HAProxyS 2.1\npeersd\npeersd 1 1\n", "504", "own name"},
	{"no name", "HAProxyS 2.1\npeersd\n 1 1\n", "504", "is empty or has control characters"},
	{"a name that a terminal obeys", "HAProxyS 2.1\npeersd\nlb1\x1b[2J 1 1\n", "504", "is empty or has control characters"},
	{"no space in the third line", "HAProxyS 2.1\npeersd\nlb1\n", "501", "third line"},
	{"1 MB of a name", "HAProxyS 2.1\npeersd\n" + strings.Repeat("x", 1<<20), "501", "longer than 1024 bytes"},
	{"1 MB of a version", "HAProxyS " + strings.Repeat("2", 1<<20), "501", "longer than 1024 bytes"},
	{"an end", "HAProxyS 2.1\npee", "", "closed before its hello was complete"},
	{"nothing", "", "", "closed before its hello was complete"},
}

func TestBadHello(t *testing.T) {
	host := haproxytest.Host(t)
	d := startDaemon(t, host, 0)
	for _, tt := range badHellos {
		t.Run(tt.name, func(t *testing.T) {
			p := dialPeersd(t, host)
			p.send([]byte(tt.hello))
			p.CloseWrite()
			if status := p.line(); status != tt.status {
				t.Errorf("status %q, want %q", status, tt.status)
			}
			p.ended()
			d.says(t, p, tt.says)
		})
	}
}

func TestUnknownPeer(t *testing.T) {
	host := haproxytest.Host(t)
	d := startDaemon(t, host, 1)
	p, status := call(t, host, []byte("HAProxyS 2.1\npeersd\nlb7 1 1\n"))
	if status != "504" {
		t.Errorf("status %q", status)
	}
	p.ended()
	d.says(t, p, "add it to the peers section, or --peer lb7=ADDRESS:PORT, or --allow lb7")
}

// Who says nothing is let go after as long as HAProxy would wait.
func TestSilentHello(t *testing.T) {
	t.Parallel()
	host := haproxytest.Host(t)
	d := startDaemon(t, host, 0)
	began := time.Now()
	p, status := call(t, host, []byte("HAProxyS 2.1\n"))
	if took := time.Since(began); status != "" || took < 4*time.Second || took > 6*time.Second {
		t.Errorf("status %q after %v, want none after 5 s", status, took)
	}
	d.says(t, p, "no complete hello")
}

// What is wrong with a peer that we dial is said once, however often it is
// dialled.
func TestBadAnswer(t *testing.T) {
	tests := []struct{ name, answer, says string }{
		{"another protocol", "HTTP/1.1 400 Bad Request\r\n\r\n", "answer to the hello is no status"},
		{"no end", strings.Repeat("2", 1<<16), "answer to the hello is no status"},
		{"half a status", "20", "it closed the connection without a status"},
		{"nothing", "", "it closed the connection without a status"},
		{"try again", "300\n", "it says 300 (try again later)"},
		{"not the protocol", "501\n", "it says 501"},
		{"another's name", "503\n", `its own name is not "lb1"; name it as its -L or localpeer does: --peer NAME=`},
		{"a name it doesn't know", "504\n", `add "peer peersd ADDRESS:PORT" to the peers section of its haproxy.cfg`},
		{"unknown status", "999\n", "it says 999"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			host := haproxytest.Host(t)
			l, err := net.Listen("tcp", address(host, portLB))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			var dials atomic.Int32
			go func() {
				for {
					nc, err := l.Accept()
					if err != nil {
						return
					}
					nc.Read(make([]byte, protocol.MaxHello))
					io.WriteString(nc, tt.answer)
					nc.Close()
					dials.Add(1)
				}
			}()
			d := startDaemon(t, host, 1)
			eventually(t, patience, "peersd dials again and again", func() error {
				if n := dials.Load(); n < 4 {
					return fmt.Errorf("%d dials", n)
				}
				return nil
			})
			lines := linesOf(d.log.String(), l.Addr().String())
			if len(lines) != 1 || !strings.Contains(lines[0], tt.says) {
				t.Errorf("the log says %q, want one line with %q", lines, tt.says)
			}
		})
	}
}

// A peer that breaks each session is not dialled several times a second.
func TestPeerThatBreaksEachSession(t *testing.T) {
	host := haproxytest.Host(t)
	l, err := net.Listen("tcp", address(host, portLB))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	startDaemon(t, host, 1)
	p, _ := answer(t, l, protocol.StatusSuccess)
	p.send([]byte{255, 0})
	p.Close()
	closed := time.Now()
	answer(t, l, protocol.StatusSuccess)
	if after := time.Since(closed); after < time.Second {
		t.Errorf("dialled again after %v", after)
	}
}

// A badMessage is one, or more, that end the session.
type badMessage struct {
	name  string
	bytes []byte
	reply protocol.MessageType
	says  string // in the log
}

const noReply protocol.MessageType = math.MaxUint16

// The parts of a message, as bytes.
func varints(values ...uint64) (b []byte) {
	for _, v := range values {
		b = protocol.AppendVarint(b, v)
	}
	return b
}

func frame(t protocol.MessageType, parts ...[]byte) []byte {
	return protocol.AppendFrame(nil, t, slices.Concat(parts...))
}

// definition is a table definition of these numbers, from the key type on.
func definition(numbers ...uint64) []byte {
	return frame(protocol.DefinitionMessage, varints(1, 2), []byte("t1"), varints(numbers...))
}

// Numbers of a definition: key types with their lengths, and fields of types.
const (
	keyInt, keyString = uint64(protocol.KeyInteger), uint64(protocol.KeyString)
	storeNothing      = 0
	storeGPT          = 1 << protocol.GPTArray
	storeRate         = 1 << protocol.GPC0Rate
	storeServerKey    = 1 << protocol.ServerKey
	hour              = 3600_000
)

func badMessages() []badMessage {
	const refused, tooLong = protocol.ProtocolError, protocol.SizeLimit
	unknown := []byte{10, 0x8f}
	serverKey := func(value ...byte) []byte {
		return slices.Concat(definition(keyInt, 4, storeServerKey, hour),
			frame(protocol.UpdateMessage, []byte{0, 0, 0, 1, 0, 0, 0, 9}, value))
	}
	tests := []badMessage{
		{"reserved class", []byte{255, 0}, refused, "reserved class 255"},
		{"reserved class behind others", slices.Concat(message(protocol.Heartbeat), definition(keyInt, 4, 0, 0), []byte{255, 200}), refused, "reserved class 255"},
		{"length 16385", slices.Concat(unknown, varints(16385)), tooLong, "longer than 16384 bytes"},
		{"length 2^32-1", slices.Concat(unknown, varints(math.MaxUint32)), tooLong, "longer than 16384 bytes"},
		{"length 2^64-1", slices.Concat(unknown, varints(math.MaxUint64)), refused, "takes more than 5 bytes"},
		{"length without an end", slices.Concat(unknown, bytes.Repeat([]byte{255}, 16)), refused, "takes more than 5 bytes"},

		{"key type 0", definition(0, 4, storeNothing, hour), refused, "key type 0"},
		{"key type 1", definition(1, 4, storeNothing, hour), refused, "key type 1"},
		{"key type 3", definition(3, 4, storeNothing, hour), refused, "key type 3"},
		{"key type 8", definition(8, 4, storeNothing, hour), refused, "key type 8"},
		{"key type 2^64-1", definition(math.MaxUint64, 4, storeNothing, hour), refused, "key type 18446744073709551615"},
		{"integers of 8 bytes", definition(keyInt, 8, storeNothing, hour), refused, "key length 8"},
		{"strings of 0 bytes", definition(keyString, 0, storeNothing, hour), refused, "key length 0"},
		{"strings of 2^63 bytes", definition(keyString, 1<<63, storeNothing, hour), refused, "key length 9223372036854775808"},
		{"array of 0", definition(keyInt, 4, storeGPT, hour, 22, 0), refused, "0 elements of gpt"},
		{"array of 101", definition(keyInt, 4, storeGPT, hour, 22, 101), refused, "101 elements of gpt"},
		{"array of 2^32", definition(keyInt, 4, storeGPT, hour, 22, 1<<32), refused, "4294967296 elements of gpt"},
		{"array without a size", definition(keyInt, 4, storeGPT, hour), refused, "lacks the parameters of gpt"},
		{"rate of 2^32 ms", definition(keyInt, 4, storeRate, hour, 3, 1<<32), refused, "4294967296 ms"},
		{"rate for an array", definition(keyInt, 4, storeGPT, hour, 3, 10), refused, "data type 3 where those of gpt belong"},
		{"expire of 2^32 ms", definition(keyInt, 4, storeNothing, 1<<32), refused, "expire of 4294967296 ms"},
		{"definition cut short", definition(keyInt), refused, "cut short"},
		{"definition of nothing", frame(protocol.DefinitionMessage), refused, "cut short"},
		{"name longer than its message", frame(protocol.DefinitionMessage, varints(1, 1000), []byte("t1")), refused, "cut short"},
		{"name of 0 bytes", frame(protocol.DefinitionMessage, varints(1, 0, keyInt, 4, 0, 0)), refused, "name in a definition"},
		{"name of two lines", frame(protocol.DefinitionMessage, varints(1, 3), []byte("a\nb"), varints(keyInt, 4, 0, 0)), refused, "control characters"},

		{"dictionary id 0", serverKey(1, 0), refused, "dictionary id 0 is not 1 to 128"},
		{"dictionary id 129", serverKey(1, 129), refused, "dictionary id 129 is not 1 to 128"},
		{"dictionary id never defined", serverKey(1, 5), refused, "dictionary id 5 was never defined"},
		{"dictionary string longer than its value", serverKey(4, 1, 200, 's', '1'), refused, "cut short"},
		{"dictionary value longer than its message", serverKey(200, 1, 2, 's', '1'), refused, "cut short"},
		{"string longer than its message", slices.Concat(definition(keyString, 33, storeNothing, hour),
			frame(protocol.UpdateMessage, []byte{0, 0, 0, 1, 200}, []byte("key"))), refused, "cut short"},
		{"string of 2^64-1", slices.Concat(definition(keyString, 33, storeNothing, hour),
			frame(protocol.UpdateMessage, []byte{0, 0, 0, 1}, varints(math.MaxUint64))), refused, "cut short"},
		{"ack cut short", frame(protocol.AckMessage, varints(1), []byte{0, 0, 1}), refused, "ack message is cut short"},
		{"ack of nothing", frame(protocol.AckMessage), refused, "ack message is cut short"},
		{"switch cut short", frame(protocol.SwitchMessage, []byte{255}), refused, "switch message is cut short"},

		{"10,000 tables", manyTables(10_000), refused, "it defines more than 1024 tables"},
		{"16,385 data types", manyTypes(16_385), refused, "its tables have more than 16384 data types"},
		{"another definition after every update", otherDefinitions(3000), refused, "it has defined tables anew more than 2048 times"},

		{"end within a header", []byte{10}, noReply, "within a message"},
		{"end within a length", []byte{10, 0x80, 255}, noReply, "within a message"},
		{"end within a message", slices.Concat(unknown, varints(1000), make([]byte, 999)), noReply, "within a message"},
		{"end", nil, noReply, "by the peer"},
	}
	return append(tests, truncated()...)
}

// manyTables are the definitions of n tables.
func manyTables(n int) (b []byte) {
	for i := range n {
		def := gpc0Table(fmt.Sprint("many", i))
		def.ID = uint64(i)
		b = protocol.AppendDefinition(b, def)
	}
	return b
}

// manyTypes are definitions with at least n data types in all.
func manyTypes(n int) (b []byte) {
	for i := 0; i*protocol.MaxElements < n; i++ {
		def := gpc0Table(fmt.Sprint("types", i))
		def.ID, def.Types = uint64(i), storeGPT
		def.Params[protocol.GPTArray].Elements = protocol.MaxElements
		b = protocol.AppendDefinition(b, def)
	}
	return b
}

// otherDefinitions are n of one table, each with an update, and none is as the one
// before it.
func otherDefinitions(n int) (b []byte) {
	for i := range n {
		def := gpc0Table("changing")
		def.Expire += uint32(i % 2)
		b = append(protocol.AppendDefinition(b, def), gpc0Update(uint32(i+1), "key", uint64(i))...)
	}
	return b
}

// truncated are all four kinds of updates, cut at each byte.
func truncated() (tests []badMessage) {
	def := &protocol.Definition{ID: 1, Name: "t1", KeyType: protocol.KeyString, KeyLen: 33, Expire: hour,
		Types: storeGPT | storeRate | storeServerKey | 1<<protocol.BytesInCount}
	def.Params[protocol.GPC0Rate].Period = 10_000
	def.Params[protocol.GPTArray].Elements = 2
	whole := slices.Concat([]byte("\x03key"), varints(5000, 300, 1), varints(math.MaxUint64), []byte("\x04\x01\x02s1"), varints(1, 300))
	head := []byte{0, 0, 0, 1} // id, and remaining lifetime
	for kind, payload := range map[protocol.MessageType][]byte{
		protocol.UpdateMessage:                 slices.Concat(head, whole),
		protocol.IncrementalUpdateMessage:      whole,
		protocol.TimedUpdateMessage:            slices.Concat(head, head, whole),
		protocol.IncrementalTimedUpdateMessage: slices.Concat(head, whole),
	} {
		for n := range payload {
			tests = append(tests, badMessage{fmt.Sprintf("%v of %d bytes", kind, n),
				append(protocol.AppendDefinition(nil, def), frame(kind, payload[:n])...), protocol.ProtocolError, "cut short"})
		}
	}
	return tests
}

func TestBadMessage(t *testing.T) {
	host := haproxytest.Host(t)
	d := startDaemon(t, host, 0)
	for i, tt := range badMessages() {
		t.Run(tt.name, func(t *testing.T) {
			p := mustCall(t, host, fmt.Sprintf("lb%d", i), protocol.Version21)
			p.send(tt.bytes)
			p.CloseWrite()
			if reply := p.ended(); reply != tt.reply {
				t.Errorf("answered with %v, want %v", reply, tt.reply)
			}
			d.says(t, p, tt.says)
		})
	}
}

// What HAProxy was sent by hand, and answered, is answered alike.
func TestOddMessagesOfCaptures(t *testing.T) {
	// HAProxy passes over these definitions, which none of its kind sends,
	// in silence; see protocol.ParseDefinition.
	stricter := regexp.MustCompile(`/conn(11|12|14)\.`)
	files, err := filepath.Glob("../testdata/captures/*/errors/*.c2s.bin")
	if err != nil || len(files) == 0 {
		t.Fatal("no captures", err)
	}
	host := haproxytest.Host(t)
	startDaemon(t, host, 0)
	for i, file := range files {
		t.Run(file, func(t *testing.T) {
			sent, want := afterHandshake(t, file), errorIn(t, strings.Replace(file, "c2s", "s2c", 1))
			if stricter.MatchString(file) {
				want = protocol.ProtocolError
			}
			p := mustCall(t, host, fmt.Sprintf("lb%d", i), protocol.Version21)
			p.send(sent)
			if want != noReply {
				if got := p.ended(); got != want {
					t.Errorf("answered with %v, want %v", got, want)
				}
				return
			}
			p.lesson() // the session goes on
		})
	}
}

// afterHandshake is what the dialling side of a capture sent behind its hello.
func afterHandshake(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, n, err := protocol.ParseHello(b)
	if n == 0 || err != nil {
		t.Fatal("no hello", err)
	}
	return b[n:]
}

// errorIn is the error message of the accepting side of a capture.
func errorIn(t *testing.T, file string) protocol.MessageType {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return lastError(t, protocol.NewReader(bytes.NewReader(b[len("200\n"):])))
}

// lastError reads up to the end, and returns the error message before it.
func lastError(t testing.TB, r *protocol.Reader) protocol.MessageType {
	t.Helper()
	last := noReply
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return last
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Type == protocol.ProtocolError || f.Type == protocol.SizeLimit {
			last = f.Type
		}
	}
}

// ended reads up to the end of the connection, and returns the error message
// that came before it.
func (p *fakePeer) ended() protocol.MessageType {
	p.t.Helper()
	return lastError(p.t, p.r)
}

// says waits for what the log has to say of the connection p, which is one
// line, and checks it. What the log said before the last call is of others: a
// port of theirs may have come again.
func (d *daemon) says(t testing.TB, p *fakePeer, want string) {
	t.Helper()
	p.Close()
	var lines []string
	eventually(t, patience, "the log has a line of it", func() error {
		if lines = linesOf(d.log.String()[d.said:], p.LocalAddr().String()); len(lines) == 0 {
			return errors.New("there is none")
		}
		return nil
	})
	d.said = len(d.log.String())
	if len(lines) != 1 || !strings.Contains(lines[0], want) {
		t.Errorf("the log says %q, want one line with %q", lines, want)
	}
}

// linesOf are a log's messages about a connection, but for the one that it is
// established.
func linesOf(log, address string) (lines []string) {
	for line := range strings.Lines(log) {
		var entry struct{ Address, Message string }
		if !strings.Contains(line, address) || json.Unmarshal([]byte(line), &entry) != nil {
			continue
		}
		if entry.Address == address && entry.Message != "session established" {
			lines = append(lines, entry.Message)
		}
	}
	return lines
}

// Thousands of bad connections, many at a time, leave nothing behind.
func TestBadConnectionsLeaveNothing(t *testing.T) {
	host := haproxytest.Host(t)
	d := newPlain(t, host, 0, "--log-level", "error")
	d.start()
	flood(t, host, 500) // until memory is what it is under such load
	before := d.footprint()
	flood(t, host, 4000)
	eventually(t, patience, "all is given back", func() error {
		after := d.footprint()
		if after.files > before.files || after.memory > before.memory+4<<10 {
			return fmt.Errorf("%+v, and before it was %+v", after, before)
		}
		return nil
	})
}

// flood makes n bad connections, of all kinds in turn and of random bytes.
func flood(t *testing.T, host string, n int) {
	t.Helper()
	messages := badMessages()
	random := rand.NewChaCha8([32]byte{})
	var wg sync.WaitGroup
	for worker := range 20 {
		var noise [300]byte
		random.Read(noise[:])
		wg.Go(func() {
			for i := worker; i < n; i += 20 {
				bad := []byte(fmt.Sprintf("HAProxyS 2.1\npeersd\nlb%d %d 1\n", worker, i))
				switch kind := i / 20; kind % 4 {
				case 0:
					bad = noise[kind%len(noise):]
				case 1:
					bad = []byte(badHellos[kind%len(badHellos)].hello)
				case 2:
					bad = append(bad, noise[kind%len(noise):]...)
				case 3:
					bad = append(bad, messages[kind%len(messages)].bytes...)
				}
				if err := once(host, bad); err != nil {
					t.Errorf("connection %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
}

// once sends bad and the end of the stream, and reads until peersd has ended
// the connection too.
func once(host string, bad []byte) error {
	nc, err := net.Dial("tcp", address(host, portPeersd))
	if err != nil {
		return err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	nc.Write(bad) // peersd may have hung up already
	nc.(*net.TCPConn).CloseWrite()
	if _, err := io.Copy(io.Discard, nc); errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// A footprint is what a process holds.
type footprint struct {
	files  int // open
	memory int // resident, in KiB
}

func (d *daemon) footprint() (f footprint) {
	d.t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(d.cmd.Process.Pid))
	files, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		d.t.Fatal(err)
	}
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		d.t.Fatal(err)
	}
	_, rss, _ := bytes.Cut(status, []byte("VmRSS:"))
	if _, err := fmt.Sscan(string(rss), &f.memory); err != nil {
		d.t.Fatal(err)
	}
	f.files = len(files)
	return f
}
