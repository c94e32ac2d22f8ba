package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
)

// Every counter that requests move, in tables of a frontend, of a backend and of
// a peers section, with the keys of each type that a request can have.
func TestLiveTraffic(t *testing.T) {
	const config = `
frontend fe
    bind HOST:8080
    stick-table type ip size 1k expire 1h peers mypeers store STORE
    tcp-request connection track-sc0 src
    tcp-request connection sc-inc-gpc0(0)
    http-request track-sc1 req.hdr(x-user) table mypeers/users
    http-request sc-inc-gpc0(1)
    http-request sc-inc-gpc1(1)
    http-request sc-set-gpt0(1) int(264432)
    http-request track-sc2 path table paths
    use_backend dead if { path /dead }
    default_backend servers
frontend digests
    bind HOST:8081
    http-request track-sc0 base32+src table mypeers/base
    http-request track-sc1 req.hdr(x-user),sha1 table mypeers/sha1
    http-request track-sc2 req.hdr(x-key),b64dec table mypeers/decoded
    http-request return status 200
backend paths
    stick-table type string len 32 size 1k expire 1h peers mypeers store STORE
backend servers
    server s1 HOST:9000
backend dead
    retries 0
    server s1 HOST:9
`
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		p := startHAProxy(t, r, []string{
			"table users type string len 16 size 1k expire 1h store " + storeAll(r),
			"table base type binary len 20 size 1k expire 1h store " + storeAll(r),
			"table sha1 type binary len 20 size 1k expire 1h store " + storeAll(r),
			"table decoded type binary len 7 size 1k expire 1h store " + storeAll(r),
		}, strings.ReplaceAll(config, "STORE", storeAll(r)))
		p.origin(portOrigin)
		tables := []string{"fe", "paths", "mypeers/users", "mypeers/base", "mypeers/sha1", "mypeers/decoded"}
		visit := func(user string) {
			p.get(200, "/", "x-user", user)
			p.get(200, "/long?"+strings.Repeat("q", 300), "x-user", user)
			p.get(404, "/missing", "x-user", user)
			p.get(500, "/error", "x-user", user)
			p.get(503, "/dead", "x-user", user)
			p.getAt(portHTTP+1, 200, "/"+user, "x-user", user, "x-key", "AAEC/w==")
		}
		visit("early")
		p.startPeersd()
		p.mirroredExactly("after the lesson", tables...)
		for _, user := range []string{"early", "late", "late"} {
			visit(user)
			p.mirroredExactly("after visits of "+user, tables...)
		}
		// Padded to the table's length, zeroes and all.
		p.value("mypeers/decoded", "000102FF000000", "conn_cnt")

		// All counters have moved. A session is counted only where it is tracked
		// from the connection on; for http_fail it took /error: HAProxy's own
		// 503 does not count as one.
		for _, field := range fields(p.lb, "mypeers/users", "late") {
			idle := slices.Contains([]string{"server_id", "server_key", "conn_cur", "glitch_cnt"}, field.Name) ||
				strings.HasPrefix(field.Name, "sess_") || strings.HasPrefix(field.Name, "glitch_rate")
			if !idle && field.Value == "0" {
				t.Errorf("the requests left %s at 0", field.Name)
			}
		}
		if got := p.value("fe", "127.0.0.1", "sess_cnt"); got != "20" {
			t.Errorf("sess_cnt=%s after 20 requests", got)
		}
	})
}

// fields are those of an entry in HAProxy.
func fields(lb hap, table, key string) []haproxytest.Field {
	t, _ := lb.Table(table)
	return t.ByKey()[key].Data
}

// conn_cur follows connections that open and close.
func TestLiveOpenConnections(t *testing.T) {
	const config = `
frontend fe
    bind HOST:8080
    timeout client 1m
    stick-table type ip size 1k expire 1h peers mypeers store conn_cur,conn_cnt
    tcp-request connection track-sc0 src
    http-request track-sc1 req.hdr(x-user) table mypeers/users
    http-request return status 200
`
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		p := startHAProxy(t, r, []string{"table users type string len 16 size 1k expire 1h store conn_cur"}, config)
		var open []net.Conn
		connect := func() { open = append(open, p.connect(portHTTP, "alice")) }
		want := func(current int) {
			t.Helper()
			eventually(t, 5*time.Second, fmt.Sprintf("HAProxy counts %d connections", current), func() error {
				if got := p.value("fe", "127.0.0.1", "conn_cur"); got != fmt.Sprint(current) {
					return fmt.Errorf("conn_cur=%s", got)
				}
				return nil
			})
			p.mirroredExactly(fmt.Sprintf("with %d connections", current), "fe", "mypeers/users")
		}
		connect()
		p.startPeersd()
		want(1)
		for n := 2; n <= 5; n++ {
			connect()
			want(n)
		}
		for n := 4; n >= 0; n-- {
			open[n].Close()
			want(n)
		}
	})
}

// connect makes a request and leaves its connection open.
func (p *pair) connect(port int, user string) net.Conn {
	p.t.Helper()
	c, err := net.Dial("tcp", p.address(port))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: a\r\nX-User: %s\r\n\r\n", user)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("the request on an open connection: %v, %v", resp, err)
	}
	return c
}

// Stickiness: the server by its id and by its key, which is its name or its
// address.
func TestLiveStickiness(t *testing.T) {
	const config = `
frontend fe
    bind HOST:8080
    use_backend by-name if { path /by-name }
    use_backend by-address if { path /by-address }
    default_backend by-source
backend by-source
    balance roundrobin
    stick-table type ip size 1k expire 1h peers mypeers store server_id,server_key
    stick on src
    server s1 HOST:9000
    server s2 HOST:9001
    server s3 HOST:9002
backend by-name
    balance roundrobin
    stick-table type string len 32 size 1k expire 1h srvkey name peers mypeers
    stick on req.hdr(x-user)
    server s1 HOST:9000
    server s2 HOST:9001
    server the-third.server:3_ HOST:9002 id 1000
backend by-address
    balance roundrobin
    stick-table type string len 32 size 1k expire 1h srvkey addr peers mypeers
    stick on req.hdr(x-user)
    server s1 HOST:9000
    server s2 HOST:9001
    server s3 HOST:9002
`
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		p := startHAProxy(t, r, nil, config)
		for i := range 3 {
			p.origin(portOrigin + i)
		}
		visits := func(users ...string) {
			p.get(200, "/")
			for _, user := range users {
				p.get(200, "/by-name", "x-user", user)
				p.get(200, "/by-address", "x-user", user)
			}
		}
		tables := []string{"by-source", "by-name", "by-address"}
		visits("early1", "early2")
		p.startPeersd()
		p.mirroredExactly("after the lesson", tables...)
		visits("late1", "late2", "late3", "early1")
		p.mirroredExactly("after more visits", tables...)

		// A server that goes down moves its users to others.
		p.lb.MustCommand(t, "disable server by-name/s1;disable server by-address/s1;disable server by-source/s1")
		visits("late1", "late2", "late3", "early1", "early2")
		p.mirroredExactly("after a server went down", tables...)
		for _, e := range p.lb.MustTable(t, "by-address").Entries {
			if key, _ := e.Get("server_key"); key == p.host+":9000" {
				t.Errorf("%s still sticks to the server that went down", e.Key)
			}
		}
	})
}

// More servers than a session's dictionary has room for: strings of it are
// replaced by others all the time.
func TestLiveManyServers(t *testing.T) {
	const config = `
frontend fe
    bind HOST:8080
    default_backend servers
backend servers
    balance roundrobin
    stick-table type string len 32 size 1k expire 1h peers mypeers
    stick on req.hdr(x-user)
    server-template s 1-150 HOST:9000
`
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		p := startHAProxy(t, r, nil, config)
		p.origin(portOrigin)
		visits := func(from, to int) {
			for user := from; user < to; user++ {
				p.get(200, "/", "x-user", fmt.Sprint("user", user))
			}
		}
		visits(0, 150)
		p.startPeersd()
		p.mirroredExactly("after the lesson", "servers")
		visits(100, 300)
		p.mirroredExactly("after more users", "servers")
		visits(0, 150)
		p.mirroredExactly("after the first users came again", "servers")
		p.restartHAProxy()
		p.mirroredExactly("after HAProxy was killed", "servers")

		servers := map[string]bool{}
		for _, e := range p.lb.MustTable(t, "servers").Entries {
			key, _ := e.Get("server_key")
			servers[key] = true
		}
		if len(servers) != 150 {
			t.Errorf("the users stick to %d servers, not 150", len(servers))
		}
	})
}
