package discover

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/dnstest"
	"golang.org/x/net/dns/dnsmessage"
)

// What a place is, by what a DNS server says of it.
func TestLookup(t *testing.T) {
	many := make([]dnsmessage.ResourceBody, 300)
	for i := range many {
		many[i] = dnstest.A(fmt.Sprintf("10.1.%d.%d", i/100, i%100))
	}
	tests := []struct {
		name   string
		set    func(s *dnstest.Server)
		place  Place
		want   []string // address and hints
		count  int      // where there are many
		ttl    time.Duration
		failed bool
	}{{
		name: "addresses of a host",
		set: func(s *dnstest.Server) {
			s.Set("lb.test", 7*time.Second, dnstest.A("10.0.0.2"), dnstest.A("10.0.0.1"), dnstest.A("2001:db8::1"))
		},
		place: Place{Host: "lb.test", Port: 10000},
		want:  []string{"10.0.0.1:10000 [lb lb.test]", "10.0.0.2:10000 [lb lb.test]", "[2001:db8::1]:10000 [lb lb.test]"},
		ttl:   7 * time.Second,
	}, {
		name: "the negative answer to AAAA is not how long the positive one to A holds",
		set: func(s *dnstest.Server) {
			s.Negative(time.Second)
			s.Set("lb.test", 30*time.Second, dnstest.A("10.0.0.1"))
		},
		place: Place{Host: "lb.test", Port: 10000},
		want:  []string{"10.0.0.1:10000 [lb lb.test]"},
		ttl:   30 * time.Second,
	}, {
		name: "another name: the shortest TTL on the way",
		set: func(s *dnstest.Server) {
			s.Set("lb.test", 5*time.Second, dnstest.CNAME("real.test"))
			s.Set("real.test", time.Minute, dnstest.A("10.0.0.1"))
		},
		place: Place{Host: "lb.test", Port: 10000},
		want:  []string{"10.0.0.1:10000 [lb lb.test]"},
		ttl:   5 * time.Second,
	}, {
		name: "services, ports and names of their own",
		set: func(s *dnstest.Server) {
			s.Set("_peers._tcp.lb.test", 20*time.Second, dnstest.SRV("lb-0.lb.test", 10000), dnstest.SRV("lb-1.lb.test", 10001))
			s.Set("lb-0.lb.test", 30*time.Second, dnstest.A("10.0.0.1"))
			s.Set("lb-1.lb.test", 10*time.Second, dnstest.A("10.0.0.2"))
		},
		place: Place{Host: "_peers._tcp.lb.test"},
		want:  []string{"10.0.0.1:10000 [lb-0 lb-0.lb.test]", "10.0.0.2:10001 [lb-1 lb-1.lb.test]"},
		ttl:   10 * time.Second,
	}, {
		name: "a service of which one host is gone",
		set: func(s *dnstest.Server) {
			s.Negative(3 * time.Second)
			s.Set("_peers._tcp.lb.test", 20*time.Second, dnstest.SRV("lb-0.lb.test", 10000), dnstest.SRV("lb-1.lb.test", 10001))
			s.Set("lb-0.lb.test", 30*time.Second, dnstest.A("10.0.0.1"))
		},
		place: Place{Host: "_peers._tcp.lb.test"},
		want:  []string{"10.0.0.1:10000 [lb-0 lb-0.lb.test]"},
		ttl:   3 * time.Second,
	}, {
		name: "a service that is said not to be there",
		set: func(s *dnstest.Server) {
			s.Set("_peers._tcp.lb.test", 20*time.Second, dnstest.SRV(".", 0))
		},
		place: Place{Host: "_peers._tcp.lb.test"},
		ttl:   20 * time.Second,
	}, {
		name:  "no such host",
		set:   func(s *dnstest.Server) { s.Negative(4 * time.Second) },
		place: Place{Host: "lb.test", Port: 10000},
		ttl:   4 * time.Second,
	}, {
		name:  "no such service",
		set:   func(s *dnstest.Server) { s.Negative(4 * time.Second) },
		place: Place{Host: "_peers._tcp.lb.test"},
		ttl:   4 * time.Second,
	}, {
		name: "a host without addresses",
		set: func(s *dnstest.Server) {
			s.Negative(6 * time.Second)
			s.Set("lb.test", time.Minute)
		},
		place: Place{Host: "lb.test", Port: 10000},
		ttl:   6 * time.Second,
	}, {
		name:   "the server fails",
		set:    func(s *dnstest.Server) { s.Fail(dnsmessage.RCodeServerFailure) },
		place:  Place{Host: "lb.test", Port: 10000},
		failed: true,
	}, {
		name:   "the server fails for a service",
		set:    func(s *dnstest.Server) { s.Fail(dnsmessage.RCodeServerFailure) },
		place:  Place{Host: "_peers._tcp.lb.test"},
		failed: true,
	}, {
		name:   "the server refuses",
		set:    func(s *dnstest.Server) { s.Fail(dnsmessage.RCodeRefused) },
		place:  Place{Host: "lb.test", Port: 10000},
		failed: true,
	}, {
		name: "too long for UDP",
		set: func(s *dnstest.Server) {
			s.Truncate(true)
			s.Set("lb.test", 9*time.Second, many...)
		},
		place: Place{Host: "lb.test", Port: 10000},
		count: len(many),
		ttl:   9 * time.Second,
	}, {
		name: "a TTL with its first bit set is 0",
		set: func(s *dnstest.Server) {
			s.Set("lb.test", (1<<31)*time.Second, dnstest.A("10.0.0.1"))
		},
		place: Place{Host: "lb.test", Port: 10000},
		want:  []string{"10.0.0.1:10000 [lb lb.test]"},
	}, {
		name:  "an address is no question",
		set:   func(s *dnstest.Server) { s.Fail(dnsmessage.RCodeServerFailure) },
		place: Place{Host: "10.0.0.9", Port: 10000},
		want:  []string{"10.0.0.9:10000 []"},
		ttl:   unknownTTL,
	}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := dnstest.Start(t, "127.0.0.1:0")
			test.set(s)
			found, ttl, err := test.place.lookup(context.Background(), Resolver{Server: s.Address})
			if (err != nil) != test.failed {
				t.Fatalf("error %v", err)
			}
			var got []string
			for _, e := range found {
				got = append(got, fmt.Sprint(e.Address, " ", e.Hints))
			}
			slices.Sort(got)
			if test.count > 0 {
				if len(got) != test.count {
					t.Errorf("%d endpoints, want %d", len(got), test.count)
				}
			} else if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if ttl != test.ttl {
				t.Errorf("for %v, want %v", ttl, test.ttl)
			}
		})
	}
}

func TestLookupTooMany(t *testing.T) {
	s := dnstest.Start(t, "127.0.0.1:0")
	s.Truncate(true)
	var all []dnsmessage.ResourceBody
	for i := range mostEndpoints + 1 {
		all = append(all, dnstest.A(fmt.Sprintf("10.1.%d.%d", i/200, i%200)))
	}
	s.Set("lb.test", time.Second, all...)
	_, _, err := Place{Host: "lb.test", Port: 10000}.lookup(context.Background(), Resolver{Server: s.Address})
	want := "dns+lb.test:10000 has 1025 addresses, and more than 1024 are too many"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestNamesOfAddress(t *testing.T) {
	s := dnstest.Start(t, "127.0.0.1:0")
	s.SetPTR("10.0.0.1", "lb-0.lb.test")
	names, err := Resolver{Server: s.Address}.Names(context.Background(), netip.MustParseAddr("10.0.0.1"))
	if err != nil || !slices.Equal(names, []string{"lb-0.lb.test."}) {
		t.Errorf("names %q, error %v", names, err)
	}
}

// A place is asked for again a bit after its TTL, within bounds, and later and later
// while there is no answer.
func TestWatchNext(t *testing.T) {
	var w watch
	fails := context.DeadlineExceeded
	for i, step := range []struct {
		ttl  time.Duration
		err  error
		want time.Duration
	}{
		{0, nil, time.Second},
		{30 * time.Second, nil, 30 * time.Second},
		{24 * time.Hour, nil, time.Hour},
		{0, fails, time.Second},
		{0, fails, 2 * time.Second},
		{0, fails, 4 * time.Second},
		{0, fails, 8 * time.Second},
		{0, fails, 16 * time.Second},
		{0, fails, 32 * time.Second},
		{0, fails, time.Minute},
		{0, fails, time.Minute},
		{5 * time.Second, nil, 5 * time.Second},
		{0, fails, time.Second},
	} {
		if got := w.next(step.ttl, step.err); got < step.want || got > step.want*11/10 {
			t.Errorf("step %d: %v, want %v and a tenth more at most", i, got, step.want)
		}
	}
}

// What a server sends may be anything.
func FuzzNote(f *testing.F) {
	s := &dnsmessage.Message{
		Header:    dnsmessage.Header{Response: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName("lb.test."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	empty, _ := s.Pack()
	f.Add(empty)
	s.Answers = []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("lb.test."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 5},
		Body:   dnstest.A("10.0.0.1"),
	}}
	full, _ := s.Pack()
	f.Add(full)
	f.Add(full[:len(full)-3])
	f.Fuzz(func(t *testing.T, message []byte) {
		var seen ttls
		seen.note(message)
		if got := seen.least(); got < 0 || got > (1<<31)*time.Second {
			t.Errorf("holds for %v", got)
		}
	})
}
