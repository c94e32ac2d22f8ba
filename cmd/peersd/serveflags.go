package main

import (
	"github.com/peersd/peersd/config"
	"github.com/peersd/peersd/table"
	"github.com/spf13/pflag"
)

// serveFlags adds the flags that fill c.
func serveFlags(flags *pflag.FlagSet, c *config.Config) {
	flags.SortFlags = false
	fileFlags(flags, c)
	peerFlags(flags, c)
	group(flags, "the runtime socket", func() { socketFlags(flags, c) })
	group(flags, "how fast HAProxys are taught", func() { paceFlags(flags, c) })
	group(flags, "memory", func() { memoryFlags(flags, c) })
	group(flags, "what peers can take", func() { limitFlags(flags, &c.PeerLimits) })
	group(flags, "the log", func() {
		addFlag(flags, "log-level", "LEVEL", "trace, debug, info, warn or error; info without it", func(s string) (err error) {
			c.LogLevel, err = config.ParseLevel(s)
			return err
		})
	})
}

// fileFlags adds those of who we are, by haproxy.cfg or without.
func fileFlags(flags *pflag.FlagSet, c *config.Config) {
	group(flags, "who we are", func() {
		flags.VarP(&value{"FILE|DIR", func(s string) error {
			c.Files = append(c.Files, s)
			return config.CheckFile(s)
		}}, "file", "f", "HAProxy's configuration, or a folder of it: it says where to listen, whom to dial, and which tables there are. May be repeated")
		repeated(flags.Lookup("file"))
		flags.VarP(&value{"NAME", func(s string) error {
			c.Name = s
			return config.CheckName(s)
		}}, "localpeer", "L", "our name in haproxy.cfg; without it, with -f, the localpeer of that or the name of this host, else \"peersd\", or the name of this host")
		addFlag(flags, "section", "NAME",
			"the name of the peers section, with -f the one that we are in, else \"peers\": a part of the names of tables declared there",
			func(s string) error {
				c.Section = s
				return config.CheckSection(s)
			})
		repeated(addFlag(flags, "listen", "ADDR:PORT",
			"where peers reach us, in the place of what -f says; "+config.DefaultListen+" without both. May be repeated",
			func(s string) error {
				c.Listen = append(c.Listen, s)
				return config.CheckAddress(s)
			}))
	})
}

// peerFlags adds those of who the others are.
func peerFlags(flags *pflag.FlagSet, c *config.Config) {
	group(flags, "who may come", func() {
		repeated(addFlag(flags, "peer", "NAME=ADDR:PORT",
			"a HAProxy to dial, and to accept, in the place of a line of -f with its name. May be repeated. With one, or with one of -f, peers of other names are refused. dns+HOST:PORT, ADDR:PORT and srv+NAME are HAProxys that come and go: each address of a host, and what SRV records say",
			c.AddPeer))
		discoverFlags(flags, c)
		boolFlag(flags, &c.Sidecar, "sidecar",
			"HAProxys of -f that listen on all addresses of their machine are on this one, and are dialled on loopback")
		repeated(addFlag(flags, "allow", "NAME|NETWORK",
			"a peer that may come from anywhere, as in lb3, or where any may come from, as in 10.0.0.7 or 10.0.0.0/8. May be repeated. Without it and without peers that are known by name, only this machine's may",
			func(s string) error { return config.ParseAllow(s, &c.Allow) }))
		boolFlag(flags, &c.TLSNames, "tls-names",
			"who comes has to have the name that it says in its certificate, as the common name or one for DNS; -f has to say ssl and verify required for our bind line")
		boolFlag(flags, &c.Allow.Any, "allow-any", "anybody may come from anywhere; whoever reaches us may then change tables")
	})
}

func socketFlags(flags *pflag.FlagSet, c *config.Config) {
	repeated(addFlag(flags, "socket", "PATH|ADDR:PORT",
		"the runtime socket, "+config.DefaultSocket()+" without it: a path, or a port of a loopback address. May be repeated",
		func(s string) error {
			c.Sockets = append(c.Sockets, s)
			return config.CheckSocket(s)
		}))
	addFlag(flags, "socket-mode", "MODE",
		"who may connect to it, as the mode of a file; 600 without it",
		func(s string) (err error) {
			c.SocketMode, err = config.ParseSocketMode(s)
			return err
		})
	addFlag(flags, "socket-level", "LEVEL",
		"what they may do: operator without it; user is to look at no entries and to change none",
		func(s string) (err error) {
			c.SocketLevel, err = config.ParseSocketLevel(s)
			return err
		})
}

func paceFlags(flags *pflag.FlagSet, c *config.Config) {
	addFlag(flags, "teach-rate", "RATE",
		"updates a second that a HAProxy is sent at most, so that its traffic doesn't suffer; 105000 without it, 0 is as many as it takes",
		func(s string) (err error) {
			c.TeachRate, err = config.ParseTeachRate(s)
			return err
		})
	addFlag(flags, "max-updates-at-once", "N",
		"updates that it is sent in one burst of these; without it tune.peers.max-updates-at-once of -f, or 200",
		func(s string) (err error) {
			c.MaxUpdates, err = config.ParseMaxUpdates(s)
			return err
		})
}

func memoryFlags(flags *pflag.FlagSet, c *config.Config) {
	addFlag(flags, "max-memory", "SIZE",
		"the memory of the whole process, as in 512m or 2g. Where it is reached, entries that end first give way to new ones",
		func(s string) (err error) {
			c.MaxMemory, err = config.ParseMemory(s)
			return err
		})
	repeated(addFlag(flags, "table-size", "NAME=SIZE",
		"the entries of a table, as in t1=100k, in the place of its size in -f. Where it is full, entries that end first give way to new ones; with t1=100k,nopurge new ones are refused. May be repeated",
		func(s string) error {
			name, limits, err := config.ParseTableSize(s)
			if c.Limits == nil {
				c.Limits = map[string]table.Limits{}
			}
			c.Limits[name] = limits
			return err
		}))
}
