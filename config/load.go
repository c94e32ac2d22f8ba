package config

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/peersd/peersd/config/haproxycfg"
	peersync "github.com/peersd/peersd/sync"
	"github.com/peersd/peersd/table"
	"github.com/peersd/peersd/transport"
)

// Load returns how the daemon is to run: what the flags say, which is c and stays as
// it is, what is in the files that they name, and defaults for the rest. What is to be
// said of the files comes with it, even where it can't be used; then err is not nil,
// and haproxycfg.Messages where files are to blame.
func (c *Config) Load() (*Config, haproxycfg.Messages, error) {
	loaded := c.clone()
	var messages haproxycfg.Messages
	if len(c.Files) > 0 {
		if messages = loaded.readFiles(); messages.Err() != nil {
			return nil, messages, messages.Err()
		}
	}
	if err := loaded.Complete(); err != nil {
		return nil, messages, err
	}
	return loaded, messages, nil
}

func (c *Config) clone() *Config {
	l := *c
	l.Listen, l.Peers, l.Sockets = slices.Clone(c.Listen), slices.Clone(c.Peers), slices.Clone(c.Sockets)
	l.Limits = maps.Clone(c.Limits)
	return &l
}

// readFiles takes from the files what no flag says.
func (c *Config) readFiles() haproxycfg.Messages {
	file, messages := haproxycfg.Read(haproxycfg.Options{Files: c.Files, LocalPeer: c.Name, Mirror: true})
	if file == nil {
		return messages
	}
	r := fileReader{c, file, messages}
	c.Name = file.LocalPeer
	lines, said := transport.New(file.Global, c.Log, c.Transport)
	c.Transport = lines
	r.messages = append(r.messages, said...)
	if s := r.section(); s != nil {
		c.Section, c.Source, c.Shards = s.Name, s, s.Shards
		r.listen(s)
		r.peers(s)
		r.tables(s)
		r.tune()
	}
	return r.messages
}

// A fileReader makes a Config of what haproxy.cfg says.
type fileReader struct {
	*Config
	file     *haproxycfg.Config
	messages haproxycfg.Messages
}

func (r *fileReader) say(s haproxycfg.Severity, pos haproxycfg.Position, format string, args ...any) {
	r.messages = append(r.messages, haproxycfg.Message{Severity: s, Pos: pos, Text: fmt.Sprintf(format, args...)})
}

func (r *fileReader) alert(pos haproxycfg.Position, format string, args ...any) {
	r.say(haproxycfg.Alert, pos, format, args...)
}

// section is the one that we are in. HAProxy may be in several at once; a peersd is
// in one.
func (r *fileReader) section() (ours *haproxycfg.Peers) {
	alerts := len(r.messages.Of(haproxycfg.Alert))
	for _, s := range r.file.Peers {
		switch {
		case r.Section != "" && s.Name != r.Section, r.Section == "" && (s.Local == nil || s.Disabled):
		case s.Disabled:
			r.alert(s.Pos, "peers section '%s' is disabled; remove that line, or name another section with --section", s.Name)
		case s.Local == nil:
			r.alert(s.Pos, "peers section '%s' has no line for '%s', our name; add 'peer %[2]s ADDRESS:PORT' to it, or give us another name with -L", s.Name, r.Name)
		case ours != nil:
			r.alert(s.Local.Pos, "'%s' is in the peers sections '%s' and '%s', and a peersd is in one; choose with --section, and run another one for the other", r.Name, ours.Name, s.Name)
		default:
			ours = s
		}
	}
	if ours == nil && len(r.messages.Of(haproxycfg.Alert)) == alerts {
		none := haproxycfg.Position{File: r.file.Files[0]}
		if r.Section != "" {
			r.alert(none, "there is no peers section '%s'; name one that there is with --section", r.Section)
			return nil
		}
		r.alert(none, "no peers section in use has a line for '%s', our name; add 'peer %[1]s ADDRESS:PORT' to one, or give us another name with -L", r.Name)
	}
	return ours
}

// listen is where our own line says, if no flag does, and how.
func (r *fileReader) listen(s *haproxycfg.Peers) {
	if s.Listen != nil {
		server, said := r.Transport.Server(s.Listen)
		r.Server, r.messages = server, append(r.messages, said...)
	}
	switch {
	case len(r.Listen) > 0:
	case s.Listen == nil:
		r.alert(s.Local.Pos, "nothing says where '%s' listens; add a bind line to the peers section, or give --listen ADDRESS:PORT", r.Name)
	default:
		r.Listen = []string{dialable(s.Listen.Address)}
	}
}

// dialable is an address as package net wants it, or, where it is no TCP port, as
// HAProxy does.
func dialable(a haproxycfg.Address) string {
	if a.Family != haproxycfg.TCP {
		return a.String()
	}
	if a.V4 && a.Host == "" {
		a.Host = "0.0.0.0"
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
}

// beside is where a HAProxy on this machine is found that listens on all addresses.
func beside(a haproxycfg.Address) haproxycfg.Address {
	if a.V6 || a.Host == "::" {
		a.Host = "::1"
	} else {
		a.Host = "127.0.0.1"
	}
	return a
}

// peers are the lines of others; --peer beats a line of the same name.
func (r *fileReader) peers(s *haproxycfg.Peers) {
	for _, p := range s.Remote {
		if r.hasPeer(p.Name) {
			continue
		}
		to := peersync.Peer{Name: p.Name, Shard: p.Shard}
		switch a := *p.Address; {
		case a.Wildcard() && r.Sidecar:
			r.dial(&to, p, beside(a))
		case a.Wildcard():
			r.say(haproxycfg.Warning, p.Pos, "'%s' listens on all addresses of its machine, which can't be dialled: it has to come by itself; give --sidecar if it is on this machine, or --peer %[1]s=ADDRESS:PORT", p.Name)
		default:
			r.dial(&to, p, a)
		}
		r.Peers = append(r.Peers, to)
	}
}

// dial sets how a peer is dialled: as its line says, but at that address.
func (r *fileReader) dial(to *peersync.Peer, p *haproxycfg.Peer, a haproxycfg.Address) {
	line := *p
	line.Address = &a
	client, said := r.Transport.Client(&line)
	r.messages = append(r.messages, said...)
	to.Address = dialable(a)
	if client.TLS() || a.Family != haproxycfg.TCP {
		to.Dialer = client
	}
}

// tables are there from the start, and as large as their lines say; --table-size
// beats those.
func (r *fileReader) tables(s *haproxycfg.Peers) {
	for _, t := range s.Tables {
		r.Declared = append(r.Declared, peersync.Declared{Definition: t.Definition(), Where: t.Pos.String()})
		if _, ok := r.Limits[t.Wire]; ok {
			continue
		}
		if _, ok := r.Limits[t.Name]; !ok {
			if r.Limits == nil {
				r.Limits = map[string]table.Limits{}
			}
			r.Limits[t.Name] = table.Limits{Size: int(t.Size), NoPurge: t.NoPurge}
		}
	}
}

// tune takes what tune.peers.max-updates-at-once and tune.bufsize say.
func (r *fileReader) tune() {
	r.MaxUpdates = cmp.Or(r.MaxUpdates, min(r.file.MaxUpdates, mostUpdates))
	if n := r.file.BufSize; n != 0 && r.PeerLimits.Message == 0 {
		r.PeerLimits.Message = min(max(n, MinMessage), MaxMessage)
	}
}
