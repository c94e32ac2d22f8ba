package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
)

// The tests called Live hold a HAProxy and a peersd side by side: what both
// print of a table has to be the same, whether the entries are older than their
// session or change while it is up.

// A pair is a HAProxy and the peersd that mirrors it.
type pair struct {
	t    *testing.T
	host string
	lb   hap
	d    *daemon
}

// startHAProxy starts the HAProxy of a pair. HOST in its configuration is the
// test's address; tables are lines of its peers section.
func startHAProxy(t *testing.T, r haproxytest.Release, tables []string, config string) *pair {
	t.Helper()
	host := haproxytest.Host(t)
	config = peersSection(host, 1, tables...) + defaults + strings.ReplaceAll(config, "HOST", host)
	return &pair{t: t, host: host, lb: hap{r.Start(t, "lb1", config)}}
}

// startPeersd starts the other one and waits until it has had its lesson.
func (p *pair) startPeersd(args ...string) {
	p.t.Helper()
	p.d = startDaemon(p.t, p.host, 1, args...)
	eventually(p.t, 5*time.Second, "the lesson is over", func() error { return p.d.established("lb1") })
}

// restartHAProxy kills HAProxy and starts it again.
func (p *pair) restartHAProxy() {
	p.t.Helper()
	lb, err := p.lb.Restart()
	if err != nil {
		p.t.Fatal(err)
	}
	p.lb = hap{lb}
}

func (p *pair) address(port int) string { return net.JoinHostPort(p.host, strconv.Itoa(port)) }

// set writes an entry: "gpc0 7 gpt0 2" are its data types and values.
func (p *pair) set(table, key, data string) {
	p.t.Helper()
	p.mustSet(setCommand(table, key, data))
}

// mustSet sends a line of commands, which HAProxy answers only where it refuses
// one.
func (p *pair) mustSet(commands string) {
	p.t.Helper()
	if answer := strings.TrimSpace(p.lb.MustCommand(p.t, commands)); answer != "" {
		p.t.Fatalf("%s: %s", commands, answer)
	}
}

func setCommand(table, key, data string) string {
	command := "set table " + table + " key " + key
	for i, word := range strings.Fields(data) {
		if i%2 == 0 {
			word = "data." + word
		}
		command += " " + word
	}
	return command
}

// get makes a request to the first frontend and wants that status. Headers come
// as names and values in turn.
func (p *pair) get(status int, path string, headers ...string) {
	p.t.Helper()
	p.getAt(portHTTP, status, path, headers...)
}

// getAt is get for the frontend at a port.
func (p *pair) getAt(port, status int, path string, headers ...string) {
	p.t.Helper()
	got, _, err := haproxytest.Get("http://"+p.address(port)+path, headers...)
	if err != nil || got != status {
		p.t.Fatalf("GET %s %q: status %d, %v; want %d", path, headers, got, err, status)
	}
}

// mirrored waits until both print the same of the tables, none of which may
// be empty.
func (p *pair) mirrored(when string, tables ...string) {
	p.t.Helper()
	p.agree(when, same, tables)
}

// mirroredExactly is mirrored for tables whose rates don't fall while the test
// runs: nothing is allowed for.
func (p *pair) mirroredExactly(when string, tables ...string) {
	p.t.Helper()
	p.agree(when, identical, tables)
}

func (p *pair) agree(when string, differ func(name string, a, b shower) error, tables []string) {
	p.t.Helper()
	for _, name := range tables {
		eventually(p.t, 5*time.Second, when, func() error { return differ(name, p.lb, p.d) })
		if len(p.lb.MustTable(p.t, name).Entries) == 0 {
			p.t.Fatalf("%s: table %s is empty", when, name)
		}
	}
}

// identical is same, without what same allows for the clocks of rates.
func identical(name string, a, b shower) error {
	ta, tb, err := both(name, a, b)
	if err != nil {
		return err
	}
	others := tb.ByKey()
	for _, e := range ta.Entries {
		if o := others[e.Key]; !slices.Equal(e.Data, o.Data) {
			return fmt.Errorf("table %s: %s: %v against %v", name, e.Key, e.Data, o.Data)
		}
	}
	return nil
}

// both is same, and returns what it has read.
func both(name string, a, b shower) (ta, tb haproxytest.Table, err error) {
	began := time.Now()
	if ta, err = a.table(name); err != nil {
		return ta, tb, err
	}
	if tb, err = b.table(name); err != nil {
		return ta, tb, err
	}
	return ta, tb, compare(ta, tb, time.Since(began))
}

// value is what HAProxy has in a field of an entry; the key is as printed.
func (p *pair) value(table, key, field string) string {
	p.t.Helper()
	e, ok := p.lb.MustTable(p.t, table).ByKey()[key]
	if !ok {
		p.t.Fatalf("HAProxy's table %s has no %s", table, key)
	}
	v, ok := e.Get(field)
	if !ok {
		p.t.Fatalf("HAProxy's table %s has no %s", table, field)
	}
	return v
}

// origin answers /missing with 404, /error with 500, and all else with 200 and
// 1000 bytes.
func (p *pair) origin(port int) {
	p.t.Helper()
	l, err := net.Listen("tcp", p.address(port))
	if err != nil {
		p.t.Fatal(err)
	}
	answer := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		case "/error":
			w.WriteHeader(http.StatusInternalServerError)
		}
		io.WriteString(w, strings.Repeat("peers", 200))
	}
	srv := &http.Server{Handler: http.HandlerFunc(answer)}
	go srv.Serve(l)
	p.t.Cleanup(func() { srv.Close() })
}
