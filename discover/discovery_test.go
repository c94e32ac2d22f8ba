package discover

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	peersync "github.com/peersd/peersd/sync"
	"github.com/rs/zerolog"
)

// A world is a DNS and HAProxys, in memory, and what is known of them.
type world struct {
	*Discovery
	t *testing.T

	mu        sync.Mutex
	hosts     map[string][]string // addresses
	services  map[string][]string // host:port
	pointers  map[string]string
	ttl       time.Duration
	err       error
	fails     string // a host that can't be looked up
	lookups   int
	haproxys  map[string]string // their names, by address:port
	probes    []string
	connected map[string]bool
	applied   []string // lb1=10.0.0.1:10000, and lb1 without an address
	log       strings.Builder
}

var errRefused = errors.New("connection refused")

// newWorld runs a discovery until the test ends, in a synctest bubble.
func newWorld(t *testing.T, cfg Config) *world {
	t.Helper()
	w := &world{
		t: t, ttl: 30 * time.Second, hosts: map[string][]string{}, services: map[string][]string{}, pointers: map[string]string{},
		haproxys: map[string]string{}, connected: map[string]bool{},
	}
	if cfg.ForgetAfter == 0 {
		cfg.ForgetAfter = time.Hour
	}
	if cfg.MostPeers == 0 {
		cfg.MostPeers = 100
	}
	cfg.Names = func() []string { return []string{"peersd"} }
	cfg.Parse = parseHosts
	cfg.Connected = func(name string) bool { w.mu.Lock(); defer w.mu.Unlock(); return w.connected[name] }
	cfg.Apply = w.apply
	cfg.Log = zerolog.New(&w.log)
	var err error
	if w.Discovery, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	w.ask, w.is = w, w.probe
	return w
}

func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { w.Run(ctx); close(ended) }()
	w.t.Cleanup(func() { cancel(); <-ended })
	synctest.Wait()
}

// parseHosts reads lines of HOST, each a place with port 10000, or NAME=HOST.
func parseHosts(text []byte) (all []Place, err error) {
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "broken" {
			return nil, errors.New("line 1: broken")
		}
		host := line
		name, address, found := strings.Cut(line, "=")
		if found {
			host = address
		}
		if found {
			all = append(all, Place{Peer: peersync.Peer{Name: name, Address: host + ":10000"}})
		} else {
			all = append(all, Place{Host: host, Port: 10000})
		}
	}
	return all, nil
}

func (w *world) apply(peers []peersync.Peer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.applied = nil
	for _, p := range peers {
		if p.Address != "" {
			p.Name += "=" + p.Address
		}
		if p.Gone {
			p.Name += " is gone"
		}
		w.applied = append(w.applied, p.Name)
	}
}

func (w *world) Hosts(_ context.Context, host string) (all []netip.Addr, _ time.Duration, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookups++
	if w.err != nil {
		return nil, 0, w.err
	}
	if host == w.fails {
		return nil, 0, errors.New("server misbehaving")
	}
	for _, a := range w.hosts[host] {
		all = append(all, netip.MustParseAddr(a))
	}
	if all == nil {
		err = &net.DNSError{IsNotFound: true}
	}
	return all, w.ttl, err
}

func (w *world) Services(_ context.Context, name string) (all []*net.SRV, _ time.Duration, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return nil, 0, w.err
	}
	for _, s := range w.services[name] {
		host, port, _ := net.SplitHostPort(s)
		r := &net.SRV{Target: host + "."}
		fmt.Sscan(port, &r.Port)
		all = append(all, r)
	}
	return all, w.ttl, nil
}

func (w *world) Names(_ context.Context, a netip.Addr) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if name := w.pointers[a.String()]; name != "" {
		return []string{name + "."}, nil
	}
	return nil, &net.DNSError{IsNotFound: true}
}

func (w *world) probe(_ context.Context, a netip.AddrPort, name string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.probes = append(w.probes, name)
	is, there := w.haproxys[a.String()]
	if !there {
		return false, errRefused
	}
	return is == name, nil
}

// do changes the world.
func (w *world) do(f func()) {
	w.mu.Lock()
	f()
	w.mu.Unlock()
	synctest.Wait()
}

func (w *world) passes(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) want(peers ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.applied, peers) {
		w.t.Fatalf("peers %q, want %q; log:\n%s", w.applied, peers, &w.log)
	}
}

var headless = Config{Places: []Place{{Host: "lb.test", Port: 10000}}}

// The addresses of a host come and go: each peer is there within a TTL, is dialled no
// more within another one, and is forgotten when it has been away for long enough.
func TestComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := headless
		cfg.ForgetAfter = 10 * time.Minute
		w := newWorld(t, cfg)
		w.hosts["lb.test"] = []string{"10.0.0.1"}
		w.pointers = map[string]string{"10.0.0.1": "lb1.test", "10.0.0.2": "lb2.test"}
		w.haproxys = map[string]string{"10.0.0.1:10000": "lb1", "10.0.0.2:10000": "lb2"}
		w.run()
		w.want("lb1=10.0.0.1:10000")
		w.do(func() { w.hosts["lb.test"] = []string{"10.0.0.1", "10.0.0.2"} })
		w.passes(33 * time.Second)
		w.want("lb1=10.0.0.1:10000", "lb2=10.0.0.2:10000")
		w.do(func() { w.connected["lb1"] = true; w.hosts["lb.test"] = []string{"10.0.0.2"} })
		w.passes(33 * time.Second)
		w.want("lb1", "lb2=10.0.0.2:10000")
		w.passes(time.Hour) // it has left the DNS, and is still connected
		w.want("lb1", "lb2=10.0.0.2:10000")
		w.do(func() { w.connected["lb1"] = false })
		w.passes(5 * time.Second)
		w.want("lb1", "lb2=10.0.0.2:10000")
		w.passes(9 * time.Minute)
		w.want("lb1 is gone", "lb2=10.0.0.2:10000")
		w.passes(2 * time.Minute)
		w.want("lb2=10.0.0.2:10000")
	})
}

// One that comes back before it is forgotten is what it was.
func TestComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, headless)
		w.hosts["lb.test"] = []string{"10.0.0.1"}
		w.pointers["10.0.0.7"] = "lb1"
		w.pointers["10.0.0.1"] = "lb1"
		w.haproxys = map[string]string{"10.0.0.1:10000": "lb1", "10.0.0.7:10000": "lb1"}
		w.run()
		w.do(func() { w.hosts["lb.test"] = nil })
		w.passes(33 * time.Second)
		w.want("lb1")
		w.do(func() { w.hosts["lb.test"] = []string{"10.0.0.7"} })
		w.passes(33 * time.Second)
		w.want("lb1=10.0.0.7:10000")
		w.passes(2 * time.Hour)
		w.want("lb1=10.0.0.7:10000")
	})
}

// No answer is none that there is nobody, however long it lasts; and who can't be
// looked up at the start is found later.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, headless)
		w.pointers["10.0.0.1"] = "lb1"
		w.haproxys["10.0.0.1:10000"] = "lb1"
		w.err = errors.New("server misbehaving")
		w.run()
		w.want()
		w.passes(10 * time.Minute)
		if w.lookups < 12 || w.lookups > 20 {
			t.Errorf("asked %d times in ten minutes without an answer", w.lookups)
		}
		w.do(func() { w.err, w.hosts["lb.test"] = nil, []string{"10.0.0.1"} })
		w.passes(67 * time.Second)
		w.want("lb1=10.0.0.1:10000")
		w.do(func() { w.err = errors.New("server misbehaving") })
		w.passes(24 * time.Hour)
		w.want("lb1=10.0.0.1:10000")
	})
}

// The names that a peer may have are those of its SRV record's host, and of its host's
// PTR record, in whole and in part.
func TestNames(t *testing.T) {
	tests := []struct {
		name             string
		place            Place
		haproxy, pointer string
		want             string
		probes           []string
	}{
		{"of the host of a service, its first label", Place{Host: "_peers._tcp.lb.test"}, "lb-0", "", "lb-0=10.0.0.1:10000", []string{"lb-0"}},
		{"of the host of a service, all of it", Place{Host: "_peers._tcp.lb.test"}, "lb-0.lb.test", "", "lb-0.lb.test=10.0.0.1:10000", []string{"lb-0", "lb-0.lb.test"}},
		{"of the host itself", Place{Host: "lb.test", Port: 10000}, "lb", "", "lb=10.0.0.1:10000", []string{"lb"}},
		{"by its address", Place{Host: "lb.test", Port: 10000}, "lb1", "lb1.lb.test", "lb1=10.0.0.1:10000", []string{"lb", "lb.test", "lb1"}},
		{"none of these", Place{Host: "lb.test", Port: 10000}, "other", "lb1.lb.test", "", []string{"lb", "lb.test", "lb1", "lb1.lb.test"}},
		{"our own", Place{Host: "peersd.test", Port: 10000}, "peersd", "", "", []string{"peersd"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, Config{Places: []Place{test.place}})
				w.services["_peers._tcp.lb.test"] = []string{"lb-0.lb.test:10000"}
				for _, host := range []string{"lb-0.lb.test.", "lb.test", "peersd.test"} {
					w.hosts[host] = []string{"10.0.0.1"}
				}
				w.haproxys["10.0.0.1:10000"] = test.haproxy
				if test.pointer != "" {
					w.pointers["10.0.0.1"] = test.pointer
				}
				w.run()
				if test.want == "" {
					w.want()
				} else {
					w.want(test.want)
				}
				if !slices.Equal(w.probes, test.probes) {
					t.Errorf("asked for %q, want %q", w.probes, test.probes)
				}
			})
		})
	}
}

// Who has none of the names that can be thought of is dialled after it has called.
func TestNameOfCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, headless)
		w.hosts["lb.test"] = []string{"10.0.0.1", "10.0.0.2"}
		w.haproxys = map[string]string{"10.0.0.1:10000": "f3a9", "10.0.0.2:10000": "77bd"}
		w.run()
		w.want()
		if !w.Welcome(t.Context(), "f3a9", netip.MustParseAddr("::ffff:10.0.0.1"), false) {
			t.Error("f3a9 is not welcome")
		}
		synctest.Wait()
		w.want("f3a9=10.0.0.1:10000")
		// From this host, any name is: a HAProxy beside us has another address in the DNS.
		if !w.Welcome(t.Context(), "77bd", netip.MustParseAddr("127.0.0.1"), false) {
			t.Error("77bd is not welcome")
		}
		synctest.Wait()
		w.want("77bd=10.0.0.2:10000", "f3a9=10.0.0.1:10000")
	})
}

// Who calls from an address that is not known has the places looked up at once.
func TestWelcomeStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, headless)
		w.run()
		w.passes(10 * time.Second)
		began := time.Now()
		if w.Welcome(t.Context(), "lb1", netip.MustParseAddr("10.0.0.1"), false) {
			t.Error("a stranger is welcome")
		}
		if took := time.Since(began); took != welcomeWithin {
			t.Errorf("that took %v", took)
		}
		w.passes(time.Minute)
		w.do(func() { w.hosts["lb.test"] = []string{"10.0.0.1"} })
		began = time.Now()
		if !w.Welcome(t.Context(), "lb1", netip.MustParseAddr("10.0.0.1"), false) {
			t.Error("a peer of which the DNS knows is not welcome")
		}
		if took := time.Since(began); took > leastTTL {
			t.Errorf("that took %v", took)
		}
	})
}

// However many strangers call, a place is looked up once a second.
func TestStrangersAskSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, headless)
		w.run()
		before := w.lookups
		for range 100 {
			go w.Welcome(t.Context(), "lb1", netip.MustParseAddr("10.0.0.1"), false)
			w.passes(100 * time.Millisecond)
		}
		w.passes(10 * time.Second)
		if n := w.lookups - before; n < 5 || n > 12 {
			t.Errorf("%d lookups for callers of ten seconds", n)
		}
	})
}

// An address may be another peer's after a while.
func TestAddressOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Places: []Place{{Host: "_peers._tcp.lb.test"}}})
		w.services["_peers._tcp.lb.test"] = []string{"lb-0.test:10000"}
		w.hosts["lb-0.test."] = []string{"10.0.0.1"}
		w.haproxys["10.0.0.1:10000"] = "lb-0"
		w.run()
		w.do(func() { w.connected["lb-0"] = true })
		w.passes(time.Minute)
		w.want("lb-0=10.0.0.1:10000")
		asked := len(w.probes)
		w.passes(time.Hour)
		if len(w.probes) != asked {
			t.Error("one with a session was asked for its name")
		}
		w.do(func() {
			w.connected["lb-0"] = false
			w.haproxys["10.0.0.1:10000"] = "lb-1"
			w.services["_peers._tcp.lb.test"] = []string{"lb-1.test:10000"}
			w.hosts["lb-1.test."] = []string{"10.0.0.1"}
		})
		// It has left: the DNS is asked at once.
		w.passes(verifyPause + lookEvery)
		w.passes(verifyPause)
		w.want("lb-0", "lb-1=10.0.0.1:10000")
	})
}

// A HAProxy may not be up yet when the DNS has it.
func TestNotUpYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, headless)
		w.hosts["lb.test"] = []string{"10.0.0.1"}
		w.run()
		w.passes(3 * time.Second)
		w.want()
		w.do(func() { w.haproxys["10.0.0.1:10000"] = "lb" })
		w.passes(2 * time.Second)
		w.want("lb=10.0.0.1:10000")
		// Gone for a while: it is dialled on.
		w.do(func() { delete(w.haproxys, "10.0.0.1:10000") })
		w.passes(time.Hour)
		w.want("lb=10.0.0.1:10000")
	})
}

// One HAProxy with two addresses is one peer, which stays where it is.
func TestTwoAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, headless)
		w.hosts["lb.test"] = []string{"10.0.0.2"}
		w.haproxys = map[string]string{"10.0.0.1:10000": "lb", "10.0.0.2:10000": "lb"}
		w.run()
		w.do(func() { w.hosts["lb.test"] = []string{"10.0.0.1", "10.0.0.2"} })
		w.passes(time.Minute)
		w.want("lb=10.0.0.2:10000")
		w.do(func() { w.hosts["lb.test"] = []string{"10.0.0.1"} })
		w.passes(time.Minute)
		w.want("lb=10.0.0.1:10000")
	})
}

// Where there are too many, those that are away make room, and who comes when all are
// here is not taken.
func TestTooManyPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{MostPeers: 2})
		w.run()
		host := netip.MustParseAddr("127.0.0.1")
		call := func(name string) bool {
			welcome := w.Welcome(t.Context(), name, host, false)
			w.do(func() { w.connected[name] = welcome })
			w.passes(2 * time.Second)
			return welcome
		}
		if !call("a") || !call("b") {
			t.Fatal("a and b are not welcome")
		}
		if call("c") {
			t.Error("there is no room for c")
		}
		w.do(func() { w.connected["a"] = false })
		w.passes(2 * time.Second)
		if !call("c") {
			t.Error("there is room for c")
		}
		w.want("b", "c")
	})
}

// The file is read again when it changes; one that is broken, or gone, changes
// nothing, and the log says so once.
func TestFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "peers")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("lb1=10.0.0.1\n10.0.0.2\n")
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{File: file})
		w.hosts["10.0.0.2"] = []string{"10.0.0.2"}
		w.haproxys["10.0.0.2:10000"] = "lb2"
		w.pointers["10.0.0.2"] = "lb2"
		w.run()
		w.want("lb1=10.0.0.1:10000", "lb2=10.0.0.2:10000")
		write("lb1=10.0.0.9\nlb3=10.0.0.3\n")
		w.passes(2 * lookEvery)
		w.want("lb1=10.0.0.9:10000", "lb2", "lb3=10.0.0.3:10000")
		write("broken")
		w.passes(10 * lookEvery)
		os.Remove(file)
		w.passes(10 * lookEvery)
		w.want("lb1=10.0.0.9:10000", "lb2 is gone", "lb3=10.0.0.3:10000")
		for _, once := range []string{"stay as they are: line 1: broken", "stay as they are: there is no file"} {
			if n := strings.Count(w.log.String(), once); n != 1 {
				t.Errorf("the log says %d times %q:\n%s", n, once, &w.log)
			}
		}
		write("lb1=10.0.0.9\nlb3=10.0.0.3\n")
		w.passes(2 * lookEvery)
		write("lb3=10.0.0.3\n")
		w.passes(2 * lookEvery)
		w.want("lb1", "lb2 is gone", "lb3=10.0.0.3:10000")
		w.passes(2 * time.Hour)
		w.want("lb3=10.0.0.3:10000")
	})
}

func TestFileAtStart(t *testing.T) {
	dir := t.TempDir()
	broken, long := filepath.Join(dir, "broken"), filepath.Join(dir, "long")
	for file, size := range map[string]int{broken: 0, long: mostFile + 1} {
		if err := os.WriteFile(file, append([]byte("broken\n"), make([]byte, size)...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{
		broken:                     "line 1: broken",
		long:                       "can't read the peers file: " + long + " has more than 1048576 bytes",
		filepath.Join(dir, "none"): "can't read the peers file: there is no file " + filepath.Join(dir, "none"),
	} {
		if _, err := New(Config{File: file, Parse: parseHosts}); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// A place is written as the user writes it.
func TestPlaceString(t *testing.T) {
	got := map[string]bool{}
	for _, p := range []Place{{Peer: peersync.Peer{Name: "lb1", Address: "[::1]:10000"}}, {Host: "lb.test", Port: 10000}, {Host: "_peers._tcp.lb.test"}} {
		got[p.String()] = true
	}
	want := map[string]bool{"lb1=[::1]:10000": true, "dns+lb.test:10000": true, "srv+_peers._tcp.lb.test": true}
	if !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// Where nobody answers the place is asked for every ten seconds, whatever its TTL.
func TestDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, headless)
		w.ttl = time.Hour
		w.hosts["lb.test"] = []string{"10.0.0.1"}
		w.haproxys["10.0.0.2:10000"] = "lb"
		w.run()
		w.passes(time.Minute)
		if w.lookups < 5 || w.lookups > 8 {
			t.Errorf("%d lookups in a minute", w.lookups)
		}
		w.do(func() { w.hosts["lb.test"] = []string{"10.0.0.2"} })
		w.passes(13 * time.Second)
		w.want("lb=10.0.0.2:10000")
		w.do(func() { w.connected["lb"] = true })
		before := w.lookups
		w.passes(50 * time.Minute)
		if w.lookups != before {
			t.Errorf("%d lookups in most of an hour", w.lookups-before)
		}
	})
}

// What is known of some hosts of a service counts, where others can't be looked up; and
// nothing goes for that.
func TestPartOfAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Places: []Place{{Host: "_peers._tcp.lb.test"}}})
		w.services["_peers._tcp.lb.test"] = []string{"a.test:10000", "b.test:10000"}
		w.hosts["a.test."], w.hosts["b.test."] = []string{"10.0.0.1"}, []string{"10.0.0.2"}
		w.haproxys = map[string]string{"10.0.0.1:10000": "a", "10.0.0.2:10000": "b", "10.0.0.3:10000": "c"}
		w.run()
		w.want("a=10.0.0.1:10000", "b=10.0.0.2:10000")
		w.do(func() {
			w.fails = "b.test."
			w.services["_peers._tcp.lb.test"] = []string{"b.test:10000", "c.test:10000"}
			w.hosts["c.test."] = []string{"10.0.0.3"}
		})
		w.passes(33 * time.Second)
		w.want("a=10.0.0.1:10000", "b=10.0.0.2:10000", "c=10.0.0.3:10000")
		w.do(func() { w.fails = "" })
		w.passes(67 * time.Second)
		w.want("a is gone", "b=10.0.0.2:10000", "c=10.0.0.3:10000")
	})
}

// Of peers that have come and gone nothing is left.
func TestNothingIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Places: []Place{{Host: "lb.test", Port: 10000}}, ForgetAfter: time.Minute, MostPeers: 1000})
		for i := range 2000 {
			a := fmt.Sprintf("10.0.%d.%d", i/200, i%200)
			w.haproxys[a+":10000"], w.pointers[a] = "lb"+fmt.Sprint(i), "lb"+fmt.Sprint(i)
		}
		w.run()
		for i := 0; i < 2000; i += 20 {
			var all []string
			for k := range 20 {
				all = append(all, fmt.Sprintf("10.0.%d.%d", (i+k)/200, (i+k)%200))
			}
			w.do(func() { w.hosts["lb.test"] = all })
			w.passes(40 * time.Second)
		}
		w.do(func() { w.hosts["lb.test"] = nil })
		w.passes(10 * time.Minute)
		w.want()
		w.Discovery.mu.Lock()
		defer w.Discovery.mu.Unlock()
		if r := &w.roster; len(r.endpoints) != 0 || len(r.peers) != 0 || len(r.places) != 1 {
			t.Errorf("%d endpoints, %d peers, %d places are left", len(r.endpoints), len(r.peers), len(r.places))
		}
		if n := strings.Count(w.log.String(), "the peer is forgotten"); n != 2000 {
			t.Errorf("%d are forgotten", n)
		}
	})
}
