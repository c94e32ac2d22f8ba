package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/peersd/peersd/transport"
)

// String is what the daemon would do, as a person reads it. c was loaded.
func (c *Config) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "name %s\n", strings.Join(c.names, ", "))
	fmt.Fprintf(&b, "peers section %s\n", c.Section)
	for _, l := range c.Listen {
		fmt.Fprintf(&b, "listen %s%s\n", l, describeTLS(c.Server.TLS(), c.Server.Verifies()))
	}
	for _, p := range c.Peers {
		if p.Address == "" {
			fmt.Fprintf(&b, "accept %s\n", p.Name)
		} else {
			client, ok := p.Dialer.(*transport.Client)
			fmt.Fprintf(&b, "dial and accept %s %s%s\n", p.Name, p.Address, describeTLS(ok && client.TLS(), ok && client.Verifies()))
		}
	}
	c.describeAllowed(&b)
	for _, s := range c.Sockets {
		fmt.Fprintf(&b, "socket %s\n", s)
	}
	fmt.Fprintf(&b, "max-updates-at-once %d\n", c.MaxUpdates)
	if c.PeerLimits.Message != 0 {
		fmt.Fprintf(&b, "max-message %d\n", c.PeerLimits.Message)
	}
	if c.Source != nil {
		for _, t := range c.Source.Tables {
			fmt.Fprintf(&b, "table %v\n", t)
		}
	}
	c.describeSizes(&b)
	return b.String()
}

// describeTLS says which TLS there is.
func describeTLS(some, verified bool) string {
	switch {
	case verified:
		return " ssl verify required"
	case some:
		return " ssl"
	}
	return ""
}

// describeAllowed says who may come besides.
func (c *Config) describeAllowed(b *strings.Builder) {
	if c.TLSNames {
		fmt.Fprintln(b, "accept names that are in the caller's certificate only")
	}
	if c.Allow.Any {
		fmt.Fprintln(b, "accept anybody")
		return
	}
	switch {
	case c.Allow.Trusted && c.Server.Verifies():
		fmt.Fprintln(b, "accept any name from this machine, and from elsewhere with a certificate that was verified")
	case c.Allow.Trusted:
		fmt.Fprintln(b, "accept any name from this machine")
	}
	for _, name := range c.Allow.Names {
		fmt.Fprintf(b, "accept %s from anywhere\n", name)
	}
	for _, from := range c.Allow.From {
		fmt.Fprintf(b, "accept any name from %v\n", from)
	}
}

// describeSizes says which tables are of another size than their lines say, or have
// none.
func (c *Config) describeSizes(b *strings.Builder) {
	says := map[string]bool{}
	if c.Source != nil {
		for _, t := range c.Source.Tables {
			l, ok := c.Limits[t.Name]
			says[t.Name] = ok && l.Size == int(t.Size) && l.NoPurge == t.NoPurge
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Limits)) {
		if says[name] {
			continue
		}
		nopurge := ""
		if c.Limits[name].NoPurge {
			nopurge = ",nopurge"
		}
		fmt.Fprintf(b, "table-size %s=%d%s\n", name, c.Limits[name].Size, nopurge)
	}
}
