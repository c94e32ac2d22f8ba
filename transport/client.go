package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"

	"github.com/peersd/peersd/config/haproxycfg"
)

// A Client is a peer or server line: how a peer is dialled.
type Client struct {
	Address haproxycfg.Address

	config   *tls.Config // nil without TLS
	identity *source[[]identity]
	verifier *verifier // nil where nothing is verified
	host     string    // that the certificate has to be for, "" for any
}

// Client reads a peer or server line that has an address. With an alert among the
// messages it can't be used.
func (t *Transport) Client(p *haproxycfg.Peer) (*Client, haproxycfg.Messages) {
	l := &line{pos: p.Pos, name: "server " + p.Name, tls: merge(p.TLS, t.servers), options: p.Options}
	c := &Client{Address: *p.Address}
	l.notHere()
	if p.TLS.Enabled {
		t.secure(c, l)
	}
	does := fmt.Sprintf("%#v %#v %q %q %v", c.Address, l.tls, t.path(t.crtBase, "", l.pos), t.path(t.caBase, "", l.pos), t.verifyNone)
	if same := t.previous[does]; same != nil {
		c = same
	}
	t.clients[does] = c
	return c, l.said
}

// secure sets what a client with TLS goes by.
func (t *Transport) secure(c *Client, l *line) {
	c.config = l.config()
	c.config.InsecureSkipVerify = true // verified is below, by HAProxy's rules
	c.config.ServerName = l.serverName()
	if c.host = c.config.ServerName; c.host == "" {
		c.host = l.tls.VerifyHost
	}
	if n := len(l.tls.Certificates); n > 0 {
		var err error
		if c.identity, err = t.certificate(t.path(t.crtBase, l.tls.Certificates[n-1], l.pos)); err != nil {
			l.alert("crt : %v", err)
		}
	}
	if l.tls.Verify == "required" || l.tls.Verify == "" && !t.verifyNone {
		c.verifier = t.verifier(l, x509.ExtKeyUsageServerAuth)
	}
}

// serverName is the name that sni gives: there is no request that another
// expression than a text could take it from.
func (l *line) serverName() string {
	if l.tls.SNI == "" {
		return ""
	}
	name, ok := strings.CutPrefix(l.tls.SNI, "str(")
	if name, ok2 := strings.CutSuffix(name, ")"); ok && ok2 && !strings.ContainsAny(name, "(),") {
		if isIP(name) {
			l.warn("sni %s is left out: an address is no name for SNI; write verifyhost to verify it", l.tls.SNI)
			return ""
		}
		return name
	}
	l.warn("sni %s is left out: there is no request to take it from; write it as in sni str(lb1)", l.tls.SNI)
	return ""
}

// TLS reports whether connections are encrypted.
func (c *Client) TLS() bool { return c.config != nil }

// Verifies reports whether the peer has to show a certificate that is good.
func (c *Client) Verifies() bool { return c.verifier != nil }

// Dial connects to the peer. With TLS, the handshake is still to come.
func (c *Client) Dial(ctx context.Context) (net.Conn, error) {
	nc, err := dial(ctx, c.Address)
	if err != nil || c.config == nil {
		return nc, err
	}
	config := c.config.Clone()
	if c.identity != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &c.identity.get()[0].certificate, nil
		}
	}
	if c.verifier != nil {
		config.VerifyConnection = c.verify
	}
	return &Conn{Conn: tls.Client(nc, config), dialed: true, verifies: c.verifier != nil}, nil
}

func (c *Client) verify(state tls.ConnectionState) error {
	if err := c.verifier.verify(state.PeerCertificates); err != nil {
		return err
	}
	if c.host == "" {
		return nil
	}
	return checkHost(state.PeerCertificates[0], c.host)
}
