package discover

import (
	"net"
	"net/netip"
	"strconv"

	peersync "github.com/peersd/peersd/sync"
)

// A Place is where peers are to be found.
type Place struct {
	// Peer is the one that is there, where its name is known.
	Peer peersync.Peer
	// Host, where it is not, is the name of a host, or an address: each of its
	// addresses is a peer's, whose name is still to be found.
	Host string
	// Port of Host; 0 where Host is a name that has SRV records.
	Port uint16
}

func (p Place) String() string {
	switch {
	case p.Peer.Name != "":
		return p.Peer.Name + "=" + p.Peer.Address
	case p.Port == 0:
		return "srv+" + p.Host
	}
	return "dns+" + net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port)))
}

// An Endpoint is an address at which there is a peer, and names that it may have.
type Endpoint struct {
	Address netip.AddrPort
	Hints   []string
}
