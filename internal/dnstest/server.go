// Package dnstest is a DNS server, over UDP and TCP, whose answers a test
// changes as it goes.
package dnstest

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// A Server answers for all names: for those that it has no records of, that there are
// no such.
type Server struct {
	// Address is ADDRESS:PORT, of UDP and of TCP.
	Address string

	mu        sync.Mutex
	names     map[string]answer // by the name with a dot at its end
	rcode     dnsmessage.RCode  // instead of all answers, success is none
	truncated bool
	negative  time.Duration
	asked     map[string]int // over UDP and TCP: "udp haproxy.test. A"
	tcp       net.Listener
	udp       net.PacketConn
	wg        sync.WaitGroup
}

type answer struct {
	ttl     time.Duration
	records []dnsmessage.ResourceBody
}

// Start starts a server on an address, which ends with the test; port 0 is any.
func Start(tb testing.TB, address string) *Server {
	tb.Helper()
	return StartWithin(tb, address, func(f func() error) error { return f() })
}

// StartWithin is Start in another network: within runs what opens sockets there.
func StartWithin(tb testing.TB, address string, within func(func() error) error) *Server {
	tb.Helper()
	s := &Server{names: map[string]answer{}, asked: map[string]int{}, negative: time.Second}
	if err := within(func() error { return s.listen(address) }); err != nil {
		tb.Fatal(err)
	}
	s.wg.Go(s.serveUDP)
	s.wg.Go(s.serveTCP)
	tb.Cleanup(func() {
		s.udp.Close()
		s.tcp.Close()
		s.wg.Wait()
	})
	return s
}

// listen opens the same port for UDP and TCP: that of the one may be in use with the
// other.
func (s *Server) listen(address string) (err error) {
	for range 20 {
		if s.udp, err = net.ListenPacket("udp", address); err != nil {
			return err
		}
		s.Address = s.udp.LocalAddr().String()
		if s.tcp, err = net.Listen("tcp", s.Address); err == nil {
			return nil
		}
		s.udp.Close()
	}
	return err
}

// A is an address record, AAAA for IPv6.
func A(address string) dnsmessage.ResourceBody {
	a := netip.MustParseAddr(address)
	if a.Is4() {
		return &dnsmessage.AResource{A: a.As4()}
	}
	return &dnsmessage.AAAAResource{AAAA: a.As16()}
}

// SRV is where a service is.
func SRV(target string, port int) dnsmessage.ResourceBody {
	return &dnsmessage.SRVResource{Target: dnsmessage.MustNewName(absolute(target)), Port: uint16(port)}
}

// CNAME is another name.
func CNAME(target string) dnsmessage.ResourceBody {
	return &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(absolute(target))}
}

// SetPTR sets the name of an address.
func (s *Server) SetPTR(address, name string) {
	b := netip.MustParseAddr(address).As4()
	s.Set(fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa", b[3], b[2], b[1], b[0]), time.Second,
		&dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(absolute(name))})
}

func absolute(name string) string { return strings.TrimSuffix(name, ".") + "." }

// Set sets the records of a name. None means that there is the name, and no more.
func (s *Server) Set(name string, ttl time.Duration, records ...dnsmessage.ResourceBody) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[absolute(name)] = answer{ttl, records}
}

// Remove makes that there is no such name.
func (s *Server) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, absolute(name))
}

// Fail makes all answers errors, or answers again where rcode is success.
func (s *Server) Fail(rcode dnsmessage.RCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rcode = rcode
}

// Truncate makes answers over UDP empty ones that send the client to TCP.
func (s *Server) Truncate(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.truncated = yes
}

// Negative sets for how long it holds that there is no record.
func (s *Server) Negative(ttl time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.negative = ttl
}

// Asked is how often was asked for what, such as "udp haproxy.test. A".
func (s *Server) Asked() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.asked)
}

func (s *Server) serveUDP() {
	buf := make([]byte, 4096)
	for {
		n, from, err := s.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		if b := s.reply(buf[:n], "udp"); b != nil {
			s.udp.WriteTo(b, from)
		}
	}
}

func (s *Server) serveTCP() {
	for {
		c, err := s.tcp.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			defer c.Close()
			c.SetDeadline(time.Now().Add(5 * time.Second))
			var size [2]byte
			if _, err := io.ReadFull(c, size[:]); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(c, query); err != nil {
				return
			}
			b := s.reply(query, "tcp")
			c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
		})
	}
}

// reply is the answer to a query, nil to what is none.
func (s *Server) reply(query []byte, network string) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := strings.ToLower(q.Name.String())
	s.asked[network+" "+name+" "+strings.TrimPrefix(q.Type.String(), "Type")]++
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true, RecursionAvailable: true, RCode: s.rcode},
		Questions: []dnsmessage.Question{q},
	}
	switch {
	case s.rcode != dnsmessage.RCodeSuccess:
	case s.truncated && network == "udp":
		m.Truncated = true
	default:
		s.answer(&m, name, q.Type)
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// answer fills in the records, or for how long there are none. s.mu is held.
func (s *Server) answer(m *dnsmessage.Message, name string, t dnsmessage.Type) {
	a, known := s.names[name]
	for known {
		next := ""
		for _, r := range a.records {
			is := typeOf(r)
			if is == t || is == dnsmessage.TypeCNAME {
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: header(name, is, a.ttl), Body: r})
			}
			if c, ok := r.(*dnsmessage.CNAMEResource); ok {
				next = c.CNAME.String()
			}
		}
		if next == "" {
			break
		}
		name = next
		a, known = s.names[next]
	}
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	if len(m.Answers) == 0 {
		m.Authorities = append(m.Authorities, dnsmessage.Resource{
			Header: header("test.", dnsmessage.TypeSOA, time.Hour),
			Body: &dnsmessage.SOAResource{
				NS: dnsmessage.MustNewName("ns.test."), MBox: dnsmessage.MustNewName("root.test."), MinTTL: uint32(s.negative / time.Second),
			},
		})
	}
}

func header(name string, t dnsmessage.Type, ttl time.Duration) dnsmessage.ResourceHeader {
	return dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Type: t, Class: dnsmessage.ClassINET, TTL: uint32(ttl / time.Second)}
}

func typeOf(r dnsmessage.ResourceBody) dnsmessage.Type {
	switch r.(type) {
	case *dnsmessage.AResource:
		return dnsmessage.TypeA
	case *dnsmessage.AAAAResource:
		return dnsmessage.TypeAAAA
	case *dnsmessage.SRVResource:
		return dnsmessage.TypeSRV
	case *dnsmessage.CNAMEResource:
		return dnsmessage.TypeCNAME
	}
	return dnsmessage.TypePTR
}
