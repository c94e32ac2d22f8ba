package haproxytest

import (
	"net"
	"net/netip"
	"testing"
)

func TestReserve(t *testing.T) {
	seen := map[string]bool{}
	for range 300 {
		host := Host(t)
		if seen[host] {
			t.Fatalf("%s twice", host)
		}
		seen[host] = true
		l, err := net.Listen("tcp", host+":10001")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}

// Two processes that count from the same number, as with process ids 2^16 apart, get different addresses.
func TestReserveSkipsTaken(t *testing.T) {
	host := Host(t)
	lastHost.Add(^uint32(0)) // back by one
	if again := Host(t); again == host {
		t.Errorf("%s twice", host)
	}
}

func TestHostAddr(t *testing.T) {
	loopback, others := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/16")
	for n := uint32(0); n < 1<<24; n += 251 {
		if a := hostAddr(n); !loopback.Contains(a) || others.Contains(a) {
			t.Fatalf("%d: %v", n, a)
		}
	}
}
