package discover

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A Resolver asks the DNS as Go's own resolver does, as /etc/resolv.conf,
// /etc/hosts and /etc/nsswitch.conf have it: several servers, search domains and
// ndots, TCP where an answer is too long for UDP. That one tells no TTLs, so they
// are read off the answers as they pass by.
type Resolver struct {
	// Server to ask, as ADDRESS:PORT, instead of those of /etc/resolv.conf.
	Server string
}

// Hosts returns the addresses of a host, and for how long they hold.
func (r Resolver) Hosts(ctx context.Context, host string) ([]netip.Addr, time.Duration, error) {
	var seen ttls
	addresses, err := r.watchedBy(&seen).LookupNetIP(ctx, "ip", host)
	for i, a := range addresses {
		addresses[i] = a.Unmap()
	}
	return addresses, seen.least(), err
}

// Services returns the SRV records of a name, and for how long they hold.
func (r Resolver) Services(ctx context.Context, name string) ([]*net.SRV, time.Duration, error) {
	var seen ttls
	_, records, err := r.watchedBy(&seen).LookupSRV(ctx, "", "", name)
	return records, seen.least(), err
}

// Names returns the names of an address.
func (r Resolver) Names(ctx context.Context, address netip.Addr) ([]string, error) {
	return r.watchedBy(&ttls{}).LookupAddr(ctx, address.String())
}

// watchedBy is Go's resolver, for one question.
func (r Resolver) watchedBy(t *ttls) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if r.Server != "" {
			address = r.Server
		}
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		switch c := c.(type) {
		case *net.UDPConn:
			return &datagrams{c, t}, err
		case *net.TCPConn:
			return &stream{TCPConn: c, ttls: t}, err
		}
		return nil, err
	}}
}

// datagrams is a connection on which each read is a message. Go's resolver tells
// it from a stream by its type.
type datagrams struct {
	*net.UDPConn
	ttls *ttls
}

func (c *datagrams) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	c.ttls.note(b[:n])
	return n, err
}

// stream is a connection on which each message has its length before it.
type stream struct {
	*net.TCPConn
	ttls *ttls
	read []byte
}

func (c *stream) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.read = append(c.read, b[:n]...)
	for len(c.read) >= 2 {
		end := 2 + int(binary.BigEndian.Uint16(c.read))
		if len(c.read) < end {
			break
		}
		c.ttls.note(c.read[2:end])
		c.read = c.read[end:]
	}
	return n, err
}

// ttls are those of the answers to one question. Several queries may be made for
// it, with all search domains, for IPv4 and IPv6: what no query has an answer to
// holds as long as the shortest of the negative answers.
type ttls struct {
	mu                 sync.Mutex
	positive, negative least
}

// least of some TTLs.
type least struct {
	seconds uint32
	any     bool
}

func (l *least) add(seconds uint32) {
	if seconds > 1<<31-1 {
		seconds = 0 // RFC 2181, section 8
	}
	if !l.any || seconds < l.seconds {
		l.seconds, l.any = seconds, true
	}
}

// unknownTTL is for what no DNS server has answered: /etc/hosts has, or nobody.
const unknownTTL = 10 * time.Second

func (t *ttls) least() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range []least{t.positive, t.negative} {
		if l.any {
			return time.Duration(l.seconds) * time.Second
		}
	}
	return unknownTTL
}

// note takes the TTLs of a message. What can't be read is for Go's resolver to
// complain of.
func (t *ttls) note(message []byte) {
	var m dnsmessage.Parser
	header, err := m.Start(message)
	if err != nil || header.Truncated || m.SkipAllQuestions() != nil {
		return
	}
	if header.RCode != dnsmessage.RCodeSuccess && header.RCode != dnsmessage.RCodeNameError {
		return
	}
	answers := false
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		h, err := m.AnswerHeader()
		if err != nil {
			break
		}
		answers = true
		t.positive.add(h.TTL)
		if m.SkipAnswer() != nil {
			return
		}
	}
	if answers || m.SkipAllAnswers() != nil {
		return
	}
	for {
		h, err := m.AuthorityHeader()
		if err != nil {
			return
		}
		if h.Type != dnsmessage.TypeSOA {
			if m.SkipAuthority() != nil {
				return
			}
			continue
		}
		soa, err := m.SOAResource()
		if err != nil {
			return
		}
		t.negative.add(min(h.TTL, soa.MinTTL)) // RFC 2308, section 5
	}
}
