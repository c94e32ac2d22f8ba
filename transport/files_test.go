package transport

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/testcert"
)

// A step changes files and says what comes of it.
type step struct {
	name           string
	change         func()
	accepts, dials string // as in TestTLS
	log            string // a part of what is new there; "" is for nothing
}

// run takes steps, one after the other, on one pair.
func run(t *testing.T, p *pair, steps []step) {
	t.Helper()
	read := 0
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			p.t = t
			s.change()
			p.expect(s.accepts, s.dials)
			log := p.log.String()[read:]
			read += len(log)
			if (log == "") != (s.log == "") || !strings.Contains(log, s.log) {
				t.Errorf("log %q, want %q", log, s.log)
			}
		})
	}
}

const (
	readAgain = `"message":"the file has changed and was read again"`
	kept      = "the file has changed and can't be used, what was read before stays in use: "
	notTaken  = "it doesn't take our certificate"
)

// Files that change count from the next handshake on; those that can't be used don't.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	ca, other := testcert.New(t, "ca"), testcert.New(t, "other")
	write := func(name string, parts ...[]byte) func() {
		return func() { testcert.Write(t, dir, name, parts...) }
	}
	short := ca.Issue(testcert.Request{Name: "peersd", NotAfter: time.Now().Add(-time.Minute)})
	long := ca.Issue(testcert.Request{Name: "peersd"})
	lb1, foreign := ca.Issue(testcert.Request{Name: "lb1"}), other.Issue(testcert.Request{Name: "lb1"})
	none, revoked := ca.Revoke(time.Now().Add(time.Hour)), ca.Revoke(time.Now().Add(time.Hour), lb1)
	write("peersd.pem", short.Both())()
	write("lb1.pem", lb1.Both())()
	write("ca.pem", ca.PEM())()
	write("list.crl", none)()

	p := open(t, dir, "", "ssl crt DIR/peersd.pem ca-file DIR/ca.pem crl-file DIR/list.crl verify required", "ssl ca-file DIR/ca.pem crt DIR/lb1.pem")
	run(t, p, []step{
		{"an expired certificate", func() {}, notTaken, "has expired", ""},
		{"is renewed", write("peersd.pem", long.Both()), "", "", readAgain},
		{"a file without its key", write("peersd.pem", long.Certificate), "", "", kept + "there is no private key in"},
		{"is said once", func() {}, "", "", ""},
		{"the key comes", write("peersd.pem.key", long.Key), "", "", readAgain},
		{"the key of another", write("peersd.pem.key", lb1.Key), "", "", kept + "the certificate"},
		{"a file that is away", func() { os.Remove(filepath.Join(dir, "peersd.pem")) }, "", "", kept + "can't read the certificate"},
		{"and back", write("peersd.pem", long.Both()), "", "", readAgain},
		{"a revoked client", write("list.crl", revoked), `the certificate of "lb1" was revoked`, notTaken, readAgain},
		{"a broken list", write("list.crl", revoked[:len(revoked)/2]), "was revoked", notTaken, kept + "there is no X509 CRL in"},
		{"is forgiven", write("list.crl", none), "", "", readAgain},
		{"a client of another authority", write("lb1.pem", foreign.Both()), "is not signed by", notTaken, readAgain},
		{"two authorities", write("ca.pem", ca.PEM(), other.PEM()), "there is no revocation list of \"other\"", notTaken, readAgain},
		{"and their lists", write("list.crl", none, other.Revoke(time.Now().Add(time.Hour))), "", "", readAgain},
		{"no authority at all", write("ca.pem", nil), "", "", kept + "there is no CERTIFICATE in"},
		{"a client that is back", write("lb1.pem", lb1.Both()), "", "", readAgain},
	})
}

// In a folder, files come and go; what the files say doesn't change where one of them
// can't be used.
func TestReloadFolder(t *testing.T) {
	dir := t.TempDir()
	ca := testcert.New(t, "ca")
	certs := filepath.Join(dir, "certs")
	if err := os.Mkdir(certs, 0o700); err != nil {
		t.Fatal(err)
	}
	testcert.Write(t, dir, "ca.pem", ca.PEM())
	issue := func(file, name string) func() {
		return func() { testcert.Write(t, certs, file, ca.Issue(testcert.Request{Name: name}).Both()) }
	}
	issue("1.pem", "lb1")()
	p := open(t, dir, "", "ssl crt DIR/certs", "ssl ca-file DIR/ca.pem sni str(lb2)")
	run(t, p, []step{
		{"not there yet", func() {}, notTaken, `is not for "lb2", but for "lb1"`, ""},
		{"comes", issue("2.pem", "lb2"), "", "", readAgain},
		{"one is broken", func() { testcert.Write(t, certs, "1.pem", nil) }, "", "", kept},
		{"all are well", issue("1.pem", "lb1"), "", "", readAgain},
		{"goes", func() { os.Remove(filepath.Join(certs, "2.pem")) }, notTaken, `is not for "lb2"`, readAgain},
	})
}

// A file that has been as it is for a while is not read at each handshake; its size,
// its time, and being another file each show that it has changed.
func TestSightOfAFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	long := time.Now().Add(-time.Hour)
	write := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write("a", long)
	reads := 0
	s := &source[string]{list: func() []string { return []string{path} }, load: func() (string, error) {
		reads++
		b, err := os.ReadFile(path)
		return string(b), err
	}}
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func()
		want   string
		reads  int
	}{
		{"as it was", func() {}, "a", 1},
		{"another size", func() { write("ab", long) }, "ab", 2},
		{"another time", func() { write("cd", long.Add(time.Second)) }, "cd", 3},
		{"as it was again", func() {}, "cd", 3},
		{"another file", func() {
			testcert.Write(t, dir, "f", []byte("ef"))
			if err := os.Chtimes(path, long, long.Add(time.Second)); err != nil {
				t.Fatal(err)
			}
		}, "ef", 4},
		{"just now", func() { write("gh", time.Now()) }, "gh", 5},
		{"just now, and it may change in the same instant", func() {}, "gh", 6},
		{"away", func() { os.Remove(path) }, "gh", 7},
		{"still away", func() {}, "gh", 7},
	} {
		if test.change(); s.get() != test.want || reads != test.reads {
			t.Errorf("%s: %q, %d reads, want %q, %d", test.name, s.value, reads, test.want, test.reads)
		}
	}
}
