package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/peersd/peersd/internal/haproxytest"
)

// A column is a data type as a table stores it, and values to try.
type column struct {
	store  string // as in haproxy.cfg
	since  string // release line that brought it
	values []string
}

func (c column) name() string {
	name, _, _ := strings.Cut(c.store, "(")
	return name
}

// Values at which a varint gets longer, and the extremes of each size.
var (
	signed  = strings.Fields("0 -1 239 240 2147483647 -2147483648")
	edges32 = strings.Fields("0 1 239 240 2287 2288 264431 264432 33818863 33818864 4294967295")
	// HAProxy reads numbers as signed ones: the last two are 2^63 and 2^64-1.
	edges64 = append(slices.Clone(edges32), strings.Fields("4294967296 4328786159 4328786160 9223372036854775807 -9223372036854775808 -1")...)
)

// columns are all data types but the arrays, which exclude some of them. The
// periods are long, so that rates don't fall meanwhile, and no two are the same.
var columns = []column{
	{store: "server_id", values: signed},
	{store: "gpt0", values: edges32},
	{store: "gpc0", values: edges32},
	{store: "gpc0_rate(1h)", values: edges32},
	{store: "conn_cnt", values: edges32},
	{store: "conn_rate(2h)", values: edges32},
	{store: "conn_cur", values: edges32},
	{store: "sess_cnt", values: edges32},
	{store: "sess_rate(3h)", values: edges32},
	{store: "http_req_cnt", values: edges32},
	{store: "http_req_rate(4h)", values: edges32},
	{store: "http_err_cnt", values: edges32},
	{store: "http_err_rate(5h)", values: edges32},
	{store: "bytes_in_cnt", values: edges64},
	{store: "bytes_in_rate(6h)", values: edges32},
	{store: "bytes_out_cnt", values: edges64},
	{store: "bytes_out_rate(7h)", values: edges32},
	{store: "gpc1", values: edges32},
	{store: "gpc1_rate(8h)", values: edges32},
	{store: "server_key"}, // `set table` can't write it
	{store: "http_fail_cnt", values: edges32},
	{store: "http_fail_rate(9h)", values: edges32},
	{store: "glitch_cnt", since: "3.0", values: edges32},
	{store: "glitch_rate(10h)", since: "3.0", values: edges32},
}

// storeAll is the list of all columns that a release has, for haproxy.cfg.
func storeAll(r haproxytest.Release) string {
	var list []string
	for _, c := range columns {
		if c.since <= r.Line {
			list = append(list, c.store)
		}
	}
	return strings.Join(list, ",")
}

// setAll writes a value to each column of an entry, another one for each n.
func (p *pair) setAll(table, key string, n int) {
	p.t.Helper()
	var data []string
	for i, c := range columns {
		if c.since <= p.lb.Release().Line && c.values != nil {
			data = append(data, c.name(), c.values[(i+n)%len(c.values)])
		}
	}
	p.set(table, key, strings.Join(data, " "))
}

func TestLiveTypes(t *testing.T) {
	tables := []struct {
		name, keyType string
		keys          []string
	}{
		{"ip", "ip", []string{"0.0.0.0", "10.0.0.1", "127.255.0.1", "255.255.255.255"}},
		{"ipv6", "ipv6", []string{"::", "2001:db8::1", "fe80::1:2:3:4", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}},
		{"integer", "integer", []string{"0", "239", "240", "4294967295"}},
		{"string", "string len 32", []string{"a", "b", "abcdefghijklmnopqrstuvwxyz", "an-entry-as-long-as-its-table-has"}},
	}
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		var lines, names []string
		for _, table := range tables {
			lines = append(lines, fmt.Sprintf("table %s type %s size 1k expire 1h store %s", table.name, table.keyType, storeAll(r)))
			names = append(names, "mypeers/"+table.name)
		}
		p := startHAProxy(t, r, lines, "")
		// An entry a table stays as it was before peersd came; the other three
		// take the next values of each column each round.
		fill := func(round int) {
			for i, table := range tables {
				for k, key := range table.keys[min(round, 1):] {
					p.setAll(names[i], key, k+3*round)
				}
			}
		}
		fill(0)
		p.startPeersd()
		p.mirroredExactly("after the lesson", names...)
		for round := 1; 3*round <= len(edges64); round++ {
			fill(round)
			p.mirroredExactly(fmt.Sprint("after change ", round), names...)
		}
		// All of it was acked: now nothing is pushed, and the lesson alone brings
		// each entry once.
		p.d.stop()
		p.startPeersd()
		p.mirroredExactly("after a lesson with nothing pushed before", names...)
		if got, want := p.d.peerField("lb1", "updates_in"), strconv.Itoa(len(tables)*len(tables[0].keys)); got != want {
			t.Errorf("%s updates for %s entries", got, want)
		}
	})
}

// Arrays can be written through `set table` from 3.2 on only: here requests do.
func TestLiveArrays(t *testing.T) {
	tables := []struct {
		name   string
		length int
	}{{"a1", 1}, {"a7", 7}, {"a100", 100}}
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		var lines, names []string
		frontend := strings.Builder{}
		frontend.WriteString("frontend fe\n bind HOST:8080\n")
		for sc, table := range tables {
			n := table.length
			lines = append(lines, fmt.Sprintf("table %s type string len 16 size 1k expire 1h store gpt(%d),gpc(%d),gpc_rate(%d,1h)", table.name, n, n, n))
			names = append(names, "mypeers/"+table.name)
			fmt.Fprintf(&frontend, " http-request track-sc%d req.hdr(x-user) table mypeers/%s\n", sc, table.name)
			for i := range n { // each request counts on in some elements and not in others
				fmt.Fprintf(&frontend, " http-request sc-set-gpt(%d,%d) req.hdr(x-tag),add(%d)\n", i, sc, i)
				fmt.Fprintf(&frontend, " http-request sc-inc-gpc(%d,%d) if { req.hdr(x-tag),mod(7) ge %d }\n", i, sc, i%7)
			}
		}
		frontend.WriteString(" http-request return status 200\n")
		p := startHAProxy(t, r, lines, frontend.String())

		p.get(200, "/", "x-user", "early", "x-tag", "5")
		p.startPeersd()
		p.mirroredExactly("after the lesson", names...)
		for i, tag := range edges32 {
			p.get(200, "/", "x-user", "early", "x-tag", tag)
			p.get(200, "/", "x-user", fmt.Sprint("late", i), "x-tag", tag)
			p.mirroredExactly("after tag "+tag, names...)
		}
		p.restartHAProxy()
		p.mirroredExactly("after HAProxy was killed", names...)
		for _, name := range names {
			if got := p.value(name, "early", "gpc0_rate(3600000)"); got != fmt.Sprint(1+len(edges32)) {
				t.Errorf("table %s has gpc0_rate=%s after %d requests", name, got, 1+len(edges32))
			}
		}
	})
}
