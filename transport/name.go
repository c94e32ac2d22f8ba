package transport

import (
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
)

// namesOf are the names in a certificate: the common name, and those for DNS.
func namesOf(c *x509.Certificate) (names []string) {
	if c.Subject.CommonName != "" {
		names = append(names, c.Subject.CommonName)
	}
	for _, name := range c.DNSNames {
		if name != c.Subject.CommonName {
			names = append(names, name)
		}
	}
	return names
}

// checkHost reports that a certificate is not for a host.
func checkHost(c *x509.Certificate, host string) error {
	if slices.ContainsFunc(namesOf(c), func(name string) bool { return matches(strings.ToLower(name), strings.ToLower(host)) }) {
		return nil
	}
	return fmt.Errorf("the certificate is not for %q, but for %s; write one of these for verifyhost or sni, or the name into the certificate", host, quoted(namesOf(c)))
}

// matches reports whether a host has the name, in whose first label there may be one
// "*" for a part of it.
func matches(name, host string) bool {
	label, domain, _ := strings.Cut(name, ".")
	before, after, wild := strings.Cut(label, "*")
	if !wild {
		return name == host
	}
	hostLabel, hostDomain, _ := strings.Cut(host, ".")
	return domain != "" && domain == hostDomain && len(hostLabel) >= len(before)+len(after) &&
		strings.HasPrefix(hostLabel, before) && strings.HasSuffix(hostLabel, after)
}

func quoted(names []string) string {
	if len(names) == 0 {
		return "no name at all"
	}
	q := make([]string, len(names))
	for i, n := range names {
		q[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(q, ", ")
}

// Verified reports whether the other end has shown a certificate that was verified.
// Before the end of the handshake it has not.
func (c *Conn) Verified() bool { return c.certificate() != nil }

// CheckName reports that a caller may not go by the name of a peer that it says: it
// is not in its certificate, or there is none that was verified. Names count as they
// are: "*" is no other name, nor is "LB1" lb1.
func CheckName(nc net.Conn, name string) error {
	var c *x509.Certificate
	if secure, ok := nc.(*Conn); ok {
		c = secure.certificate()
	}
	switch {
	case c == nil:
		return fmt.Errorf("%q has shown no certificate that it goes by that name; write ssl and crt on its server line for us, and ssl, ca-file and verify required on our bind line", name)
	case !slices.Contains(namesOf(c), name):
		return fmt.Errorf("%q is no name in the certificate that it has shown, that is for %s; give it one of its own", name, quoted(namesOf(c)))
	}
	return nil
}

// certificate returns that of the other end, if it was verified.
func (c *Conn) certificate() *x509.Certificate {
	if s := c.ConnectionState(); c.verifies && s.HandshakeComplete && len(s.PeerCertificates) > 0 {
		return s.PeerCertificates[0]
	}
	return nil
}
