package transport

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// authorities are the certificates of ca-file.
type authorities struct {
	// roots have signed themselves, and end a chain; others can be part of one.
	roots, others []*x509.Certificate
	system        *x509.CertPool // those of @system-ca
}

// systemCA is HAProxy's name for the authorities that the machine trusts.
const systemCA = "@system-ca"

func isAuthority(name string) bool {
	return !strings.HasPrefix(name, ".") && slices.Contains([]string{".pem", ".crt", ".cer", ".crl"}, filepath.Ext(name))
}

func (t *Transport) authority(path string) (*source[authorities], error) {
	list := func() []string { return pathAnd(path) }
	load := func() (authorities, error) { return loadAuthorities(path) }
	if path == systemCA {
		list = func() []string { return nil }
		load = func() (authorities, error) {
			pool, err := x509.SystemCertPool()
			return authorities{system: pool}, err
		}
	}
	return shared(t, t.authorities, path, list, load)
}

// pathAnd is a path with the files in it, if it is a folder.
func pathAnd(path string) []string {
	files, _ := filesOf(path, isAuthority)
	return append([]string{path}, files...)
}

// blocks are those of one type in PEM files.
func blocks(what, path, kind string) (all [][]byte, err error) {
	files, err := filesOf(path, isAuthority)
	if err != nil {
		return nil, cantRead(what, path, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, cantRead(what, file, err)
		}
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if block.Type == kind {
				all = append(all, block.Bytes)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is no %s in %s; write it there as PEM", kind, path)
	}
	return all, nil
}

func loadAuthorities(path string) (a authorities, err error) {
	all, err := blocks("ca-file", path, "CERTIFICATE")
	if err != nil {
		return a, err
	}
	for _, der := range all {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return a, fmt.Errorf("a certificate in %s can't be used: %w", path, err)
		}
		if bytes.Equal(c.RawIssuer, c.RawSubject) {
			a.roots = append(a.roots, c)
		} else {
			a.others = append(a.others, c)
		}
	}
	return a, nil
}

// lists are the revocation lists of crl-file.
type lists []*x509.RevocationList

func (t *Transport) list(path string) (*source[lists], error) {
	return shared(t, t.lists, path, func() []string { return pathAnd(path) }, func() (lists, error) { return loadLists(path) })
}

func loadLists(path string) (all lists, err error) {
	ders, err := blocks("crl-file", path, "X509 CRL")
	if err != nil {
		return nil, err
	}
	for _, der := range ders {
		l, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, fmt.Errorf("a revocation list in %s can't be used: %w", path, err)
		}
		all = append(all, l)
	}
	return all, nil
}

// check reports a certificate of a chain that is revoked, or of whose authority
// there is no list that is up to date.
func (ls lists) check(chain []*x509.Certificate, now time.Time) error {
	for i, c := range chain {
		issuer := chain[min(i+1, len(chain)-1)]
		list := ls.of(issuer)
		switch {
		case list == nil:
			return fmt.Errorf("there is no revocation list of %q in crl-file; put one there", title(issuer))
		case !list.NextUpdate.IsZero() && now.After(list.NextUpdate):
			return fmt.Errorf("the revocation list of %q in crl-file has ended at %s; put a newer one there", title(issuer), list.NextUpdate.Format(time.DateTime))
		case now.Before(list.ThisUpdate):
			return fmt.Errorf("the revocation list of %q in crl-file begins at %s; is the clock right?", title(issuer), list.ThisUpdate.Format(time.DateTime))
		}
		for _, entry := range list.RevokedCertificateEntries {
			if entry.SerialNumber.Cmp(c.SerialNumber) == 0 {
				return fmt.Errorf("the certificate of %q was revoked at %s", title(c), entry.RevocationTime.Format(time.DateTime))
			}
		}
	}
	return nil
}

// of is the newest list of an authority.
func (ls lists) of(issuer *x509.Certificate) (newest *x509.RevocationList) {
	for _, l := range ls {
		if bytes.Equal(l.RawIssuer, issuer.RawSubject) && (newest == nil || l.ThisUpdate.After(newest.ThisUpdate)) && l.CheckSignatureFrom(issuer) == nil {
			newest = l
		}
	}
	return newest
}

// A verifier says whether the certificate of the other end is good.
type verifier struct {
	usage      x509.ExtKeyUsage
	ca, caMore *source[authorities] // ca-file and ca-verify-file; that may be nil
	crl        *source[lists]       // nil where nothing is revoked
}

// verifier reads what the line verifies by: it has a ca-file, or package haproxycfg
// would have refused it.
func (t *Transport) verifier(l *line, usage x509.ExtKeyUsage) *verifier {
	v := &verifier{usage: usage}
	file := func(name string) string {
		if name == systemCA {
			return name
		}
		return t.path(t.caBase, name, l.pos)
	}
	var err error
	if v.ca, err = t.authority(file(l.tls.CAFile)); err != nil {
		l.alert("ca-file : %v", err)
	}
	if l.tls.CAVerifyFile != "" {
		if v.caMore, err = t.authority(file(l.tls.CAVerifyFile)); err != nil {
			l.alert("ca-verify-file : %v", err)
		}
	}
	if l.tls.CRLFile != "" {
		if v.crl, err = t.list(file(l.tls.CRLFile)); err != nil {
			l.alert("crl-file : %v", err)
		}
	}
	return v
}

// verify reports what is wrong with a certificate, which is the first one, and those
// that came with it.
func (v *verifier) verify(certificates []*x509.Certificate) error {
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{v.usage}}
	for _, s := range []*source[authorities]{v.ca, v.caMore} {
		if s == nil {
			continue
		}
		a := s.get()
		if a.system != nil {
			o.Roots = a.system.Clone()
		}
		for _, c := range a.roots {
			o.Roots.AddCert(c)
		}
		for _, c := range a.others {
			o.Intermediates.AddCert(c)
		}
	}
	for _, c := range certificates[1:] {
		o.Intermediates.AddCert(c)
	}
	chains, err := certificates[0].Verify(o)
	if err != nil {
		return plain(certificates[0], err)
	}
	if v.crl == nil {
		return nil
	}
	lists := v.crl.get()
	for _, chain := range chains {
		if err = lists.check(chain, time.Now()); err == nil {
			return nil
		}
	}
	return err
}

// pool are the authorities that a client is told of.
func (v *verifier) pool() *x509.CertPool {
	p, a := x509.NewCertPool(), v.ca.get()
	for _, c := range slices.Concat(a.roots, a.others) {
		p.AddCert(c)
	}
	return p
}

// plain says what is wrong with a certificate, and what to do about it.
func plain(c *x509.Certificate, err error) error {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && time.Now().After(invalid.Cert.NotAfter):
		return fmt.Errorf("the certificate of %q has expired at %s; renew it", title(invalid.Cert), invalid.Cert.NotAfter.Format(time.DateTime))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the certificate of %q begins at %s; is the clock right?", title(invalid.Cert), invalid.Cert.NotBefore.Format(time.DateTime))
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return fmt.Errorf("the certificate of %q is not made for this end of a connection; its extended key usage should have both clientAuth and serverAuth", title(c))
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return fmt.Errorf("the certificate of %q is not signed by an authority in ca-file, but by %q", title(c), c.Issuer.String())
	}
	return fmt.Errorf("the certificate of %q is not good: %s", title(c), strings.TrimPrefix(err.Error(), "x509: "))
}

// title is what a certificate is called.
func title(c *x509.Certificate) string {
	if names := namesOf(c); len(names) > 0 {
		return names[0]
	}
	return c.Subject.String()
}
