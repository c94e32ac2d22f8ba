package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/discover"
	"github.com/peersd/peersd/internal/dnstest"
	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/internal/netlab"
	"github.com/peersd/peersd/internal/testkit"
)

// A cluster is a peersd that finds its HAProxys, each of which has an address of its own
// and knows of peersd and itself alone, as in containers.
type cluster struct {
	t    *testing.T
	r    haproxytest.Release
	host string // peersd's
	dns  *dnstest.Server
	d    *daemon
}

func newCluster(t *testing.T, r haproxytest.Release, args ...string) *cluster {
	c := &cluster{t: t, r: r, host: haproxytest.Host(t)}
	c.dns = dnstest.Start(t, c.host+":0")
	c.d = startDaemon(t, c.host, 0, append([]string{"--dns", c.dns.Address}, args...)...)
	return c
}

// nobody is a port of peersd's that nobody listens on: who has it only waits to be
// called.
const nobody = 9

// haproxy starts one that calls peersd at a port.
func (c *cluster) haproxy(name, host string, port int, tables ...string) *haproxytest.Process {
	config := fmt.Sprintf("peers mypeers\n    peer %s %s:%d\n    peer peersd %s:%d\n", name, host, portLB, c.host, port)
	for _, t := range append(tables, "t1") {
		config += "    table " + t + " type string len 32 size 1k expire 1h store gpc0\n"
	}
	return c.r.Start(c.t, name, config)
}

// joins waits until there is a session with a peer, in both directions.
func (c *cluster) joins(name string) {
	c.t.Helper()
	began := time.Now()
	eventually(c.t, 15*time.Second, name+" joins", func() error { return c.d.established(name) })
	c.t.Logf("%s: %s joined within %v", c.r.Line, name, time.Since(began).Round(time.Millisecond))
}

// has waits until a table has a key.
func (c *cluster) has(s shower, name, key string) {
	c.t.Helper()
	eventually(c.t, 10*time.Second, "there is "+key, func() error {
		table, err := s.table(name)
		if err != nil {
			return err
		}
		if _, ok := table.ByKey()[key]; !ok {
			return fmt.Errorf("%d entries, not that", len(table.Entries))
		}
		return nil
	})
}

// logs waits until peersd's log has this.
func (c *cluster) logs(what string) {
	c.t.Helper()
	eventually(c.t, 10*time.Second, "the log has "+what, func() error {
		if !strings.Contains(c.d.log.String(), what) {
			return errors.New("it has not")
		}
		return nil
	})
}

func set(t *testing.T, lb *haproxytest.Process, key string) {
	t.Helper()
	lb.MustCommand(t, "set table mypeers/t1 key "+key+" data.gpc0 1")
}

// HAProxys come and go behind a name with SRV records: they join and leave within a TTL,
// their names are those of the records' hosts, and who was away for a while is forgotten,
// with what only it has defined.
func TestServiceRecords(t *testing.T) {
	const ttl = 2 * time.Second
	haproxytest.EachAtOnce(t, func(t *testing.T, r haproxytest.Release) {
		c := newCluster(t, r, "--peer", "srv+_peers._tcp.lb.test", "--forget-after", "3s")
		host1, host2 := haproxytest.Host(t), haproxytest.Host(t)
		lb1 := c.haproxy("lb-1", host1, nobody, "only1")
		c.dns.Set("lb-1.lb.test", ttl, dnstest.A(host1))
		c.dns.Set("lb-2.lb.test", ttl, dnstest.A(host2))
		c.dns.Set("_peers._tcp.lb.test", ttl, dnstest.SRV("lb-1.lb.test", portLB))
		c.joins("lb-1")
		set(t, lb1, "one")
		c.has(c.d, "mypeers/t1", "one")

		// The DNS may know of one before it listens. It gets its lesson.
		c.dns.Set("_peers._tcp.lb.test", ttl, dnstest.SRV("lb-1.lb.test", portLB), dnstest.SRV("lb-2.lb.test", portLB))
		time.Sleep(ttl)
		lb2 := c.haproxy("lb-2", host2, nobody)
		c.joins("lb-2")
		c.has(hap{lb2}, "mypeers/t1", "one")

		// One that the DNS has no more, but is there, goes on.
		c.dns.Set("_peers._tcp.lb.test", ttl, dnstest.SRV("lb-2.lb.test", portLB))
		c.logs("not to be found any more")
		set(t, lb1, "two")
		c.has(c.d, "mypeers/t1", "two")
		lb1.Kill()
		eventually(t, 15*time.Second, "lb-1 is forgotten", func() error {
			if state := c.d.peerField("lb-1", "learn_state"); state != "" {
				return errors.New(state)
			}
			return nil
		})
		eventually(t, 10*time.Second, "the table that only lb-1 has defined is gone", func() error {
			if _, err := c.d.table("mypeers/only1"); err == nil {
				return errors.New("it is there")
			}
			return nil
		})
		c.has(c.d, "mypeers/t1", "two")

		// The same name at another address is the same peer.
		host3 := haproxytest.Host(t)
		c.dns.Set("lb-1.lb.test", ttl, dnstest.A(host3))
		c.dns.Set("_peers._tcp.lb.test", ttl, dnstest.SRV("lb-1.lb.test", portLB), dnstest.SRV("lb-2.lb.test", portLB))
		lb1 = c.haproxy("lb-1", host3, nobody)
		c.joins("lb-1")
		c.has(hap{lb1}, "mypeers/t1", "two")
		set(t, lb2, "three")
		c.has(c.d, "mypeers/t1", "three")
	})
}

// One whose name nobody can know calls before the DNS was asked again, and gets its
// lesson; and is dialled from then on.
func TestCallsBeforeItIsFound(t *testing.T) {
	haproxytest.EachAtOnce(t, func(t *testing.T, r haproxytest.Release) {
		host1, host2 := haproxytest.Host(t), haproxytest.Host(t)
		c := newCluster(t, r, "--peer", "dns+lb.test:"+fmt.Sprint(portLB))
		c.dns.Set("lb.test", time.Hour, dnstest.A(host1))
		c.dns.SetPTR(host1, "lb-1.lb.test")
		lb1 := c.haproxy("lb-1", host1, nobody)
		c.joins("lb-1")
		set(t, lb1, "one")
		c.has(c.d, "mypeers/t1", "one")
		c.dns.Set("lb.test", time.Hour, dnstest.A(host1), dnstest.A(host2))
		lb2 := c.haproxy("5d7f9c", host2, portPeersd)
		c.joins("5d7f9c")
		c.has(hap{lb2}, "mypeers/t1", "one")
		c.logs(`"peer":"5d7f9c","address":"` + address(host2, portLB) + `"`) // and is dialled there
		if c.d.peerField("5d7f9c", "coll") != "0" {
			t.Error("it had to call twice")
		}
	})
}

// Whether a name is right can be asked of a HAProxy without a session, and nothing comes
// of it for the one that there is.
func TestAskForName(t *testing.T) {
	haproxytest.EachAtOnce(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		lb := r.Start(t, "lb1", peersSection(host, 1, "table t1 type string len 32 size 1k expire 1h store gpc0"))
		d := startDaemon(t, host, 1)
		eventually(t, 10*time.Second, "there is a session", func() error { return d.established("lb1") })
		ask := discover.Prober{Dial: new(net.Dialer).DialContext}
		at := netip.MustParseAddrPort(address(host, portLB))
		for name, want := range map[string]bool{"lb1": true, "lb2": false, "LB1": false, "lb": false, "peersd": false} {
			for range 10 {
				if is, err := ask.Is(context.Background(), at, name); is != want || err != nil {
					t.Errorf("%s: %v, %v", name, is, err)
				}
			}
		}
		time.Sleep(6 * time.Second) // HAProxy closes a session that it takes for dead within 5 s
		if n := strings.Count(d.log.String(), "session established"); n != 1 || strings.Contains(d.log.String(), "session closed") {
			t.Errorf("%d sessions, or one was closed", n)
		}
		if s := haproxyPeer(t, lb, "peersd")["last_status"]; s != "ESTA" {
			t.Errorf("HAProxy has last_status=%s", s)
		}
	})
}

// The file of peers is read again when it changes, and one that is broken changes nothing.
func TestPeersFile(t *testing.T) {
	haproxytest.EachAtOnce(t, func(t *testing.T, r haproxytest.Release) {
		file := filepath.Join(t.TempDir(), "peers")
		write := func(lines ...string) {
			// At once, as editors and Kubernetes do.
			if err := os.WriteFile(file+".new", []byte(strings.Join(lines, "\n")), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(file+".new", file); err != nil {
				t.Fatal(err)
			}
		}
		write("# nobody yet")
		host1, host2 := haproxytest.Host(t), haproxytest.Host(t)
		c := newCluster(t, r, "--peers-file", file)
		lb1 := c.haproxy("lb1", host1, nobody)
		c.haproxy("lb2", host2, nobody)
		write("lb1=" + address(host1, portLB) + " # by its name")
		c.joins("lb1")
		c.dns.SetPTR(host2, "lb2.lb.test")
		write("lb1="+address(host1, portLB), address(host2, portLB)+" # its name is to be found")
		c.joins("lb2")
		write("lb1="+address(host1, portLB), "lb2")
		c.logs(file + `:2: \"lb2\" is not NAME=ADDR:PORT`)
		set(t, lb1, "one")
		c.has(c.d, "mypeers/t1", "one")
		if n := strings.Count(c.d.log.String(), "session established"); n != 2 || strings.Contains(c.d.log.String(), "session closed") {
			t.Errorf("%d sessions, or one was closed", n)
		}
	})
}

// One that calls from another machine is not taken where the DNS doesn't know it, and
// calls again; and is taken at once when it does, however long the answer holds that it
// did not.
func TestCallsFromElsewhere(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		link, err := netlab.New(linkSeed)
		if errors.Is(err, netlab.ErrUnavailable) {
			testkit.Skip(t, err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { link.Close() })
		c := &cluster{t: t, r: r, host: link.B.Address}
		c.dns = dnstest.StartWithin(t, c.host+":0", link.B.Do)
		c.dns.Negative(time.Hour)
		c.d = newDaemon(t, c.host, 0, "--dns", c.dns.Address, "--peer", "dns+lb.test:"+fmt.Sprint(portLB))
		c.d.within = link.B.Do
		c.d.start()
		config := fmt.Sprintf("peers mypeers\n    peer 5d7f9c %s\n    peer peersd %s\n    table t1 type string len 32 size 1k expire 1h store gpc0\n",
			address(link.A.Address, portLB), address(c.host, portPeersd))
		lb := r.StartWith(t, haproxytest.Options{Name: "5d7f9c", Config: config, Enter: link.A.Enter})
		c.logs("where no peer is to be found now")
		c.dns.Set("lb.test", time.Hour, dnstest.A(link.A.Address))
		c.joins("5d7f9c")
		set(t, lb, "one")
		c.has(c.d, "mypeers/t1", "one")
		if status := haproxyPeer(t, lb, "peersd")["last_status"]; status != "ESTA" {
			t.Errorf("HAProxy has last_status=%s", status)
		}
	})
}
