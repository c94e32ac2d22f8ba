package e2e

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/config/haproxycfg"
	"github.com/peersd/peersd/internal/configcase"
	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/protocol"
)

// configLine is the line of HAProxy that the reader of configurations is held
// against.
const configLine = "3.2"

// The same files are accepted, and the same refused, for the same lines; with
// those that are accepted a HAProxy is started, and its tables, in `show table`
// and on the wire, are those that were read.
func TestConfig(t *testing.T) {
	r := haproxytest.Need(t, configLine)
	for _, c := range configcase.Load(t, "../config/haproxycfg/testdata") {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			v := newConfigCase(t, r, c)
			accepted, output := v.check()
			config, messages := v.read()
			if accepted != (config != nil) {
				t.Fatalf("HAProxy accepts: %v; read: %v\n\nHAProxy wrote:\n%s\npeersd:\n%v", accepted, config != nil, output, messages.Error())
			}
			if !accepted {
				v.compareLines(output, messages)
				return
			}
			v.compareNotices(output, messages)
			if !c.NotStarted {
				v.compareTables()
			}
		})
	}
}

// A configCase is a case in a folder of its own.
type configCase struct {
	*testing.T
	it      *configcase.Case
	haproxy haproxytest.Release
	dir     string
}

func newConfigCase(t *testing.T, r haproxytest.Release, c *configcase.Case) *configCase {
	v := &configCase{t, c, r, t.TempDir()}
	c.Write(t, v.dir, strings.NewReplacer())
	writeCertificate(t, v.dir)
	return v
}

// paths are those of -f, absolute.
func (v *configCase) paths() (paths []string) {
	for _, f := range v.it.Files {
		paths = append(paths, filepath.Join(v.dir, f))
	}
	return paths
}

func (v *configCase) args() (args []string) {
	for _, p := range v.paths() {
		args = append(args, "-f", p)
	}
	if v.it.LocalPeer != "" {
		args = append(args, "-L", v.it.LocalPeer)
	}
	return args
}

func (v *configCase) check() (accepted bool, output string) {
	v.Helper()
	accepted, output, err := v.haproxy.Check(v.dir, v.it.Environment(), v.args()...)
	if err != nil {
		v.Fatal(err)
	}
	return accepted, output
}

func (v *configCase) read() (*haproxycfg.Config, haproxycfg.Messages) {
	return haproxycfg.Read(haproxycfg.Options{Files: v.paths(), LocalPeer: v.it.LocalPeer, Environ: v.it.Environment()})
}

var alertPosition = regexp.MustCompile(`(?m)^\[ALERT\].*?\[([^\] ]+:\d+)\]`)

// compareLines compares which lines are refused. What HAProxy finds is found;
// and as it may stop at one of several lines, or name none, each that is found
// is put to it with all others blank.
func (v *configCase) compareLines(output string, messages haproxycfg.Messages) {
	v.Helper()
	found := map[haproxycfg.Position]bool{}
	for _, m := range messages.Of(haproxycfg.Alert) {
		if found[m.Pos] {
			v.Errorf("two messages on one line: %v", m)
		}
		found[m.Pos] = true
	}
	theirs := map[string]bool{}
	for _, m := range alertPosition.FindAllStringSubmatch(output, -1) {
		theirs[m[1]] = true
	}
	for pos := range theirs {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(found)), func(p haproxycfg.Position) bool { return p.String() == pos }) &&
			!namesOtherLine(output) {
			v.Errorf("HAProxy refuses %s, and peersd has nothing against it; HAProxy wrote:\n%s\npeersd:\n%v", pos, output, messages.Error())
		}
	}
	if len(found) < 2 {
		return
	}
	for pos := range found {
		if theirs[pos.String()] {
			continue
		}
		v.blankOthers(pos, found)
		if accepted, _ := v.check(); accepted {
			v.Errorf("HAProxy has nothing against line %v alone; peersd:\n%v", pos, messages.Error())
		}
		if config, _ := v.read(); config != nil {
			v.Errorf("line %v is refused only beside others", pos)
		}
	}
}

// namesOtherLine: of a block that is not closed HAProxy names the last line of
// the file, and peersd the .if; of two peers of one name HAProxy names the
// first, and peersd the second.
func namesOtherLine(output string) bool {
	return strings.Contains(output, "non-terminated '.if' block") || strings.Contains(output, "another peer named")
}

var notice = regexp.MustCompile(`(?m)^\[NOTICE\].*?parsing \[(\S+)\]: ('.*')\.$`)

// compareNotices compares what the files have to say.
func (v *configCase) compareNotices(output string, messages haproxycfg.Messages) {
	v.Helper()
	var got, want []string
	for _, m := range messages.Of(haproxycfg.Notice) {
		got = append(got, fmt.Sprintf("%v %s", m.Pos, m.Text))
	}
	for _, m := range notice.FindAllStringSubmatch(output, -1) {
		want = append(want, m[1]+" "+m[2])
	}
	if !slices.Equal(got, want) {
		v.Errorf("notices:\n%s\nHAProxy's:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// blankOthers writes the files anew, without the lines found but one.
func (v *configCase) blankOthers(keep haproxycfg.Position, found map[haproxycfg.Position]bool) {
	v.Helper()
	v.it.Write(v, v.dir, strings.NewReplacer())
	for _, path := range v.paths() {
		text, err := os.ReadFile(path)
		if err != nil {
			v.Fatal(err)
		}
		lines := strings.SplitAfter(string(text), "\n")
		for pos := range found {
			if pos.File == path && pos != keep {
				lines[pos.Line-1] = "\n"
			}
		}
		if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
			v.Fatal(err)
		}
	}
}

// compareTables starts a HAProxy with the files, on a loopback address of its
// own.
func (v *configCase) compareTables() {
	v.Helper()
	host := haproxytest.Host(v)
	v.it.Write(v, v.dir, strings.NewReplacer("127.0.0.1", host, "/run/peers", v.dir,
		"lb1.pem", filepath.Join(v.dir, "lb1.pem"), "ca.pem", filepath.Join(v.dir, "ca.pem")))
	config, messages := v.read()
	if config == nil {
		v.Fatal(messages)
	}
	o := haproxytest.Options{Name: v.it.LocalPeer, Env: v.it.Environment()}
	for _, p := range v.paths() {
		o.Args = append(o.Args, "-f", p)
	}
	p := v.haproxy.StartWith(v, o)

	var want []string
	for _, t := range config.Tables {
		want = append(want, fmt.Sprintf("%s %v %d", t.Name, t.KeyType, t.Size))
	}
	if got := shownTables(v, p); !equalSets(got, want) {
		v.Errorf("show table:\n%s\nread:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	want = nil
	for _, s := range config.Peers {
		want = append(want, configuredPeers(s)...)
		v.compareDefinitions(s, config.LocalPeer)
	}
	if got := shownPeers(v, p); !equalSets(got, want) {
		v.Errorf("show peers:\n%s\nread:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

var shownPeer = regexp.MustCompile(`(?m)^0x\w+: .* id=(\S+) disabled=|^  0x\w+: id=(\S+)\((local|remote),\w+\) addr=(\S+) `)

// shownPeers are the section, name, kind and address of all peers.
func shownPeers(t testing.TB, p *haproxytest.Process) (peers []string) {
	t.Helper()
	section := ""
	for _, m := range shownPeer.FindAllStringSubmatch(p.MustCommand(t, "show peers"), -1) {
		if m[1] != "" {
			section = m[1]
		} else {
			peers = append(peers, strings.Join([]string{section, m[2], m[3], m[4]}, " "))
		}
	}
	return peers
}

// configuredPeers are those of a section that was read, as shownPeers has them.
func configuredPeers(s *haproxycfg.Peers) (peers []string) {
	if s.Disabled || s.Local == nil {
		return nil
	}
	for _, p := range append(s.Remote, s.Local) {
		kind := "remote"
		if p == s.Local {
			kind = "local"
		}
		address := "unix:0"
		if a := p.Address; a.Family == haproxycfg.TCP {
			host := strings.NewReplacer("localhost", "127.0.0.1").Replace(a.Host)
			address = fmt.Sprintf("%s:%d", cmp.Or(host, "0.0.0.0"), a.Port)
		}
		peers = append(peers, strings.Join([]string{s.Name, p.Name, kind, address}, " "))
	}
	return peers
}

var shownTable = regexp.MustCompile(`(?m)^# table: (.*), type: (\w+), size:(\d+), used:\d+$`)

// shownTables are name, type and size of all tables.
func shownTables(t testing.TB, p *haproxytest.Process) (tables []string) {
	t.Helper()
	for _, m := range shownTable.FindAllStringSubmatch(p.MustCommand(t, "show table"), -1) {
		tables = append(tables, strings.Join(m[1:], " "))
	}
	return tables
}

func equalSets(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// compareDefinitions asks for a lesson, in which each table is defined. Where
// HAProxy listens with TLS, or nowhere, or has nobody to speak to, it can't be
// asked.
func (v *configCase) compareDefinitions(s *haproxycfg.Peers, local string) {
	v.Helper()
	if s.Disabled || s.Local == nil || s.Listen == nil || s.Listen.TLS.Enabled || s.Listen.Address.Family != haproxycfg.TCP || len(s.Remote) == 0 {
		return
	}
	nc, err := net.Dial("tcp", s.Listen.Address.String())
	if err != nil {
		v.Fatal(err)
	}
	p := newFakePeer(v, nc)
	p.send(protocol.AppendHello(nil, protocol.Hello{Version: protocol.Version21, Remote: local, Local: s.Remote[0].Name, PID: 1, Relative: 1}))
	if status := p.line(); status != "200" {
		v.Fatalf("peers %s: status %q to %s", s.Name, status, s.Remote[0].Name)
	}
	p.send(message(protocol.ResyncRequest))
	var got, want []string
	for {
		f, err := p.r.Next()
		if err != nil {
			v.Fatalf("peers %s: no end of the lesson: %v", s.Name, err)
		}
		switch f.Type {
		case protocol.DefinitionMessage:
			def, err := protocol.ParseDefinition(f.Payload)
			if err != nil {
				v.Fatal(err)
			}
			got = append(got, def.String())
			continue
		case protocol.ResyncRequest:
			p.send(message(protocol.ResyncPartial))
			continue
		case protocol.ResyncFinished, protocol.ResyncPartial:
		default:
			continue
		}
		break
	}
	for _, t := range s.Tables {
		want = append(want, t.Definition().String())
	}
	if !equalSets(got, want) {
		v.Errorf("peers %s on the wire:\n%s\nread:\n%s", s.Name, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// writeCertificate writes lb1.pem, a certificate with its key, and ca.pem.
func writeCertificate(t testing.TB, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lb1"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	for name, text := range map[string][]byte{"ca.pem": ca, "lb1.pem": append(slices.Clone(ca), private...)} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
