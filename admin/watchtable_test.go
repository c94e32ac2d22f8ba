package admin

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// beginT1 is the head of t1 as expect sees it.
const beginT1 = "# table: t1, type: ip, used:0"

// A watcher is a client that has begun to watch.
type watcher struct {
	t    *testing.T
	conn *net.UnixConn
	in   *bufio.Reader
}

func (r *running) watch(line string) *watcher {
	r.t.Helper()
	w := &watcher{t: r.t, conn: r.dial()}
	w.in = bufio.NewReader(w.conn)
	if _, err := io.WriteString(w.conn, line+"\n"); err != nil {
		r.t.Fatal(err)
	}
	return w
}

// passing is what depends on the clock, on who else reads, and on the machine.
var passing = regexp.MustCompile(` exp=[0-9]+| use=[0-9]+| size:[0-9]+,`)

// expect reads these lines.
func (w *watcher) expect(lines ...string) {
	w.t.Helper()
	for _, want := range lines {
		line, err := w.in.ReadString('\n')
		got := passing.ReplaceAllString(numbers.ReplaceAllString(strings.TrimSuffix(line, "\n"), "P"), "")
		if err != nil || got != want {
			w.t.Fatalf("got  %q, %v\nwant %q", got, err, want)
		}
	}
}

// ends expects the end of the connection.
func (w *watcher) ends() {
	w.t.Helper()
	if rest, err := io.ReadAll(w.in); err != nil || strings.Trim(string(rest), "\n") != "" {
		w.t.Errorf("at the end: %q, %v", rest, err)
	}
}

// do runs commands that are answered with nothing.
func (r *running) do(commands ...string) {
	r.t.Helper()
	for _, c := range commands {
		if got := r.ask(c + "\n"); got != "\n" {
			r.t.Fatalf("%s: %s", c, got)
		}
	}
}

func TestWatchTable(t *testing.T) {
	r := start(t)
	r.do("set table t1 key 10.0.0.1 data.gpc0 1")
	all, some, one := r.watch("watch table t1"), r.watch("watch table t1 data.gpc0 gt 10"), r.watch("watch table t1 key 10.0.0.2")
	const head = "# table: t1, type: ip, used:1"
	all.expect(head)
	some.expect(head)
	one.expect(head)

	r.do("set table t1 key 10.0.0.1 data.gpc0 5")
	all.expect("P key=10.0.0.1 shard=0 gpc0=5")
	r.do("set table t1 key 10.0.0.2 data.gpc0 11")
	for _, w := range []*watcher{all, some, one} {
		w.expect("P key=10.0.0.2 shard=0 gpc0=11")
	}
	r.do("clear table t1 key 10.0.0.1", "clear table t1 key 10.0.0.2")
	all.expect("# ended: key=10.0.0.1", "# ended: key=10.0.0.2")
	one.expect("# ended: key=10.0.0.2")
	r.do("set table t1 key 10.0.0.2 data.gpc0 12")
	some.expect("P key=10.0.0.2 shard=0 gpc0=12")
	one.expect("P key=10.0.0.2 shard=0 gpc0=12")
	all.expect("P key=10.0.0.2 shard=0 gpc0=12")
}

// Where a name is defined in several ways, a head tells which table is meant, also
// of one that comes meanwhile.
func TestWatchSeveralTables(t *testing.T) {
	r := start(t)
	w := r.watch("watch table t3")
	w.expect("# table: t3, type: binary, used:0", "# table: t3, type: binary, used:0")
	now := time.Now()
	t3 := protocol.Definition{ID: 3, Name: "t3", KeyType: protocol.KeyInteger, KeyLen: 4}
	fill(r.tables, now, &t3)
	short := r.tables.Lookup("t3")[0].Definition()
	// At the look that shows this the new table has been seen.
	fill(r.tables, now, &short, protocol.Update{Key: []byte("12345678")})
	w.expect("# table: t3, type: binary, used:1", "P key=3132333435363738 shard=0")
	r.do("set table t3 key 7")
	w.expect("# table: t3, type: integer, used:1", "P key=7 shard=0")
	r.tables.Retract(&t3)
	fill(r.tables, now, &short, protocol.Update{Key: []byte("87654321")})
	w.expect("# table: t3, type: binary, used:2", "P key=3837363534333231 shard=0")
}

func TestWatchRefused(t *testing.T) {
	r, user := start(t), startAt(t, User)
	for line, want := range map[string]string{
		"watch table":                     showing.required,
		"watch table nope":                "No such table\n",
		"watch table t1 frob":             showing.required,
		"watch table t1 key":              "Key value expected\n",
		"watch table t1 key nope":         "Invalid key\n",
		"watch table t1 data.frob gt 1":   "Filter entry #1: Unknown data type\n",
		"watch table t1 data.gpc0 gt":     "Filter entry #1: Require a valid integer value to compare against\n",
		"watch table t1 data.gpc0 gt 1 x": "Filter entry #2: Unknown data type\n",
		"watch table t1 ptr 0x1":          "No entry can be found matching ptr.\n",
		"watch table t3 key x":            "Watching keys from" + unsupportedKeys,
		"watch":                           "Unknown command: 'watch', but maybe",
	} {
		if got := r.ask(line + "\n"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	if got := user.ask("watch table t1\n"); got != "Permission denied\n\n" {
		t.Errorf("a user: %q", got)
	}
}

// The client's next line ends a watch, and so does the end of the connection; but one
// who says nothing, and has ended that side, may go on reading.
func TestWatchEnds(t *testing.T) {
	r := start(t)
	w := r.watch("prompt i\nset timeout cli 1s\nwatch table t1")
	w.expect("", "", beginT1)
	time.Sleep(1200 * time.Millisecond) // longer than a client may be silent otherwise
	r.do("set table t1 key 10.0.0.1 data.gpc0 1")
	w.expect("P key=10.0.0.1 shard=0 gpc0=1")
	io.WriteString(w.conn, "show version\nquit\n")
	w.expect("", "1.2.3", "")
	w.ends()

	deaf := r.watch("watch table t1")
	deaf.expect("# table: t1, type: ip, used:1")
	deaf.conn.CloseWrite()
	time.Sleep(2 * watchEvery)
	r.do("set table t1 key 10.0.0.1 data.gpc0 2")
	deaf.expect("P key=10.0.0.1 shard=0 gpc0=2")
	eventuallyWatching(t, r, 1)
	deaf.conn.Close()
	eventuallyWatching(t, r, 0)
}

// eventuallyWatching waits until n clients watch.
func eventuallyWatching(t *testing.T, r *running, n int32) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); r.server.watches.Load() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d watch, not %d", r.server.watches.Load(), n)
		}
	}
}

// On TCP nobody knows what has become of a client that has ended its side.
func TestWatchEndsOnTCP(t *testing.T) {
	l, err := Listen("127.0.0.1:0", 0)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, l)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "watch table t1\n")
	c.(*net.TCPConn).CloseWrite()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if got, err := io.ReadAll(c); err != nil || string(got) != headT1+"\n" {
		t.Errorf("got %q, %v", got, err)
	}
	eventuallyWatching(t, r, 0)
}

// Those who watch leave room for others.
func TestTooManyWatch(t *testing.T) {
	r := start(t)
	for range maxWatches {
		r.watch("watch table t1").expect(beginT1)
	}
	if got := r.ask("watch table t1\n"); got != "Too many clients watch already\n\n" {
		t.Errorf("one more: %q", got)
	}
	if got := r.ask("show version\n"); got != "1.2.3\n\n" {
		t.Errorf("another command: %q", got)
	}
}

// A client that reads slowly lags behind: what has changed many times since comes once,
// as it is by now, and it takes no memory here.
func TestWatchLags(t *testing.T) {
	r := start(t)
	w := r.watch("watch table t1")
	w.expect(beginT1)
	const keys, rounds = 20_000, 5
	now := time.Now()
	t1 := r.tables.Lookup("t1")[0]
	def := definition("t1", protocol.KeyIPv4, 4, protocol.GPC0)
	src := t1.Source(&def)
	for i := range uint64(rounds) {
		for k := range keys {
			src.Merge(now, &protocol.Update{Key: []byte{10, 0, byte(k >> 8), byte(k)}, Values: []uint64{i + 1}}, table.Live)
		}
	}
	lines, last := 0, map[string]string{}
	for done := 0; done < keys; lines++ {
		line, err := w.in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		var id, key string
		fmt.Sscanf(line, "%s key=%s", &id, &key)
		if last[key] = line[strings.LastIndex(line, "gpc0="):]; last[key] == fmt.Sprintf("gpc0=%d\n", rounds) {
			done++
		}
	}
	// What the kernel holds for the client was sent in an earlier round, or several.
	if lines > 3*keys {
		t.Errorf("%d lines for %d keys", lines, keys)
	}
}
