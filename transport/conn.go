package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
)

// A Conn is a connection with TLS.
type Conn struct {
	*tls.Conn
	dialed   bool
	verifies bool // the certificate of the other end, where it has shown one
}

// HandshakeContext does the handshake of TLS. The error says what to do about it.
func (c *Conn) HandshakeContext(ctx context.Context) error {
	err := c.Conn.HandshakeContext(ctx)
	if c.dialed && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)) {
		return errors.New("it closes the connection in the TLS handshake; is there ssl on its bind line?")
	}
	var op *net.OpError
	if !c.dialed && errors.As(err, &op) && op.Op == "local error" && op.Err.Error() == badMAC {
		// OpenSSL's alert is not encrypted where it refuses a certificate of TLS 1.3.
		return errors.New("it breaks off the TLS handshake, as OpenSSL does where it doesn't take our certificate; " + lookThere)
	}
	return c.explain(err)
}

const (
	badMAC    = "tls: bad record MAC"
	lookThere = "see what its ca-file, crl-file and verifyhost say of it"
)

// Read reads what was sent. With TLS 1.3, the other end says only after our
// handshake that it doesn't take our certificate.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.explain(err)
}

// Close ends the connection without TLS's own words for that: these could wait for
// seconds for who reads nothing, and messages of peers have an end of their own.
func (c *Conn) Close() error { return c.NetConn().Close() }

// CloseWrite ends what is sent, in the same way.
func (c *Conn) CloseWrite() error {
	w, ok := c.NetConn().(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return w.CloseWrite()
}

func (c *Conn) explain(err error) error {
	var op *net.OpError
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(tls.RecordHeaderError)) && c.dialed:
		return errors.New("it speaks without TLS; write ssl on its bind line, or remove it from its server line here")
	case errors.As(err, new(tls.RecordHeaderError)):
		return errors.New("it speaks without TLS; write ssl on its server line for us, or remove it from our bind line")
	case errors.As(err, &op) && op.Op == "remote error":
		return refusal(op.Err)
	case errors.Is(err, io.EOF):
		return err
	case err.Error() == "tls: client didn't provide a certificate":
		return errors.New("it has shown no certificate; write crt on its server line for us")
	case strings.HasPrefix(err.Error(), "tls: "):
		return fmt.Errorf("the TLS handshake fails: %s", strings.TrimPrefix(err.Error(), "tls: "))
	}
	return err
}

// refusal is what the other end says of what we have shown or offered.
func refusal(alert error) error {
	says := strings.TrimPrefix(alert.Error(), "tls: ")
	if says == "certificate required" {
		return errors.New("it wants a certificate and has got none; write crt on the server line")
	}
	if strings.Contains(says, "certificate") {
		return fmt.Errorf("it doesn't take our certificate: %s; %s", says, lookThere)
	}
	return fmt.Errorf("it ends the TLS handshake: %s", says)
}
