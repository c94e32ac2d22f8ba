package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
	peersync "github.com/peersd/peersd/sync"
	"github.com/peersd/peersd/table"
	"github.com/rs/zerolog"
)

// running is a server with the tables t1, mypeers/t2 of one entry, and two t3.
type running struct {
	t      *testing.T
	path   string
	tables *table.Set
	server *Server
	stop   context.CancelFunc
	ended  chan struct{}
}

func start(t *testing.T, more ...net.Listener) *running { return startAt(t, Operator, more...) }

func startAt(t *testing.T, level Level, more ...net.Listener) *running {
	t.Helper()
	now := time.Now()
	r := &running{t: t, path: filepath.Join(t.TempDir(), "s"), tables: table.NewSet("mypeers", now), ended: make(chan struct{})}
	t1 := definition("t1", protocol.KeyIPv4, 4, protocol.GPC0)
	fill(r.tables, now, &t1)
	t2 := protocol.Definition{ID: 2, Name: "/t2", KeyType: protocol.KeyString, KeyLen: 33}
	fill(r.tables, now, &t2, protocol.Update{Key: []byte("k")})
	for _, keyLen := range []int{9, 17} {
		t3 := protocol.Definition{ID: 3, Name: "t3", KeyType: protocol.KeyBinary, KeyLen: keyLen}
		fill(r.tables, now, &t3)
	}
	hub := peersync.New(peersync.Config{
		Names:  []string{"peersd", "host1"},
		Peers:  []peersync.Peer{{Name: "lb1", Address: "127.0.0.1:10000"}},
		Tables: r.tables,
		Log:    zerolog.Nop(),
	})
	s := &Server{Level: level, Tables: r.tables, Hub: hub, Listen: []string{"127.0.0.1:10001"}, Version: "1.2.3", Started: now, Log: zerolog.Nop()}
	r.server = s
	l, err := Listen(r.path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() {
		s.Serve(ctx, append([]net.Listener{l}, more...)...)
		close(r.ended)
	}()
	t.Cleanup(func() {
		stop()
		<-r.ended
	})
	return r
}

// ask sends a line, whole, and returns what comes back.
func (r *running) ask(line string) string {
	r.t.Helper()
	c := r.dial()
	if _, err := io.WriteString(c, line); err != nil {
		r.t.Fatal(err)
	}
	c.CloseWrite()
	answer, err := io.ReadAll(c)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(answer)
}

func (r *running) dial() *net.UnixConn {
	r.t.Helper()
	c, err := net.Dial("unix", r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c.(*net.UnixConn)
}

var limitsOfOne = table.Limits{Size: 1, NoPurge: true}

const (
	headT1  = "# table: t1, type: ip, size:0, used:0\n"
	headT2  = "# table: mypeers/t2, type: string, size:16, used:1\n"
	headsT3 = "# table: t3, type: binary, size:0, used:0\n# table: t3, type: binary, size:0, used:0\n"
)

// numbers are those that HAProxy prints pointers as.
var numbers = regexp.MustCompile(`0x[0-9a-f]+:`)

func TestCommands(t *testing.T) {
	r := start(t)
	tests := []struct{ name, line, want string }{
		{"all tables", "show table\n", headT1 + headT2 + headsT3 + "\n"},
		{"one table, empty", "show table t1\n", headT1 + "\n"},
		{"one table, by its full name", "show table mypeers/t2\n", headT2 + "P key=k use=0 exp=0 shard=0\n\n"},
		{"one table, by its name on the wire", "show table /t2\n", headT2 + "P key=k use=0 exp=0 shard=0\n\n"},
		{"all of a name", "show table t3\n", headsT3 + "\n"},
		{"no such table", "show table nope\n", "No such table\n\n"},
		{"no such section", "show peers nope\n", "No such peers\n\n"},
		{"limits of something", "show limits t1\n", "Nothing more is understood here: show limits\n\n"},
		{"what tables take, of one", "show tables t1\n", "Nothing more is understood here: show tables\n\n"},
		{"the version", "show version\n", "1.2.3\n\n"},

		{"no variable", "show env PEERSD_NOPE\n", "Variable not found\n\n"},
		{"a variable", "show env PEERSD_TEST\n", "PEERSD_TEST=x y\n\n"},
		{"no streams", "show sess\n", "\n"},
		{"no streams at all", "show sess all\n", "\n"},
		{"no such stream", "show sess 0x1\n", "Session not found.\n\n"},
		{"no such option", "show sess zz\n", "Unsupported option 'zz', try 'help' for more info.\n\n"},
		{"no proxies", "show stat\n", statHeader + "\n"},
		{"no proxies, typed", "show stat typed\n", "\n"},
		{"no proxies, in JSON", "show stat json\n", "[]\n\n"},
		{"of a proxy by its number", "show stat 1 2 3\n", statHeader + "\n"},
		{"of a proxy by its name", "show stat be1 2 3\n", "No such proxy.\n\n"},
		{"of proxies", "show stat domain proxy\n", statHeader + "\n"},
		{"of something else", "show stat domain dns\n", "Invalid statistics domain.\n\n"},
	}
	t.Setenv("PEERSD_TEST", "x y")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := numbers.ReplaceAllString(r.ask(tt.line), "P"); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// Each table has a line, and what it takes is a number of bytes that depends on
// the machine.
func TestShowTables(t *testing.T) {
	r := start(t)
	r.tables.Limit("mypeers/t2", table.Limits{Size: 1})
	r.tables.LimitMemory(1 << 30)
	got := r.ask("show tables\n")
	memory := regexp.MustCompile(` +[0-9]{4,} +[0-9]+ `)
	total := regexp.MustCompile(`: [0-9]+ of`)
	got = total.ReplaceAllString(memory.ReplaceAllString(got, " M B "), ": M of")
	want := `  entries  size  memory  per entry  merged  stale  expired  evicted  refused  dropped  # table
        0     - M B       0      0        0        0        0        0  t1, ip
        1     1 M B       1      0        0        0        0        0  mypeers/t2, string len 32
        0     - M B       0      0        0        0        0        0  t3, binary len 9
        0     - M B       0      0        0        0        0        0  t3, binary len 17
# memory of all tables: M of 1073741824

`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got := numbers.ReplaceAllString(r.ask("show table mypeers/t2\n"), "P"); !strings.Contains(got, "size:1, used:1") {
		t.Errorf("a table's size is not its limit: %s", got)
	}
}

func TestShowLimits(t *testing.T) {
	const want = `    value  used  reached  # limit
      512     0        0  --max-handshakes
       64     0        0  --max-handshakes-per-address
     1024     0        0  --max-sessions
     1024     0        0  --max-tables
    16384     0        0  --max-data-types
    16384     -        0  --max-message
  1000000     -        0  --learn-rate

`
	if got := start(t).ask("show limits\n"); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

func TestShowPeers(t *testing.T) {
	r := start(t)
	got := numbers.ReplaceAllString(r.ask("show peers mypeers\n"), "P")
	got = regexp.MustCompile(`\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\]`).ReplaceAllString(got, "[NOW]")
	const want = `P [NOW] id=mypeers disabled=0 flags=0x1 resync_timeout=<NEVER> task_calls=0
  P id=lb1(remote,inactive) addr=127.0.0.1:10000 app_state=STOPPED learn_state=NOTASSIGNED last_status=NONE last_hdshk=<NEVER>
        reconnect=<NEVER> heartbeat=<NEVER> confirm=0 tx_hbt=0 rx_hbt=0 no_hbt=0 new_conn=0 proto_err=0 coll=0
        flags=0x0
        heard=<NEVER>
  P id=peersd(local,inactive) addr=127.0.0.1:10001 app_state=STOPPED learn_state=NOTASSIGNED last_status=NONE last_hdshk=<NEVER>
        reconnect=<NEVER> heartbeat=<NEVER> confirm=0 tx_hbt=0 rx_hbt=0 no_hbt=0 new_conn=0 proto_err=0 coll=0
        flags=0x0
  P id=host1(local,inactive) addr=127.0.0.1:10001 app_state=STOPPED learn_state=NOTASSIGNED last_status=NONE last_hdshk=<NEVER>
        reconnect=<NEVER> heartbeat=<NEVER> confirm=0 tx_hbt=0 rx_hbt=0 no_hbt=0 new_conn=0 proto_err=0 coll=0
        flags=0x0

`
	if got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

// many puts n entries into t1.
func (r *running) many(n int) *table.Table {
	now := time.Now()
	t1 := r.tables.Lookup("t1")[0]
	def := definition("t1", protocol.KeyIPv4, 4, protocol.GPC0)
	src := t1.Source(&def)
	u := protocol.Update{Key: make([]byte, 4), Values: []uint64{1}}
	for i := range n {
		binary.BigEndian.PutUint32(u.Key, uint32(i))
		src.Merge(now, &u, table.Live)
	}
	return t1
}

// A dump takes no more memory than a batch of entries, however many there are.
func TestDumpIsBounded(t *testing.T) {
	const n = 100_000
	t1 := start(t).many(n)
	var (
		before, after runtime.MemStats
		out           lineCounter
	)
	runtime.ReadMemStats(&before)
	c := &cli{ctx: context.Background(), out: bufio.NewWriter(&out)}
	err := c.dump(t1, nil)
	c.out.Flush()
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<20 {
		t.Errorf("%d bytes allocated", allocated)
	}
	if err != nil || out != n+1 {
		t.Errorf("%d lines, %v", out, err)
	}
}

type lineCounter int

func (c *lineCounter) Write(b []byte) (int, error) {
	*c += lineCounter(bytes.Count(b, []byte{'\n'}))
	return len(b), nil
}

// A client that goes in the middle of a dump leaves nothing behind, no entry in
// use either.
func TestClientDisappears(t *testing.T) {
	r := start(t)
	t1 := r.many(20_000)
	before := runtime.NumGoroutine()
	for range 5 {
		r.dumpBegun().Close()
	}
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, before it were %d", runtime.NumGoroutine(), before)
		}
	}
	var out bytes.Buffer
	c := &cli{ctx: context.Background(), out: bufio.NewWriter(&out)}
	if err := c.dump(t1, nil); err != nil {
		t.Fatal(err)
	}
	c.out.Flush()
	if all, free := bytes.Count(out.Bytes(), []byte(" use=")), bytes.Count(out.Bytes(), []byte(" use=0 ")); all != 20_000 || free != all {
		t.Errorf("of %d entries %d are not in use", all, free)
	}
}

// dumpBegun is a connection on which a dump of t1 has begun.
func (r *running) dumpBegun() net.Conn {
	r.t.Helper()
	c := r.dial()
	if _, err := io.WriteString(c, "show table t1\n"); err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// A client that asks for more than it reads doesn't keep the server from
// ending.
func TestClientThatDoesNotRead(t *testing.T) {
	r := start(t)
	r.many(20_000)
	r.dumpBegun()
	r.stop()
	select {
	case <-r.ended:
	case <-time.After(time.Second):
		t.Error("the server did not end")
	}
	if _, err := os.Lstat(r.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}
