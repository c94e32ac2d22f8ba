package main

import (
	"math"

	"github.com/peersd/peersd/config"
	peersync "github.com/peersd/peersd/sync"
)

// limitFlags adds the flags of what peers can take.
func limitFlags(flags *verbFlags, l *peersync.Limits) {
	number := func(name string, n *int, least, most int) {
		flags.value(name, func(s string) (err error) {
			*n, err = config.ParseLimit(s, least, most)
			return err
		})
	}
	number("max-handshakes", &l.Handshakes, 1, math.MaxInt32)
	number("max-handshakes-per-address", &l.HandshakesPerAddress, 1, math.MaxInt32)
	number("max-sessions", &l.Sessions, 1, math.MaxInt32)
	number("max-tables", &l.Tables, 1, math.MaxInt32)
	number("max-data-types", &l.DataTypes, 1, math.MaxInt32)
	number("max-message", &l.Message, 1<<10, 1<<20)
	flags.value("learn-rate", func(s string) (err error) {
		l.LearnRate, err = config.ParseLearnRate(s)
		return err
	})
}
