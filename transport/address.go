package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/peersd/peersd/config/haproxycfg"
	"github.com/peersd/peersd/internal/unixsocket"
)

// abstractLen is how long HAProxy makes the name of an abns@ socket, with NULs.
const abstractLen = 107

// network is how package net calls an address.
func network(a haproxycfg.Address) (network, address string) {
	switch a.Family {
	case haproxycfg.Unix:
		return "unix", a.Path
	case haproxycfg.Abstract:
		return "unix", "@" + a.Path + strings.Repeat("\x00", max(abstractLen-len(a.Path), 0))
	case haproxycfg.AbstractZ:
		return "unix", "@" + a.Path
	}
	network = "tcp"
	switch {
	case a.V4 || a.Host == "":
		network = "tcp4"
	case a.V6:
		network = "tcp6"
	}
	return network, net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
}

// dial connects to an address.
func dial(ctx context.Context, a haproxycfg.Address) (net.Conn, error) {
	var d net.Dialer
	d.SetMultipathTCP(a.MPTCP)
	n, address := network(a)
	return d.DialContext(ctx, n, address)
}

// listen opens an address, of which v6only says that it is for IPv6 alone.
func listen(a haproxycfg.Address, v6only bool, o unixsocket.Owner) (net.Listener, error) {
	n, address := network(a)
	switch {
	case a.Family == haproxycfg.FD:
		return inherited(a)
	case n == "unix":
		return unixsocket.Listen(address, o)
	case strings.Contains(a.Host, ":"):
		if n = "tcp"; v6only {
			n = "tcp6"
		}
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(a.MPTCP)
	l, err := lc.Listen(context.Background(), n, address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("can't listen on %v: the address is in use; end what uses it, or choose another one", a)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("can't listen on %v: this machine has no such address; choose another one", a)
	}
	return nil, fmt.Errorf("can't listen on %v: %w; choose another address", a, errors.Unwrap(err))
}

// inherited is a listener that who started us has opened.
func inherited(a haproxycfg.Address) (net.Listener, error) {
	fd, err := strconv.ParseUint(a.Path, 10, 31)
	if err != nil {
		return nil, fmt.Errorf("%v is no file descriptor; write it as in fd@3", a)
	}
	f := os.NewFile(uintptr(fd), a.String())
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("%v is no socket that listens: %w; start peersd with one, or write an address", a, err)
	}
	return l, nil
}
