package config

import (
	"slices"
	"testing"

	"github.com/peersd/peersd/discover"
	peersync "github.com/peersd/peersd/sync"
)

func TestParsePlace(t *testing.T) {
	for in, want := range map[string]discover.Place{
		"lb1=10.0.0.1:10000":           {Peer: peersync.Peer{Name: "lb1", Address: "10.0.0.1:10000"}},
		"dns+haproxy-headless:10000":   {Host: "haproxy-headless", Port: 10000},
		"haproxy.default.svc:1":        {Host: "haproxy.default.svc", Port: 1},
		"10.0.0.1:10000":               {Host: "10.0.0.1", Port: 10000},
		"[2001:db8::1]:65535":          {Host: "2001:db8::1", Port: 65535},
		"srv+_peers._tcp.haproxy.svc":  {Host: "_peers._tcp.haproxy.svc"},
		"srv+_peers._tcp.haproxy.svc.": {Host: "_peers._tcp.haproxy.svc."},
	} {
		if got, err := ParsePlace(in); got != want || err != nil {
			t.Errorf("%s: got %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "lb1", "srv+", "srv+a b", "srv+haproxy:10000", "srv+a=b", "dns+", "dns+lb1", "dns+:1", "dns+a b:1", "dns+lb1:http", "dns+dns+lb1:1", "lb1=srv+x", "lb1=dns+x:1", "x+y:1"} {
		if got, err := ParsePlace(in); err == nil || got != (discover.Place{}) {
			t.Errorf("%s: got %+v, %v, want an error", in, got, err)
		}
	}
}

func TestParsePeersFile(t *testing.T) {
	c := Config{Name: "mirror", Peers: []peersync.Peer{{Name: "lb9", Address: "10.0.0.9:1"}}, PeersFile: "peers.txt"}
	if err := c.Complete(); err != nil {
		t.Fatal(err)
	}
	got, err := c.ParsePeersFile([]byte("# all of them\n\n  lb1=10.0.0.1:10000 # the first\r\n10.0.0.2:10000\n\tdns+lb.test:10000\nsrv+_peers._tcp.lb.test"))
	want := []discover.Place{
		{Peer: peersync.Peer{Name: "lb1", Address: "10.0.0.1:10000"}}, {Host: "10.0.0.2", Port: 10000}, {Host: "lb.test", Port: 10000}, {Host: "_peers._tcp.lb.test"},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for text, want := range map[string]string{
		"lb1=10.0.0.1:1\nlb2\n":            `peers.txt:2: "lb2" is not NAME=ADDR:PORT, dns+HOST:PORT or srv+NAME, as in lb1=10.0.0.1:10000`,
		"lb1=10.0.0.1:1\nlb1=10.0.0.2:1":   `peers.txt:2: lb1=10.0.0.2:1 names "lb1" twice; give each peer a name of its own`,
		"lb9=10.0.0.1:1":                   `peers.txt:1: lb9=10.0.0.1:1 names "lb9" twice; give each peer a name of its own`,
		"\n\nmirror=10.0.0.1:1":            `peers.txt:3: mirror=10.0.0.1:1 has our own name; leave it out, or give us another name with -L`,
		"dns+lb.test:1\n#\nlb.test:1 # it": `peers.txt:3: dns+lb.test:1 is there twice`,
	} {
		if got, err := c.ParsePeersFile([]byte(text)); err == nil || err.Error() != want || got != nil {
			t.Errorf("%q: got %v, %v, want %s", text, got, err, want)
		}
	}
}

// A HAProxy that is still to be found may have the name of our host.
func TestNamesWherePeersAreFound(t *testing.T) {
	for _, c := range []Config{{Places: []discover.Place{{Host: "lb.test", Port: 1}}}, {PeersFile: "peers.txt"}} {
		if err := c.Complete(); err != nil || !slices.Equal(c.Names(), []string{DefaultName}) {
			t.Errorf("names %q, %v", c.Names(), err)
		}
	}
}
