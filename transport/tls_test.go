package transport

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/testcert"
)

// folder makes the files that the tests name.
func folder(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	write := func(name string, parts ...[]byte) { testcert.Write(t, dir, name, parts...) }
	ca, other := testcert.New(t, "ca"), testcert.New(t, "other")
	write("ca.pem", ca.PEM())
	write("other.pem", other.PEM())
	write("sign.pem", ca.PEM(), ca.Key())

	lb1 := ca.Issue(testcert.Request{Name: "lb1", DNS: []string{"lb1.example", "*.wild.example"}})
	write("lb1.pem", lb1.Both())
	write("key-first.pem", lb1.Key, lb1.Certificate)
	write("beside.pem", lb1.Certificate)
	write("beside.pem.key", lb1.Key)
	write("short.crt", lb1.Certificate)
	write("short.key", lb1.Key)
	write("keyless.pem", lb1.Certificate)
	write("mixed.pem", lb1.Certificate, ca.Issue(testcert.Request{Name: "x"}).Key)
	write("bundle.pem.ecdsa", lb1.Both())
	write("bundle.pem.rsa", ca.Issue(testcert.Request{Name: "lb1", RSA: true}).Both())

	lb2 := ca.Issue(testcert.Request{Name: "lb2"})
	write("lb2.pem", lb2.Both())
	write("nameless.pem", ca.Issue(testcert.Request{}).Both())
	write("stranger.pem", other.Issue(testcert.Request{Name: "lb1"}).Both())
	write("expired.pem", ca.Issue(testcert.Request{Name: "lb1", NotAfter: time.Now().Add(-time.Minute)}).Both())
	write("early.pem", ca.Issue(testcert.Request{Name: "lb1", NotBefore: time.Now().Add(time.Hour)}).Both())
	write("for-servers.pem", ca.Issue(testcert.Request{Name: "lb1", Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}).Both())
	write("for-clients.pem", ca.Issue(testcert.Request{Name: "lb1", Usage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}).Both())

	middle := ca.Intermediate("middle")
	leaf := middle.Issue(testcert.Request{Name: "leaf"})
	write("middle.pem", middle.PEM())
	write("leaf.pem", leaf.Both())
	write("chain.pem", leaf.Both(), middle.PEM())
	write("both-ca.pem", middle.PEM(), ca.PEM())

	soon := time.Now().Add(time.Hour)
	write("none.crl", ca.Revoke(soon))
	write("lb1.crl", ca.Revoke(soon, lb1))
	write("old-and-new.crl", ca.Revoke(soon), ca.Revoke(soon, lb1))
	write("ended.crl", ca.Revoke(time.Now().Add(-time.Hour)))
	write("middle.crl", ca.Revoke(soon), middle.Revoke(soon))

	for _, sub := range []string{"certs/sub", "cas", "empty"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write("certs/1.pem", lb1.Both())
	write("certs/2.crt", lb2.Certificate)
	write("certs/2.crt.key", lb2.Key)
	write("certs/2.crt.ocsp", []byte("no certificate"))
	write("certs/.hidden", []byte("no certificate"))
	write("cas/ca.pem", ca.PEM())
	write("cas/.hidden.pem", []byte("no certificate"))
	write("cas/README", []byte("no certificate"))
	write("junk.pem", []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"))
	return dir
}

// Who comes through by which lines, and what each end says of the other.
func TestTLS(t *testing.T) {
	dir := folder(t)
	const (
		ssl    = "ssl crt DIR/lb1.pem"
		mutual = ssl + " ca-file DIR/ca.pem verify required"
		trust  = "ssl ca-file DIR/ca.pem"
	)
	for _, test := range []struct {
		name, global, bind, server string
		accepts, dials             string // what they say, "" is for a session
	}{
		{"no TLS", "", "", "", "", ""},
		{"verified", "", ssl, trust, "", ""},
		{"verify none", "", ssl, "ssl verify none", "", ""},
		{"ssl-server-verify none", "ssl-server-verify none", ssl, "ssl", "", ""},
		{"ssl-server-verify none, but the line says otherwise", "ssl-server-verify none", ssl, "ssl ca-file DIR/other.pem verify required", "it doesn't take our certificate", "is not signed by an authority in ca-file"},
		{"mutual", "", mutual, trust + " crt DIR/lb2.pem", "", ""},
		{"bases", "ca-base DIR\n crt-base DIR", "ssl crt lb1.pem ca-file ca.pem crl-file none.crl verify required", "ssl ca-file ca.pem crt lb2.pem", "", ""},
		{"a base is not for a full path", "ca-base /nowhere\n crt-base /nowhere", mutual, trust + " crt DIR/lb2.pem", "", ""},

		{"only the caller has TLS", "", "", trust, "EOF", "ssl on its bind line"},
		{"only the listener has TLS", "", ssl, "", "it speaks without TLS; write ssl on its server line", "EOF"},

		{"a wrong authority of the server", "", ssl, "ssl ca-file DIR/other.pem", "it doesn't take our certificate", `the certificate of "lb1" is not signed by an authority in ca-file, but by "CN=ca"`},
		{"a wrong authority of the client", "", mutual, trust + " crt DIR/stranger.pem", `the certificate of "lb1" is not signed by an authority in ca-file, but by "CN=other"`, "it doesn't take our certificate"},
		{"no certificate", "", mutual, trust, "it has shown no certificate; write crt", "it wants a certificate and has got none; write crt"},
		{"optional, and none", "", ssl + " ca-file DIR/ca.pem verify optional", trust, "", ""},
		{"optional, and a good one", "", ssl + " ca-file DIR/ca.pem verify optional", trust + " crt DIR/lb2.pem", "", ""},
		{"optional, and a wrong one", "", ssl + " ca-file DIR/ca.pem verify optional", trust + " crt DIR/stranger.pem", "is not signed", "it doesn't take our certificate"},
		{"not verified, and a wrong one", "", ssl, trust + " crt DIR/stranger.pem", "", ""},

		{"an expired server", "", "ssl crt DIR/expired.pem", trust, "it doesn't take our certificate", `the certificate of "lb1" has expired at`},
		{"an expired client", "", mutual, trust + " crt DIR/expired.pem", `the certificate of "lb1" has expired at`, "it doesn't take our certificate"},
		{"an early client", "", mutual, trust + " crt DIR/early.pem", "is the clock right?", "it doesn't take our certificate"},
		{"a client for servers", "", mutual, trust + " crt DIR/for-servers.pem", "is not made for this end", "it doesn't take our certificate"},
		{"a client for clients", "", mutual, trust + " crt DIR/for-clients.pem", "", ""},
		{"a server for clients", "", "ssl crt DIR/for-clients.pem", trust, "it doesn't take our certificate", "is not made for this end"},

		{"nobody is revoked", "", mutual + " crl-file DIR/none.crl", trust + " crl-file DIR/none.crl crt DIR/lb2.pem", "", ""},
		{"a revoked client", "", mutual + " crl-file DIR/lb1.crl", trust + " crt DIR/lb1.pem", `the certificate of "lb1" was revoked at`, "it doesn't take our certificate"},
		{"a revoked client, by the newer of two lists", "", mutual + " crl-file DIR/old-and-new.crl", trust + " crt DIR/lb1.pem", "was revoked", "it doesn't take our certificate"},
		{"a revoked server", "", ssl, trust + " crl-file DIR/lb1.crl", "it doesn't take our certificate", `the certificate of "lb1" was revoked at`},
		{"a list that has ended", "", ssl, trust + " crl-file DIR/ended.crl", "it doesn't take our certificate", `the revocation list of "ca" in crl-file has ended at`},
		{"a list of one authority of two", "", "ssl crt DIR/chain.pem", trust + " crl-file DIR/none.crl", "it doesn't take our certificate", `there is no revocation list of "middle" in crl-file`},
		{"lists of both", "", "ssl crt DIR/chain.pem", trust + " crl-file DIR/middle.crl", "", ""},

		{"a chain in crt", "", "ssl crt DIR/chain.pem", trust, "", ""},
		{"a chain that is missing", "", "ssl crt DIR/leaf.pem", trust, "it doesn't take our certificate", "is not signed"},
		{"a chain in ca-file", "", "ssl crt DIR/leaf.pem", "ssl ca-file DIR/both-ca.pem", "", ""},
		{"an authority that has not signed itself", "", "ssl crt DIR/leaf.pem", "ssl ca-file DIR/middle.pem", "it doesn't take our certificate", "is not signed"},
		{"the rest in ca-verify-file", "", ssl + " ca-file DIR/middle.pem ca-verify-file DIR/ca.pem verify required", trust + " crt DIR/leaf.pem", "", ""},
		{"a folder of authorities", "", ssl, "ssl ca-file DIR/cas", "", ""},
		{"authorities of the system", "", ssl, "ssl ca-file @system-ca", "it doesn't take our certificate", "is not signed"},

		{"verifyhost", "", ssl, trust + " verifyhost lb1", "", ""},
		{"verifyhost in another case", "", ssl, trust + " verifyhost LB1.Example", "", ""},
		{"verifyhost of a wildcard", "", ssl, trust + " verifyhost a.wild.example", "", ""},
		{"verifyhost of another", "", ssl, trust + " verifyhost lb2", "it doesn't take our certificate", `the certificate is not for "lb2", but for "lb1", "lb1.example", "*.wild.example"`},
		{"verifyhost and no name", "", "ssl crt DIR/nameless.pem", trust + " verifyhost lb2", "it doesn't take our certificate", `but for no name at all`},
		{"verifyhost, but nothing is verified", "", ssl, "ssl verify none verifyhost lb2", "", ""},
		{"sni", "", ssl, trust + " sni str(lb1.example)", "", ""},
		{"sni of another", "", ssl, trust + " sni str(lb2)", "it doesn't take our certificate", `the certificate is not for "lb2"`},
		{"sni before verifyhost", "", ssl, trust + " sni str(lb1) verifyhost lb2", "", ""},
		{"sni chooses", "", ssl + " crt DIR/lb2.pem", trust + " sni str(lb2)", "", ""},
		{"sni chooses from a folder", "", "ssl crt DIR/certs", trust + " sni str(lb2)", "", ""},
		{"sni, and the first is for another", "", ssl + " crt DIR/lb2.pem", trust + " sni str(lb3)", "it doesn't take our certificate", `but for "lb1"`},
		{"default-crt", "", ssl + " default-crt DIR/lb2.pem", trust + " sni str(lb3)", "it doesn't take our certificate", `but for "lb2"`},
		{"strict-sni", "", ssl + " strict-sni", trust + " sni str(lb3)", "there is no certificate for the name that it asks for (strict-sni)", "it ends the TLS handshake"},
		{"strict-sni, and no sni", "ssl-default-bind-options strict-sni", ssl, trust, "(strict-sni)", "it ends the TLS handshake"},
		{"strict-sni that fits", "", ssl + " strict-sni", trust + " sni str(x.wild.example)", "", ""},

		{"made for a name", "ca-base DIR", ssl + " generate-certificates ca-sign-file sign.pem", trust + " sni str(lb3.example)", "", ""},
		{"made for a name, strict-sni", "", ssl + " strict-sni generate-certificates ca-sign-file DIR/sign.pem", trust + " sni str(lb3)", "", ""},
		{"made for a name, but there is one", "", "ssl crt DIR/expired.pem generate-certificates ca-sign-file DIR/sign.pem", trust + " sni str(lb1)", "it doesn't take our certificate", "has expired"},
		{"made for no name", "", ssl + " strict-sni generate-certificates ca-sign-file DIR/sign.pem", trust, "(strict-sni)", "it ends the TLS handshake"},

		{"the key first", "", "ssl crt DIR/key-first.pem", trust, "", ""},
		{"the key beside", "", "ssl crt DIR/beside.pem", trust + " crt DIR/short.crt", "", ""},

		{"TLS 1.2 only", "", ssl + " ssl-max-ver TLSv1.2 ssl-min-ver TLSv1.2", trust, "", ""},
		{"no common version", "", ssl + " ssl-min-ver TLSv1.3", trust + " ssl-max-ver TLSv1.2", "client offered only unsupported versions", "protocol version not supported"},
		{"no common version, by force", "ssl-default-server-options force-tlsv12", ssl + " no-tlsv12 no-tlsv11 no-tlsv10", trust, "client offered only unsupported versions", "protocol version not supported"},
		{"TLS 1.1, where both want it", "", "ssl crt DIR/bundle.pem ssl-min-ver TLSv1.1", trust + " ssl-min-ver TLSv1.0 ssl-max-ver TLSv1.1", "", ""},
		{"no common cipher", "ssl-default-bind-ciphers AES256", ssl + " ssl-max-ver TLSv1.2", trust + " ciphers AES128", "no cipher suite supported by both", "handshake failure"},
		{"no common curve", "", ssl + " ssl-max-ver TLSv1.2 curves P-256", trust + " curves P-384", "no cipher suite supported by both", "handshake failure"},
		{"alpn that is not common", "", ssl + " alpn a,b", trust + " alpn c", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := open(t, dir, test.global, test.bind, test.server)
			p.expect(test.accepts, test.dials)
		})
	}
}

// What both ends agree on is what the lines say.
func TestAgreed(t *testing.T) {
	dir := folder(t)
	const ssl = "ssl crt DIR/bundle.pem "
	for _, test := range []struct {
		name, global, bind, server string
		check                      func(tls.ConnectionState) bool
	}{
		{"TLS 1.3 without a word", "", ssl, "", func(s tls.ConnectionState) bool { return s.Version == tls.VersionTLS13 }},
		{"ssl-max-ver", "", ssl, "ssl-max-ver TLSv1.2", func(s tls.ConnectionState) bool { return s.Version == tls.VersionTLS12 }},
		{"no-tlsv13", "", ssl, "no-tlsv13", func(s tls.ConnectionState) bool { return s.Version == tls.VersionTLS12 }},
		{"force-tlsv12", "", ssl + "force-tlsv12", "", func(s tls.ConnectionState) bool { return s.Version == tls.VersionTLS12 }},
		{"defaults", "ssl-default-bind-options ssl-max-ver TLSv1.2 no-sslv3 no-tls-tickets", ssl, "", func(s tls.ConnectionState) bool { return s.Version == tls.VersionTLS12 }},
		{"ciphers", "", ssl + "ssl-max-ver TLSv1.2", "ciphers ECDHE-RSA-AES256-GCM-SHA384", func(s tls.ConnectionState) bool {
			return s.CipherSuite == tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
		}},
		{"ciphers of the defaults", "ssl-default-server-ciphers CHACHA20+aECDSA", ssl + "ssl-max-ver TLSv1.2", "", func(s tls.ConnectionState) bool {
			return s.CipherSuite == tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
		}},
		{"curves", "", ssl, "curves P-384", func(s tls.ConnectionState) bool { return s.CurveID == tls.CurveP384 }},
		{"ecdhe", "", ssl + "ecdhe secp521r1", "", func(s tls.ConnectionState) bool { return s.CurveID == tls.CurveP521 }},
		{"curves of the defaults", "ssl-default-bind-curves X25519", ssl, "", func(s tls.ConnectionState) bool { return s.CurveID == tls.X25519 }},
		{"alpn", "", ssl + "alpn a,b", "alpn b", func(s tls.ConnectionState) bool { return s.NegotiatedProtocol == "b" }},
		{"alpn of one end", "", ssl, "alpn b", func(s tls.ConnectionState) bool { return s.NegotiatedProtocol == "" }},
		{"ECDSA before RSA", "", ssl, "", func(s tls.ConnectionState) bool { return s.PeerCertificates[0].PublicKeyAlgorithm == x509.ECDSA }},
		{"nothing is resumed", "", ssl, "", func(s tls.ConnectionState) bool { return !s.DidResume }},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := open(t, dir, test.global, test.bind, "ssl verify none "+test.server)
			_, theirs := p.expect("", "")
			if state := theirs.(*Conn).ConnectionState(); !test.check(state) {
				t.Errorf("%s, %s, %v, %q", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite), state.CurveID, state.NegotiatedProtocol)
			}
		})
	}
}
