package haproxycfg

import "slices"

// resolvePeers does for a peers section what has to wait for its last line.
func (b *builder) resolvePeers(s *Peers) {
	b.pos = s.Pos
	if s.Listen != nil {
		s.Listen.Options, s.Listen.TLS = s.bind, newTLS(s.bind)
	}
	switch {
	case s.Disabled:
		return
	case s.Local == nil:
		b.warn("removing incomplete section 'peers %s' (no peer named '%s'); give the peer a line there, or another name with -L",
			s.Name, b.config.LocalPeer)
		return
	}
	if b.mirror {
		b.resolveOwner(s)
	}
	if s.Local.Address == nil && s.Listen != nil {
		s.Local.Address = &s.Listen.Address
	}
	b.resolveNames(s)
	b.resolveTLS(s)
	b.resolveShards(s)
}

// resolveOwner sets apart where we listen and where the HAProxy does whose file it
// is, if our own server line has an address.
func (b *builder) resolveOwner(s *Peers) {
	owner := s.Listen
	if a := s.Local.Address; a != nil && !s.hasPeer {
		s.Listen = &Bind{Pos: s.Local.Pos, Address: *a, Options: s.bind, TLS: newTLS(s.bind)}
	} else {
		owner = nil
	}
	s.Remote = slices.DeleteFunc(s.Remote, func(p *Peer) bool {
		if p.Address == nil && owner != nil {
			p.Address = &owner.Address
		}
		if p.Address != nil {
			return false
		}
		b.pos = p.Pos
		b.warn("'server %s' : ignoring invalid peer definition (missing address:port); write server %[1]s ADDRESS:PORT", p.Name)
		return true
	})
}

func (b *builder) resolveNames(s *Peers) {
	seen := map[string]*Peer{}
	for _, p := range s.Remote {
		if other, ok := seen[p.Name]; ok {
			b.pos = p.Pos
			b.alert("another peer named '%s' was already defined at %v; use distinct names", p.Name, other.Pos)
			continue
		}
		seen[p.Name] = p
	}
}

// resolveTLS refuses what HAProxy can't set up.
func (b *builder) resolveTLS(s *Peers) {
	for _, p := range append([]*Peer{s.Local}, s.Remote...) {
		t := p.TLS
		b.pos = p.Pos
		if t.Enabled && t.CAFile == "" && t.Verify != "none" && !(t.Verify == "" && b.env.enabled["SERVER-SSL-VERIFY-NONE"]) {
			b.alert("'%s' : verify is enabled by default but no CA file specified; write ca-file FILE, or verify none", p.Name)
		}
	}
	l := s.Listen
	if l == nil {
		return
	}
	b.pos = l.Pos
	switch t := l.TLS; {
	case t.Enabled && len(t.Certificates) == 0 && len(t.CertificateLists) == 0:
		b.alert("no SSL certificate specified for the bind of peers section '%s'; write crt FILE behind ssl", s.Name)
	case (t.Verify == "required" || t.Verify == "optional") && t.CAFile == "":
		b.alert("'verify %s' of the bind of peers section '%s' has no CA file; write ca-file FILE", t.Verify, s.Name)
	case t.Enabled && !s.Local.TLS.Enabled:
		b.warn("the local peer has an SSL listener and a non-SSL server line; write ssl on that of '%s', too", s.Local.Name)
	case !t.Enabled && s.Local.TLS.Enabled:
		b.warn("the local peer has a non-SSL listener and an SSL server line; write ssl on the bind line, too")
	}
}

func (b *builder) resolveShards(s *Peers) {
	if s.Local.Shard != 0 {
		b.pos = s.Local.Pos
		b.warn("shard ignored for '%s' local peer", s.Local.Name)
		s.Local.Shard = 0
	}
	for _, p := range s.Remote {
		b.pos = p.Pos
		if p.Shard < 0 {
			b.warn("no key is of shard %d, so that '%s' is taught none; write shard 1 or more, or shard 0 for all keys", p.Shard, p.Name)
		}
		if p.Shard > max(s.Shards, 0) {
			b.warn("shard ignored for '%s': %d is greater than the section's number of shards (%d); write shards %d before the peers",
				p.Name, p.Shard, s.Shards, p.Shard)
			p.Shard = 0
		}
	}
}
