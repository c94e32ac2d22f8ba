package haproxycfg

import (
	"slices"
	"strings"

	"github.com/haproxytech/config-parser/v5/parsers"
	"github.com/haproxytech/config-parser/v5/types"
)

// Peers is a peers section.
type Peers struct {
	Pos      Position
	Name     string
	Disabled bool
	// Shards is how many there are, 0 where tables are not cut.
	Shards int
	// Local is our own line. Without one, HAProxy removes the section.
	Local *Peer
	// Remote are the lines of the others, in the order of the file.
	Remote []*Peer
	// Listen is where the local peer listens: nil where a server line names it
	// and there is no bind line.
	Listen *Bind
	// Tables that are synchronized by the section: its own and those of
	// proxies, in the order of the files.
	Tables []*Table
	// Log are the targets of its log lines.
	Log []Log

	bind    []Option // of all bind and default-bind lines
	servers []Option // of the default-server lines so far
	hasBind bool     // a bind line, which peer lines can't stand beside
	hasPeer bool
	started bool // has any line but shards, disabled and enabled
}

// active reports whether the section does anything.
func (s *Peers) active() bool { return !s.Disabled && s.Local != nil }

// A Peer is a peer or server line.
type Peer struct {
	Pos  Position
	Name string
	// Address is that of the line; for a local peer without, that of the
	// bind line, if there is one.
	Address *Address
	// Shard is the part of tables that the peer gets, 0 for all.
	Shard int
	// Options of the line, those of default-server before them.
	Options []Option
	TLS     TLS
}

// A Bind is where the local peer listens.
type Bind struct {
	Pos     Position
	Address Address
	Options []Option // those of default-bind among them, in the order of the file
	TLS     TLS
}

// A Log is a target of a log line.
type Log struct {
	Pos                              Position
	Global                           bool // those of the global section
	Address, Facility, Format, Level string
}

// peersLine takes a line of a peers section.
func (b *builder) peersLine(w words) {
	switch w[0] {
	case "peers":
		b.newPeers(w)
		return
	case "shards":
		b.shardsLine(w)
		return
	case "disabled", "enabled":
		b.peers.Disabled = w[0] == "disabled"
		return
	}
	b.peers.started = true
	switch w[0] {
	case "peer", "server":
		b.peerLine(w)
	case "bind":
		b.bindLine(w)
	case "default-bind":
		b.bindOptions(w, 1)
	case "default-server":
		b.defaultServerLine(w)
	case "table":
		b.tableLine(w)
	case "log":
		b.logLine(w)
	case "no", "default":
		b.negatedLine(w)
	default:
		b.unknownLine(w[0])
	}
}

func (b *builder) unknownLine(keyword string) {
	b.alert("unknown keyword '%s' in 'peers' section; there are peer, bind, server, default-bind, default-server, table, shards, log, disabled and enabled", keyword)
}

func (b *builder) newPeers(w words) {
	name := w.at(1)
	switch {
	case name == "":
		b.stop("missing name for peers section; write peers NAME")
		return
	case w.at(2) != "":
		b.stop("'peers' cannot handle unexpected argument '%s'; write peers NAME", w[2])
		return
	case invalidChar(name) != "":
		b.stop("character '%s' is not permitted in 'peers' name '%s'; write letters, digits, and any of .:_-", invalidChar(name), name)
		return
	}
	b.peers = &Peers{Pos: b.pos, Name: name}
	if other, ok := b.sections[name]; ok {
		b.alert("peers section '%s' has the same name as another one declared at %v; rename one, or make them one", name, other.Pos)
		return
	}
	b.sections[name] = b.peers
	b.config.Peers = append(b.config.Peers, b.peers)
}

func (b *builder) shardsLine(w words) {
	n, rest := leadingDecimal(w.at(1))
	if w.at(1) == "" || rest != "" || n == 0 {
		b.alert("'shards' expects a strictly positive integer argument, not '%s'; write it as in shards 3", w.at(1))
		return
	}
	if n < 0 {
		b.warn("'shards' : HAProxy takes %s, and no shard of a peer counts then; write a number above 0, as in shards 3", w[1])
	}
	b.peers.Shards = atoi(w[1])
	b.shards = b.peers.Shards
}

// peerLine takes a peer line, or the server line of the new form.
func (b *builder) peerLine(w words) {
	s, old := b.peers, w[0] == "peer"
	if old && s.hasBind {
		b.alert("mixing \"peer\" and \"bind\" lines is forbidden; write server in place of peer")
		return
	}
	s.hasPeer = s.hasPeer || old
	p := &Peer{Pos: b.pos, Name: w.at(1)}
	local := p.Name == b.config.LocalPeer
	if local && s.Local != nil {
		b.alert("'%s %s' : local peer name already referenced at %v; keep one of the two lines", w[0], p.Name, s.Local.Pos)
		return
	}
	options := 2
	if old || b.addressed(w, local) {
		if w.at(2) == "" {
			b.warn("'%s %s' : ignoring invalid peer definition (missing address:port); write %s NAME ADDRESS:PORT", w[0], p.Name, w[0])
			return
		}
		if !b.addressOf(p, w) {
			return
		}
		options = 3
	}
	if local {
		s.Local = p
	} else {
		s.Remote = append(s.Remote, p)
	}
	if b.optionsOf(p, w, options) && local && old {
		b.listenAt(w[2])
	}
}

// addressed reports whether a server line is to have an address: all have but the
// local peer's. For a [Options.Mirror] it is as the line has it.
func (b *builder) addressed(w words, local bool) bool {
	if !b.mirror {
		return !local
	}
	return strings.ContainsAny(b.env.expand(w.at(2)), ":/@")
}

func (b *builder) addressOf(p *Peer, w words) bool {
	if bad := invalidChar(p.Name); bad != "" {
		b.alert("character '%s' is not permitted in %s name '%s'; write letters, digits, and any of .:_-", bad, w[0], p.Name)
		return false
	}
	a, err := parseAddress(b.env.expand(w[2]), false, b.unixPrefix)
	if err != nil {
		b.alert("'%s %s' : %v", w[0], p.Name, err)
		return false
	}
	p.Address = &a
	return true
}

// optionsOf reads the options of a peer, from word i on.
func (b *builder) optionsOf(p *Peer, w words, i int) bool {
	own, err := serverOptions.options(w.from(i))
	if err != nil {
		hint := ""
		if i == 2 && strings.Contains(w.at(2), ":") {
			hint = "; the address of the local peer is that of the bind line"
		}
		b.alert("'%s %s' : %v%s", w[0], p.Name, err, hint)
		return false
	}
	p.Options = append(append(p.Options, b.peers.servers...), own...)
	p.TLS = newTLS(p.Options)
	ignored := ""
	for _, o := range p.Options {
		switch o.Name {
		case "shard":
			p.Shard = atoi(o.Value)
			if _, rest := leadingDecimal(o.Value); rest != "" || o.Value == "" {
				b.warn("'%s %s' : shard '%s' is no number, and read as %d; write it as in shard 1", w[0], p.Name, o.Value, p.Shard)
			}
		case "init-addr", "resolvers", "check", "agent-check":
			ignored = o.Name
		}
	}
	if ignored != "" {
		b.warn("'%s %s' : '%s' is ignored for peers; remove it", w[0], p.Name, ignored)
	}
	if b.shards != 0 && p.Shard > max(b.shards, 0) {
		b.warn("'%s %s' : shard %d is ignored, there are %d shards so far; write shards before the peers", w[0], p.Name, p.Shard, b.shards)
		p.Shard = 0
	}
	return true
}

func (b *builder) bindLine(w words) {
	s := b.peers
	if s.hasPeer {
		b.alert("mixing \"peer\" and \"bind\" lines is forbidden; write server in place of peer")
		return
	}
	if b.listenAt(w.at(1)) {
		s.hasBind = true
		b.bindOptions(w, 2)
	}
}

// listenAt sets where the section listens.
func (b *builder) listenAt(address string) bool {
	s := b.peers
	if s.Listen != nil {
		b.alert("one listener per \"peers\" section is authorized but another is already configured at %v; remove one of them", s.Listen.Pos)
		return false
	}
	if address = strings.TrimSuffix(address, ","); strings.Contains(address, ",") {
		b.alert("only one listener per \"peers\" section is authorized; write one address, not '%s'", address)
		return false
	}
	a, err := parseAddress(b.env.expand(address), true, b.unixPrefix)
	if err != nil {
		b.alert("'bind %s' : %v", address, err)
		return false
	}
	s.Listen = &Bind{Pos: b.pos, Address: a}
	return true
}

func (b *builder) bindOptions(w words, i int) {
	options, err := bindOptions.options(w.from(i))
	if err != nil {
		b.alert("'%s' : %v", strings.Join(w[:min(i, len(w))], " "), err)
		return
	}
	b.peers.bind = append(b.peers.bind, options...)
}

func (b *builder) defaultServerLine(w words) {
	options, err := serverOptions.options(w.from(1))
	if err != nil {
		b.alert("'default-server' : %v", err)
		return
	}
	for _, o := range options {
		if slices.Contains(notDefault, o.Name) {
			b.warn("'%s' option is not accepted in a default-server line, and left out; write it on each server line", o.Name)
			continue
		}
		b.peers.servers = append(b.peers.servers, o)
	}
}

func (b *builder) tableLine(w words) {
	t := &Table{Pos: b.pos, Name: b.peers.Name + "/" + w.at(1), Wire: "/" + w.at(1), Peers: b.peers.Name}
	p := tableParser{words: w, i: 2, table: t, warn: b.warn}
	if err := p.parse(); err != nil {
		b.alert("table: %v", err)
		return
	}
	if strings.ContainsFunc(t.Wire, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		b.warn("table '%s' : HAProxy takes such a name, but peersd keeps no table whose name has spaces or control characters; rename it", t.Name)
	}
	b.add(t)
}

// negatedLine is one with "no" or "default" before a keyword that can have it.
func (b *builder) negatedLine(w words) {
	switch {
	case w[1] != "log":
		b.unknownLine(w[1])
	case w[0] == "default":
		b.logLine(w[1:])
	case w.at(2) != "":
		b.alert("'no log' does not expect arguments; write it alone on its line")
	default:
		b.peers.Log = nil
	}
}

// logLevels and logFormats are HAProxy's.
var (
	logLevels  = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
	logFormats = []string{"", "rfc3164", "rfc5424", "local", "priority", "short", "timed", "iso", "raw"}
)

func (b *builder) logLine(w words) {
	// config-parser doesn't know profile, and takes any word for a level.
	line := slices.Clone(w.from(0))
	if i := slices.Index(line, "profile"); i > 0 && i+1 < len(line) {
		line = slices.Delete(line, i, i+2)
	}
	var log parsers.Log
	_, err := log.Parse("", line, "")
	data, _ := log.GetOne(0)
	l, ok := data.(types.Log)
	if err != nil || !ok {
		b.alert("'log' can't be read; write log ADDRESS FACILITY LEVEL, as in log 127.0.0.1 local0 info")
		return
	}
	tail := line[2:] // of global
	if !l.Global {
		tail = line[3+slices.Index(line[2:], l.Facility):]
	}
	for i, word := range tail {
		if l.Global || i > 1 || !slices.Contains(logLevels, word) {
			b.alert("'log' : unexpected '%s'; behind the facility there are two levels at most, of %s", word, strings.Join(logLevels, ", "))
			return
		}
	}
	if !slices.Contains(logFormats, l.Format) {
		b.alert("'log' : unknown log format '%s'; write one of %s", l.Format, strings.Join(logFormats[1:], ", "))
		return
	}
	b.peers.Log = append(b.peers.Log, Log{b.pos, l.Global, l.Address, l.Facility, l.Format, l.Level})
}
