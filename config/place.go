package config

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/peersd/peersd/discover"
)

// ParsePlace reads the argument of --peer, where peers are to be found: NAME=ADDR:PORT,
// dns+HOST:PORT or ADDR:PORT, of which each address is a peer's, or srv+NAME.
func ParsePlace(s string) (p discover.Place, err error) {
	if host, found := strings.CutPrefix(s, "srv+"); found {
		if err := checkHost(host); err != nil || strings.Contains(host, ":") {
			return p, fmt.Errorf("%q is not srv+NAME, as in srv+_peers._tcp.haproxy.default.svc", "srv+"+host)
		}
		return discover.Place{Host: host}, nil
	}
	if name, address, found := strings.Cut(s, "="); found {
		if strings.HasPrefix(address, "dns+") || strings.HasPrefix(address, "srv+") {
			return p, fmt.Errorf("%q: write %q without the name %q; each peer there has its own, which is found", s, address, name)
		}
		p.Peer, err = ParsePeer(s)
		return p, err
	}
	address := strings.TrimPrefix(s, "dns+")
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		err = checkHost(host)
	}
	if err != nil {
		return p, fmt.Errorf("%q is not NAME=ADDR:PORT, dns+HOST:PORT or srv+NAME, as in lb1=10.0.0.1:10000", s)
	}
	if err := CheckAddress(address); err != nil {
		return p, err
	}
	n, _ := strconv.ParseUint(port, 10, 16)
	return discover.Place{Host: host, Port: uint16(n)}, nil
}

// checkHost reports what can't be the name of a host, or its address.
func checkHost(host string) error {
	wrong := func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("+=/,;\"'@", r) }
	if host == "" || len(host) > 255 || strings.ContainsFunc(host, wrong) {
		return fmt.Errorf("%q is no name of a host", host)
	}
	return nil
}

// ParsePeersFile reads what is in the file of --peers-file: a place a line, as
// [ParsePlace] takes them; what stands behind a "#" is for people.
func (c *Config) ParsePeersFile(text []byte) (all []discover.Place, err error) {
	for i, line := range bytes.Split(text, []byte{'\n'}) {
		s, _, _ := strings.Cut(string(line), "#")
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		p, err := ParsePlace(s)
		if err == nil {
			err = c.checkPlace(p, all)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", c.PeersFile, i+1, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// checkPlace reports what is wrong with a place beside our names, the peers of our
// own configuration, and other places.
func (c *Config) checkPlace(p discover.Place, others []discover.Place) error {
	name := p.Peer.Name
	if name == "" {
		if slices.Contains(others, p) {
			return fmt.Errorf("%v is there twice", p)
		}
		return nil
	}
	if slices.Contains(c.names, name) {
		return fmt.Errorf("%v has our own name; leave it out, or give us another name with -L", p)
	}
	same := func(o discover.Place) bool { return o.Peer.Name == name }
	if c.hasPeer(name) || slices.ContainsFunc(others, same) {
		return fmt.Errorf("%v names %q twice; give each peer a name of its own", p, name)
	}
	return nil
}
