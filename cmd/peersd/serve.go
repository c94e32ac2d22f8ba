package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/config"
	peersync "github.com/peersd/peersd/sync"
	"github.com/peersd/peersd/table"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const serveHelp = `Without a flag it listens on 127.0.0.1:10001 as the peer "peersd" and welcomes
every peer. In haproxy.cfg that is:

  peers peers                         # another name: --section NAME
      peer lb1 127.0.0.1:10000        # HAProxy itself, started with -L lb1
      peer peersd 127.0.0.1:10001`

func (a *app) serveCommand() *cobra.Command {
	c := config.Default()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "run the mirror",
		Long:  serveHelp,
		Example: `  peersd serve
  peersd serve --section mypeers --peer lb1=10.0.0.1:10000 --peer lb2=10.0.0.2:10000`,
		Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if err := c.Complete(); err != nil {
				return usageError{err}
			}
			return serve(c)
		},
	}
	serveFlags(cmd.Flags(), c)
	return cmd
}

// serveFlags adds the flags that fill c.
func serveFlags(flags *pflag.FlagSet, c *config.Config) {
	flags.SortFlags = false
	flags.VarP(&value{"NAME", func(s string) error {
		c.Name = s
		return config.CheckName(s)
	}}, "localpeer", "L", "our name in haproxy.cfg; without it \"peersd\", or the name of this host")
	addFlag(flags, "listen", "ADDR:PORT",
		"where peers reach us; may be repeated",
		func(s string) error {
			c.Listen = append(c.Listen, s)
			return config.CheckAddress(s)
		})
	addFlag(flags, "peer", "NAME=ADDR:PORT",
		"a HAProxy to dial, and to accept; may be repeated. With one, peers of other names are refused",
		func(s string) error {
			p, err := config.ParsePeer(s)
			c.Peers = append(c.Peers, p)
			return err
		})
	addFlag(flags, "section", "NAME",
		"the name of the peers section, \"peers\" without it: a part of the names of tables declared there",
		func(s string) error {
			c.Section = s
			return config.CheckSection(s)
		})
	addFlag(flags, "socket", "PATH|ADDR:PORT",
		"the runtime socket, "+config.DefaultSocket()+" without it: a path, or a port of a loopback address. May be repeated",
		func(s string) error {
			c.Sockets = append(c.Sockets, s)
			return config.CheckSocket(s)
		})
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
	addFlag(flags, "teach-rate", "RATE",
		"updates a second that a HAProxy is sent at most, so that its traffic doesn't suffer; 125000 without it, 0 is as many as it takes",
		func(s string) (err error) {
			c.TeachRate, err = config.ParseTeachRate(s)
			return err
		})
	addFlag(flags, "max-updates-at-once", "N",
		"updates that it is sent in one burst of these, as tune.peers.max-updates-at-once; 200 without it",
		func(s string) (err error) {
			c.MaxUpdates, err = config.ParseMaxUpdates(s)
			return err
		})
	addFlag(flags, "max-memory", "SIZE",
		"the memory of the whole process, as in 512m or 2g. Where it is reached, entries that end first give way to new ones",
		func(s string) (err error) {
			c.MaxMemory, err = config.ParseMemory(s)
			return err
		})
	addFlag(flags, "table-size", "NAME=SIZE",
		"the entries of a table, as in t1=100k. Where it is full, entries that end first give way to new ones; with t1=100k,nopurge new ones are refused. May be repeated",
		func(s string) error {
			name, limits, err := config.ParseTableSize(s)
			if c.Limits == nil {
				c.Limits = map[string]table.Limits{}
			}
			c.Limits[name] = limits
			return err
		})
	limitFlags(flags, &c.PeerLimits)
	addFlag(flags, "log-level", "LEVEL",
		"trace, debug, info, warn or error; info without it",
		func(s string) (err error) {
			c.LogLevel, err = config.ParseLevel(s)
			return err
		})
}

func serve(c *config.Config) error {
	log := newLogger(c.LogLevel)
	listeners, err := listenAll(c.Listen, listen)
	if err != nil {
		return err
	}
	sockets, err := listenAll(c.Sockets, func(s string) (net.Listener, error) { return admin.Listen(s, c.SocketMode) })
	if err != nil {
		closeAll(listeners)
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1)
	defer stop()
	// A second signal ends it at once.
	context.AfterFunc(ctx, stop)

	started := time.Now()
	tables := table.NewSet(c.Section, started)
	limit(tables, c)
	hub := peersync.New(peersync.Config{
		Names: c.Names(), Peers: c.Peers, Tables: tables, MaxUpdates: c.MaxUpdates, TeachRate: c.TeachRate, Limits: c.PeerLimits, Log: log,
	})
	runtime := &admin.Server{Tables: tables, Hub: hub, Listen: c.Listen, Level: c.SocketLevel, Version: versionString(), Started: started, Log: log}
	var wg sync.WaitGroup
	wg.Go(func() { runtime.Serve(ctx, sockets...) })
	log.Info().Str("version", versionString()).Strs("names", c.Names()).Strs("listen", c.Listen).
		Strs("sockets", c.Sockets).Int("peers", len(c.Peers)).Msg("peersd is running")
	err = hub.Run(ctx, listeners...)
	stop()
	wg.Wait()
	log.Info().Msg("peersd has ended")
	return err
}

// What of --max-memory is not for tables: otherMemory, for the program itself and
// for sessions, and an eighth of the rest, for what the collector has yet to take
// back. The collector knows of all but the program.
const (
	otherMemory   = 24 << 20
	programMemory = 14 << 20 // of it
)

// collectAt is by how many percent memory may grow between two collections, 100 in
// Go. There are hardly any pointers to follow here, so that a collection costs a
// millisecond, and what isn't collected is memory that people see.
const collectAt = 20

func limit(tables *table.Set, c *config.Config) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if c.MaxMemory > 0 {
		debug.SetMemoryLimit(c.MaxMemory - programMemory)
		tables.LimitMemory((c.MaxMemory - otherMemory) / 8 * 7)
	}
	for name, l := range c.Limits {
		tables.Limit(name, l)
	}
}

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

// listen opens an address that peers reach us at.
func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, listenError(address, err)
	}
	return l, nil
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

// newLogger writes for people on a terminal, and JSON elsewhere.
func newLogger(level zerolog.Level) zerolog.Logger {
	var w io.Writer = os.Stderr
	if isatty.IsTerminal(os.Stderr.Fd()) {
		w = zerolog.ConsoleWriter{Out: os.Stderr, TimeFormat: time.DateTime, NoColor: os.Getenv("NO_COLOR") != ""}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}
