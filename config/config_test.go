package config

import (
	"math"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/peersd/peersd/admin"
	peersync "github.com/peersd/peersd/sync"
	"github.com/peersd/peersd/table"
	"github.com/peersd/peersd/transport"
	"github.com/rs/zerolog"
)

func TestCompleteDefaults(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1000")
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	var c Config
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	want := Config{
		Listen:     []string{"127.0.0.1:10001"},
		Server:     &transport.Server{},
		Section:    "peers",
		Sockets:    []string{"/run/user/1000/peersd.sock"},
		SocketMode: 0o600,
		MaxUpdates: 200,
		Allow:      peersync.Allow{Trusted: true},
		names:      []string{"peersd", host},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestCompleteKeepsWhatIsSaid(t *testing.T) {
	c := Config{
		Name:        "X",
		MaxUpdates:  7,
		Listen:      []string{"10.0.0.1:1", "10.0.0.2:1"},
		Server:      &transport.Server{},
		Peers:       []peersync.Peer{{Name: "lb1", Address: "10.0.0.3:1"}, {Name: "lb2", Address: "10.0.0.3:1"}},
		Section:     "mypeers",
		Sockets:     []string{"/tmp/s", "127.0.0.1:9999"},
		SocketMode:  0o660,
		SocketLevel: admin.User,
		LogLevel:    zerolog.WarnLevel,
	}
	want := c
	want.names = []string{"X"}
	if err := c.Complete(); err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v, %v\nwant %+v", c, err, want)
	}
}

func TestNames(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, peer string
		want       []string // nil: refused
	}{
		{"", "lb1", []string{"peersd", host}},
		{"", host, []string{"peersd"}}, // HAProxy beside us, without -L
		{"", "peersd", nil},
		{"X", "lb1", []string{"X"}},
		{"X", host, []string{"X"}},
		{"X", "peersd", []string{"X"}},
		{"X", "X", nil},
	} {
		c := Config{Name: tt.name, Peers: []peersync.Peer{{Name: tt.peer, Address: "10.0.0.1:1"}}}
		err := c.Complete()
		if tt.want == nil && (err == nil || !strings.Contains(err.Error(), "has our own name")) {
			t.Errorf("-L %q with the peer %q: error %v", tt.name, tt.peer, err)
		}
		if tt.want != nil && (err != nil || !slices.Equal(c.Names(), tt.want)) {
			t.Errorf("-L %q with the peer %q: %q, %v, want %q", tt.name, tt.peer, c.Names(), err, tt.want)
		}
	}
}

func TestTwoPeersOfAName(t *testing.T) {
	c := Config{Peers: []peersync.Peer{{Name: "lb1", Address: "10.0.0.1:1"}, {Name: "lb1", Address: "10.0.0.2:1"}}}
	if err := c.Complete(); err == nil || !strings.Contains(err.Error(), `"lb1" twice`) {
		t.Errorf("error %v", err)
	}
}

func TestParsePeer(t *testing.T) {
	for in, want := range map[string]peersync.Peer{
		"lb1=10.0.0.1:10000":      {Name: "lb1", Address: "10.0.0.1:10000"},
		"lb1.example=lb1:1":       {Name: "lb1.example", Address: "lb1:1"},
		"lb1=[2001:db8::1]:65535": {Name: "lb1", Address: "[2001:db8::1]:65535"},
		"lb1=[fe80::1%eth0]:1":    {Name: "lb1", Address: "[fe80::1%eth0]:1"},
	} {
		if got, err := ParsePeer(in); got != want || err != nil {
			t.Errorf("%s: got %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "lb1", "=10.0.0.1:1", "a b=10.0.0.1:1", "lb1=", "lb1=10.0.0.1", "lb1=2001:db8::1:1", "lb1=10.0.0.1:http"} {
		if got, err := ParsePeer(in); err == nil || got != (peersync.Peer{}) {
			t.Errorf("%s: got %+v, %v, want an error", in, got, err)
		}
	}
}

func TestChecks(t *testing.T) {
	for _, tt := range []struct {
		name      string
		check     func(string) error
		good, bad []string
	}{
		{"name", CheckName, []string{"lb1", "lb-1.example", "é"}, []string{"", "a b", "a\tb", "a\nb", "a\x7f", "\x00"}},
		{"address", CheckAddress,
			[]string{"127.0.0.1:1", ":10001", "localhost:65535", "[::1]:10001"},
			[]string{"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1", "::1:1", "127.0.0.1:+1"}},
		{"section", CheckSection, []string{"", "mypeers"}, []string{"a b", "a/b", "a;b", "a\nb"}},
		{"socket", CheckSocket, []string{"", "/run/peersd.sock", strings.Repeat("x", 107), "127.0.0.1:9999", "[::1]:9999", "localhost:9999", "./a:b"},
			[]string{strings.Repeat("x", 108), "0.0.0.0:9999", "10.0.0.1:9999", "[::]:9999", ":9999", "example.org:9999", "127.0.0.1:0", "127.0.0.1:"}},
		{"socket mode", parsed(ParseSocketMode), []string{"600", "0660", "777", "6"}, []string{"", "0", "u+rw", "1000", "608", "-1"}},
		{"socket level", parsed(ParseSocketLevel), []string{"user", "operator"}, []string{"", "admin", "User"}},
		{"level", func(s string) error { _, err := ParseLevel(s); return err },
			[]string{"trace", "debug", "info", "INFO", "warn", "error"}, []string{"", "loud", "fatal", "panic", "disabled", "1"}},
	} {
		for _, s := range tt.good {
			if err := tt.check(s); err != nil {
				t.Errorf("%s %q: %v", tt.name, s, err)
			}
		}
		for _, s := range tt.bad {
			if err := tt.check(s); err == nil {
				t.Errorf("%s %q: no error", tt.name, s)
			}
		}
	}
}

// parsed is what a parser says of a text.
func parsed[T any](parse func(string) (T, error)) func(string) error {
	return func(s string) error {
		_, err := parse(s)
		return err
	}
}

func TestParseLevel(t *testing.T) {
	if l, err := ParseLevel("warn"); l != zerolog.WarnLevel || err != nil {
		t.Errorf("got %v, %v", l, err)
	}
}

func TestParseSizes(t *testing.T) {
	for in, want := range map[string]int64{"1": 1, "500000": 500_000, "100k": 102_400, "100K": 102_400, "1m": 1 << 20, "2g": 2 << 30, "8589934591G": 8589934591 << 30} {
		if got, err := ParseSize(in); got != want || err != nil {
			t.Errorf("%s: got %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "0", "0k", "k", "-1", "1kk", "1.5m", "1t", "8589934592g", "9223372036854775808", " 1"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("%q: got %d, want an error", in, got)
		}
	}
	for in, want := range map[string]bool{"64m": true, "2g": true, "65535k": false, "1": false, "x": false} {
		if _, err := ParseMemory(in); (err == nil) != want {
			t.Errorf("--max-memory %s: %v", in, err)
		}
	}
}

func TestParseLimits(t *testing.T) {
	for in, want := range map[string]int{"1k": 1024, "1024": 1024, "1M": 1 << 20, "5000": 5000, "1023": 0, "1025k": 0, "0": 0, "": 0, "-1": 0, "x": 0} {
		if got, err := ParseLimit(in, 1<<10, 1<<20); (err == nil) != (want > 0) || err == nil && got != want {
			t.Errorf("%s of 1k to 1m: got %d, %v", in, got, err)
		}
	}
	for in, want := range map[string]int{"0": peersync.AnyRate, "1000": 1000, "1m": 1 << 20, "999": 0, "-1": 0, "4g": 0, "": 0} {
		if got, err := ParseLearnRate(in); (err == nil) != (want != 0) || err == nil && got != want {
			t.Errorf("--learn-rate %s: got %d, %v", in, got, err)
		}
	}
}

// All peers that are dialled may have a session.
func TestMorePeersThanSessions(t *testing.T) {
	c := Config{Peers: []peersync.Peer{{Name: "lb1", Address: "10.0.0.1:1"}, {Name: "lb2", Address: "10.0.0.2:1"}}}
	c.PeerLimits.Sessions = 2
	if err := c.Complete(); err != nil {
		t.Error(err)
	}
	c.PeerLimits.Sessions = 1
	if err := c.Complete(); err == nil || !strings.Contains(err.Error(), "--max-sessions 1") {
		t.Errorf("error %v", err)
	}
}

func TestParseTableSize(t *testing.T) {
	for in, want := range map[string]table.Limits{
		"t1=100k":               {Size: 102_400},
		"mypeers/t1=1m,nopurge": {Size: 1 << 20, NoPurge: true},
		"t1=4294967295":         {Size: 4294967295},
	} {
		name, got, err := ParseTableSize(in)
		if full, _, _ := strings.Cut(in, "="); name != full || got != want || err != nil {
			t.Errorf("%s: got %s, %+v, %v", in, name, got, err)
		}
	}
	for _, in := range []string{"", "t1", "=1k", "t1=", "t1=x", "t1=4g", "t1=1k,", "t1=1k,purge", "t1=1k,nopurge,nopurge"} {
		if _, got, err := ParseTableSize(in); err == nil {
			t.Errorf("%s: got %+v, want an error", in, got)
		}
	}
}

func TestDefaultSocket(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1000")
	if got := DefaultSocket(); got != "/run/user/1000/peersd.sock" {
		t.Errorf("with a runtime directory: %s", got)
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("TMPDIR", "/var/tmp")
	want := "/run/peersd.sock"
	if uid := os.Getuid(); uid != 0 {
		want = "/var/tmp/peersd-" + strconv.Itoa(uid) + ".sock"
	}
	if got := DefaultSocket(); got != want {
		t.Errorf("without one: %s, want %s", got, want)
	}
}

func TestParseTeachRate(t *testing.T) {
	for in, want := range map[string]int{"0": 0, "1": 1, "125000": 125_000, "100k": 100 << 10, "2147483647": math.MaxInt32} {
		if got, err := ParseTeachRate(in); got != want || err != nil {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "-1", "1.5", "0k", "2g", "x"} {
		if got, err := ParseTeachRate(in); err == nil {
			t.Errorf("%q: %d, and no error", in, got)
		}
	}
}

func TestParseMaxUpdates(t *testing.T) {
	for in, want := range map[string]int{"1": 1, "200": 200, "10000": 10_000} {
		if got, err := ParseMaxUpdates(in); got != want || err != nil {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "0", "-1", "10001", "1k", "x"} {
		if got, err := ParseMaxUpdates(in); err == nil {
			t.Errorf("%q: %d, and no error", in, got)
		}
	}
}
