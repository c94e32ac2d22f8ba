package discover

import (
	"net"
	"net/netip"
	"strconv"
)

// A Place is where peers are to be found.
type Place struct {
	// Name of the one peer that is there. Without one, each address of Host is a
	// peer's, whose name is still to be found.
	Name string
	// Host is a name, or an address.
	Host string
	// Port of Host; 0 where Host is a name that has SRV records.
	Port uint16
}

func (p Place) String() string {
	switch {
	case p.Name != "":
		return p.Name + "=" + p.hostPort()
	case p.Port == 0:
		return "srv+" + p.Host
	}
	return "dns+" + p.hostPort()
}

func (p Place) hostPort() string {
	return net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port)))
}

// An Endpoint is an address at which there is a peer, and names that it may have.
type Endpoint struct {
	Address netip.AddrPort
	Hints   []string
}
