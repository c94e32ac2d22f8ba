package e2e

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/protocol"
)

// A reloadCase is a table, and what a reload makes of its stick-table line.
type reloadCase struct {
	table         string
	before, after string
	set           []string // behind "set table ... key", before the reload
	keeps         []string // the entries that fit after it, as they are then
	// lost: HAProxy's old process can't teach it to the new one. Who has it
	// afterwards is peersd.
	lost bool
}

var (
	key8, key32 = strings.Repeat("e", 8), strings.Repeat("x", 32)

	reloadCases = []reloadCase{
		{
			table: "same", before: "len 32 store gpc0,http_req_rate(60s)", after: "len 32 store gpc0,http_req_rate(60s)",
			set:   []string{"a data.gpc0 1 data.http_req_rate 9", "b data.gpc0 2"},
			keeps: []string{"a gpc0=1 http_req_rate(60000)=9", "b gpc0=2 http_req_rate(60000)=0"},
		},
		{
			table: "added", before: "len 32 store gpc0", after: "len 32 store gpc0,conn_cnt,server_key",
			set:   []string{"a data.gpc0 1", "b data.gpc0 2"},
			keeps: []string{"a gpc0=1 conn_cnt=0 server_key=-", "b gpc0=2 conn_cnt=0 server_key=-"},
		},
		{
			table: "removed", before: "len 32 store gpc0,conn_cnt,http_req_rate(60s)", after: "len 32 store gpc0",
			set:   []string{"a data.gpc0 1 data.conn_cnt 5", "b data.http_req_rate 3"},
			keeps: []string{"a gpc0=1", "b gpc0=0"},
		},
		{
			table: "period", before: "len 32 store http_req_rate(60s)", after: "len 32 store http_req_rate(120s)",
			set:   []string{"a data.http_req_rate 100"},
			keeps: []string{"a http_req_rate(120000)=100"},
		},
		{
			// From the traffic: before 3.2 "set table" knows no arrays.
			table: "array", before: "len 32 store gpc(2),http_req_cnt", after: "len 32 store gpc(4),http_req_cnt",
			keeps: []string{"/a http_req_cnt=1 gpc0=1 gpc1=1 gpc2=0 gpc3=0", "/b http_req_cnt=2 gpc0=2 gpc1=2 gpc2=0 gpc3=0"},
		},
		{
			table: "longer", before: "len 32 store gpc0", after: "len 64 store gpc0",
			set:   []string{"a data.gpc0 1", key32 + " data.gpc0 2"},
			keeps: []string{"a gpc0=1", key32 + " gpc0=2"}, lost: true,
		},
		{
			table: "shorter", before: "len 32 store gpc0", after: "len 8 store gpc0",
			set:   []string{"a data.gpc0 1", key8 + " data.gpc0 2", key8 + "9 data.gpc0 3", key32 + " data.gpc0 4"},
			keeps: []string{"a gpc0=1", key8 + " gpc0=2"}, lost: true,
		},
	}
)

// reloadConfig has all tables of the cases, with the line that is picked.
func reloadConfig(host string, pick func(reloadCase) string) string {
	var b strings.Builder
	b.WriteString(peersSection(host, 1) + defaults)
	fmt.Fprintf(&b, `
frontend web
    bind %s:%d
    http-request track-sc0 path table array
    http-request sc-inc-gpc(0,0)
    http-request sc-inc-gpc(1,0)
    http-request return status 200
`, host, portHTTP)
	for _, c := range reloadCases {
		fmt.Fprintf(&b, "backend %s\n    stick-table type string %s size 1k expire 1h peers mypeers\n", c.table, pick(c))
	}
	return b.String()
}

func before(c reloadCase) string { return c.before }
func after(c reloadCase) string  { return c.after }

func TestReload(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		d := startUpToDate(t, host)
		lb1 := r.Start(t, "lb1", reloadConfig(host, before))
		eventually(t, patience, "lb1 has had its lesson", func() error { return d.established("lb1") })

		// A reload right behind the changes: none may be lost.
		made := time.Now()
		for _, c := range reloadCases {
			for _, entry := range c.set {
				if answer := lb1.MustCommand(t, "set table "+c.table+" key "+entry); answer != "\n" {
					t.Fatalf("set table %s key %s: %s", c.table, entry, answer)
				}
			}
		}
		for _, path := range []string{"/a", "/b", "/b"} {
			if _, _, err := haproxytest.Get(fmt.Sprintf("http://%s:%d%s", host, portHTTP, path)); err != nil {
				t.Fatal(err)
			}
		}
		lb1 = reload(t, d, lb1, "")
		for _, c := range reloadCases {
			if err := has(d, c.table, max(len(c.set), len(c.keeps))); err != nil {
				t.Error(err)
			}
			eventually(t, patience, "lb1 has all from its old process", func() error { return same(c.table, hap{lb1}, d) })
		}

		lb1 = reload(t, d, lb1, reloadConfig(host, after))
		for _, c := range reloadCases {
			if err := c.keptBy(d, made); err != nil {
				t.Errorf("peersd: %v", err)
			}
			if !c.lost {
				eventually(t, patience, "lb1 has what fits", func() error { return c.keptBy(hap{lb1}, made) })
			}
		}

		lb1 = restartHAProxy(t, lb1)
		for _, c := range reloadCases {
			eventually(t, 2*time.Second, "lb1 has what fits", func() error { return c.keptBy(hap{lb1}, made) })
			if err := same(c.table, hap{lb1}, d); err != nil {
				t.Error(err)
			}
		}
		for _, c := range reloadCases {
			lb1.MustCommand(t, "set table "+c.table+" key late")
			eventually(t, patience, "the change is seen", func() error { return has(d, c.table, len(c.keeps)+1) })
			if err := same(c.table, hap{lb1}, d); err != nil {
				t.Error(err)
			}
		}
		for field, want := range map[string]string{"new_conn": "4", "proto_err": "0", "no_hbt": "0"} {
			if got := d.peerField("lb1", field); got != want {
				t.Errorf("%s=%s, want %s", field, got, want)
			}
		}
	})
}

// A HAProxy that was reloaded in its first 5 s teaches its successor nothing,
// unless it had a lesson from someone up to date. The successor waits for that
// in vain, 5 s long too, and then asks peersd. Meanwhile the old process dials
// once more, as it began to before peersd was there.
func TestEarlyReload(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		lb1 := r.Start(t, "lb1", gpc0Config(host, "t1"))
		d := startDaemon(t, host, 1)
		eventually(t, patience, "lb1 has had its lesson", func() error { return d.established("lb1") })
		made := time.Now()
		lb1.MustCommand(t, "set table t1 key k data.gpc0 7")
		lb1 = reload(t, d, lb1, "")
		c := reloadCase{table: "t1", keeps: []string{"k gpc0=7"}}
		eventually(t, 8*time.Second, "lb1 has it from peersd", func() error { return c.keptBy(hap{lb1}, made) })
		if got := d.peerField("lb1", "new_conn"); got != "2" {
			t.Errorf("%s sessions, want one before the reload and one after", got)
		}
	})
}

// Two HAProxys that define a name with other keys drop each other's table in
// silence. To peersd these are two tables, each with those that define it so.
func TestKeysDefinedOtherwise(t *testing.T) {
	tables := []struct{ name, lb1, lb2, key1, key2 string }{
		{"length", "string len 32", "string len 64", "a", "b"},
		{"kind", "ip", "integer", "10.0.0.1", "7"},
	}
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		config1 := peersSection(host, 2) + defaults
		config2 := config1
		for _, tt := range tables {
			const line = "backend %s\n    stick-table type %s size 1k expire 1h store gpc0 peers mypeers\n"
			config1 += fmt.Sprintf(line, tt.name, tt.lb1)
			config2 += fmt.Sprintf(line, tt.name, tt.lb2)
		}
		d := startDaemon(t, host, 2)
		lb1, lb2 := r.Start(t, "lb1", config1), r.Start(t, "lb2", config2)
		for _, tt := range tables {
			lb1.MustCommand(t, "set table "+tt.name+" key "+tt.key1+" data.gpc0 1")
			lb2.MustCommand(t, "set table "+tt.name+" key "+tt.key2+" data.gpc0 2")
		}
		for _, tt := range tables {
			eventually(t, patience, "peersd has both tables", func() error { return d.hasVariants(tt.name, tt.key1, tt.key2) })
			// What peersd has written may still be on its way to us.
			eventually(t, patience, "the log says once what to change", func() error {
				said := 0
				for line := range strings.Lines(d.log.String()) {
					if strings.Contains(line, `"table":"`+tt.name+`"`) && strings.Contains(line, "make the type and len of their stick-table lines equal") {
						said++
					}
				}
				if said != 1 {
					return fmt.Errorf("%s: %d times", tt.name, said)
				}
				return nil
			})
		}

		lb1.Kill()
		lb2.Kill()
		lb1, lb2 = restartHAProxy(t, lb1), restartHAProxy(t, lb2)
		for _, tt := range tables {
			eventually(t, patience, "lb1 has its own", func() error { return hasGPC0(hap{lb1}, tt.name, map[string]string{tt.key1: "1"}) })
			eventually(t, patience, "lb2 has its own", func() error { return hasGPC0(hap{lb2}, tt.name, map[string]string{tt.key2: "2"}) })
		}
	})
}

// hasVariants reports where there are not two tables of that name, of an entry
// each, with these keys.
func (d *daemon) hasVariants(name string, keys ...string) error {
	out, err := d.try("show", "table", name)
	if err != nil {
		return err
	}
	var got []string
	const head = "# table:"
	for text := range strings.SplitSeq(out, head) {
		if text == "" {
			continue
		}
		table, err := haproxytest.ParseTable(head + text)
		if err != nil {
			return err
		}
		for _, e := range table.Entries {
			got = append(got, e.Key)
		}
	}
	slices.Sort(got)
	slices.Sort(keys)
	if !slices.Equal(got, keys) || strings.Count(out, head) != len(keys) {
		return fmt.Errorf("the tables %s are %q", name, out)
	}
	return nil
}

// startUpToDate starts a peersd that is up to date: lb2, which it has learned
// from, was, and had nothing to teach.
func startUpToDate(t testing.TB, host string) *daemon {
	t.Helper()
	l, err := net.Listen("tcp", address(host, portLB+1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	d := startDaemon(t, host, 2)
	lb2, _ := answer(t, l, protocol.StatusSuccess)
	lb2.teach(protocol.ResyncFinished)
	lb2.SetDeadline(time.Time{})
	go func() { // until the connection is closed with the test
		for lb2.Write(message(protocol.Heartbeat)); err == nil; _, err = lb2.Write(message(protocol.Heartbeat)) {
			time.Sleep(time.Second)
		}
	}()
	return d
}

// reload reloads a HAProxy, to another configuration where there is one, and
// waits until the old process has ended and peersd has learned from the new
// one, on its only session.
func reload(t testing.TB, d *daemon, p *haproxytest.Process, config string) *haproxytest.Process {
	t.Helper()
	var sessions, now int
	fmt.Sscan(d.peerField("lb1", "new_conn"), &sessions)
	next, err := p.Reload(config)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*patience, "the reload is over", func() error {
		fmt.Sscan(d.peerField("lb1", "new_conn"), &now)
		switch {
		case p.Alive():
			return errors.New("the old process is there")
		case now == sessions:
			return errors.New("no new session")
		}
		return d.established("lb1")
	})
	if now != sessions+1 {
		t.Errorf("%d sessions in a reload, want one", now-sessions)
	}
	return next
}

// has reports where a table has not n entries.
func has(s shower, table string, n int) error {
	got, err := s.table(table)
	if err == nil && len(got.Entries) != n {
		err = fmt.Errorf("table %s has %d entries, want %d", table, len(got.Entries), n)
	}
	return err
}

// keptBy reports where s has not what the case keeps, as it was made then: an
// entry lives for an hour from there on, not from any reload or restart.
func (c *reloadCase) keptBy(s shower, made time.Time) error {
	got, err := s.table(c.table)
	if err != nil {
		return err
	}
	var entries []string
	for _, e := range got.Entries {
		text := e.Key
		for _, f := range e.Data {
			text += " " + f.Name + "=" + f.Value
		}
		entries = append(entries, text)
		lives := time.Hour - time.Since(made)
		if e.Exp > lives+time.Second || e.Exp < lives-time.Second {
			return fmt.Errorf("table %s: %s: exp %v, want %v", c.table, e.Key, e.Exp, lives)
		}
	}
	slices.Sort(entries)
	if !slices.Equal(entries, c.keeps) {
		return fmt.Errorf("table %s has %q, want %q", c.table, entries, c.keeps)
	}
	return nil
}
