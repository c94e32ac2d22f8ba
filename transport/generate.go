package transport

import (
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"time"
)

// A signer makes certificates for names that there are none of, by ca-sign-file
// (generate-certificates).
type signer struct {
	authority *source[[]identity]

	mu   sync.Mutex
	by   *x509.Certificate // that has signed what was made
	made map[string]*tls.Certificate
}

// madeAtMost is how many certificates are kept, as tune.ssl.ssl-ctx-cache-size does.
const madeAtMost = 1000

// madeFor is how long a certificate is good that was made.
const madeFor = 365 * 24 * time.Hour

// certificate returns one for a name, whose key is that of another certificate.
func (s *signer) certificate(name string, key crypto.PrivateKey) (*tls.Certificate, error) {
	authority := s.authority.get()[0].certificate
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil || !s.by.Equal(authority.Leaf) || len(s.made) >= madeAtMost {
		s.by, s.made = authority.Leaf, map[string]*tls.Certificate{}
	}
	if c := s.made[name]; c != nil && time.Now().Before(c.Leaf.NotAfter) {
		return c, nil
	}
	c, err := sign(name, key, authority)
	if err == nil {
		s.made[name] = c
	}
	return c, err
}

func sign(name string, key crypto.PrivateKey, authority tls.Certificate) (*tls.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		DNSNames:              []string{name},
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(madeFor),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	public := key.(crypto.Signer).Public() // as all keys that crypto/tls takes
	der, err := x509.CreateCertificate(rand.Reader, template, authority.Leaf, public, authority.PrivateKey)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
