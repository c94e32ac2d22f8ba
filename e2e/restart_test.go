package e2e

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/internal/haproxytest"
)

// The tests of restarts have one or two HAProxys, each on an address of its
// own, and peersd on another one. Between a HAProxy and peersd there may be a
// wire, which a test can cut. All HAProxys have the same tables.

// kept are the tables, by their names in `show table`.
var kept = []string{"mypeers/users", "mypeers/addrs", "mypeers/bans", "app"}

// The lifetime of an entry of mypeers/users.
const usersExpire = time.Minute

// keeperConfig is the configuration of a HAProxy with these tables. peers are
// lines of its peers section. A request to web with the headers x-user and
// x-addr leaves its traces in all tables but bans.
func keeperConfig(web string, peers []string) string {
	return strings.NewReplacer("WEB", web, "PEERS", strings.Join(peers, "\n    ")).Replace(`
peers mypeers
    PEERS
    table users type string len 32 size 10k expire 1m store http_req_cnt,http_req_rate(10m),gpc0,gpt0
    table addrs type ip size 10k expire 1h store http_req_cnt,gpc(3),gpc_rate(3,10m),gpt(2)
    table bans type ipv6 size 10k store gpt0
` + defaults + `
frontend web
    bind WEB:8080
    http-request track-sc0 req.hdr(x-user) table mypeers/users
    http-request track-sc1 req.hdr_ip(x-addr) table mypeers/addrs
    http-request sc-inc-gpc(1,1)
    http-request sc-set-gpt(1,1) 77
    default_backend app
backend app
    stick-table type string len 32 size 10k expire 30m peers mypeers
    stick on req.hdr(x-user)
    server s1 WEB:9000
    server s2 WEB:9001
`)
}

func peerLine(name, host string, port int) string {
	return fmt.Sprintf("peer %s %s:%d", name, host, port)
}

// A keeper is a HAProxy with these tables.
type keeper struct {
	hap
	t   testing.TB
	n   int    // of its name and its port
	web string // address of what is not about peers
}

// startKeeper starts lb<n> on host. Of the others it knows peersd, by the same
// address, and peers.
func startKeeper(t testing.TB, r haproxytest.Release, host string, n int, peers ...string) *keeper {
	t.Helper()
	name, web := fmt.Sprint("lb", n), haproxytest.Host(t)
	haproxytest.Origin(t, web+":9000")
	haproxytest.Origin(t, web+":9001")
	peers = append(peers, peerLine(name, host, portLB+n-1), peerLine("peersd", host, portPeersd))
	return &keeper{hap{r.Start(t, name, keeperConfig(web, peers))}, t, n, web}
}

// restart kills the HAProxy with -9 and starts it again.
func (k *keeper) restart() {
	k.t.Helper()
	p, err := k.Restart()
	if err != nil {
		k.t.Fatal(err)
	}
	k.hap = hap{p}
}

// request makes a request of a user, and returns which server answered.
func (k *keeper) request(user, addr string) string {
	k.t.Helper()
	status, body, err := haproxytest.Get("http://"+k.web+":8080/", "x-user", user, "x-addr", addr)
	if status != 200 || err != nil {
		k.t.Fatalf("a request of %s: status %d, %v", user, status, err)
	}
	return body
}

// set sets gpt0 of a key of a table of the peers section.
func (k *keeper) set(table, key string, gpt0 int) {
	k.t.Helper()
	k.MustCommand(k.t, fmt.Sprintf("set table mypeers/%s key %s data.gpt0 %d", table, key, gpt0))
}

// fill makes entries in all tables, none of which is another keeper's.
func (k *keeper) fill() {
	k.t.Helper()
	for i := range 8 {
		user := fmt.Sprintf("user%d-%d", k.n, i)
		for range i%3 + 1 {
			k.request(user, fmt.Sprintf("10.0.%d.%d", k.n, i))
		}
		k.set("bans", fmt.Sprintf("2001:db8:%d::%d", k.n, i), 100*k.n+i)
	}
	k.set("users", fmt.Sprint("tagged", k.n), k.n)
}

// aged waits until the youngest of its users is as old as that.
func (k *keeper) aged(by time.Duration) {
	k.t.Helper()
	eventually(k.t, by+time.Second, "lifetimes run down", func() error {
		t, err := k.table("mypeers/users")
		for _, e := range t.Entries {
			if e.Exp > usersExpire-by {
				return fmt.Errorf("%s has %v left", e.Key, e.Exp)
			}
		}
		return err
	})
}

// completeAfter is how long after its start a HAProxy that met nobody takes its
// tables for complete. It asks for no lesson any more then.
const completeAfter = 5 * time.Second

// complete reports whether the HAProxy takes its tables for complete.
func (k *keeper) complete() error {
	const complete = 3 // of the local and of the remote peers
	text := k.MustCommand(k.t, "show peers")
	m := regexp.MustCompile(`id=mypeers disabled=0 flags=0x([0-9a-f]+)`).FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("no flags in %s", text)
	}
	if flags, err := strconv.ParseUint(m[1], 16, 64); err != nil || flags&complete != complete {
		return fmt.Errorf("its flags are %s", m[1])
	}
	return nil
}

// A mirror is a daemon whose socket is read without starting a process, which
// costs more time than most of what is measured here.
type mirror struct{ *daemon }

func (m mirror) table(name string) (haproxytest.Table, error) {
	var b strings.Builder
	if err := admin.Do(m.socket, "show table "+name, &b); err != nil {
		return haproxytest.Table{}, err
	}
	return haproxytest.ParseTable(b.String())
}

// equal waits until a and b print the same of all tables.
func equal(t testing.TB, when string, a, b shower) {
	t.Helper()
	eventually(t, 5*time.Second, when, func() error {
		for _, name := range kept {
			if err := same(name, a, b); err != nil {
				return err
			}
		}
		return nil
	})
}

// A snapshot is what all tables held at some time between from and to.
type snapshot struct {
	from, to time.Time
	tables   []haproxytest.Table
}

func look(s shower) (snapshot, error) {
	at := snapshot{from: time.Now()}
	for _, name := range kept {
		t, err := s.table(name)
		if err != nil {
			return at, err
		}
		at.tables = append(at.tables, t)
	}
	at.to = time.Now()
	return at, nil
}

func mustLook(t testing.TB, s shower) snapshot {
	t.Helper()
	at, err := look(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range at.tables {
		if len(table.Entries) == 0 {
			t.Fatalf("table %s is empty", table.Name)
		}
	}
	return at
}

// lag is how much longer an entry may live that went through peersd: it is
// under way twice, and neither end knows for how long. On a busy machine that
// is long; lifetimes that begin anew are longer by twice as much.
const lag = 750 * time.Millisecond

// lives reports what of s is not in now as it has to be: every entry, with its
// values, rates and lifetimes run down by the time that has passed.
func (s snapshot) lives(now shower) error {
	is, err := look(now)
	if err != nil {
		return err
	}
	least, most := is.from.Sub(s.to), is.to.Sub(s.from)
	for i, was := range s.tables {
		entries := is.tables[i].ByKey()
		for _, e := range was.Entries {
			o, ok := entries[e.Key]
			if !ok {
				return fmt.Errorf("table %s: %s is missing", was.Name, e.Key)
			}
			if e.Exp > 0 && (o.Exp > e.Exp-least+lag || o.Exp < e.Exp-most-lag) {
				return fmt.Errorf("table %s: %s had %v left, and %v later %v", was.Name, e.Key, e.Exp, least, o.Exp)
			}
			if (e.Exp == 0) != (o.Exp == 0) {
				return fmt.Errorf("table %s: %s had exp %v, and now %v", was.Name, e.Key, e.Exp, o.Exp)
			}
			if len(e.Data) != len(o.Data) {
				return fmt.Errorf("table %s: %s: %v, was %v", was.Name, e.Key, o.Data, e.Data)
			}
			for j, f := range e.Data {
				if f.Name != o.Data[j].Name || !sameValue(f.Name, f.Value, o.Data[j].Value, most) {
					return fmt.Errorf("table %s: %s: %v, was %v", was.Name, e.Key, o.Data[j], f)
				}
			}
		}
	}
	return nil
}

// together runs f for all cases at once, each as a subtest: they mostly wait.
func together[C any](t *testing.T, cases map[string]C, f func(t *testing.T, c C)) {
	var wg sync.WaitGroup
	for name, c := range cases {
		wg.Go(func() { t.Run(name, func(t *testing.T) { f(t, c) }) })
	}
	wg.Wait()
}

// A wire is all that is between a HAProxy and peersd: each reaches the other
// through it only.
type wire struct {
	toPeersd, toHAProxy *relay
}

// newWire returns the wire, shut, between lb<n> on host and peersd on another
// one. Each end listens on its own address and dials, on it too, the other's
// port.
func newWire(t testing.TB, host string, n int, hostPeersd string) *wire {
	between := func(a, b string, port int) *relay {
		r := &relay{t: t, listen: fmt.Sprintf("%s:%d", a, port), target: fmt.Sprintf("%s:%d", b, port)}
		t.Cleanup(r.shut)
		return r
	}
	return &wire{between(host, hostPeersd, portPeersd), between(hostPeersd, host, portLB+n-1)}
}

func (w *wire) open()   { w.toPeersd.open(); w.toHAProxy.open() }
func (w *wire) shut()   { w.toPeersd.shut(); w.toHAProxy.shut() }
func (w *wire) freeze() { w.toPeersd.freeze(); w.toHAProxy.freeze() }

// backWithin is how long after its start, or after it could first reach peersd,
// a HAProxy may lack anything.
const backWithin = 2 * time.Second

// back waits until all that was is in the HAProxy again: at the latest when its
// socket answers, if that takes longer on a busy machine.
func (k *keeper) back(was snapshot, since time.Time) {
	k.t.Helper()
	if s := k.Started(); s.After(since) {
		since = s
	}
	eventually(k.t, time.Until(since.Add(backWithin)), "HAProxy has everything back", func() error { return was.lives(k) })
	k.t.Logf("everything was back after %v", time.Since(since).Round(time.Millisecond))
}

// A HAProxy that was killed has everything back, though peersd, which was there
// all the time, can be reached only some time after it has started again.
func TestColdRestart(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		together(t, map[string]time.Duration{
			"before": -1,
			"0s":     0,
			"0.3s":   300 * time.Millisecond,
			"1s":     time.Second,
			"2s":     2 * time.Second,
			"3s":     3 * time.Second,
			"4.5s":   4500 * time.Millisecond,
		}, func(t *testing.T, delay time.Duration) {
			host, hostPeersd := haproxytest.Host(t), haproxytest.Host(t)
			w := newWire(t, host, 1, hostPeersd)
			w.open()
			lb := startKeeper(t, r, host, 1)
			d := mirror{startDaemon(t, hostPeersd, 1)}
			lb.fill()
			server := lb.request("sticky", "10.0.0.1")
			equal(t, "peersd mirrors it", lb, d)
			lb.aged(1500 * time.Millisecond)
			was := mustLook(t, lb)

			lb.Kill()
			reachable := make(chan time.Time, 1)
			if delay < 0 {
				reachable <- time.Now()
			} else {
				w.shut()
				time.AfterFunc(delay, func() { w.open(); reachable <- time.Now() })
			}
			lb.restart()
			lb.back(was, <-reachable)
			equal(t, "peersd mirrors it again", lb, d)
			if again := lb.request("sticky", "10.0.0.1"); again != server {
				t.Errorf("the sticky user was sent to %s and is now sent to %s", server, again)
			}
		})
	})
}

// After a reboot a HAProxy and its peersd both begin with nothing: what there is
// another HAProxy has, which only peersd knows. The first one asks for its lesson
// while peersd is still having its own.
func TestColdRestartWithPeersd(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		together(t, map[string]time.Duration{
			"peersd after 0s":   0,
			"peersd after 0.7s": 700 * time.Millisecond,
			"peersd after 2s":   2 * time.Second,
			"peersd after 3.5s": 3500 * time.Millisecond,
		}, func(t *testing.T, delay time.Duration) {
			host := haproxytest.Host(t)
			d := mirror{newDaemon(t, host, 2)}
			lb2 := startKeeper(t, r, host, 2)
			lb2.fill()
			was := mustLook(t, lb2)
			time.Sleep(time.Until(lb2.Started().Add(completeAfter - delay)))
			lb1 := startKeeper(t, r, host, 1)
			time.Sleep(time.Until(lb1.Started().Add(delay)))
			eventually(t, 2*time.Second, "lb2 asks for no lesson any more", lb2.complete)

			reachable := time.Now()
			d.start()
			lb1.back(was, reachable)
			equal(t, "peersd and lb1 are the same", lb1, d)
			if err := was.lives(lb2); err != nil {
				t.Errorf("lb2, which taught: %v", err)
			}
		})
	})
}

// A peersd that was killed or stopped has everything back from two HAProxys,
// each of which has some, and which keep what they have.
func TestPeersdRestart(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		together(t, map[string]syscall.Signal{
			"SIGKILL": syscall.SIGKILL,
			"SIGTERM": syscall.SIGTERM,
		}, func(t *testing.T, sig syscall.Signal) {
			host := haproxytest.Host(t)
			lb1, lb2 := startKeeper(t, r, host, 1), startKeeper(t, r, host, 2)
			d := mirror{startDaemon(t, host, 2)}
			eventually(t, 5*time.Second, "all lessons are over", func() error {
				return errors.Join(d.established("lb1"), d.established("lb2"))
			})
			for _, lb := range []*keeper{lb1, lb2} {
				lb.fill()
				lb.mark()
				eventually(t, 2*time.Second, "peersd mirrors it", func() error { return lb.marked(d) })
			}
			d.end(d.cmd, d.ended, sig)
			lb1.fill() // partly what peersd had, with other values
			for _, lb := range []*keeper{lb1, lb2} {
				eventually(t, completeAfter+2*time.Second, "it asks for no lesson any more", lb.complete)
			}
			was1, was2 := mustLook(t, lb1), mustLook(t, lb2)

			d.start()
			all := func() error { return errors.Join(was1.lives(d), was2.lives(d)) }
			eventually(t, 2*time.Second, "peersd has everything back", all)
			for _, lb := range []*keeper{lb1, lb2} {
				eventually(t, 2*time.Second, "its lesson is over", func() error { return d.established(fmt.Sprint("lb", lb.n)) })
				// Whatever HAProxy sends again comes before what is new.
				lb.set("users", fmt.Sprint("last", lb.n), 1)
				eventually(t, 2*time.Second, "it goes on", func() error { return holds(d, map[string]string{fmt.Sprint("last", lb.n): "1"}) })
			}
			if err := all(); err != nil {
				t.Errorf("after the lessons: %v", err)
			}
			if err := errors.Join(was1.lives(lb1), was2.lives(lb2)); err != nil {
				t.Errorf("the HAProxys' own: %v", err)
			}
		})
	})
}

// mark makes a new entry in each table of the peers section.
func (k *keeper) mark() {
	k.t.Helper()
	k.MustCommand(k.t, fmt.Sprintf("set table mypeers/users key mark%d data.gpt0 1", k.n))
	k.MustCommand(k.t, fmt.Sprintf("set table mypeers/addrs key 192.0.2.%d data.http_req_cnt 1", k.n))
	k.MustCommand(k.t, fmt.Sprintf("set table mypeers/bans key 2001:db8:aa::%d data.gpt0 1", k.n))
}

// marked reports which of the new entries s does not have.
func (k *keeper) marked(s shower) error {
	for table, key := range map[string]string{
		"mypeers/users": "mark",
		"mypeers/addrs": "192.0.2.",
		"mypeers/bans":  "2001:db8:aa::",
	} {
		t, err := s.table(table)
		if err != nil {
			return err
		}
		if key = fmt.Sprint(key, k.n); t.ByKey()[key].Key == "" {
			return fmt.Errorf("table %s has no %s", table, key)
		}
	}
	return nil
}

// The network is cut: nothing comes through any more, no FIN either. When HAProxy
// is killed and started again meanwhile, peersd's side of the old session, or of
// its own dial, still looks open.
func TestCutLink(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		type network struct {
			before func(*wire) // for the session to be established so
			cut    func(*testing.T, *wire)
		}
		freeze := func(_ *testing.T, w *wire) { w.freeze() }
		together(t, map[string]network{
			"session dialled by peersd": {
				before: func(w *wire) { w.toHAProxy.open() },
				cut:    freeze,
			},
			"session dialled by HAProxy": {
				before: func(w *wire) { w.toPeersd.open() },
				cut:    freeze,
			},
			"peersd is dialling": {
				before: func(w *wire) { w.toPeersd.open() },
				cut: func(t *testing.T, w *wire) {
					w.toPeersd.shut()
					w.toHAProxy.deaf = true
					w.toHAProxy.open()
					eventually(t, 2*time.Second, "peersd dials", w.toHAProxy.connected)
				},
			},
		}, func(t *testing.T, n network) {
			host, hostPeersd := haproxytest.Host(t), haproxytest.Host(t)
			w := newWire(t, host, 1, hostPeersd)
			d := mirror{startDaemon(t, hostPeersd, 1)}
			n.before(w)
			lb := startKeeper(t, r, host, 1)
			lb.fill()
			equal(t, "peersd mirrors it", lb, d)
			lb.aged(1500 * time.Millisecond)
			was := mustLook(t, lb)

			n.cut(t, w)
			lb.Kill()
			w.open()
			lb.restart()
			lb.back(was, lb.Started())
			lb.mark()
			eventually(t, 2*time.Second, "the new session goes on", func() error { return lb.marked(d) })
		})
	})
}
