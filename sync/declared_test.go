package peersync

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/peersd/peersd/protocol"
)

// Tables that are declared are there without a peer, and go with the line that
// declares them, unless a peer has them too.
func TestDeclaredTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		declared := func(names ...string) (all []Declared) {
			for _, name := range names {
				all = append(all, Declared{definition(name, 0), "haproxy.cfg:7"})
			}
			return all
		}
		r := start(t, &network{}, Config{Declared: declared("t1", "t2", "t3")})
		defer r.stop()
		expectTables := func(want int) {
			t.Helper()
			synctest.Wait()
			if n := len(r.tables.Tables()); n != want {
				t.Errorf("%d tables, not %d", n, want)
			}
		}
		expectTables(3)
		a := r.call("a")
		a.send(define("t1") + update(1, "10.0.0.1", 1))
		expectTables(3)
		for range 3 {
			r.Apply(Config{Names: []string{"peersd"}, Allow: anybody, Declared: declared("t3", "t1")})
			expectTables(2)
		}
		r.Apply(Config{Names: []string{"peersd"}, Allow: anybody})
		expectTables(1)
		a.expectOver(false)
		if got := r.dump(); got != "t1 10.0.0.1=1" {
			t.Errorf("there is %q", got)
		}
	})
}

// A peer that defines a table otherwise is told of, by the line that it should have.
func TestDeclaredOtherwise(t *testing.T) {
	was := protocol.Definition{Name: "t1", KeyType: protocol.KeyIPv4, KeyLen: 4, Expire: 60_000}
	was.Types = 1<<protocol.GPC0 | 1<<protocol.GPCArray | 1<<protocol.HTTPReqRate
	was.Params[protocol.GPCArray].Elements = 2
	was.Params[protocol.HTTPReqRate].Period = 10_000
	for want, change := range map[string]func(d *protocol.Definition){
		"":                                       func(d *protocol.Definition) { d.ID = 7 },
		"expire 1h0m0s in place of 1m0s":         func(d *protocol.Definition) { d.Expire = 3_600_000 },
		"expire none in place of 1m0s":           func(d *protocol.Definition) { d.Expire = 0 },
		"gpt0 besides":                           func(d *protocol.Definition) { d.Types |= 1 << protocol.GPT0 },
		"no gpc0":                                func(d *protocol.Definition) { d.Types &^= 1 << protocol.GPC0 },
		"gpc of 3 elements in place of 2":        func(d *protocol.Definition) { d.Params[protocol.GPCArray].Elements = 3 },
		"http_req_rate over 1s in place of 10s":  func(d *protocol.Definition) { d.Params[protocol.HTTPReqRate].Period = 1000 },
		"expire 500ms in place of 1m0s, no gpc0": func(d *protocol.Definition) { d.Expire, d.Types = 500, d.Types&^(1<<protocol.GPC0) },
	} {
		is := was
		change(&is)
		if got := (Declared{&was, "haproxy.cfg:7"}).otherwise(&is); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		other := definition("t2", 0)
		other.KeyType, other.KeyLen = protocol.KeyInteger, 4
		def := definition("t1", 0)
		def.Expire = 1000
		r := start(t, &network{}, Config{Declared: []Declared{{def, "haproxy.cfg:7"}, {other, "haproxy.cfg:8"}}})
		defer r.stop()
		r.call("a").send(define("t1") + define("t2"))
		time.Sleep(time.Second)
		r.expectLog("the peer defines the table otherwise than haproxy.cfg:7 declares it: expire 1m0s in place of 1s; make their lines equal")
		r.expectLog(`but \"integer\" on haproxy.cfg:8: HAProxy drops`)
	})
}
