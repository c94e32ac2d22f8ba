// Package testcert makes certificates for tests.
package testcert

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An Authority signs certificates.
type Authority struct {
	tb          testing.TB
	certificate *x509.Certificate
	key         crypto.Signer
}

// New makes an authority that has signed itself.
func New(tb testing.TB, name string) *Authority {
	tb.Helper()
	return (&Authority{tb: tb}).authority(name)
}

// Intermediate makes an authority that a has signed.
func (a *Authority) Intermediate(name string) *Authority { return a.authority(name) }

func (a *Authority) authority(name string) *Authority {
	a.tb.Helper()
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	key := newKey(a.tb, false)
	return &Authority{a.tb, a.sign(template, key), key}
}

// sign completes a certificate; an authority without one lets it sign itself.
func (a *Authority) sign(template *x509.Certificate, key crypto.Signer) *x509.Certificate {
	a.tb.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.tb.Fatal(err)
	}
	template.SerialNumber = serial
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(24 * time.Hour)
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		a.tb.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.tb.Fatal(err)
	}
	return c
}

func newKey(tb testing.TB, ofRSA bool) (key crypto.Signer) {
	tb.Helper()
	var err error
	if ofRSA {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte { return encode("CERTIFICATE", a.certificate.Raw) }

// Key is the authority's.
func (a *Authority) Key() []byte {
	a.tb.Helper()
	return encodeKey(a.tb, a.key)
}

func encodeKey(tb testing.TB, key crypto.Signer) []byte {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return encode("PRIVATE KEY", der)
}

// A Request is for a certificate. What is zero is as usual: valid for a day, for both
// ends of a connection, with an ECDSA key.
type Request struct {
	Name                string // common
	DNS                 []string
	NotBefore, NotAfter time.Time
	Usage               []x509.ExtKeyUsage
	RSA                 bool
}

// A Certificate is one with its key, as PEM.
type Certificate struct {
	Certificate, Key []byte
	x509             *x509.Certificate
}

// Both is what crt takes: the certificate and its key.
func (c Certificate) Both() []byte { return append(bytes.Clone(c.Certificate), c.Key...) }

// Issue makes a certificate of a name.
func (a *Authority) Issue(r Request) Certificate {
	a.tb.Helper()
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: r.Name},
		DNSNames:    r.DNS,
		NotBefore:   r.NotBefore,
		NotAfter:    r.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: r.Usage,
	}
	key := newKey(a.tb, r.RSA)
	c := a.sign(template, key)
	return Certificate{encode("CERTIFICATE", c.Raw), encodeKey(a.tb, key), c}
}

// Revoke makes the authority's list of certificates that are revoked, which is up to
// date until an instant.
func (a *Authority) Revoke(until time.Time, revoked ...Certificate) []byte {
	a.tb.Helper()
	now := time.Now()
	list := &x509.RevocationList{Number: big.NewInt(now.UnixNano()), ThisUpdate: now.Add(-2 * time.Hour), NextUpdate: until}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.x509.SerialNumber, RevocationTime: now.Add(-time.Minute)})
	}
	if len(revoked) > 0 { // newer than a list without them
		list.ThisUpdate = now.Add(-time.Minute)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.certificate, a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	return encode("X509 CRL", der)
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// Write puts a file into a folder, in the place of another one, and returns its path.
func Write(tb testing.TB, dir, name string, parts ...[]byte) string {
	tb.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".new", bytes.Join(parts, nil), 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		tb.Fatal(err)
	}
	return path
}
