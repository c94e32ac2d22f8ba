package main

import (
	"math"

	"github.com/peersd/peersd/config"
	peersync "github.com/peersd/peersd/sync"
	"github.com/spf13/pflag"
)

// limitFlags adds the flags of what peers can take.
func limitFlags(flags *pflag.FlagSet, l *peersync.Limits) {
	number := func(name, called string, n *int, least, most int, usage string) {
		addFlag(flags, name, called, usage, func(s string) (err error) {
			*n, err = config.ParseLimit(s, least, most)
			return err
		})
	}
	number("max-handshakes", "N", &l.Handshakes, 1, math.MaxInt32,
		"connections that are not through their handshake, 512 without it. Where there is one more, the one that has waited longest is closed")
	number("max-handshakes-per-address", "N", &l.HandshakesPerAddress, 1, math.MaxInt32, "those of one address, 64 without it")
	number("max-sessions", "N", &l.Sessions, 1, math.MaxInt32,
		"sessions at a time, and names that are remembered where every peer is welcome; 1024 without it")
	number("max-tables", "N", &l.Tables, 1, math.MaxInt32, "tables that a peer may define, 1024 without it")
	number("max-data-types", "N", &l.DataTypes, 1, math.MaxInt32, "data types of all of them, each element of an array counted; 16384 without it")
	number("max-message", "SIZE", &l.Message, 1<<10, 1<<20,
		"the longest message that a peer may send, from 1k to 1m; 16k without it, as HAProxy's own tune.bufsize")
	addFlag(flags, "learn-rate", "N",
		"new entries that a peer may add a second, from 1000 on; one that adds more over ten seconds is read from more slowly. 1000000 without it, 0 for any number",
		func(s string) (err error) {
			l.LearnRate, err = config.ParseLearnRate(s)
			return err
		})
}
