package haproxycfg

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/peersd/peersd/internal/configcase"
	"github.com/peersd/peersd/protocol"
)

const minimal = "peers p\n peer lb1 127.0.0.1:1\n peer lb2 127.0.0.1:2\n"

// readText reads one file that is in memory.
func readText(text string) (*Config, Messages) {
	return parse([]source{{"haproxy.cfg", text}}, Options{LocalPeer: "lb1", Environ: []string{"HOME=/root"}})
}

func mustRead(t *testing.T, text string) *Config {
	t.Helper()
	c, messages := readText(text)
	if c == nil {
		t.Fatal(messages)
	}
	return c
}

// An alert leaves no configuration, and each is one line with its place.
func TestReadAlert(t *testing.T) {
	c, messages := readText(minimal + " table t type ip\n\tfoo\n")
	if c != nil {
		t.Errorf("a configuration in spite of %v", messages)
	}
	err := messages.Err()
	const want = "[ALERT] parsing [haproxy.cfg:4] : table: missing size; write size and the most entries, as in size 100k\n" +
		"[ALERT] parsing [haproxy.cfg:5] : unknown keyword 'foo' in 'peers' section; there are peer, bind, server, default-bind, default-server, table, shards, log, disabled and enabled"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
	if _, messages := readText(minimal); messages.Err() != nil {
		t.Error(messages.Err())
	}
}

func TestReadTooManyAlerts(t *testing.T) {
	_, messages := readText(minimal + strings.Repeat(" foo\n", 60))
	alerts := messages.Of(Alert)
	if len(alerts) != maxAlerts+1 || !strings.Contains(alerts[maxAlerts].Text, "too many errors") {
		t.Errorf("%d alerts, the last is %v", len(alerts), alerts[len(alerts)-1])
	}
}

// Variables that double from line to line are stopped.
func TestReadGrowing(t *testing.T) {
	_, messages := readText("global\n setenv A aaaaaaaa\n" + strings.Repeat(" setenv A \"$A$A\"\n", 40))
	if err := messages.Err(); err == nil || !strings.Contains(err.Error(), "too long with the value of A") {
		t.Error(err)
	}
}

// What can't be opened is said with its name, before anything is read.
func TestReadFiles(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good.cfg")
	if err := os.WriteFile(good, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(dir, "missing.cfg")
	c, messages := Read(Options{Files: []string{good, missing}})
	if c != nil || len(messages) != 1 || !strings.Contains(messages.Error(), missing) {
		t.Errorf("%v, %v", c, messages)
	}
	if err := os.Symlink(missing, filepath.Join(dir, "link.cfg")); err != nil {
		t.Fatal(err)
	}
	if c, messages := Read(Options{Files: []string{dir}}); c != nil || !strings.Contains(messages.Error(), "link.cfg") {
		t.Errorf("%v, %v", c, messages)
	}
	if err := os.Remove(filepath.Join(dir, "link.cfg")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder.cfg"), 0o700); err != nil {
		t.Fatal(err)
	}
	if c, messages := Read(Options{Files: []string{dir}, LocalPeer: "lb1"}); c == nil || !slices.Equal(c.Files, []string{good}) {
		t.Errorf("%+v, %v", c, messages)
	}
}

// Without -L and localpeer the host has the name.
func TestLocalPeer(t *testing.T) {
	for _, tt := range []struct {
		given, text, want string
	}{
		{"lb1", "", "lb1"},
		{"lb1", "global\n localpeer lb2\n", "lb1"},
		{"", "global\n localpeer lb2\n", "lb2"},
		{"", "", "host1"},
	} {
		c, messages := parse([]source{{"a", tt.text}}, Options{LocalPeer: tt.given, Hostname: "host1"})
		if c == nil || c.LocalPeer != tt.want {
			t.Errorf("%+v: %+v, %v", tt, c, messages)
		}
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := parse(nil, Options{}); c.LocalPeer != host {
		t.Errorf("%q, want the host's %q", c.LocalPeer, host)
	}
}

// A file changes its own environment, not that of this process.
func TestEnvironmentIsOurs(t *testing.T) {
	t.Setenv("PEERSD_TEST_A", "a")
	before := os.Environ()
	c, messages := parse([]source{{"a", "global\n setenv PEERSD_TEST_B \"${PEERSD_TEST_A}b\"\n unsetenv PEERSD_TEST_A\n resetenv PEERSD_TEST_B\n" +
		minimal + " table \"t-${PEERSD_TEST_B-}${PEERSD_TEST_A-}\" type ip size 1\n"}}, Options{LocalPeer: "lb1"})
	if c == nil || c.Tables[0].Wire != "/t-b" && c.Tables[0].Wire != "/t-ab" {
		t.Errorf("%+v, %v", c, messages)
	}
	if !slices.Equal(os.Environ(), before) {
		t.Error("the environment of this process has changed")
	}
}

func TestMasterWorker(t *testing.T) {
	const text = "global\n setenv A \"${B-early}\"\n setenv B late\n" + minimal + " table \"$A\" type ip size 1\n"
	if c := mustRead(t, text); c.Tables[0].Wire != "/late" {
		t.Errorf("%v", c.Tables[0])
	}
	// The worker begins with the environment of the start.
	if c := mustRead(t, "global\n master-worker\n.if !defined(HAPROXY_MWORKER)\n.alert none\n.endif\n"+text); c.Tables[0].Wire != "/early" {
		t.Errorf("%v", c.Tables[0])
	}
}

// A table knows its definition: e2e compares it with that of HAProxy.
func TestDefinition(t *testing.T) {
	c := mustRead(t, minimal+" table t type string len 8 size 5 expire 3s store gpc(2),gpc_rate(3,4s),bytes_in_rate(1m)\n")
	got := c.Tables[0].Definition()
	want := &protocol.Definition{Name: "/t", KeyType: protocol.KeyString, KeyLen: 9, Expire: 3000,
		Types: 1<<protocol.GPCArray | 1<<protocol.GPCRateArray | 1<<protocol.BytesInRate}
	want.Params[protocol.GPCArray].Elements = 2
	want.Params[protocol.GPCRateArray] = protocol.Params{Elements: 3, Period: 4000}
	want.Params[protocol.BytesInRate].Period = 60000
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// What TLS a line has, in all words that there are.
func TestTLS(t *testing.T) {
	c := mustRead(t, `global
 ca-base /etc/ca
 ssl-default-bind-ciphers HIGH
peers p
 bind 127.0.0.1:1 ssl crt a crt b default-crt c crt-list d ca-file e ca-verify-file f ca-sign-file g ca-sign-pass h crl-file i verify optional
 default-bind alpn j npn k ciphers l ciphersuites m curves n ecdhe o sigalgs p client-sigalgs q ssl-min-ver TLSv1.1 ssl-max-ver TLSv1.3
 default-bind no-sslv3 no-tlsv10 no-sslv3 no-tls-tickets tls-ticket-keys r strict-sni no-alpn
 default-server verify none crt s no-tls-tickets no-sslv3
 server lb1 ssl
 server lb2 127.0.0.1:2 ssl sni str(x) verifyhost t force-tlsv12 tls-tickets no-ssl
`)
	bind := TLS{Enabled: true, Certificates: []string{"a", "b", "c"}, CertificateLists: []string{"d"}, CAFile: "e", CAVerifyFile: "f",
		CASignFile: "g", CASignPass: "h", CRLFile: "i", Verify: "optional", NPN: "k", Ciphers: "l", CipherSuites: "m", Curves: "n", ECDHE: "o",
		SigAlgs: "p", ClientSigAlgs: "q", MinVersion: "TLSv1.1", MaxVersion: "TLSv1.3", WithoutVersions: []string{"SSLv3", "TLSv1.0"},
		NoTickets: true, TicketKeys: "r", StrictSNI: true}
	remote := TLS{Certificates: []string{"s"}, Verify: "none", SNI: "str(x)", VerifyHost: "t", ForcedVersion: "TLSv1.2"}
	s := c.Peers[0]
	if !reflect.DeepEqual(s.Listen.TLS, bind) {
		t.Errorf("bind: %+v\nwant %+v", s.Listen.TLS, bind)
	}
	if got := s.Remote[0].TLS; !reflect.DeepEqual(got, remote) {
		t.Errorf("server: %+v\nwant %+v", got, remote)
	}
	if o := s.Remote[0].Options[1]; o.String() != "crt s" {
		t.Errorf("%v", o)
	}
	var global []string
	for _, st := range c.Global {
		global = append(global, strings.Join(st.Words, " "))
	}
	if want := []string{"ca-base /etc/ca", "ssl-default-bind-ciphers HIGH"}; !slices.Equal(global, want) {
		t.Errorf("%q, want %q", global, want)
	}
}

// Each option that there is in addition to those of config-parser can be read,
// and none of those can by itself: else it needn't be there.
func TestMoreOptions(t *testing.T) {
	for _, v := range []*vocabulary{&bindOptions, &serverOptions} {
		for name, n := range v.more {
			w := words{name, "x"}[:1+n]
			o, err := v.options(w)
			if err != nil || len(o) != 1 || o[0].Name != name {
				t.Errorf("%s: %v, %v", w, o, err)
			}
			if _, n := v.parse(w); n > 0 {
				t.Errorf("config-parser knows %q of a %s line", w, v.line)
			}
			if n > 0 {
				if o, err := v.options(words{name}); err == nil {
					t.Errorf("%s without a value: %v", name, o)
				}
			}
		}
		for _, name := range v.less {
			if _, err := v.options(words{name, "x"}); err == nil {
				t.Errorf("%s is taken on a %s line", name, v.line)
			}
		}
	}
}

// What is not wrong, but won't do what is wanted.
func TestWarnings(t *testing.T) {
	for line, want := range map[string]string{
		` table "a b" type ip size 1`:             "whose name has spaces",
		` table t "$NO" type ip size 1`:           "variable NO is not set, and takes the next word along",
		` table t "${NO-type}" ip size 1`:         "",
		` table t type ip size 1 "$NO"`:           "argument number 6 is empty",
		` table t type ip size 1 "x$NO" # c`:      "alert",
		` table t type ip size 1 expire 10sec`:    "unexpected 'ec' after the time '10sec'",
		` table t type ip size 1 store gpt0,gpt0`: "already enabled",
		` peer lb3`:                     "write peer NAME ADDRESS:PORT",
		` default-server no-sslv3 id 5`: "'no-sslv3' option is not accepted",
	} {
		c, messages := readText(minimal + line + "\n")
		warnings := messages.Of(Warning)
		switch {
		case want == "alert":
			if c != nil {
				t.Errorf("%s: accepted", line)
			}
		case c == nil:
			t.Errorf("%s: %v", line, messages)
		case want == "" && len(warnings) > 0, want != "" && (len(warnings) == 0 || !strings.Contains(warnings.Error(), want)):
			t.Errorf("%s: %v, want %q", line, warnings, want)
		}
	}
}

func TestReportIsComplete(t *testing.T) {
	r := &Report{Config: mustRead(t, minimal)}
	if !r.OK() || r.String() != "local peer lb1\npeers p\n    listen 127.0.0.1:1\n    dial lb2 127.0.0.1:2\n" {
		t.Errorf("%s", r)
	}
	m := Message{Severity: Warning, Text: "x"}
	if m.String() != "[WARNING] x" {
		t.Error(m)
	}
}

// FuzzRead reads any text: it comes to an end, says why it refuses, and what it
// accepts is consistent, and the same when it is read again.
func FuzzRead(f *testing.F) {
	for _, c := range configcase.Load(f, "testdata") {
		for _, s := range c.Sources {
			f.Add(s.Text)
		}
	}
	f.Add("global\n.if 1\n\tlocalpeer a\npeers \"$HAPROXY_LOCALPEER\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		config, messages := readText(text)
		if (config == nil) != (messages.Err() != nil) {
			t.Fatalf("%v with %v", config, messages)
		}
		if config == nil {
			return
		}
		checkConfig(t, config)
		again, _ := readText(text)
		if !reflect.DeepEqual(config, again) {
			t.Fatalf("%+v, then %+v", config, again)
		}
	})
}

func checkConfig(t *testing.T, c *Config) {
	t.Helper()
	names, perPeers := map[string]bool{}, map[string]int{}
	for _, table := range c.Tables {
		if names[table.Name] {
			t.Fatalf("two tables %s", table.Name)
		}
		names[table.Name] = true
		if table.Peers != "" {
			perPeers[table.Peers]++
		}
		if strings.ContainsFunc(table.Wire, func(r rune) bool { return r <= ' ' || r == 0x7f }) || len(table.Wire) > 1000 {
			continue // no peer can define it
		}
		frame := protocol.AppendDefinition(nil, table.Definition())
		r := protocol.NewReader(strings.NewReader(string(frame)))
		read, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := protocol.ParseDefinition(read.Payload); err != nil {
			t.Fatalf("%v: %v", table, err)
		}
	}
	got := map[string]int{}
	for _, s := range c.Peers {
		if len(s.Tables) > 0 {
			got[s.Name] = len(s.Tables)
		}
		for _, p := range s.Remote {
			if p.Address == nil || p.Name == c.LocalPeer {
				t.Fatalf("%+v", p)
			}
		}
	}
	if !maps.Equal(got, perPeers) {
		t.Fatalf("tables of sections: %v, sections of tables: %v", got, perPeers)
	}
	_ = (&Report{Config: c}).String()
}

// Beside the HAProxy whose file it is, in the new form: where we listen, and where that
// one and others do.
func TestMirror(t *testing.T) {
	for name, c := range map[string]struct{ lines, listen, remote string }{
		"our line has an address":          {"bind *:1\n server lb1\n server lb2 127.0.0.2:2\n server peersd 127.0.0.1:3", "127.0.0.1:3", "lb1 *:1 lb2 127.0.0.2:2"},
		"with options":                     {"server peersd 127.0.0.1:3 shard 1\n server lb1 shard 2\n bind 127.0.0.9:1", "127.0.0.1:3", "lb1 127.0.0.9:1"},
		"a UNIX socket":                    {"bind 127.0.0.9:1\n server lb1\n server peersd /run/peersd", "unix@/run/peersd", "lb1 127.0.0.9:1"},
		"it has none":                      {"bind 127.0.0.9:1\n server lb1\n server lb2 127.0.0.2:2\n server peersd", "127.0.0.9:1", "lb2 127.0.0.2:2"},
		"there is no bind line":            {"server lb1\n server peersd 127.0.0.1:3", "127.0.0.1:3", ""},
		"an address in a variable":         {"bind 127.0.0.9:1\n server lb1\n server peersd ${AT}", "127.0.0.1:5", "lb1 127.0.0.9:1"},
		"the old form is as it always was": {"peer lb1 127.0.0.1:1\n peer peersd 127.0.0.1:3", "127.0.0.1:3", "lb1 127.0.0.1:1"},
	} {
		config, messages := parse([]source{{"haproxy.cfg", "peers p\n " + c.lines + "\n"}}, Options{LocalPeer: "peersd", Environ: []string{"AT=127.0.0.1:5"}, Mirror: true})
		if config == nil {
			t.Errorf("%s: %v", name, messages)
			continue
		}
		var remote []string
		for _, p := range config.Peers[0].Remote {
			remote = append(remote, p.Name, p.Address.String())
		}
		if l := config.Peers[0].Listen.Address.String(); l != c.listen || strings.Join(remote, " ") != c.remote {
			t.Errorf("%s: it listens on %s, and there are %q", name, l, remote)
		}
	}
	// HAProxy takes no address there.
	if _, messages := readText("peers p\n bind 127.0.0.1:1\n server lb1 127.0.0.1:1\n"); messages.Err() == nil {
		t.Error("an address on the local peer's server line is taken")
	}
}
