package haproxytest

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
)

// reservedPort is listened on to hold an address: below the ports that the kernel hands out, and none that a test would
// use itself.
const reservedPort = 28999

var lastHost atomic.Uint32

// Reserve returns a loopback address that no other caller has, in this process or another, until it is released.
func Reserve() (host string, release func(), err error) {
	for range 1 << 16 {
		addr := hostAddr(uint32(os.Getpid())<<8 + lastHost.Add(1))
		l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, reservedPort)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return "", nil, err
		}
		return addr.String(), func() { _ = l.Close() }, nil
	}
	return "", nil, errors.New("all loopback addresses are taken")
}

// hostAddr spreads n over 127.0.0.0/8, less 127.0.0.0/16, which others use.
func hostAddr(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 1 + byte(n>>16)%254, byte(n >> 8), 1 + byte(n)%254})
}

// Host is Reserve until the test ends.
func Host(tb testing.TB) string {
	tb.Helper()
	host, release, err := Reserve()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(release)
	return host
}
