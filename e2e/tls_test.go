package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/internal/testcert"
)

// The tests of TLS and of UNIX sockets have one HAProxy, lb1, and a peersd, each with
// a haproxy.cfg of its own.

// secureWithin is how long is waited for what has to come: HAProxy dials again after
// seconds.
const secureWithin = 30 * time.Second

// A side is what one of the two has in its peers section. DIR is the folder of the
// files.
type side struct {
	bind, server string // options of its bind line, and of its line for the other
}

// section is the peers section of self, who knows other.
func (s side) section(dir, self, address, other, otherAddress string) string {
	return strings.ReplaceAll(fmt.Sprintf(`
peers mypeers
    bind %s %s
    default-server %s
    server %s
    server %s %s
    table t1 type string len 32 size 100k expire 1h store gpc0
`, address, s.bind, s.server, self, other, otherAddress), "DIR", dir)
}

// A couple is the two of them.
type couple struct {
	t                   *testing.T
	release             haproxytest.Release
	dir                 string
	file                string // haproxy.cfg of peersd
	address, lb1Address string // that peersd listens on, and the HAProxy

	lb1    hap
	daemon *daemon
}

func newCouple(t *testing.T, r haproxytest.Release, dir string) *couple {
	host := haproxytest.Host(t)
	return &couple{t: t, release: r, dir: dir, file: filepath.Join(dir, "haproxy.cfg"),
		address: fmt.Sprint(host, ":", portPeersd), lb1Address: fmt.Sprint(host, ":", portLB)}
}

// startHAProxy starts lb1.
func (p *couple) startHAProxy(s side) {
	p.t.Helper()
	p.lb1 = hap{p.release.Start(p.t, "lb1", s.section(p.dir, "lb1", p.lb1Address, "peersd", p.address))}
}

// restartHAProxy kills lb1 and starts it again.
func (p *couple) restartHAProxy() {
	p.t.Helper()
	again, err := p.lb1.Restart()
	if err != nil {
		p.t.Fatal(err)
	}
	p.lb1 = hap{again}
}

// start starts peersd, as haproxy.cfg says it.
func (p *couple) start(s side, args ...string) {
	p.t.Helper()
	p.write(s)
	p.daemon = newDaemon(p.t, "", 0)
	p.daemon.args = append([]string{"serve", "-f", p.file, "-L", "peersd", "--socket", p.daemon.socket, "--log-level", "debug"}, args...)
	p.daemon.start()
}

// write writes peersd's haproxy.cfg.
func (p *couple) write(s side) {
	p.t.Helper()
	if err := os.WriteFile(p.file, []byte(s.section(p.dir, "peersd", p.address, "lb1", p.lb1Address)), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// mirrors: what the HAProxy has comes to peersd, and what is changed here to the
// HAProxy, which has all of it back after a kill.
func (p *couple) mirrors() {
	p.t.Helper()
	p.lb1.MustCommand(p.t, "set table mypeers/t1 key there data.gpc0 7")
	same := func() error { return same("mypeers/t1", p.lb1, p.daemon) }
	eventually(p.t, secureWithin, "peersd has what the HAProxy has", same)
	if err := admin.Do(p.daemon.socket, "set table mypeers/t1 key here data.gpc0 8", io.Discard); err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, secureWithin, "the HAProxy has what peersd has", same)
	p.restartHAProxy()
	eventually(p.t, secureWithin, "the HAProxy has its table back", func() error {
		if t := p.lb1.MustTable(p.t, "mypeers/t1"); t.Used != 2 {
			return fmt.Errorf("%d entries", t.Used)
		}
		return same()
	})
}

// says waits until the log has a line with each of the texts.
func (p *couple) says(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		eventually(p.t, secureWithin, fmt.Sprintf("the log says %q", text), func() error {
			if !strings.Contains(p.daemon.log.String(), text) {
				return errors.New("it does not")
			}
			return nil
		})
	}
}

// A pki are authorities, and a folder with their files.
type pki struct {
	t         *testing.T
	dir       string
	ca, other *testcert.Authority
	lb1       testcert.Certificate
}

// newPKI makes the files that all tests need: certificates of lb1 and peersd, and
// empty revocation lists.
func newPKI(t *testing.T) *pki {
	t.Helper()
	dir, err := os.MkdirTemp("", "peersd-tls-") // a short name, as sockets need
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	k := &pki{t: t, dir: dir, ca: testcert.New(t, "ca"), other: testcert.New(t, "other")}
	k.write("ca.pem", k.ca.PEM())
	k.lb1 = k.ca.Issue(testcert.Request{Name: "lb1"})
	k.write("lb1.pem", k.lb1.Both())
	k.issue("peersd", testcert.Request{Name: "peersd"})
	k.revoke("lb1-has.crl")
	k.revoke("peersd-has.crl")
	return k
}

func (k *pki) write(name string, parts ...[]byte) { testcert.Write(k.t, k.dir, name, parts...) }

// issue writes a certificate of ca.
func (k *pki) issue(file string, r testcert.Request) testcert.Certificate {
	c := k.ca.Issue(r)
	k.write(file+".pem", c.Both())
	return c
}

// revoke writes a list of ca.
func (k *pki) revoke(file string, revoked ...testcert.Certificate) {
	k.write(file, k.ca.Revoke(time.Now().Add(time.Hour), revoked...))
}

// mutual is where both verify each other.
func mutual(name string) side {
	crt := "ssl crt DIR/" + name + ".pem ca-file DIR/ca.pem"
	return side{crt + " verify required", crt}
}

func (s side) with(bind, server string) side {
	return side{s.bind + " " + bind, s.server + " " + server}
}

// What haproxy.cfg says of TLS, HAProxy and peersd understand alike.
func TestTLS(t *testing.T) {
	ours, theirs := mutual("peersd"), mutual("lb1")
	for _, test := range []struct {
		name         string
		ours, theirs side
	}{
		{"of servers", side{"ssl crt DIR/peersd.pem", "ssl ca-file DIR/ca.pem"}, side{"ssl crt DIR/lb1.pem", "ssl ca-file DIR/ca.pem"}},
		{"not verified", side{"ssl crt DIR/peersd.pem", "ssl verify none"}, side{"ssl crt DIR/lb1.pem", "ssl verify none"}},
		{"mutual", ours, theirs},
		{"mutual, TLS 1.2", ours.with("ssl-max-ver TLSv1.2 ciphers ECDHE-ECDSA-AES256-GCM-SHA384", "no-tlsv13"), theirs.with("", "")},
		{"names", ours.with("strict-sni", "sni str(lb1)"), theirs.with("strict-sni", "sni str(peersd) verifyhost peersd")},
		{"revocation lists", ours.with("crl-file DIR/peersd-has.crl", "crl-file DIR/peersd-has.crl"), theirs.with("crl-file DIR/lb1-has.crl", "crl-file DIR/lb1-has.crl")},
		{"ALPN", ours.with("alpn peers", "alpn peers"), theirs.with("alpn peers,more", "alpn more")},
	} {
		t.Run(test.name, func(t *testing.T) {
			haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
				p := newCouple(t, r, newPKI(t).dir)
				p.startHAProxy(test.theirs)
				p.start(test.ours)
				p.mirrors()
			})
		})
	}
}

// Who is refused, what the log says of it in both directions, and that it comes
// through when its files are better: peersd is not started again.
func TestTLSRefused(t *testing.T) {
	ours, theirs := mutual("peersd"), mutual("lb1")
	const broken = "connection refused: not secure: it breaks off the TLS handshake, as OpenSSL does where it doesn't take our certificate"
	expired := time.Now().Add(-time.Minute)
	for _, test := range []struct {
		name         string
		ours, theirs side
		spoil        func(k *pki)
		says         []string
		mend         func(k *pki, p *couple)
	}{
		{
			name: "a wrong authority", ours: ours, theirs: theirs,
			spoil: func(k *pki) { k.write("lb1.pem", k.other.Issue(testcert.Request{Name: "lb1"}).Both()) },
			says: []string{
				`connection refused: not secure: the certificate of \"lb1\" is not signed by an authority in ca-file, but by \"CN=other\"`,
				`can't connect securely: the certificate of \"lb1\" is not signed by an authority in ca-file, but by \"CN=other\"`},
			mend: func(k *pki, p *couple) {
				k.issue("lb1", testcert.Request{Name: "lb1"})
				p.restartHAProxy()
			},
		},
		{
			name: "our wrong authority", ours: ours, theirs: theirs,
			spoil: func(k *pki) { k.write("peersd.pem", k.other.Issue(testcert.Request{Name: "peersd"}).Both()) },
			says:  []string{broken, "it gave no status: it doesn't take our certificate: unknown certificate authority; see"},
			mend:  func(k *pki, p *couple) { k.issue("peersd", testcert.Request{Name: "peersd"}) },
		},
		{
			name: "an expired certificate", ours: ours, theirs: theirs,
			spoil: func(k *pki) { k.issue("lb1", testcert.Request{Name: "lb1", NotAfter: expired}) },
			says: []string{
				`connection refused: not secure: the certificate of \"lb1\" has expired at`,
				`can't connect securely: the certificate of \"lb1\" has expired at`},
			mend: func(k *pki, p *couple) {
				k.issue("lb1", testcert.Request{Name: "lb1"})
				p.restartHAProxy()
			},
		},
		{
			name: "our expired certificate", ours: ours, theirs: theirs,
			spoil: func(k *pki) { k.issue("peersd", testcert.Request{Name: "peersd", NotAfter: expired}) },
			says:  []string{broken, "it gave no status: it doesn't take our certificate: expired certificate; see"},
			mend:  func(k *pki, p *couple) { k.issue("peersd", testcert.Request{Name: "peersd"}) },
		},
		{
			name: "a revoked certificate", theirs: theirs,
			ours:  ours.with("crl-file DIR/peersd-has.crl", "crl-file DIR/peersd-has.crl"),
			spoil: func(k *pki) { k.revoke("peersd-has.crl", k.lb1) },
			says: []string{
				`connection refused: not secure: the certificate of \"lb1\" was revoked at`,
				`can't connect securely: the certificate of \"lb1\" was revoked at`},
			mend: func(k *pki, p *couple) { k.revoke("peersd-has.crl") },
		},
		{
			name: "our revoked certificate", ours: ours,
			theirs: theirs.with("crl-file DIR/lb1-has.crl", "crl-file DIR/lb1-has.crl"),
			spoil:  func(k *pki) { k.revoke("lb1-has.crl", k.issue("peersd", testcert.Request{Name: "peersd"})) },
			says:   []string{broken, "it gave no status: it doesn't take our certificate: revoked certificate; see"},
			mend:   func(k *pki, p *couple) { k.issue("peersd", testcert.Request{Name: "peersd"}) },
		},
		{
			name: "a name of another", ours: ours.with("", "verifyhost lb1"), theirs: theirs,
			spoil: func(k *pki) { k.issue("lb1", testcert.Request{Name: "lb2"}) },
			says: []string{
				`connection refused: \"lb1\" is no name in the certificate that it has shown, that is for \"lb2\"`,
				`can't connect securely: the certificate is not for \"lb1\", but for \"lb2\"`},
			mend: func(k *pki, p *couple) {
				k.issue("lb1", testcert.Request{Name: "lb1"})
				p.restartHAProxy()
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
				k := newPKI(t)
				p := newCouple(t, r, k.dir)
				test.spoil(k)
				p.startHAProxy(test.theirs)
				p.start(test.ours, "--tls-names")
				p.says(test.says...)
				if strings.Contains(p.daemon.log.String(), "session established") {
					t.Error("there is a session")
				}
				test.mend(k, p)
				p.mirrors()
			})
		})
	}
}

// Certificates are renewed and revoked while there is a session, which stays.
func TestTLSRenewed(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		k := newPKI(t)
		p := newCouple(t, r, k.dir)
		p.startHAProxy(mutual("lb1").with("crl-file DIR/lb1-has.crl", "crl-file DIR/lb1-has.crl"))
		p.start(mutual("peersd").with("crl-file DIR/peersd-has.crl", "crl-file DIR/peersd-has.crl"))
		p.mirrors()

		// HAProxy reads its files at its start only: it takes the new one, or nobody.
		first := k.issue("peersd", testcert.Request{Name: "peersd"})
		k.revoke("lb1-has.crl", first)
		k.issue("peersd", testcert.Request{Name: "peersd"})
		p.mirrors()
		p.says("the file has changed and was read again")

		// lb1 has a session, loses its certificate, and with the session all that it had.
		k.revoke("peersd-has.crl", k.lb1)
		p.lb1.MustCommand(t, "set table mypeers/t1 key still data.gpc0 9")
		eventually(t, secureWithin, "the session is there", func() error { return same("mypeers/t1", p.lb1, p.daemon) })
		p.restartHAProxy()
		p.says(`connection refused: not secure: the certificate of \"lb1\" was revoked at`, `can't connect securely: the certificate of \"lb1\" was revoked at`)
		if got := p.lb1.MustTable(t, "mypeers/t1"); got.Used != 0 {
			t.Errorf("it was taught %d entries", got.Used)
		}

		// A broken list is no list: the old one counts.
		k.write("peersd-has.crl", []byte("broken"))
		p.says("the file has changed and can't be used, what was read before stays in use: there is no X509 CRL in")
		k.issue("lb1", testcert.Request{Name: "lb1"})
		p.restartHAProxy()
		eventually(t, secureWithin, "the HAProxy has its table back", func() error { return same("mypeers/t1", p.lb1, p.daemon) })
	})
}

// A lesson of many records, and what is changed in its course.
func TestTLSLesson(t *testing.T) {
	const entries, atOnce = 50_000, 250
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		p := newCouple(t, r, newPKI(t).dir)
		p.startHAProxy(mutual("lb1"))
		p.start(mutual("peersd"))
		p.mirrors()
		for i := 0; i < entries; i += atOnce {
			var line strings.Builder
			for n := range atOnce {
				fmt.Fprintf(&line, "set table mypeers/t1 key k%d data.gpc0 %d;", i+n, i+n)
			}
			if err := admin.Do(p.daemon.socket, line.String(), io.Discard); err != nil {
				t.Fatal(err)
			}
		}
		same := func() error { return same("mypeers/t1", p.lb1, p.daemon) }
		eventually(t, secureWithin, "the HAProxy has all that was changed", same)
		p.restartHAProxy()
		p.lb1.MustCommand(t, "set table mypeers/t1 key meanwhile data.gpc0 1")
		eventually(t, secureWithin, "the HAProxy has all that it was taught", same)
		if got := p.lb1.MustTable(t, "mypeers/t1").Used; got != entries+3 {
			t.Errorf("%d entries, want %d", got, entries+3)
		}
	})
}

// A reload touches no session that the file has not changed, TLS or none; one that it
// has changed is made again as it says now.
func TestTLSReload(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		k := newPKI(t)
		p := newCouple(t, r, k.dir)
		p.startHAProxy(mutual("lb1"))
		ours := mutual("peersd")
		p.start(ours)
		p.mirrors()
		sessions := func() string { return p.daemon.peerField("lb1", "new_conn") }
		before := sessions()
		reload := func(s side) {
			t.Helper()
			p.write(s)
			if err := admin.Do(p.daemon.socket, "reload", io.Discard); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range []side{ours, ours.with("ssl-min-ver TLSv1.2", ""), ours} {
			reload(s)
			p.lb1.MustCommand(t, "set table mypeers/t1 key "+fmt.Sprint("k", len(s.bind))+" data.gpc0 1")
			eventually(t, secureWithin, "the session goes on", func() error { return same("mypeers/t1", p.lb1, p.daemon) })
		}
		if after := sessions(); after != before {
			t.Errorf("%s sessions, and there were %s before", after, before)
		}

		// Not one that can't be read, nor one that the other end has nothing for.
		k.write("broken.pem", []byte("broken"))
		p.write(side{"ssl crt DIR/broken.pem", "ssl verify none"})
		var said strings.Builder
		err := admin.Do(p.daemon.socket, "reload", &said)
		if err == nil || !strings.Contains(said.String()+err.Error(), "there is no private key in "+filepath.Join(k.dir, "broken.pem")) {
			t.Errorf("%s, %v", &said, err)
		}
		if after := sessions(); after != before {
			t.Errorf("%s sessions, and there were %s before", after, before)
		}
		reload(ours.with("", "verifyhost lb2"))
		p.says(`can't connect securely: the certificate is not for \"lb2\"`)
		reload(ours)
		p.restartHAProxy()
		eventually(t, secureWithin, "the HAProxy has its table back", func() error { return same("mypeers/t1", p.lb1, p.daemon) })
	})
}

// One end has TLS and the other has none.
func TestTLSOfOneEnd(t *testing.T) {
	plain := side{}
	for _, test := range []struct {
		name         string
		ours, theirs side
		says         []string
	}{
		{"ours", mutual("peersd"), plain, []string{"connection refused: not secure: it speaks without TLS; write ssl on its server line for us", "ssl on its bind line"}},
		{"theirs", plain, mutual("lb1"), []string{"connection refused: it speaks TLS, and we don't; write ssl and crt on our bind line, or remove ssl from its server line for us"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
				p := newCouple(t, r, newPKI(t).dir)
				p.startHAProxy(test.theirs)
				p.start(test.ours)
				p.says(test.says...)
			})
		})
	}
}

// Peers that meet over UNIX sockets, which a peersd that was killed has left behind.
func TestUnixSockets(t *testing.T) {
	for _, test := range []struct {
		name         string
		ours, theirs side
	}{
		{"plain", side{"mode 600", ""}, side{"mode 600", ""}},
		{"mutual", mutual("peersd").with("mode 600", ""), mutual("lb1").with("mode 600", "")},
	} {
		t.Run(test.name, func(t *testing.T) {
			haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
				p := newCouple(t, r, newPKI(t).dir)
				path := filepath.Join(p.dir, "p")
				p.address, p.lb1Address = "unix@"+path, "unix@"+filepath.Join(p.dir, "l")
				p.start(test.ours)
				p.daemon.kill()
				if _, err := os.Lstat(path); err != nil {
					t.Errorf("the socket of who was killed: %v", err)
				}
				p.startHAProxy(test.theirs)
				p.start(test.ours)
				if info, err := os.Lstat(path); err != nil || info.Mode() != os.ModeSocket|0o600 {
					t.Errorf("%v, %v", info.Mode(), err)
				}
				p.mirrors()
				p.daemon.stop()
				if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the socket is left behind: %v", err)
				}
				p.start(test.ours)
				eventually(t, secureWithin, "the next peersd has what the HAProxy has", func() error { return same("mypeers/t1", p.lb1, p.daemon) })
			})
		})
	}
}
