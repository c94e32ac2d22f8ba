package peersync

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// found is what is wrong, a line each.
func (r *running) found() string {
	synctest.Wait()
	var b strings.Builder
	for _, f := range r.Findings() {
		fmt.Fprintf(&b, "%s %s %s/%s: %s\n", f.Severity, f.Code, f.Peer, f.Table, f.Sentence())
	}
	return b.String()
}

// live lets peers be there for some time.
func live(d time.Duration, peers ...*remote) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(min(3*time.Second, time.Until(end))) {
		for _, p := range peers {
			p.say(protocol.Heartbeat)
		}
	}
}

// teach ends the lesson that the peer was asked for.
func (p *remote) teach() {
	time.Sleep(100 * time.Millisecond)
	p.say(protocol.ResyncFinished)
}

// defines sends a definition that differs from the usual one.
func (p *remote) defines(name string, differs func(*protocol.Definition)) {
	def := definition(name, 1)
	differs(def)
	p.send(string(protocol.AppendDefinition(nil, def)))
}

func TestFindings(t *testing.T) {
	for name, c := range map[string]struct {
		cfg  Config
		do   func(r *running)
		want string
	}{
		"nothing": {do: func(r *running) {
			a, b := r.call("a"), r.call("b")
			for _, p := range []*remote{a, b} {
				p.send(define("t1") + update(1, "10.0.0.1", 1))
				p.teach()
			}
			r.set("t1", "10.0.0.2", 1)
			synctest.Wait()
			for _, p := range []*remote{a, b} {
				p.send(string(protocol.AppendAck(nil, protocol.Ack{TableID: 1, UpdateID: 1})))
			}
			live(time.Minute, a, b)
		}},
		"a wrong name": {
			cfg: Config{Names: []string{"peersd", "host1"}},
			do: func(r *running) {
				r.callAs("HAProxyS 2.1\nmirror\nlb1 1 1\n")
				time.Sleep(time.Minute)
				r.callAs("HAProxyS 2.1\nmirror\nlb1 1 1\n")
				time.Sleep(5 * time.Second)
				r.callAs("HAProxyS 2.1\npeersd\npeersd 1 1\n")
				r.callAs("GET / HTTP/1.1\r\nHost: peersd\r\n\r\n") // by no name at all
			},
			want: `fault hello-refused lb1/: lb1 calls us "mirror", but our name is "peersd" or "host1" (2 times from pipe, last 5s ago); write "peer peersd ADDRESS:PORT" in its haproxy.cfg, or start peersd with -L mirror
fault hello-refused peersd/: the caller has our own name "peersd" (once from pipe, last 0s ago); give it another one with -L
`},
		"a wrong name that was put right": {do: func(r *running) {
			r.callAs("HAProxyS 2.1\nmirror\nlb1 1 1\n")
			r.call("lb1")
		}},
		"an unknown peer": {
			cfg: lb1,
			do: func(r *running) {
				r.call("lb1").teach()
				r.call("lb2")
			},
			want: "fault hello-refused lb2/: no peer of the name \"lb2\" is known (once from pipe, last 0s ago); add --peer lb2=ADDRESS:PORT, or start without any --peer to welcome every name\n"},
		"a peer that refuses us": {
			cfg: lb1,
			do: func(r *running) {
				l := r.net.listen("lb1:1")
				answer(r.t, l).status(protocol.StatusRemote)
				time.Sleep(time.Minute)
			},
			want: "fault dial-refused lb1/: lb1, at lb1:1, refuses us: it says 504 (our name is not known to it): add \"peer peersd ADDRESS:PORT\" to the peers section of its haproxy.cfg\n"},
		"a peer that refused us, and doesn't any more": {
			cfg: lb1,
			do: func(r *running) {
				l := r.net.listen("lb1:1")
				answer(r.t, l).status(protocol.StatusLocal)
				p := answer(r.t, l)
				p.status(protocol.StatusSuccess)
				live(time.Minute, p)
			}},
		"a peer that was never seen": {
			cfg:  lb1,
			do:   func(*running) { time.Sleep(10 * time.Second) },
			want: "fault never-seen lb1/: there was no session with lb1 yet, which is dialled at lb1:1: can't connect yet: connection refused; see whether it runs, whether its peers section listens there, and whether --peer lb1 is right\n"},
		"a peer that may still come": {
			cfg: lb1,
			do:  func(*running) { time.Sleep(9 * time.Second) }},
		"a peer that is away": {
			cfg: lb1,
			do: func(r *running) {
				r.call("lb1").conn.Close()
				time.Sleep(35 * time.Second)
			},
			want: "fault away lb1/: lb1 is away for 35s; what is taught meanwhile counts as partial; start it, or start peersd without its --peer\n"},
		"key types that differ": {
			do: func(r *running) {
				r.call("a").defines("/t1", func(d *protocol.Definition) { d.KeyType, d.KeyLen = protocol.KeyString, 33 })
				r.call("b").defines("/t1", func(*protocol.Definition) {})
				r.call("c").defines("/t1", func(*protocol.Definition) {})
			},
			want: "fault definition-conflict /mypeers/t1: mypeers/t1 is \"ip\" on b, c, and \"string len 32\" on a: HAProxy drops the updates of another kind in silence; make the type and len of the stick-table lines equal\n"},
		"a table that is gone": {do: func(r *running) {
			a := r.call("a")
			a.defines("t1", func(d *protocol.Definition) { d.Expire = 0 })
			a.conn.Close()
			synctest.Wait()
			b := r.call("a")
			b.defines("t2", func(*protocol.Definition) {})
			b.teach()
		}},
		"key types that differed": {do: func(r *running) {
			a := r.call("a")
			a.defines("t1", func(d *protocol.Definition) { d.KeyType, d.KeyLen = protocol.KeyString, 33 })
			r.call("b").defines("t1", func(*protocol.Definition) {})
			a.defines("t1", func(*protocol.Definition) {})
		}},
		"periods and types that differ": {
			do: func(r *running) {
				for i, p := range []*remote{r.call("a"), r.call("b"), r.call("c")} {
					p.defines("t1", func(d *protocol.Definition) {
						d.Types = 1<<protocol.GPC0 | 1<<protocol.HTTPReqRate | 1<<protocol.GPTArray
						d.Params[protocol.HTTPReqRate].Period = uint32(10_000 * max(i, 1))
						d.Params[protocol.GPTArray].Elements = 2 + i/2
						d.Expire = uint32(60_000 * (1 + i/2))
					})
				}
			},
			want: `fault periods-differ /t1: http_req_rate of t1 is counted over 10s on a, b, and 20s on c: HAProxy takes over another's counts without looking at their period; give it the same period everywhere
fault types-differ /t1: what t1 stores is gpc0,http_req_rate,gpt(2) on a, b, and gpc0,http_req_rate,gpt(3) on c: HAProxy takes only what it stores itself; let all of them store the same
note expire-differs /t1: the expire of t1 is 1m0s on a, b, and 2m0s on c; make it equal, if that is not meant
`},
		"a table without expire": {
			do: func(r *running) {
				for i := range 7 {
					r.call(fmt.Sprint("lb", i)).defines("t1", func(d *protocol.Definition) { d.Expire = 0 })
				}
			},
			want: "fault no-expire /t1: t1 has no expire on lb0, lb1, lb2, lb3, lb4, 2 more: its entries live until peersd ends, and those that HAProxy has dropped come back from here; add expire to its stick-table line\n"},
		"acks that are missing": {
			do: func(r *running) {
				p, other := r.call("a"), r.call("b")
				p.send(define("t1"))
				p.teach()
				other.teach() // it has no such table, and acks nothing
				r.set("t1", "10.0.0.1", 1)
				r.set("t1", "10.0.0.2", 1)
				live(5*time.Second, p, other)
				p.send(string(protocol.AppendAck(nil, protocol.Ack{TableID: 1, UpdateID: 1})))
				live(15*time.Second, p, other)
			},
			want: "fault acks-missing a/t1: a has not acked changes of t1 that it was sent 15s ago (sent up to 2, acked up to 1); see whether it is stuck: `show peers` on its own socket\n"},
		"acks that come late": {
			do: func(r *running) {
				p := r.call("a")
				p.send(define("t1"))
				p.teach()
				r.set("t1", "10.0.0.1", 1)
				live(20*time.Second, p)
				p.send(string(protocol.AppendAck(nil, protocol.Ack{TableID: 1, UpdateID: 1})))
			}},
		"acks of what was never sent": {
			do: func(r *running) {
				p := r.call("a")
				p.send(define("t1"))
				p.teach()
				p.send(string(protocol.AppendAck(nil, protocol.Ack{TableID: 1, UpdateID: 77})))
			},
			want: "note acks-ignored a/: a has acked what it was never sent, once: HAProxy 3.3 to 3.5-dev5 do so after incremental updates; nothing; it is harmless, and mended in later ones\n"},
		"lessons that are partial": {
			do: func(r *running) {
				p := r.call("a")
				time.Sleep(100 * time.Millisecond)
				p.say(protocol.ResyncPartial)
				live(7*time.Second, p)
				p.say(protocol.ResyncPartial)
				live(28*time.Second, p)
			},
			want: "fault lesson-partial a/: a has nothing but partial lessons for 35s: it does not have all that others have; see in `show peers` on its own socket whom it can't reach; it is asked again\n"},
		"a lesson that was partial": {
			do: func(r *running) {
				p := r.call("a")
				time.Sleep(100 * time.Millisecond)
				p.say(protocol.ResyncPartial)
				live(7*time.Second, p)
				p.say(protocol.ResyncFinished)
				live(time.Minute, p)
			}},
		"a protocol that was broken": {
			do: func(r *running) {
				r.call("a").send(frame(protocol.AckMessage, 1))
			},
			want: "fault protocol-broken a/: a has broken the protocol, or a limit, and was closed, once since peersd was started; look for it in the log; if it is a HAProxy, please report it\n"},
		"a table that is full": {
			do: func(r *running) {
				r.tables.Limit("t1", table.Limits{Size: 2})
				r.tables.Limit("t2", table.Limits{Size: 1, NoPurge: true})
				p := r.call("a")
				p.send(define("t1") + update(1, "10.0.0.1", 1) + update(2, "10.0.0.2", 1) + update(3, "10.0.0.3", 1))
				p.send(define("t2") + update(1, "10.0.0.1", 1))
			},
			want: `fault no-room /t1: t1 has 2 of at most 2 entries; for want of room 1 gave way and 0 were refused since peersd was started; raise --table-size or --max-memory
fault no-room /t2: t2 has 1 of at most 1 entries; raise --table-size or --max-memory
`},
		"memory that is full": {
			do: func(r *running) {
				p := r.call("a")
				p.send(define("t1"))
				r.tables.LimitMemory(r.tables.Memory())
			},
			want: "fault no-memory /: the tables take N of N bytes that --max-memory leaves them: new entries make others give way; raise --max-memory\n"},
		"a limit that was reached": {
			cfg: Config{Limits: Limits{Sessions: 1}},
			do: func(r *running) {
				r.call("a").teach()
				r.call("b")
			},
			want: "fault limit-reached /: connections were closed without an answer, as there are too many sessions: once since peersd was started, last by b; raise --max-sessions, which is 1, if that is meant to be\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, &network{}, c.cfg)
				defer r.stop()
				c.do(r)
				got := r.found()
				if n := fmt.Sprint(r.tables.Memory()); strings.Contains(name, "memory") {
					got = strings.ReplaceAll(got, n, "N")
				}
				if got != c.want {
					t.Errorf("got:\n%swant:\n%s", got, c.want)
				}
			})
		})
	}
}

// at is a connection from an address.
type at struct {
	net.Conn
	address net.Addr
}

func (c at) RemoteAddr() net.Addr { return c.address }

// callFrom is call from an address.
func (r *running) callFrom(address, name string) *remote {
	ours, theirs := net.Pipe()
	r.in.pipes <- at{theirs, &net.TCPAddr{IP: net.ParseIP(address), Port: 1234}}
	p := newRemote(r.t, ours)
	p.conn.Write([]byte("HAProxyS 2.1\npeersd\n" + name + " 17 1\n"))
	p.run()
	synctest.Wait()
	return p
}

// Another HAProxy that goes by the name of one that is there is told of.
func TestNameShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		p := r.callFrom("10.0.0.1", "lb1")
		p.teach()
		r.callFrom("10.0.0.1", "lb1")
		time.Sleep(time.Second) // the session was seen to be alive
		if got := r.found(); got != "" {
			t.Errorf("the same one: %s", got)
		}
		r.callFrom("10.0.0.9", "lb1")
		time.Sleep(time.Second)
		p.expectOver(false)
		got := regexp.MustCompile(`[0-9.]+m?s ago`).ReplaceAllString(r.found(), "N ago")
		const want = "fault name-shared lb1/: another HAProxy came by the name lb1, from 10.0.0.9:1234, N ago, while it had a session; give each one a name of its own with -L\n"
		if got != want {
			t.Errorf("got:\n%swant:\n%s", got, want)
		}
		l := mustLink(t, r.Hub, "lb1")
		l.mu.Lock()
		l.troubles.shared = l.troubles.shared.Add(-rememberedFor)
		l.mu.Unlock()
		if got := r.found(); got != "" {
			t.Errorf("a day later: %s", got)
		}
	})
}

// What is remembered of refused hellos is bounded: those that came last.
func TestMisnamedAreBounded(t *testing.T) {
	var r misnamed
	now := time.Now()
	why := &protocol.HandshakeError{Status: protocol.StatusLocal, Reason: "x"}
	for i := range 10 * maxMisnamed {
		r.note(now, protocol.Hello{Local: fmt.Sprint(i), Remote: "x"}, "a", why)
		r.note(now, protocol.Hello{Local: "often", Remote: "x"}, "a", why)
		r.note(now, protocol.Hello{Local: "y", Remote: "x"}, "a", errors.New("closed"))
	}
	all := r.recent(now)
	if last := all[len(all)-1]; len(all) != maxMisnamed || last.caller != "often" || last.times != 10*maxMisnamed {
		t.Errorf("%d, the last one %+v", len(all), last)
	}
}

// What is remembered is forgotten after a day.
func TestMisnamedAreForgotten(t *testing.T) {
	var r misnamed
	now := time.Now()
	why := &protocol.HandshakeError{Status: protocol.StatusLocal, Reason: "x"}
	r.note(now, protocol.Hello{Local: "lb1", Remote: "x"}, "a", why)
	r.note(now.Add(time.Hour), protocol.Hello{Local: "lb2", Remote: "x"}, "a", why)
	if all := r.recent(now.Add(refusedFor + time.Minute)); len(all) != 1 || all[0].caller != "lb2" {
		t.Errorf("%+v", all)
	}
}

// What is said at once is bounded, however many tables are wrong.
func TestFindingsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		p := r.call("a")
		for i := range maxFindings + 20 {
			p.defines(fmt.Sprintf("t%04d", i), func(d *protocol.Definition) { d.ID, d.Expire = uint64(i+1), 0 })
		}
		all := r.Findings()
		if last := all[len(all)-1]; len(all) != maxFindings+1 || last.Says != "20 more things are wrong" {
			t.Errorf("%d, the last one %+v", len(all), last)
		}
	})
}
