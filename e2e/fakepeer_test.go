package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/protocol"
)

// patience is how long a fake peer waits for what has to come.
const patience = 5 * time.Second

// A fakePeer is one end of a connection whose other end is peersd.
type fakePeer struct {
	t testing.TB
	*net.TCPConn
	r *protocol.Reader
}

func address(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

func newFakePeer(t testing.TB, nc net.Conn) *fakePeer {
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(2 * patience))
	return &fakePeer{t, nc.(*net.TCPConn), protocol.NewReader(nc)}
}

// dialPeersd connects to the peersd on host.
func dialPeersd(t testing.TB, host string) *fakePeer {
	t.Helper()
	nc, err := net.Dial("tcp", address(host, portPeersd))
	if err != nil {
		t.Fatal(err)
	}
	return newFakePeer(t, nc)
}

// call is dialPeersd with a hello. The status is that of the answer, "" where
// the connection was closed without one.
func call(t testing.TB, host string, hello []byte) (p *fakePeer, status string) {
	t.Helper()
	p = dialPeersd(t, host)
	p.send(hello)
	return p, p.line()
}

// mustCall is call with a good hello of a peer of that name.
func mustCall(t testing.TB, host, name string, v protocol.Version) *fakePeer {
	t.Helper()
	hello := protocol.Hello{Version: v, Remote: "peersd", Local: name, PID: 1, Relative: 1}
	p, status := call(t, host, protocol.AppendHello(nil, hello))
	if status != "200" {
		t.Fatalf("%s: status %q", name, status)
	}
	return p
}

// answer accepts a connection of peersd, answers its hello with a status and
// returns the hello.
func answer(t testing.TB, l net.Listener, status protocol.Status) (*fakePeer, protocol.Hello) {
	t.Helper()
	l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	p := newFakePeer(t, nc)
	hello, _, err := protocol.ParseHello([]byte(p.line() + "\n" + p.line() + "\n" + p.line() + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	p.send(protocol.AppendStatus(nil, status))
	return p, hello
}

func (p *fakePeer) send(messages ...[]byte) {
	p.t.Helper()
	if _, err := p.Write(slices.Concat(messages...)); err != nil {
		p.t.Fatalf("can't send: %v", err)
	}
}

// line reads a line of the handshake, and not a byte more.
func (p *fakePeer) line() string {
	p.t.Helper()
	var line []byte
	for b := make([]byte, 1); ; line = append(line, b[0]) {
		_, err := p.Read(b)
		if errors.Is(err, io.EOF) {
			return string(line)
		}
		if err != nil {
			p.t.Fatalf("no line after %q: %v", line, err)
		}
		if b[0] == '\n' {
			return string(line)
		}
	}
}

// message builds a message without a payload.
func message(t protocol.MessageType) []byte { return protocol.AppendMessage(nil, t) }

// A sentUpdate is one that peersd sent, with the table that it is of.
type sentUpdate struct {
	protocol.Update
	table string
	id    uint64 // of the table
}

// until reads up to a message of one of the types wanted, and returns the
// updates before it.
func (p *fakePeer) until(wanted ...protocol.MessageType) (got []sentUpdate, last protocol.MessageType) {
	p.t.Helper()
	var (
		def    *protocol.Definition
		layout *protocol.Layout
		dict   protocol.DictionaryReader
	)
	for {
		f, err := p.r.Next()
		if err != nil {
			p.t.Fatalf("no %v after %d updates: %v", wanted, len(got), err)
		}
		switch {
		case slices.Contains(wanted, f.Type):
			return got, f.Type
		case f.Type == protocol.DefinitionMessage:
			if def, err = protocol.ParseDefinition(f.Payload); err != nil {
				p.t.Fatal(err)
			}
			layout = protocol.NewLayout(def)
		case f.Type.IsUpdate():
			u := sentUpdate{table: def.Name, id: def.ID}
			u.Values = make([]uint64, layout.Words)
			if err := protocol.ParseUpdate(f.Type, f.Payload, layout, &dict, 0, &u.Update); err != nil {
				p.t.Fatal(err)
			}
			u.Key = bytes.Clone(u.Key)
			got = append(got, u)
		}
	}
}

// teach waits until it is asked for a lesson and gives it, these messages, with
// the end that is told.
func (p *fakePeer) teach(end protocol.MessageType, messages ...[]byte) {
	p.t.Helper()
	p.until(protocol.ResyncRequest)
	p.send(append(messages, message(end))...)
	p.until(protocol.ResyncConfirm)
}

// lesson asks for a lesson, confirms it, and returns it. behind follows the
// request at once.
func (p *fakePeer) lesson(behind ...[]byte) []sentUpdate {
	p.t.Helper()
	p.send(append([][]byte{message(protocol.ResyncRequest)}, behind...)...)
	got, _ := p.until(protocol.ResyncFinished, protocol.ResyncPartial)
	p.send(message(protocol.ResyncConfirm))
	return got
}

// gpc0s are the values of a lesson of tables with gpc0, by table and key. A row
// that came twice is the later one.
func gpc0s(lesson []sentUpdate) map[string]uint64 {
	values := map[string]uint64{}
	for _, u := range lesson {
		values[u.table+" "+string(u.Key)] = u.Values[0]
	}
	return values
}

// gpc0Table is a table as the configurations of this file have it.
func gpc0Table(name string) *protocol.Definition {
	return &protocol.Definition{
		ID: 1, Name: name, KeyType: protocol.KeyString, KeyLen: 33, Types: 1 << protocol.GPC0, Expire: 3600_000,
	}
}

// gpc0Update is a whole update of such a table.
func gpc0Update(id uint32, key string, gpc0 uint64) []byte {
	u := protocol.Update{ID: id, Key: []byte(key), Values: []uint64{gpc0}}
	return protocol.AppendUpdate(nil, protocol.NewLayout(gpc0Table("")), new(protocol.DictionaryWriter), &u)
}

// gpc0Config has tables of the one type that gpc0Table defines.
func gpc0Config(host string, tables ...string) string {
	var b strings.Builder
	b.WriteString(peersSection(host, 1) + defaults)
	for _, name := range tables {
		fmt.Fprintf(&b, "backend %s\n    stick-table type string len 32 size 10k expire 1h store gpc0 peers mypeers\n", name)
	}
	return b.String()
}

// hasGPC0 reports where s lacks entries with these values of gpc0, or has
// others.
func hasGPC0(s shower, table string, want map[string]string) error {
	got, err := s.table(table)
	if err != nil {
		return err
	}
	values := map[string]string{}
	for _, e := range got.Entries {
		values[e.Key], _ = e.Get("gpc0")
	}
	if !maps.Equal(values, want) {
		return fmt.Errorf("table %s: %v, want %v", table, values, want)
	}
	return nil
}

// A peer that speaks 2.0 only knows no timed updates. It learns and teaches
// untimed, and what it teaches fills gaps only: nobody knows how old it is.
func TestPeerOfVersion20(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		old, err := net.Listen("tcp", address(host, portLB+1))
		if err != nil {
			t.Fatal(err)
		}
		defer old.Close()
		lb1 := r.Start(t, "lb1", gpc0Config(host, "t1"))
		lb1.MustCommand(t, "set table t1 key both data.gpc0 1")
		lb1.MustCommand(t, "set table t1 key lb1s data.gpc0 2")
		d := startDaemon(t, host, 2)

		if _, hello := answer(t, old, protocol.StatusVersion); hello.Version != protocol.Version21 {
			t.Errorf("first dialled with %v", hello.Version)
		}
		p, hello := answer(t, old, protocol.StatusSuccess)
		if hello.Version != protocol.Version20 {
			t.Errorf("dialled with %v after 502", hello.Version)
		}
		eventually(t, patience, "peersd learns of lb1", func() error { return d.established("lb1") })

		untimed := func(p *fakePeer) {
			t.Helper()
			want := map[string]uint64{"t1 both": 1, "t1 lb1s": 2, "t1 old": 3}
			lesson := p.lesson()
			for _, u := range lesson {
				if u.Timed {
					t.Errorf("%s came with a lifetime", u.Key)
				}
			}
			if got := gpc0s(lesson); !maps.Equal(got, want) {
				t.Errorf("was taught %v, want %v", got, want)
			}
		}
		p.teach(protocol.ResyncFinished, protocol.AppendDefinition(nil, gpc0Table("t1")),
			gpc0Update(1, "both", 91), gpc0Update(2, "old", 3))
		untimed(p)
		if v := d.peerField("lb2", "version"); v != "2.0" {
			t.Errorf("show peers has version %q", v)
		}
		all := map[string]string{"both": "1", "lb1s": "2", "old": "3"}
		if err := hasGPC0(d, "t1", all); err != nil {
			t.Error(err)
		}

		lb1 = restartHAProxy(t, lb1)
		eventually(t, 2*time.Second, "lb1 has it from peersd", func() error { return hasGPC0(hap{lb1}, "t1", all) })

		// Now it is the one who dials.
		old.Close()
		p.Close()
		eventually(t, patience, "the session is over", func() error {
			if v := d.peerField("lb2", "version"); v != "" {
				return fmt.Errorf("version %s", v)
			}
			return nil
		})
		untimed(mustCall(t, host, "lb2", protocol.Version20))
	})
}

// restartHAProxy kills a HAProxy and starts it again.
func restartHAProxy(t testing.TB, p *haproxytest.Process) *haproxytest.Process {
	t.Helper()
	again, err := p.Restart()
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// HAProxy 3.3 to 3.5-dev5 swap the bytes of what they ack. peersd sends lessons
// only, so far, and no ack is true of them; whoever believed one would skip
// rows, or send them again.
func TestGarbageAcks(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		lb1 := r.Start(t, "lb1", gpc0Config(host, "t1", "t2"))
		want := map[string]uint64{}
		for i := range 300 { // more than a teacher sends at once
			lb1.MustCommand(t, fmt.Sprintf("set table t1 key k%d data.gpc0 %d", i, i))
			want[fmt.Sprintf("t1 k%d", i)] = uint64(i)
		}
		lb1.MustCommand(t, "set table t2 key k data.gpc0 7")
		want["t2 k"] = 7
		d := startDaemon(t, host, 2)
		eventually(t, patience, "peersd learns", func() error { return d.established("lb1") })

		p := mustCall(t, host, "lb2", protocol.Version21)
		p.teach(protocol.ResyncPartial)
		var garbage []byte
		swapped := [...]uint32{0x01000000, 0x3c000000, 16777275, 0xffffffff, 0x2c010000}
		for _, id := range swapped {
			for table := range uint64(2) {
				garbage = protocol.AppendAck(garbage, protocol.Ack{TableID: table + 1, UpdateID: id})
			}
		}
		noSuchTable := protocol.AppendAck(nil, protocol.Ack{TableID: 77, UpdateID: 1})

		p.send(garbage, noSuchTable)
		for lesson := range 2 {
			got := p.lesson(garbage, noSuchTable) // behind the request: they are read while it is answered
			if len(got) != len(want) || !maps.Equal(gpc0s(got), want) {
				t.Errorf("lesson %d: %d rows, want each of %d entries once", lesson, len(got), len(want))
			}
			for _, u := range got {
				if !u.Timed {
					t.Errorf("lesson %d: %s came without a lifetime", lesson, u.Key)
				}
			}
			time.Sleep(time.Second) // the next one begins at once then
		}
		p.send(garbage, noSuchTable)

		// Rows of a lesson are acked by HAProxy before 3.3, to no use: only the
		// acks before the first lesson and after the last are garbage for sure.
		const count = 2 * (2*len(swapped) + 1)
		eventually(t, patience, "the garbage is counted", func() error {
			if got := d.peerField("lb2", "acks_ignored"); got != fmt.Sprint(count) {
				return fmt.Errorf("acks_ignored=%s, want %d", got, count)
			}
			return nil
		})
		for field, want := range map[string]string{"new_conn": "1", "proto_err": "0"} {
			if got := d.peerField("lb2", field); got != want {
				t.Errorf("%s=%s, want %s", field, got, want)
			}
		}
	})
}

// Who defines a table by other keys than someone else is taught only what is
// defined as it does.
func TestTaughtAsDefined(t *testing.T) {
	host := haproxytest.Host(t)
	startDaemon(t, host, 0)
	short, long := gpc0Table("t1"), gpc0Table("t1")
	long.KeyLen = 65
	for _, tt := range []struct {
		peer, key string
		def       *protocol.Definition
	}{{"lb1", "short", short}, {"lb2", "long", long}} {
		p := mustCall(t, host, tt.peer, protocol.Version21)
		p.send(protocol.AppendDefinition(nil, tt.def), gpc0Update(1, tt.key, 1))
		p.until(protocol.AckMessage)
		p.teach(protocol.ResyncFinished)
		if got, want := gpc0s(p.lesson()), map[string]uint64{"t1 " + tt.key: 1}; !maps.Equal(got, want) {
			t.Errorf("%s was taught %v, want %v", tt.peer, got, want)
		}
	}
}
