package transport

import (
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// An identity is a certificate to show, with the names that it is for.
type identity struct {
	certificate tls.Certificate
	names       []string // lower case
}

// Files beside a certificate, or in a folder of some, that are none.
var extraFiles = []string{".key", ".issuer", ".ocsp", ".sctl"}

// bundleFiles are those of which crt names what they have in common.
var bundleFiles = []string{".rsa", ".dsa", ".ecdsa"}

func isCertificate(name string) bool {
	return !strings.HasPrefix(name, ".") && !slices.ContainsFunc(extraFiles, func(end string) bool { return strings.HasSuffix(name, end) })
}

// certificatesOf are the files with a certificate that crt names: itself, those in
// a folder, or those of a bundle.
func certificatesOf(path string) ([]string, error) {
	files, err := filesOf(path, isCertificate)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return files, err
	}
	for _, end := range bundleFiles {
		if _, err := os.Stat(path + end); err == nil {
			files = append(files, path+end)
		}
	}
	if len(files) > 0 {
		return files, nil
	}
	return nil, err
}

// keysOf are the files that may have the key of a certificate.
func keysOf(certificate string) []string {
	keys := []string{certificate + ".key"}
	if base, ok := strings.CutSuffix(certificate, ".crt"); ok {
		keys = append(keys, base+".key")
	}
	return keys
}

func (t *Transport) certificate(path string) (*source[[]identity], error) {
	return shared(t, t.certificates, path,
		func() []string {
			certificates, _ := certificatesOf(path)
			all := []string{path}
			for _, c := range certificates {
				all = append(append(all, c), keysOf(c)...)
			}
			return all
		},
		func() ([]identity, error) { return loadIdentities(path) })
}

func loadIdentities(path string) (all []identity, err error) {
	certificates, err := certificatesOf(path)
	if err != nil {
		return nil, cantRead("certificate", path, err)
	}
	if len(certificates) == 0 {
		return nil, fmt.Errorf("there is no certificate in the folder %s; put PEM files there, or name one", path)
	}
	for _, c := range certificates {
		id, err := loadIdentity(c)
		if err != nil {
			return nil, err
		}
		all = append(all, id)
	}
	return all, nil
}

func loadIdentity(path string) (id identity, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return id, cantRead("certificate", path, err)
	}
	key := text
	if !hasKey(text) {
		if key, err = readKey(path); err != nil {
			return id, err
		}
	}
	if id.certificate, err = tls.X509KeyPair(text, key); err != nil {
		return id, fmt.Errorf("the certificate %s can't be used: %s; write it and its key into the file as PEM", path, strings.TrimPrefix(err.Error(), "tls: "))
	}
	id.names = namesOf(id.certificate.Leaf)
	for i, name := range id.names {
		id.names[i] = strings.ToLower(name)
	}
	return id, nil
}

func hasKey(text []byte) bool {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return true
		}
	}
	return false
}

func readKey(certificate string) ([]byte, error) {
	for _, path := range keysOf(certificate) {
		text, err := os.ReadFile(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return nil, cantRead("key", path, err)
		case !hasKey(text):
			return nil, fmt.Errorf("there is no private key in %s; write it there as PEM", path)
		default:
			return text, nil
		}
	}
	return nil, fmt.Errorf("there is no private key in %s; write it there, or into %[1]s.key", certificate)
}

// cantRead is an error that names the file once.
func cantRead(what, path string, err error) error {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return fmt.Errorf("can't read the %s %s: %w", what, path, err)
}

// shared returns the source of a path, which lines have in common.
func shared[T any](t *Transport, all map[string]*source[T], path string, list func() []string, load func() (T, error)) (*source[T], error) {
	if s := all[path]; s != nil {
		return s, nil
	}
	s := &source[T]{name: path, list: list, load: load, log: t.log}
	if err := s.open(); err != nil {
		return nil, err
	}
	all[path] = s
	return s, nil
}

var errStrictSNI = errors.New("there is no certificate for the name that it asks for (strict-sni); write the name into one, or another sni on its server line")

// choose returns the certificate for a client: one for the name that it asks for, be
// it made for it, or else, unless strict, one of the first file.
func (s *Server) choose(files [][]identity, hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(hello.ServerName)
	var fit []identity
	for _, file := range files {
		for _, id := range file {
			if id.isFor(name) {
				fit = append(fit, id)
			}
		}
	}
	switch {
	case len(fit) > 0:
	case name != "" && s.signer != nil:
		return s.signer.certificate(name, files[0][0].certificate.PrivateKey)
	case s.strict:
		return nil, errStrictSNI
	default:
		fit = files[0]
	}
	// ECDSA first, for those that know it.
	best := &fit[0].certificate
	for i := range fit {
		c := &fit[i].certificate
		if hello.SupportsCertificate(c) != nil {
			continue
		}
		if _, ok := c.PrivateKey.(*ecdsa.PrivateKey); ok {
			return c, nil
		}
		if hello.SupportsCertificate(best) != nil {
			best = c
		}
	}
	return best, nil
}

// isFor reports whether the certificate is for a name, as it is or with "*" in the
// place of its first label.
func (id *identity) isFor(name string) bool {
	if name == "" {
		return false
	}
	_, domain, _ := strings.Cut(name, ".")
	return slices.Contains(id.names, name) || domain != "" && slices.Contains(id.names, "*."+domain)
}
