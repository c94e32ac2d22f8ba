package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/peersd/peersd/config/haproxycfg"
	"github.com/peersd/peersd/transport"
)

// listenAll opens all addresses or none.
func listenAll(addresses []string, open func(string) (net.Listener, error)) (all []net.Listener, err error) {
	for _, a := range addresses {
		l, err := open(a)
		if err != nil {
			closeAll(all)
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

func closeAll(all []net.Listener) {
	for _, l := range all {
		l.Close()
	}
}

// listen opens an address that peers reach us at, as server says.
func listen(server *transport.Server, address string) (net.Listener, error) {
	if a := server.Address; a.Family != haproxycfg.TCP && a.String() == address {
		return server.Listen()
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, listenError(address, err)
	}
	return server.Wrap(l), nil
}

func listenError(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("can't listen on %s: the address is in use; end what uses it (another peersd?), or choose another one with --listen", address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("can't listen on %s: this machine has no such address; choose another one with --listen", address)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("can't listen on %s: not permitted; choose a port from 1024 on with --listen", address)
	}
	return fmt.Errorf("can't listen on %s: %w; choose another address with --listen", address, errors.Unwrap(err))
}
