package transport

import (
	"crypto/x509"
	"fmt"
	"testing"

	"github.com/peersd/peersd/internal/testcert"
)

// A certificate is made once for a name, anew where the authority is another one, and
// not too many are kept.
func TestGenerate(t *testing.T) {
	dir := folder(t)
	p := open(t, dir, "", "ssl crt DIR/lb1.pem generate-certificates ca-sign-file DIR/sign.pem", "ssl verify none sni str(lb3)")
	leaf := func() *x509.Certificate {
		t.Helper()
		_, theirs := p.expect("", "")
		return theirs.(*Conn).ConnectionState().PeerCertificates[0]
	}
	first := leaf()
	if first.Subject.CommonName != "lb3" || len(first.DNSNames) != 1 || first.DNSNames[0] != "lb3" || first.Issuer.CommonName != "ca" {
		t.Errorf("for %v and %q, of %v", first.Subject, first.DNSNames, first.Issuer)
	}
	if !leaf().Equal(first) {
		t.Error("another one for the same name")
	}
	other := testcert.New(t, "other")
	testcert.Write(t, dir, "sign.pem", other.PEM(), other.Key())
	if second := leaf(); second.Issuer.CommonName != "other" {
		t.Errorf("of %v", second.Issuer)
	}
	key := p.server.files[0].get()[0].certificate.PrivateKey
	for i := range madeAtMost + 200 {
		if _, err := p.server.signer.certificate(fmt.Sprint("lb", i), key); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.server.signer.made); n > madeAtMost || n < 100 {
		t.Errorf("%d are kept", n)
	}
	if _, err := p.server.signer.certificate("l\u00fcbeck", key); err == nil {
		t.Error("one was made for a name that is none")
	}
}
