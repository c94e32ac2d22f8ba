package transport

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"sync/atomic"

	"github.com/peersd/peersd/config/haproxycfg"
	"github.com/peersd/peersd/internal/unixsocket"
)

// A Server is a bind line: where peers reach us, and how.
type Server struct {
	Address haproxycfg.Address

	owner    unixsocket.Owner
	v6only   bool
	strict   bool
	caNames  bool
	required bool

	config   *tls.Config // nil without TLS
	files    []*source[[]identity]
	signer   *signer   // nil where no certificates are made
	verifier *verifier // nil where nothing is verified
}

// Server reads a bind line. With an alert among the messages it can't be used.
func (t *Transport) Server(b *haproxycfg.Bind) (*Server, haproxycfg.Messages) {
	l := &line{pos: b.Pos, name: "bind " + b.Address.String(), tls: merge(b.TLS, t.binds), options: b.Options}
	s := &Server{Address: b.Address, owner: t.owner, v6only: l.has("v6only"), strict: l.tls.StrictSNI, caNames: !l.has("no-ca-names")}
	if err := setOwner(&s.owner, b.Options); err != nil {
		l.alert("%v", err)
	}
	l.notHere()
	if !b.TLS.Enabled {
		return s, l.said
	}
	s.config = l.config()
	s.config.GetConfigForClient = s.configFor
	for _, name := range l.tls.CertificateLists {
		l.alert("crt-list %s is not read by peersd; name its certificates with crt", name)
	}
	for _, name := range l.certificates() {
		source, err := t.certificate(t.path(t.crtBase, name, l.pos))
		if err != nil {
			l.alert("crt : %v", err)
			continue
		}
		s.files = append(s.files, source)
	}
	if l.has("generate-certificates") {
		s.signer = t.signer(l)
	}
	if verify := l.tls.Verify; verify == "required" || verify == "optional" {
		s.required = verify == "required"
		s.verifier = t.verifier(l, x509.ExtKeyUsageClientAuth)
	}
	return s, l.said
}

// signer reads what certificates are made by.
func (t *Transport) signer(l *line) *signer {
	if l.tls.CASignFile == "" {
		l.alert("generate-certificates needs ca-sign-file; name the file with the certificate and the key of the authority")
		return nil
	}
	if l.tls.CASignPass != "" {
		l.alert("ca-sign-pass is not read by peersd; write the key of ca-sign-file without a password")
	}
	authority, err := t.certificate(t.path(t.caBase, l.tls.CASignFile, l.pos))
	if err != nil {
		l.alert("ca-sign-file : %v", err)
	}
	return &signer{authority: authority}
}

// certificates are the names of the files, that of default-crt first.
func (l *line) certificates() []string {
	first := ""
	for _, o := range l.options {
		if o.Name == "default-crt" && first == "" {
			first = o.Value
		}
	}
	names := slices.Clone(l.tls.Certificates)
	if i := slices.Index(names, first); i > 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, first)
	}
	return names
}

// TLS reports whether connections are encrypted.
func (s *Server) TLS() bool { return s.config != nil }

// Verifies reports whether nobody comes through without a certificate that is good.
func (s *Server) Verifies() bool { return s.verifier != nil && s.required }

// Listen opens the address.
func (s *Server) Listen() (*Listener, error) {
	l, err := listen(s.Address, s.v6only, s.owner)
	if err != nil {
		return nil, err
	}
	return s.Wrap(l), nil
}

// Wrap gives the connections of another listener the TLS of the line, if it has any.
func (s *Server) Wrap(l net.Listener) *Listener {
	wrapped := &Listener{Listener: l}
	wrapped.Use(s)
	return wrapped
}

// A Listener accepts connections whose TLS handshake, where they have one, is still
// to come.
type Listener struct {
	net.Listener
	server atomic.Pointer[Server]
}

// Use makes the TLS of another line count from the next connection on.
func (l *Listener) Use(s *Server) { l.server.Store(s) }

// Accept returns the next connection, a [Conn] where it has TLS.
func (l *Listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	s := l.server.Load()
	if err != nil || s.config == nil {
		return nc, err
	}
	return &Conn{Conn: tls.Server(nc, s.config), verifies: s.verifier != nil}, nil
}

// configFor is what a client gets, by files as they are now.
func (s *Server) configFor(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	var files [][]identity
	for _, f := range s.files {
		files = append(files, f.get())
	}
	certificate, err := s.choose(files, hello)
	if err != nil {
		return nil, err
	}
	c := s.config.Clone()
	c.GetConfigForClient = nil
	c.Certificates = []tls.Certificate{*certificate}
	if !slices.ContainsFunc(hello.SupportedProtos, func(p string) bool { return slices.Contains(c.NextProtos, p) }) {
		c.NextProtos = nil // HAProxy goes on without, too
	}
	if s.verifier == nil {
		return c, nil
	}
	c.ClientAuth = tls.RequestClientCert
	if s.required {
		c.ClientAuth = tls.RequireAnyClientCert
	}
	if s.caNames {
		c.ClientCAs = s.verifier.pool()
	}
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return nil
		}
		return s.verifier.verify(state.PeerCertificates)
	}
	return c, nil
}
