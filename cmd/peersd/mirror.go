package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/config"
	"github.com/peersd/peersd/config/haproxycfg"
	"github.com/peersd/peersd/discover"
	peersync "github.com/peersd/peersd/sync"
	"github.com/peersd/peersd/table"
	"github.com/peersd/peersd/transport"
	"github.com/rs/zerolog"
)

// A mirror is what `peersd serve` runs.
type mirror struct {
	flags   *config.Config // as they were given
	log     zerolog.Logger
	tables  *table.Set
	hub     *peersync.Hub
	finds   *discover.Discovery // peers that come and go, nil without
	runtime *admin.Server
	sockets []net.Listener

	mu        sync.Mutex // one reload at a time
	listeners map[string]net.Listener
}

// newMirror opens everything that c says, or nothing.
func newMirror(flags, c *config.Config, log zerolog.Logger) (*mirror, error) {
	m := &mirror{flags: flags, log: log, listeners: map[string]net.Listener{}}
	flags.Transport = c.Transport
	opened, err := m.open(c)
	if err != nil {
		return nil, err
	}
	m.sockets, err = listenAll(c.Sockets, func(s string) (net.Listener, error) { return admin.Listen(s, c.SocketMode) })
	if err != nil {
		closeAll(opened)
		return nil, err
	}
	started := time.Now()
	m.tables = table.NewSet(c.Section, started)
	limitMemory(m.tables, c)
	m.tables.SetLimits(c.Limits)
	m.tables.Cut(c.Shards)
	m.hub = peersync.New(m.hubConfig(c))
	if m.finds, err = discovery(c, m.hub, log); err != nil {
		closeAll(opened)
		closeAll(m.sockets)
		return nil, err
	}
	m.listen(c, opened)
	m.runtime = &admin.Server{Tables: m.tables, Hub: m.hub, Level: c.SocketLevel, Version: versionString(), Started: started, Reload: m.reload, Log: log}
	return m, nil
}

func (m *mirror) hubConfig(c *config.Config) peersync.Config {
	var checkName func(net.Conn, string) error
	if c.TLSNames {
		checkName = transport.CheckName
	}
	return peersync.Config{
		CheckName: checkName,
		Names:     c.Names(), Peers: c.Peers, Allow: c.Allow, Tables: m.tables, Declared: c.Declared,
		MaxUpdates: c.MaxUpdates, TeachRate: c.TeachRate, Limits: c.PeerLimits, Log: m.log,
	}
}

// run serves until ctx is done, and reads everything again at each signal. c is what
// the mirror was made of.
func (m *mirror) run(ctx context.Context, c *config.Config, hangups <-chan os.Signal) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { m.runtime.Serve(ctx, m.sockets...) })
	if m.finds != nil {
		wg.Go(func() { m.finds.Run(ctx) })
	}
	wg.Go(func() {
		for {
			select {
			case <-hangups:
				m.reload()
			case <-ctx.Done():
				return
			}
		}
	})
	m.log.Info().Str("version", versionString()).Strs("names", c.Names()).Strs("listen", c.Listen).
		Strs("sockets", c.Sockets).Int("peers", len(c.Peers)).Int("tables", len(c.Declared)).Msg("peersd is running")
	err := m.hub.Run(ctx)
	stop()
	wg.Wait()
	m.log.Info().Msg("peersd has ended")
	return err
}

// reload reads everything again, and lets what has changed come and go. Where
// something is wrong, nothing has changed. What is to be said of it, in the log too,
// is returned, a line each.
func (m *mirror) reload() (said string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, messages, err := m.flags.Load()
	for _, message := range messages {
		said += message.String() + "\n"
		event := m.log.Warn()
		if message.Severity == haproxycfg.Alert {
			event = m.log.Error()
		}
		event.Msg(message.String())
	}
	if errors.As(err, new(haproxycfg.Messages)) {
		err = refusedFiles(messages)
	}
	var opened []net.Listener
	if err == nil {
		opened, err = m.changes(c)
	}
	if err != nil {
		m.log.Error().Msg("not reloaded, everything stays as it was: " + err.Error())
		return said + err.Error() + "\n", err
	}
	m.flags.Transport = c.Transport
	m.tables.SetLimits(c.Limits)
	m.hub.Apply(m.hubConfig(c)) // who comes to an address that is new is to be known
	m.listen(c, opened)
	m.log.Info().Strs("names", c.Names()).Strs("listen", c.Listen).Int("peers", len(c.Peers)).Int("tables", len(c.Declared)).Msg("reloaded")
	return said, nil
}

// changes opens what is to be listened on besides, or reports why c can't take the
// place of what there is.
func (m *mirror) changes(c *config.Config) ([]net.Listener, error) {
	if was := m.tables.Section(); c.Section != was {
		return nil, fmt.Errorf("the peers section was %q and is %q now, which is a part of tables' names: that takes a restart", was, c.Section)
	}
	if was := m.tables.Parts(); c.Shards != was {
		return nil, fmt.Errorf("the number of shards was %d and is %d now, by which it changes who is taught what: that takes a restart", was, c.Shards)
	}
	return m.open(c)
}

// open opens those addresses of c that are not open yet, or none.
func (m *mirror) open(c *config.Config) ([]net.Listener, error) {
	var more []string
	for _, a := range c.Listen {
		if m.listeners[a] == nil {
			more = append(more, a)
		}
	}
	return listenAll(more, func(a string) (net.Listener, error) { return listen(c.Server, a) })
}

// listen makes the addresses of c those that the hub listens on; opened are those of
// them that are new, in their order.
func (m *mirror) listen(c *config.Config, opened []net.Listener) {
	is := map[string]net.Listener{}
	var all []net.Listener
	for _, a := range c.Listen {
		l := m.listeners[a]
		if l == nil {
			l, opened = opened[0], opened[1:]
		}
		l.(*transport.Listener).Use(c.Server)
		is[a] = l
		all = append(all, l)
	}
	m.listeners = is
	m.hub.SetListeners(all...)
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

func limitMemory(tables *table.Set, c *config.Config) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if c.MaxMemory > 0 {
		debug.SetMemoryLimit(c.MaxMemory - programMemory)
		tables.LimitMemory((c.MaxMemory - otherMemory) / 8 * 7)
	}
}
