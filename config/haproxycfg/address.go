package haproxycfg

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// A Family is what kind of address an [Address] is.
type Family int

// The families, after HAProxy's prefixes. FD is a listener that the parent of
// HAProxy hands over, and AbstractZ an abstract socket whose name ends with a
// NUL.
const (
	TCP Family = iota
	Unix
	Abstract
	AbstractZ
	FD
)

// An Address is where a peer listens.
type Address struct {
	Family Family
	// Host and Port of TCP. A Host is an address, a name to resolve, or "" for
	// all addresses of the machine; V4 and V6 are set where only one of the
	// kinds will do.
	Host   string
	Port   int
	V4, V6 bool
	// MPTCP is set where HAProxy uses that.
	MPTCP bool
	// Path is the rest of an address of another family.
	Path string
}

// String is the address in HAProxy's words, without what goes without saying.
func (a Address) String() string {
	switch a.Family {
	case Unix:
		return "unix@" + a.Path
	case Abstract:
		return "abns@" + a.Path
	case AbstractZ:
		return "abnsz@" + a.Path
	case FD:
		return "fd@" + a.Path
	}
	host := a.Host
	if host == "" {
		host = "*"
	}
	return net.JoinHostPort(host, strconv.Itoa(a.Port))
}

// Wildcard reports whether a stands for all addresses of the machine.
func (a Address) Wildcard() bool {
	if a.Family != TCP {
		return false
	}
	ip, err := netip.ParseAddr(a.Host)
	return a.Host == "" || err == nil && ip.IsUnspecified()
}

// IsName reports whether the host has to be resolved.
func (a Address) IsName() bool {
	_, err := netip.ParseAddr(a.Host)
	return a.Family == TCP && a.Host != "" && err != nil
}

// addressPrefixes are those of the manual's section 2.9 that a peer can have.
var addressPrefixes = map[string]Address{
	"unix@": {Family: Unix}, "uxst@": {Family: Unix}, "abns@": {Family: Abstract}, "abnsz@": {Family: AbstractZ}, "fd@": {Family: FD},
	"ip@": {}, "ipv4@": {V4: true}, "ipv6@": {V6: true}, "tcp@": {}, "tcp4@": {V4: true}, "tcp6@": {V6: true},
	"mptcp@": {MPTCP: true}, "mptcp4@": {V4: true, MPTCP: true}, "mptcp6@": {V6: true, MPTCP: true},
}

// wrongPrefixes are those that no peer can have, and why.
var wrongPrefixes = map[string]string{
	"dgram+": "datagrams", "udp@": "datagrams", "udp4@": "datagrams", "udp6@": "datagrams", "uxdg@": "datagrams",
	"quic+": "QUIC", "quic4@": "QUIC", "quic6@": "QUIC", "sockpair@": "a pair of sockets", "rhttp@": "reverse HTTP",
}

// maxUnixPath is how long the path of a UNIX socket can be in HAProxy, which
// appends its process id and more to it; maxAbstract that of an abstract one.
const (
	maxUnixPath = 97
	maxAbstract = 107
)

// parseAddress reads the address of a peer, or, where listening is set, that of
// a bind line, where the port may be a range and there may be several, which
// a peer can't have.
func parseAddress(s string, listening bool, prefix string) (a Address, err error) {
	if s == "" {
		return a, fmt.Errorf("the address is empty; is an environment variable missing?")
	}
	rest := strings.TrimPrefix(s, "stream+")
	for p, what := range wrongPrefixes {
		if strings.HasPrefix(rest, p) {
			return a, fmt.Errorf("'%s': peers don't speak over %s; write ADDRESS:PORT, or the path of a UNIX socket", s, what)
		}
	}
	if i := strings.IndexByte(rest, '@'); i >= 0 {
		if known, ok := addressPrefixes[rest[:i+1]]; ok {
			a, rest = known, rest[i+1:]
		}
	} else if strings.HasPrefix(rest, "/") {
		a.Family = Unix
	}
	switch a.Family {
	case TCP:
		return a, a.parseTCP(s, rest, listening)
	case FD:
		return a, a.parseFD(s, rest, listening)
	}
	most := maxAbstract
	if a.Family == Unix {
		most = maxUnixPath - len(prefix)
		if listening {
			rest = prefix + rest
			most = maxUnixPath
		}
	}
	if len(rest) > most {
		return a, fmt.Errorf("socket path '%s' is too long; it has %d bytes at most", s, most)
	}
	a.Path = rest
	return a, nil
}

func (a *Address) parseFD(s, rest string, listening bool) error {
	if n, err := strconv.Atoi(rest); err != nil || n < 0 {
		return fmt.Errorf("file descriptor '%s' is not a valid integer in '%s'; write fd@3", rest, s)
	}
	if !listening {
		return fmt.Errorf("a file descriptor is not acceptable here in '%s'; write ADDRESS:PORT", s)
	}
	a.Path = rest
	return nil
}

func (a *Address) parseTCP(s, rest string, listening bool) error {
	colon := strings.LastIndexAny(rest, "]:")
	if colon < 0 || rest[colon] == ']' || colon == len(rest)-1 {
		return fmt.Errorf("missing port specification in '%s'; write ADDRESS:PORT", s)
	}
	host, port := rest[:colon], rest[colon+1:]
	switch {
	case isDigit(port[0]):
	case port[0] == '+' || port[0] == '-':
		return fmt.Errorf("port offset not permitted here in '%s'; write ADDRESS:PORT", s)
	default:
		return fmt.Errorf("invalid character '%c' in port number '%s' in '%s'; write ADDRESS:PORT", port[0], port, s)
	}
	low, high, isRange := strings.Cut(port, "-")
	if isRange && !listening {
		return fmt.Errorf("port range not permitted here in '%s'; write ADDRESS:PORT", s)
	}
	if isRange && low != high {
		return fmt.Errorf("only one listener per \"peers\" section is authorized; write one port, not '%s'", port)
	}
	n, err := strconv.ParseUint(low, 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("invalid port '%s' in '%s'; write one from 1 to 65535", low, s)
	}
	a.Port = int(n)
	return a.setHost(s, host)
}

func (a *Address) setHost(s, host string) error {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); !ok || len(inner) < 2 {
			return fmt.Errorf("invalid address: '%s' in '%s'; write an IPv6 address as in [::1]:10000", host, s)
		}
		host = inner
	}
	if host == "" || host == "*" {
		if a.V6 {
			host = "::"
		}
		a.Host = strings.TrimPrefix(host, "*")
		return nil
	}
	if isDigit(host[len(host)-1]) && !strings.Contains(host, ":") { // no name ends so
		if ip, ok := parseIPv4(host); ok {
			host = ip.String()
		}
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		a.Host = host
		if isNumber(host[strings.LastIndexByte(host, '.')+1:]) {
			return fmt.Errorf("invalid address: '%s' in '%s'; write four numbers from 0 to 255, as in 10.0.0.1:10000", host, s)
		}
		if strings.ContainsFunc(host, func(r rune) bool {
			return r > 0x7f || r != '-' && r != '_' && r != '.' && !isAlpha(byte(r)) && !isDigit(byte(r))
		}) {
			return fmt.Errorf("invalid address: '%s' in '%s'; write ADDRESS:PORT", host, s)
		}
		return nil
	}
	if ip.Zone() != "" || a.V4 && !ip.Is4() || a.V6 && ip.Is4() {
		return fmt.Errorf("invalid address: '%s' in '%s'; the prefix wants another kind of address", host, s)
	}
	a.Host = ip.String()
	return nil
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// parseIPv4 reads an address of one to four numbers as the C library does: the
// last one fills what is left, so that 127.1 is 127.0.0.1.
func parseIPv4(s string) (ip netip.Addr, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return ip, false
	}
	var sum uint64
	for i, p := range parts {
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (4 - i)
		}
		n, err := strconv.ParseUint(p, 0, bits)
		if err != nil {
			return ip, false
		}
		sum = sum<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}), true
}
