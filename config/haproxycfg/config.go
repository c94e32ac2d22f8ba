package haproxycfg

import (
	"maps"
	"os"
	"slices"
	"strings"
)

// Options say what to read, and as whom.
type Options struct {
	// Files and folders of them, as the arguments of HAProxy's -f.
	Files []string
	// LocalPeer is the argument of -L. Without, it is the localpeer of the
	// global section, or the name of the host.
	LocalPeer string
	// Hostname of this machine; "" asks for it.
	Hostname string
	// Environ are the variables that files can ask for, as NAME=VALUE; nil
	// stands for this process's own.
	Environ []string
	// HAProxy that conditions ask about.
	HAProxy HAProxy
	// Mirror reads the file as a peersd beside the HAProxy whose file it is. In the
	// new form HAProxy wants the address of its own line on the bind line. So there
	// our own server line may have an address, where we listen; and one without is
	// that HAProxy's, which listens where the bind line says.
	Mirror bool
}

// A Config is what haproxy.cfg says of peers and stick tables.
type Config struct {
	// LocalPeer is our own name.
	LocalPeer string
	// Files that were read, folders resolved.
	Files []string
	// Peers are the peers sections in the order of the files: those that are
	// disabled or incomplete as well.
	Peers []*Peers
	// Tables of all sections, those that no peer gets as well, in the order
	// of the files.
	Tables []*Table
	// MaxUpdates is tune.peers.max-updates-at-once, BufSize tune.bufsize; 0
	// where they are not set.
	MaxUpdates, BufSize int
	// Global are the lines of the global sections that TLS and UNIX sockets
	// will want: ssl-default-..., ssl-server-verify, ca-base, crt-base,
	// default-path, unix-bind.
	Global []Statement
}

// A Statement is a line, cut into words.
type Statement struct {
	Pos   Position
	Words []string
}

// Read reads files as HAProxy 3.2 does. Where a message is an alert, the
// configuration is nil.
func Read(o Options) (*Config, Messages) {
	sources, err := readSources(o.Files)
	if err != nil {
		return nil, Messages{{Severity: Alert, Text: err.Error()}}
	}
	return parse(sources, o)
}

// parse is Read of files that are in memory.
func parse(sources []source, o Options) (*Config, Messages) {
	b := &builder{
		config:   &Config{},
		sections: map[string]*Peers{},
		tables:   map[string]*Table{},
		proxies:  map[string][]*proxy{},
		defaults: map[string]*proxy{},
		given:    o.LocalPeer,
		mirror:   o.Mirror,
	}
	for _, s := range sources {
		b.config.Files = append(b.config.Files, s.name)
	}
	b.config.LocalPeer = o.LocalPeer
	if b.config.LocalPeer == "" {
		if b.config.LocalPeer = o.Hostname; b.config.LocalPeer == "" {
			b.config.LocalPeer, _ = os.Hostname()
		}
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	missed := b.discover(sources, o)
	b.env.vars["HAPROXY_LOCALPEER"] = b.config.LocalPeer
	b.reader = &reader{env: b.env, statement: b.statement}
	b.read(sources)
	if b.msgs.Err() == nil {
		b.msgs = append(b.msgs, missed...)
		b.resolve()
	}
	if b.msgs.Err() != nil {
		return nil, b.msgs
	}
	return b.config, b.msgs
}

// A builder makes a Config of statements.
type builder struct {
	*reader
	config *Config
	env    *environment
	// given is the name of -L.
	given      string
	mirror     bool
	unixPrefix string // of unix-bind
	// shards is the last number of shards that any section had: HAProxy
	// compares those of peers with it while it reads.
	shards int

	peers         *Peers // the section that we are in
	proxy         *proxy // likewise
	latestDefault *proxy

	sections map[string]*Peers
	tables   map[string]*Table
	proxies  map[string][]*proxy
	defaults map[string]*proxy
	sticks   []stickRule
}

// discover is HAProxy's first pass, of global sections alone: it finds
// localpeer wherever that stands, and what it does to the environment stays
// for the second one. Its alerts are returned: mostly they are the second's too.
func (b *builder) discover(sources []source, o Options) Messages {
	h := o.HAProxy.complete()
	b.env = newEnvironment(o.Environ, h)
	b.env.predefine(h)
	before := maps.Clone(b.env.vars)
	masterWorker := false
	first := &reader{env: b.env, quiet: true}
	first.statement = func(section string, w words) {
		if section != "global" {
			return
		}
		switch w[0] {
		case "localpeer":
			if b.given == "" && w.at(1) != "" {
				b.config.LocalPeer = w[1]
			}
		case "master-worker":
			masterWorker = true
		default:
			b.env.setVariables(w)
		}
	}
	first.read(sources)
	if masterWorker {
		b.env.vars = before
		b.env.vars["HAPROXY_MWORKER"] = "1"
	} else {
		b.env.vars["HAPROXY_CFGFILES"] = strings.Join(b.config.Files, ";")
	}
	b.env.predefine(h)
	return first.msgs.Of(Alert)
}

// What is of peers sections is out of place in these.
var (
	peersOnly     = []string{"peer", "table", "shards", "default-bind"}
	otherSections = []string{"global", "defaults", "frontend", "backend", "listen"}
)

// statement takes a line of the second pass.
func (b *builder) statement(section string, w words) {
	if slices.Contains(peersOnly, w[0]) && slices.Contains(otherSections, section) {
		b.alert("unknown keyword '%s' in '%s' section; write it in a peers section", w[0], section)
		return
	}
	switch section {
	case "global":
		b.globalLine(w)
	case "peers":
		b.peersLine(w)
	case "listen", "frontend", "backend", "defaults":
		b.proxyLine(w)
	}
}

// add keeps a table, unless another one has its name.
func (b *builder) add(t *Table) {
	if other, ok := b.tables[t.Name]; ok {
		b.alert("stick-table name '%s' conflicts with the one declared at %v; give one of them another name", t.Name, other.Pos)
		return
	}
	b.tables[t.Name] = t
	b.config.Tables = append(b.config.Tables, t)
}

// resolve does what has to wait for all lines.
func (b *builder) resolve() {
	b.resolveStickRules()
	for _, list := range slices.Sorted(maps.Keys(b.proxies)) {
		for _, p := range b.proxies[list] {
			b.resolveProxy(p)
		}
	}
	for _, s := range b.config.Peers {
		b.resolvePeers(s)
	}
	for _, t := range b.config.Tables {
		if s := b.sections[t.Peers]; s != nil && s.active() {
			s.Tables = append(s.Tables, t)
		} else {
			t.Peers = ""
		}
		b.resolveWriteTo(t)
	}
}

func (b *builder) resolveWriteTo(t *Table) {
	if t.WriteTo == "" || b.disabledTable(t) {
		return
	}
	b.pos = t.Pos
	other, ok := b.tables[t.WriteTo]
	switch {
	case !ok:
		b.alert("write-to: table '%s' doesn't exist; name one of a peers section as in mypeers/t1", t.WriteTo)
	case other == t: // HAProxy lets it be
	case other.WriteTo != "":
		b.alert("write-to: table '%s' is already used as a source table; name one that has no write-to", other.Name)
	case other.KeyType != t.KeyType || other.KeyLen != t.KeyLen:
		b.alert("write-to: cannot mix types or lengths of keys, '%s' has %v of %d bytes and '%s' %v of %d; give both the same type and len",
			other.Name, other.KeyType, other.KeyLen, t.Name, t.KeyType, t.KeyLen)
	}
}
