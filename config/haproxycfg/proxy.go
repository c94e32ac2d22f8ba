package haproxycfg

import "slices"

// A proxy is a listen, frontend, backend or defaults section, as far as it has
// to do with tables.
type proxy struct {
	pos      Position
	kind     string
	name     string
	table    *Table
	disabled bool
	hidden   *proxy // defaults of the same name before these
}

// backs reports whether p has servers, and so stick rules.
func (p *proxy) backs() bool { return p.kind == "backend" || p.kind == "listen" }

// sameSide reports whether two proxies are both frontends, or both backends, in
// part at least.
func (p *proxy) sameSide(other *proxy) bool {
	return p.kind == other.kind || p.kind == "listen" || other.kind == "listen"
}

// A stickRule makes HAProxy store server_id and server_key in a table.
type stickRule struct {
	pos   Position
	proxy *proxy
	table string // "" is the proxy's own
}

func (b *builder) proxyLine(w words) {
	switch w[0] {
	case "listen", "frontend", "backend":
		b.newProxy(w)
	case "defaults":
		b.newDefaults(w)
	case "disabled", "enabled":
		b.proxy.disabled = w[0] == "disabled"
	case "stick-table":
		b.stickTableLine(w)
	case "stick":
		b.stickLine(w)
	}
}

func (b *builder) newProxy(w words) {
	p := &proxy{pos: b.pos, kind: w[0], name: w.at(1)}
	b.proxy = p
	if p.name == "" {
		b.stop("'%s' expects a name; write %s NAME", w[0], w[0])
		return
	}
	if bad := invalidChar(p.name); bad != "" {
		b.alert("character '%s' is not permitted in '%s' name '%s'; write letters, digits, and any of .:_-", bad, w[0], p.name)
	}
	for _, other := range b.proxies[p.name] {
		if p.sameSide(other) {
			b.alert("%s '%s' has the same name as the %s declared at %v; rename one of them", w[0], p.name, other.kind, other.pos)
			break
		}
	}
	b.proxies[p.name] = append(b.proxies[p.name], p)
	if w.at(2) != "" && (w[2] != "from" || w.at(3) == "" || w.at(4) != "") {
		b.alert("'%s' cannot handle unexpected argument '%s'; write %s NAME, or %s NAME from DEFAULTS", w[0], w.at(len(w)-1), w[0], w[0])
		return
	}
	b.inherit(p, w, 2)
}

func (b *builder) newDefaults(w words) {
	p := &proxy{pos: b.pos, kind: w[0], name: w.at(1)}
	b.proxy = p
	from := 2
	if p.name == "from" && w.at(2) != "" && w.at(3) == "" {
		p.name, from = "", 1
	}
	if w.at(from) == "from" {
		b.inherit(p, w, from)
	}
	b.latestDefault = p
	if p.name != "" {
		p.hidden = b.defaults[p.name]
		b.defaults[p.name] = p
	}
}

// inherit takes over what the defaults of a proxy say, which are named at word
// i, or are the latest.
func (b *builder) inherit(p *proxy, w words, i int) {
	d := b.latestDefault
	if w.at(i) == "from" {
		var ok bool
		if d, ok = b.defaults[w.at(i+1)]; !ok {
			b.stop("defaults section '%s' not found for %s '%s'; write it before this line", w.at(i+1), w[0], p.name)
			return
		}
		if d.hidden != nil {
			b.alert("ambiguous defaults section name '%s': there are two, at %v and %v; rename one of them", d.name, d.hidden.pos, d.pos)
		}
	}
	if d != nil {
		p.disabled = d.disabled
	}
}

func (b *builder) stickTableLine(w words) {
	if b.proxy.kind == "defaults" {
		b.alert("'stick-table' is not supported in 'defaults' section; write it in each proxy that needs one")
		return
	}
	t := &Table{Pos: b.pos, Name: b.proxy.name, Wire: b.proxy.name}
	p := tableParser{words: w, i: 1, proxy: true, table: t, warn: b.warn}
	if err := p.parse(); err != nil {
		b.alert("stick-table: %v", err)
		return
	}
	if b.add(t); b.tables[t.Name] == t {
		b.proxy.table = t
	}
}

func (b *builder) stickLine(w words) {
	switch {
	case b.proxy.kind == "defaults":
		b.alert("'stick' not allowed in 'defaults' section; write it in each backend that needs it")
		return
	case !b.proxy.backs(): // HAProxy warns, and leaves it out
		return
	case !slices.Contains([]string{"store", "store-request", "store-response", "match", "on"}, w.at(1)):
		b.alert("'stick' expects 'on', 'match', or 'store'; write it as in stick on src")
		return
	}
	rule := stickRule{pos: b.pos, proxy: b.proxy}
	for i := 3; i < len(w) && w[i] != "if" && w[i] != "unless"; i++ {
		if w[i] == "table" {
			rule.table = w.at(i + 1)
			break
		}
	}
	b.sticks = append(b.sticks, rule)
}

func (b *builder) resolveStickRules() {
	for _, rule := range b.sticks {
		if rule.proxy.disabled {
			continue
		}
		t := rule.proxy.table
		if rule.table != "" {
			t = b.tables[rule.table]
		}
		if t == nil {
			b.pos = rule.pos
			name := rule.table
			if name == "" {
				name = rule.proxy.name
			}
			b.alert("'stick' : unable to find stick-table '%s'; declare it, or name another one with table NAME", name)
			continue
		}
		t.addServerTypes()
	}
}

// resolveProxy finds the peers section of a proxy's table.
func (b *builder) resolveProxy(p *proxy) {
	t := p.table
	if t == nil || t.Peers == "" {
		return
	}
	if p.disabled {
		t.Peers = ""
		return
	}
	b.pos = t.Pos
	s, ok := b.sections[t.Peers]
	switch {
	case !ok:
		b.alert("unable to find sync peers '%s'; declare a section peers %s, or name another one", t.Peers, t.Peers)
	case !s.Disabled && !s.started:
		b.alert("unable to find local peer '%s' in peers section '%s'; give it a line there", b.config.LocalPeer, s.Name)
	}
}

// disabledTable reports whether t is of a proxy that is disabled.
func (b *builder) disabledTable(t *Table) bool {
	return slices.ContainsFunc(b.proxies[t.Name], func(p *proxy) bool { return p.table == t && p.disabled })
}
