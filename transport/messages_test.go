package transport

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peersd/peersd/config/haproxycfg"
)

// What is said of lines that can't be used, or not all of which is done, word for
// word. DIR is the folder of the files.
func TestMessages(t *testing.T) {
	dir := folder(t)
	const ssl = "ssl crt DIR/lb1.pem"
	for _, test := range []struct {
		global, bind, server string
		want                 []string
	}{
		{"", ssl, "ssl verify none", nil},
		{"tune.ssl.default-dh-param 2048\n ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets prefer-client-ciphers", ssl + " no-sslv3", "ssl verify none no-sslv3", nil},
		{"", "", "crt DIR/nowhere.pem ca-file DIR/nowhere.pem", nil},

		{"", "ssl crt DIR/nowhere.pem", "", []string{"ALERT bind: crt : can't read the certificate DIR/nowhere.pem: no such file or directory"}},
		{"", "ssl crt DIR/empty", "", []string{"ALERT bind: crt : there is no certificate in the folder DIR/empty; put PEM files there, or name one"}},
		{"", "ssl crt DIR/keyless.pem", "", []string{"ALERT bind: crt : there is no private key in DIR/keyless.pem; write it there, or into DIR/keyless.pem.key"}},
		{"", "ssl crt DIR/mixed.pem", "", []string{"ALERT bind: crt : the certificate DIR/mixed.pem can't be used: private key does not match public key; write it and its key into the file as PEM"}},
		{"", "ssl crt DIR/ca.pem crt DIR/lb1.crl", "", []string{
			"ALERT bind: crt : there is no private key in DIR/ca.pem; write it there, or into DIR/ca.pem.key",
			"ALERT bind: crt : there is no private key in DIR/lb1.crl; write it there, or into DIR/lb1.crl.key"}},
		{"", "ssl crt-list DIR/list", "", []string{"ALERT bind: crt-list DIR/list is not read by peersd; name its certificates with crt"}},
		{"", ssl, "ssl verify none crt DIR/nowhere.pem", []string{"ALERT server: crt : can't read the certificate DIR/nowhere.pem: no such file or directory"}},
		{"", ssl, "ssl ca-file DIR/nowhere.pem", []string{"ALERT server: ca-file : can't read the ca-file DIR/nowhere.pem: no such file or directory"}},
		{"", ssl, "ssl ca-file DIR/lb1.crl", []string{"ALERT server: ca-file : there is no CERTIFICATE in DIR/lb1.crl; write it there as PEM"}},
		{"", ssl + " ca-file DIR/ca.pem crl-file DIR/ca.pem ca-verify-file DIR/nowhere.pem verify optional", "", []string{
			"ALERT bind: ca-verify-file : can't read the ca-file DIR/nowhere.pem: no such file or directory",
			"ALERT bind: crl-file : there is no X509 CRL in DIR/ca.pem; write it there as PEM"}},
		{"", ssl, "ssl ca-file DIR/junk.pem crl-file DIR/junk.pem", []string{
			"ALERT server: ca-file : a certificate in DIR/junk.pem can't be used: x509: malformed certificate",
			"ALERT server: crl-file : a revocation list in DIR/junk.pem can't be used: x509: malformed crl"}},

		{"", ssl + " ssl-max-ver TLSv1.2 ssl-min-ver TLSv1.3", "", []string{"ALERT bind: all SSL/TLS versions are disabled; write ssl-min-ver TLSv1.2, and no ssl-max-ver"}},
		{"", ssl + " ssl-max-ver SSLv3", "", []string{"ALERT bind: all SSL/TLS versions are disabled; write ssl-min-ver TLSv1.2, and no ssl-max-ver"}},
		{"", ssl, "ssl verify none force-sslv3", []string{"ALERT server: all SSL/TLS versions are disabled; write ssl-min-ver TLSv1.2, and no ssl-max-ver"}},
		{"", ssl + " no-tlsv12", "", []string{"WARNING bind: SSL/TLS versions range not contiguous, TLSv1.2 is spoken too; use only ssl-min-ver and ssl-max-ver"}},
		{"", ssl + " no-tlsv12 ssl-min-ver TLSv1.2", "", []string{"WARNING bind: no-tlsv1x is ignored beside ssl-min-ver and ssl-max-ver; use only these"}},

		{"", ssl + " ciphers DHE-RSA-AES128-GCM-SHA256:AES128:@SECLEVEL=0", "", []string{"WARNING bind: ciphers : there is no DHE-RSA-AES128-GCM-SHA256, @SECLEVEL=0 in Go's TLS, left out"}},
		{"ssl-default-bind-ciphers JUNK", ssl, "", []string{
			"WARNING bind: ciphers : there is no JUNK in Go's TLS, left out",
			"WARNING bind: ciphers : 'JUNK' leaves no cipher, so that only TLSv1.3 is spoken; write such as ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"}},
		{"", ssl + " ciphers !AES ssl-max-ver TLSv1.2", "", []string{"ALERT bind: ciphers : '!AES' leaves no cipher; write such as ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"}},
		{"", ssl + " ciphersuites TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", "", nil},
		{"ssl-default-server-ciphersuites TLS_AES_256_GCM_SHA384", ssl, "ssl verify none", []string{
			"WARNING server: ciphersuites is left out: Go offers all three suites of TLSv1.3, TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384 and TLS_CHACHA20_POLY1305_SHA256, and no others"}},
		{"", ssl + " curves brainpoolP256r1:P-256", "", []string{"WARNING bind: curves : there is no brainpoolP256r1 in Go's TLS, left out"}},
		{"", ssl + " ecdhe sect571k1", "", []string{"ALERT bind: ecdhe : Go's TLS has none of 'sect571k1'; write some of X25519MLKEM768, X25519, P-256, P-384 and P-521"}},
		{"", ssl + " npn a tls-ticket-keys DIR/tickets", "", []string{
			"WARNING bind: npn is left out: Go's TLS doesn't speak it, and TLSv1.3 has none; use alpn",
			"WARNING bind: tls-ticket-keys is left out: peersd resumes no TLS sessions"}},
		{"ssl-default-server-client-sigalgs ECDSA+SHA256", ssl + " sigalgs ECDSA+SHA256", "ssl verify none", []string{
			"WARNING bind: sigalgs is left out: Go chooses the signature algorithms itself",
			"WARNING server: client-sigalgs is left out: Go chooses the signature algorithms itself"}},
		{"", ssl + " crt-ignore-err all", "", []string{"WARNING bind: crt-ignore-err is left out: peersd takes no certificate that can't be verified; use verify none where that is meant to be"}},
		{"", ssl + " ca-sign-file DIR/nowhere.pem", "", nil}, // nor does HAProxy read it
		{"", ssl + " generate-certificates", "", []string{"ALERT bind: generate-certificates needs ca-sign-file; name the file with the certificate and the key of the authority"}},
		{"", ssl + " generate-certificates ca-sign-file DIR/ca.pem", "", []string{"ALERT bind: ca-sign-file : there is no private key in DIR/ca.pem; write it there, or into DIR/ca.pem.key"}},
		{"", ssl + " generate-certificates ca-sign-file DIR/sign.pem ca-sign-pass x", "", []string{"ALERT bind: ca-sign-pass is not read by peersd; write the key of ca-sign-file without a password"}},
		{"", ssl, "ssl verify none sni req.hdr(host)", []string{"WARNING server: sni req.hdr(host) is left out: there is no request to take it from; write it as in sni str(lb1)"}},
		{"", ssl, "ssl verify none sni str(10.0.0.1)", []string{"WARNING server: sni str(10.0.0.1) is left out: an address is no name for SNI; write verifyhost to verify it"}},
		{"", "accept-proxy", "send-proxy-v2 source 127.0.0.1", []string{
			"WARNING bind: accept-proxy is left out: peersd has no such thing",
			"WARNING server: send-proxy-v2 is left out: peersd has no such thing",
			"WARNING server: source is left out: peersd has no such thing"}},

		{"ssl-server-verify some", "", "", []string{"ALERT ssl-server-verify: unknown value 'some'; write none or required"}},
		{"ssl-default-bind-options ssl-min-ver TLSv9", "", "", []string{"ALERT ssl-default-bind-options: 'ssl-min-ver' needs one of SSLv3, TLSv1.0, TLSv1.1, TLSv1.2, TLSv1.3"}},
		{"unix-bind mode rw", "", "", []string{"ALERT unix-bind: mode 'rw' is none; write it as in mode 660"}},
		{"unix-bind uid me", "", "", []string{"ALERT unix-bind: uid 'me' is no number; write it as in uid 100"}},
		{"unix-bind user no-such-user", "group no-such-group", "", []string{
			"ALERT unix-bind: there is no user 'no-such-user'; make one, or write uid NUMBER",
			"ALERT bind: there is no group 'no-such-group'; make one, or write gid NUMBER"}},
	} {
		t.Run("", func(t *testing.T) {
			p := read(t, dir, test.global, test.bind, test.server)
			var got []string
			for _, m := range p.said {
				what, text, _ := strings.Cut(m.Text, " : ")
				what, _, _ = strings.Cut(strings.Trim(what, "'"), " ")
				got = append(got, m.Severity.String()+" "+what+": "+strings.ReplaceAll(text, dir, "DIR"))
				if m.Pos.File == "" || m.Pos.Line == 0 {
					t.Errorf("no line: %v", m)
				}
			}
			if g, w := strings.Join(got, "\n"), strings.Join(test.want, "\n"); g != w {
				t.Errorf("global %q, bind %q, server %q:\n%s\nwant\n%s", test.global, test.bind, test.server, g, w)
			}
		})
	}
}

// What is said has the line, as HAProxy writes it.
func TestMessage(t *testing.T) {
	p := read(t, "/nowhere", "", "ssl crt DIR/a.pem", "")
	if got := p.said[0].String(); !strings.HasPrefix(got, "[ALERT] parsing [") || !strings.Contains(got, ":4] : 'bind 127.0.0.1:1' : crt : can't read") {
		t.Error(got)
	}
}

// A file that can't be read is said to be so: who runs the tests as root may read all.
func TestUnreadable(t *testing.T) {
	dir := folder(t)
	for _, name := range []string{"lb1.pem", "beside.pem.key", "ca.pem", "cas/ca.pem"} {
		path := filepath.Join(dir, name)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, path); err != nil { // a loop
			t.Fatal(err)
		}
	}
	p := read(t, dir, "", "ssl crt DIR/lb1.pem crt DIR/beside.pem", "ssl ca-file DIR/ca.pem")
	if len(p.said) != 3 {
		t.Errorf("%v", p.said)
	}
	for _, m := range p.said {
		if !strings.Contains(m.Text, "too many levels of symbolic links") {
			t.Error(m)
		}
	}
}

// default-path is where names of files begin that ca-base and crt-base leave relative.
func TestPath(t *testing.T) {
	at := haproxycfg.Position{File: "/etc/haproxy/conf.d/1.cfg", Line: 1}
	for _, test := range []struct{ defaultPath, base, file, want string }{
		{"", "", "a.pem", "a.pem"},
		{"", "", "/a.pem", "/a.pem"},
		{"", "/base", "a.pem", "/base/a.pem"},
		{"", "base", "a.pem", "base/a.pem"},
		{"current", "", "a.pem", "a.pem"},
		{"config", "", "a.pem", "/etc/haproxy/conf.d/a.pem"},
		{"config", "base", "a.pem", "/etc/haproxy/conf.d/base/a.pem"},
		{"config", "/base", "a.pem", "/base/a.pem"},
		{"parent", "", "a.pem", "/etc/haproxy/a.pem"},
		{"origin /x", "", "a.pem", "/x/a.pem"},
		{"origin", "", "a.pem", "a.pem"},
	} {
		transport := &Transport{defaultPath: strings.Fields(test.defaultPath)}
		if got := transport.path(test.base, test.file, at); got != test.want {
			t.Errorf("default-path %s, base %s: %s is %s, want %s", test.defaultPath, test.base, test.file, got, test.want)
		}
	}
}
