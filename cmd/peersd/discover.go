package main

import (
	"cmp"

	"github.com/peersd/peersd/config"
	"github.com/peersd/peersd/discover"
	peersync "github.com/peersd/peersd/sync"
	"github.com/rs/zerolog"
	"github.com/spf13/pflag"
)

// discoverFlags adds the flags of peers that come and go.
func discoverFlags(flags *pflag.FlagSet, c *config.Config) {
	addFlag(flags, "peers-file", "FILE",
		"a file of such places, one a line, read again when it changes; # begins a comment",
		func(s string) error {
			c.PeersFile = s
			return nil
		})
	addFlag(flags, "forget-after", "TIME",
		"how long one of these is remembered that is gone, and its tables, if nobody else has them; 1h without it",
		func(s string) (err error) {
			c.ForgetAfter, err = config.ParseForgetAfter(s)
			return err
		})
	addFlag(flags, "dns", "ADDR:PORT",
		"the DNS server to ask for dns+ and srv+, instead of those of /etc/resolv.conf",
		func(s string) error {
			c.DNS = s
			return config.CheckAddress(s)
		})
}

// discovered is the source of the hub's members that discovery is.
const discovered = "discovered"

// discovery finds the peers that come and go for the hub. It is nil where there are none.
func discovery(c *config.Config, hub *peersync.Hub, log zerolog.Logger) (*discover.Discovery, error) {
	if !c.Finds() {
		return nil, nil
	}
	d, err := discover.New(discover.Config{
		Places: c.Places,
		File:   c.PeersFile, Parse: c.ParsePeersFile,
		Names: hub.Names, ForgetAfter: c.ForgetAfter,
		MostPeers: cmp.Or(c.PeerLimits.Sessions, peersync.DefaultSessions),
		Resolver:  discover.Resolver{Server: c.DNS},
		Connected: hub.Connected,
		Apply: func(peers []peersync.Peer) {
			hub.SetMembers(discovered, peersync.Members{Peers: peers})
		},
		Log: log,
	})
	if err != nil {
		return nil, err
	}
	hub.SetFinder(discovered, d)
	return d, nil
}
