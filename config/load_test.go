package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/peersd/peersd/config/haproxycfg"
	peersync "github.com/peersd/peersd/sync"
	"github.com/peersd/peersd/table"
)

// written is a file of that text.
func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const file = `global
    tune.peers.max-updates-at-once 50
    tune.bufsize 32768
peers mypeers
    peer lb1 127.0.0.1:10000
    peer lb2 :::10002
    peer peersd 127.0.0.1:10001
    table own type ip size 1k nopurge
backend t1
    stick-table type ip size 2k peers mypeers
backend alone
    stick-table type ip size 3k
`

func TestLoad(t *testing.T) {
	path := written(t, file)
	flags := Default()
	flags.Files, flags.Name = []string{path}, "peersd"
	before := *flags
	c, messages, err := flags.Load()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*flags, before) {
		t.Errorf("the flags have changed: %+v", flags)
	}
	if w := messages.Of(haproxycfg.Warning); len(w) != 1 || w[0].Pos.Line != 6 {
		t.Errorf("messages %v", messages)
	}
	if want := []peersync.Peer{{Name: "lb1", Address: "127.0.0.1:10000"}, {Name: "lb2"}}; !slices.Equal(c.Peers, want) {
		t.Errorf("peers %+v", c.Peers)
	}
	if want := map[string]table.Limits{"mypeers/own": {Size: 1024, NoPurge: true}, "t1": {Size: 2048}}; !reflect.DeepEqual(c.Limits, want) {
		t.Errorf("limits %+v", c.Limits)
	}
	if len(c.Declared) != 2 || c.Declared[0].Definition.Name != "/own" || c.Declared[1].Where != path+":10" {
		t.Errorf("declared %+v", c.Declared)
	}
	if c.MaxUpdates != 50 || c.PeerLimits.Message != 32768 || c.Section != "mypeers" || c.Allow.Trusted {
		t.Errorf("%+v", c)
	}
	if !slices.Equal(c.Names(), []string{"peersd"}) || !slices.Equal(c.Listen, []string{"127.0.0.1:10001"}) {
		t.Errorf("%q listens on %q", c.Names(), c.Listen)
	}
}

func TestLoadSidecar(t *testing.T) {
	for line, want := range map[string]string{
		"*:7": "127.0.0.1:7", "0.0.0.0:7": "127.0.0.1:7", ":::7": "[::1]:7", "ipv6@*:7": "[::1]:7", "10.0.0.1:7": "10.0.0.1:7", "lb1.example:7": "lb1.example:7",
	} {
		flags := Default()
		flags.Files, flags.Name, flags.Sidecar = []string{written(t, "peers p\n peer lb1 "+line+"\n peer peersd 127.0.0.1:1\n")}, "peersd", true
		c, _, err := flags.Load()
		if err != nil || len(c.Peers) != 1 || c.Peers[0].Address != want {
			t.Errorf("%s: %+v, %v", line, c, err)
		}
	}
}

// What this version can't do is refused on its line, unless a flag says otherwise.
func TestLoadRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		text, want string
		line       int
	}{
		"a certificate":       {"peers p\n peer lb1 127.0.0.1:1 ssl verify none crt /nowhere\n peer peersd 127.0.0.1:1\n", "can't read the certificate /nowhere", 2},
		"nowhere to listen":   {"peers p\n server peersd\n", "nothing says where 'peersd' listens", 2},
		"no section":          {"backend b\n", "no peers section in use", 0},
		"nobody of that name": {"peers p\n peer lb1 127.0.0.1:1\n", "has a line for 'peersd'", 0},
	} {
		flags := Default()
		flags.Files, flags.Name = []string{written(t, c.text)}, "peersd"
		_, messages, err := flags.Load()
		alerts := messages.Of(haproxycfg.Alert)
		if err == nil || len(alerts) != 1 || alerts[0].Pos.Line != c.line || !strings.Contains(alerts[0].Text, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		flags.Listen = []string{"127.0.0.1:2"}
		flags.Peers = []peersync.Peer{{Name: "lb1", Address: "127.0.0.1:3"}}
		if _, _, err := flags.Load(); (err == nil) != (c.line != 0) {
			t.Errorf("%s, with flags: %v", name, err)
		}
	}
}

// An address that is open to the network needs somebody who may come.
func TestOpenToTheNetwork(t *testing.T) {
	named := Config{Peers: []peersync.Peer{{Name: "lb1", Address: "10.0.0.1:1"}}}
	network := Config{Allow: peersync.Allow{From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
	for _, tt := range []struct {
		listen string
		config Config
		want   bool
	}{
		{"127.0.0.1:1", Config{}, true},
		{"127.9.9.9:1", Config{}, true},
		{"[::1]:1", Config{}, true},
		{"localhost:1", Config{}, true},
		{":1", Config{}, false},
		{"0.0.0.0:1", Config{}, false},
		{"10.0.0.1:1", Config{}, false},
		{"example.org:1", Config{}, false},
		{"0.0.0.0:1", named, true},
		{"0.0.0.0:1", network, true},
		{"0.0.0.0:1", Config{Allow: peersync.Allow{Names: []string{"lb1"}}}, true},
		{"0.0.0.0:1", Config{Allow: peersync.Allow{Any: true}}, true},
	} {
		c := tt.config
		c.Listen = []string{"127.0.0.1:2", tt.listen}
		if err := c.Complete(); (err == nil) != tt.want {
			t.Errorf("%s, %+v: %v", tt.listen, tt.config, err)
		}
	}
}

func TestParseAllow(t *testing.T) {
	for in, want := range map[string]peersync.Allow{
		"lb1":              {Names: []string{"lb1"}},
		"10.0.0.7":         {From: []netip.Prefix{netip.MustParsePrefix("10.0.0.7/32")}},
		"::ffff:10.0.0.7":  {From: []netip.Prefix{netip.MustParsePrefix("10.0.0.7/32")}},
		"10.0.0.0/8":       {From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		"2001:db8::1":      {From: []netip.Prefix{netip.MustParsePrefix("2001:db8::1/128")}},
		"2001:db8::/32":    {From: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}},
		"0.0.0.0/0":        {From: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}},
		"lb1.example:9999": {Names: []string{"lb1.example:9999"}},
	} {
		var got peersync.Allow
		if err := ParseAllow(in, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "a b", "10.0.0.1/8", "10.0.0.0/33", "lb1/8"} {
		if err := ParseAllow(in, new(peersync.Allow)); err == nil {
			t.Errorf("%q is taken", in)
		}
	}
}
