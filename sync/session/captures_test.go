package session_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/peersd/peersd/internal/testkit"
	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/sync/session"
	"github.com/peersd/peersd/table"
)

// A capture is what one side of a recorded session has sent, see
// testdata/README.md at the top.
type capture struct {
	release, scenario, file string
	sender, receiver        string
	version                 protocol.Version
	frames                  []byte // what follows the handshake
	byHAProxy               bool
}

func (c *capture) String() string { return c.release + "/" + c.scenario + "/" + c.file }

// captures returns every recorded direction of a session that came about, in
// the order of their connections.
func captures(tb testing.TB) []*capture {
	tb.Helper()
	all, err := readCaptures()
	if err != nil || len(all) < 300 {
		tb.Fatalf("%d captures: %v", len(all), err)
	}
	return all
}

var readCaptures = sync.OnceValues(func() (all []*capture, err error) {
	paths, err := filepath.Glob("../../testdata/captures/*/*/*.c2s.bin")
	if err != nil {
		return nil, err
	}
	slices.SortFunc(paths, func(a, b string) int { // conn10 after conn9
		if len(a) != len(b) && filepath.Dir(a) == filepath.Dir(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	for _, path := range paths {
		called, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		answered, err := os.ReadFile(strings.TrimSuffix(path, ".c2s.bin") + ".s2c.bin")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		hello, n, err := protocol.ParseHello(called)
		status, k, err2 := protocol.ParseStatus(answered)
		if err != nil || err2 != nil || n == 0 || status != protocol.StatusSuccess {
			continue
		}
		part := strings.Split(filepath.ToSlash(strings.TrimSuffix(path, ".c2s.bin")), "/")[4:]
		c := capture{release: part[0], scenario: part[1], file: part[2] + ".c2s", version: hello.Version}
		c.sender, c.receiver, c.frames = hello.Local, hello.Remote, called[n:]
		c.byHAProxy = !slices.Contains([]string{"errors", "downgrade-2.0", "status-byhand"}, c.scenario)
		s := c
		s.file, s.byHAProxy = part[2]+".s2c", true
		s.sender, s.receiver, s.frames = hello.Remote, hello.Local, answered[k:]
		all = append(all, &c, &s)
	}
	return all, nil
})

// A mirror is a daemon that one peer after the other, or one again and again,
// has a session with.
type mirror struct {
	now    time.Time
	tables *table.Set
	peers  map[string]*session.Peer
}

func newMirror() *mirror {
	return &mirror{now: epoch, tables: table.NewSet("mypeers", epoch).WithShards(1), peers: map[string]*session.Peer{}}
}

// play feeds a session with the bytes of src, and takes what it says after each
// message, or gives it many at once and listens only at the end.
func (m *mirror) play(sender string, v protocol.Version, src io.Reader, eachTime bool) error {
	l := m.begin(sender, v)
	r := protocol.NewReader(src)
	frames := make([]protocol.Frame, 0, 1000)
	if eachTime {
		frames = frames[:0:1]
	}
	for {
		var err error
		if frames, err = r.NextAll(frames[:0]); errors.Is(err, io.EOF) {
			return l.output()
		}
		if err == nil {
			err = l.take(frames)
		}
		if err == nil && eachTime {
			err = l.output()
		}
		if err != nil {
			return err
		}
	}
}

// A listening is a session of a mirror with a peer that only talks.
type listening struct {
	*session.Session
	m       *mirror
	version protocol.Version
	asked   bool  // the peer was asked for its lesson
	wrong   error // in the end, see stream
}

func (m *mirror) begin(sender string, v protocol.Version) *listening {
	if m.peers[sender] == nil {
		m.peers[sender] = &session.Peer{}
	}
	s := session.New(m.now, session.Config{Version: v, Tables: m.tables, Peer: m.peers[sender]})
	return &listening{Session: s, m: m, version: v}
}

// take gives the session what has come. Before the first row of a lesson it lets
// so much time pass that the lesson is asked for.
func (l *listening) take(frames []protocol.Frame) error {
	if i := slices.IndexFunc(frames, func(f protocol.Frame) bool { return partOfLesson(f, l.version) }); i >= 0 && !l.asked {
		if err := l.Receive(l.m.now, frames[:i]...); err != nil {
			return err
		}
		l.m.now, l.asked, frames = l.m.now.Add(60*time.Millisecond), true, frames[i:]
		if err := l.output(); err != nil {
			return err
		}
	}
	return l.Receive(l.m.now, frames...)
}

// output lets the session say what it has to say.
func (l *listening) output() error {
	for b := l.AppendOutput(l.m.now, nil); len(b) > 0; b = l.AppendOutput(l.m.now, nil) {
		if err := wellFormed(b); err != nil {
			return err
		}
	}
	return nil
}

func partOfLesson(f protocol.Frame, v protocol.Version) bool {
	switch f.Type {
	case protocol.TimedUpdateMessage, protocol.IncrementalTimedUpdateMessage, protocol.ResyncFinished, protocol.ResyncPartial:
		return true
	}
	return v < protocol.Version21 && f.Type.IsUpdate()
}

// wellFormed reports what is wrong with output: each message is whole, known to
// HAProxy, and of a length that it takes.
func wellFormed(b []byte) error {
	for len(b) > 0 {
		f, n, err := protocol.ParseFrame(b)
		switch {
		case err != nil:
			return err
		case n == 0:
			return fmt.Errorf("a part of a message: %x", b)
		case n > protocol.MaxSend:
			return fmt.Errorf("%v of %d bytes", f.Type, n)
		case strings.HasPrefix(f.Type.String(), "unknown"):
			return errors.New(f.Type.String())
		}
		b = b[n:]
	}
	return nil
}

// dump is all that the mirror knows, as text.
func (m *mirror) dump() string {
	var s strings.Builder
	for _, t := range m.tables.Tables() {
		def := t.Definition()
		fmt.Fprintf(&s, "%v\n", &def)
		for _, line := range entries(t, m.now) {
			s.WriteString("  " + line + "\n")
		}
	}
	return s.String()
}

// Whatever a HAProxy has sent is taken, in whatever parts it comes, and with
// the same result.
func TestCapturesAreTakenHoweverTheyArrive(t *testing.T) {
	for _, c := range captures(t) {
		whole := newMirror()
		err := whole.play(c.sender, c.version, bytes.NewReader(c.frames), false)
		if c.byHAProxy && err != nil {
			t.Errorf("%v: %v", c, err)
		}
		check := func(how string, src io.Reader) {
			m := newMirror()
			again := m.play(c.sender, c.version, src, true)
			if fmt.Sprint(again) != fmt.Sprint(err) {
				t.Errorf("%v, %s: %v, not %v", c, how, again, err)
			}
			if got, want := m.dump(), whole.dump(); got != want {
				t.Errorf("%v, %s: %s", c, how, testkit.FirstDifference(got, want))
			}
		}
		check("message by message", bytes.NewReader(c.frames))
		if len(c.frames) < 2000 { // the rest takes long, and brings nothing new
			check("byte by byte", iotest.OneByteReader(bytes.NewReader(c.frames)))
		}
		if c.release != "3.4" || len(c.frames) > 150 {
			continue
		}
		for i := range c.frames {
			check(fmt.Sprintf("cut at %d", i), io.MultiReader(bytes.NewReader(c.frames[:i]), bytes.NewReader(c.frames[i:])))
		}
	}
}

// What a mirror has learned in these scenarios is what HAProxy was seen to have
// in the place of lb2.
func TestCapturesAreLearned(t *testing.T) {
	for _, release := range []string{"2.6", "3.0", "3.2", "3.4"} {
		for scenario, want := range observed {
			m := newMirror()
			for _, c := range captures(t) {
				if c.release == release && c.scenario == scenario && c.receiver == "lb2" && c.byHAProxy {
					if err := m.play(c.sender, c.version, bytes.NewReader(c.frames), true); err != nil {
						t.Errorf("%v: %v", c, err)
					}
				}
			}
			if len(m.peers) == 0 {
				t.Errorf("%s/%s: nobody has sent anything", release, scenario)
			}
			got := m.show()
			for name, lines := range want {
				if scenario == "traffic" && release == "3.4" {
					lines = strings.ReplaceAll(lines, "=490", "=0") // the response went uncounted
				}
				if table := strings.Join(got[name], "\n"); !contains(got[name], lines) {
					t.Errorf("%s/%s: table %s is\n%s\nand lacks some of\n%s", release, scenario, name, table, lines)
				}
			}
		}
	}
}

// contains reports whether all lines of want are among got, and whether there
// are no others unless "..." is.
func contains(got []string, want string) bool {
	lines := strings.Split(strings.TrimSpace(want), "\n")
	more := lines[len(lines)-1] == "..."
	if more {
		lines = lines[:len(lines)-1]
	}
	for _, line := range lines {
		if !slices.Contains(got, line) {
			return false
		}
	}
	return more || len(got) == len(lines)
}

// show is the tables' entries by the tables' full names: much as `show table`
// prints them, rates read, without "exp" unless there is none.
func (m *mirror) show() map[string][]string {
	all := map[string][]string{}
	for _, t := range m.tables.Tables() {
		def := t.Definition()
		all[t.FullName()] = []string{}
		each(t, m.now, func(b *table.Batch, i int, u *protocol.Update, _ bool) {
			line := keyText(def.KeyType, u.Key)
			if !b.Expires(i) {
				line += " exp=0"
			}
			all[t.FullName()] = append(all[t.FullName()], line+read(&def, b.Layout(), u))
		})
	}
	return all
}

func read(def *protocol.Definition, l *protocol.Layout, u *protocol.Update) (s string) {
	for _, c := range l.Columns {
		if !c.Type.IsRate() {
			one := *l
			one.Columns = []protocol.Column{c}
			s += valuesText(&one, u, false)
			continue
		}
		var rates []string
		for r := range slices.Chunk(u.Values[c.Offset:c.Offset+c.Words()], 3) {
			rates = append(rates, fmt.Sprint(table.ReadRate(def.Params[c.Type].Period, uint32(r[0]), uint32(r[1]), uint32(r[2]))))
		}
		s += fmt.Sprintf(" %v=%s", c.Type, strings.Join(rates, ","))
	}
	return s
}

// observed is what lb2 was seen to have: by scenario and table, all entries, or
// some of them where "..." follows. It is the same for all releases.
var observed = map[string]map[string]string{
	"full-resync": {"t1": `
10.1.0.0 gpc0=1 conn_cnt=0 http_req_rate=0
10.1.0.1 gpc0=2 conn_cnt=2 http_req_rate=1
10.1.0.255 gpc0=256 conn_cnt=510 http_req_rate=3
10.1.1.43 gpc0=300 conn_cnt=598 http_req_rate=5
...`},
	"incremental": {"t1": `
10.0.0.1 gpc0=12 conn_cnt=0 http_req_rate=0
10.0.0.2 gpc0=2 conn_cnt=0 http_req_rate=0
10.0.0.3 gpc0=3 conn_cnt=0 http_req_rate=0
10.0.0.4 gpc0=4 conn_cnt=0 http_req_rate=0
10.0.0.5 gpc0=5 conn_cnt=0 http_req_rate=0
10.0.0.6 gpc0=6 conn_cnt=0 http_req_rate=0
10.0.1.0 gpc0=1 conn_cnt=0 http_req_rate=0
10.0.1.1 gpc0=1 conn_cnt=0 http_req_rate=0
10.0.1.2 gpc0=1 conn_cnt=0 http_req_rate=0`},
	"key-types": {"t_bin8": `
0x0102030000000000 gpc0=1
0x01000203000506ff gpc0=1
0x016c6f6e67657220 gpc0=1
0x6502030000000000 gpc0=1
0x65000203000506ff gpc0=1
0x656c6f6e67657220 gpc0=1`, "t_bin20": `
0x5a6df720540c20d95d530d3fd6885511223d5d20 gpc0=1
0x0e637ac7b344f4931b182f95b4e4565bb9274136 gpc0=1`, "t_ipv6": `
2001:db8::1 gpc0=1
2001:db8::2 gpc0=2
2001:db8::65 gpc0=101
2001:db8::66 gpc0=102
::ffff:192.0.2.1 gpc0=1
::ffff:192.0.2.2 gpc0=2
::ffff:192.0.2.101 gpc0=101
::ffff:192.0.2.102 gpc0=102`, "t_int": `
1 gpc0=1
2 gpc0=2
101 gpc0=101
102 gpc0=102
4294967294 gpc0=1
4294967293 gpc0=2
4294967194 gpc0=101
4294967193 gpc0=102`, "t_str": `
s1 gpc0=1
s2 gpc0=2
s101 gpc0=101
s102 gpc0=102
abcdefghijklmno1 gpc0=16
abcdefghijklmnop gpc0=18`},
	"mismatch": {"t1": `
10.8.0.1 gpt0=3 gpc0=1 conn_cnt=2`, "t2": `
abc gpc0=4`, "t3": `
10.8.0.2 gpc0=5`},
	"noexpire": {"tn": `
10.9.0.1 exp=0 gpc0=1`, "te": `
10.9.0.2 gpc0=2`},
	"peers-table": {"mypeers/t9": `
one gpc0=2
two gpc0=1`},
	"reconnect-after-inc": {"t1": `
10.1.9.9 gpc0=99 conn_cnt=0 http_req_rate=0
10.2.9.9 gpc0=99 conn_cnt=0 http_req_rate=0
...`},
	"reconnect-partial": {"t1": `
10.3.0.5 gpc0=555 conn_cnt=0 http_req_rate=0
10.3.0.40 gpc0=40 conn_cnt=0 http_req_rate=0
...`},
	"reload": {"t1": `
10.2.0.1 gpc0=1000 conn_cnt=0 http_req_rate=0
10.2.0.2 gpc0=3 conn_cnt=0 http_req_rate=0
...`},
	"server-key": {"app": `
u1 server_id=101 server_key=s1
u2 server_id=102 server_key=s2
u3 server_id=103 server_key=s3
u4 server_id=101 server_key=s1
u5 server_id=102 server_key=s2
u6 server_id=103 server_key=s3`},
	"server-key-addr": {"app": `
u1 server_id=101 server_key=127.0.0.1:22090
u2 server_id=102 server_key=127.0.0.1:22090
u3 server_id=103 server_key=127.0.0.1:22090
u4 server_id=101 server_key=127.0.0.1:22090`},
	"traffic": {"t1": `
203.0.113.1 gpc0=10 gpc0_rate=10 conn_cnt=10 conn_rate=10 conn_cur=0 sess_cnt=0 sess_rate=0 http_req_cnt=10 http_req_rate=10 http_err_cnt=0 http_err_rate=0 bytes_in_cnt=520 bytes_in_rate=520 bytes_out_cnt=490 bytes_out_rate=490
203.0.113.2 gpc0=10 gpc0_rate=10 conn_cnt=10 conn_rate=10 conn_cur=0 sess_cnt=0 sess_rate=0 http_req_cnt=10 http_req_rate=10 http_err_cnt=0 http_err_rate=0 bytes_in_cnt=520 bytes_in_rate=520 bytes_out_cnt=490 bytes_out_rate=490`},
	"varint": {"v1": `
1 gpc0=0 bytes_in_cnt=0
5 gpc0=239 bytes_in_cnt=239
6 gpc0=240 bytes_in_cnt=240
10 gpc0=2287 bytes_in_cnt=2287
11 gpc0=2288 bytes_in_cnt=2288
14 gpc0=264432 bytes_in_cnt=264432
17 gpc0=4294967295 bytes_in_cnt=4294967295
18 gpc0=0 bytes_in_cnt=4328786159
28 gpc0=0 bytes_in_cnt=9223372036854775807
...`},
}
