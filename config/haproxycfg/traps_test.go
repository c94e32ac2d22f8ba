package haproxycfg

import (
	"strings"
	"testing"

	parser "github.com/haproxytech/config-parser/v5"
	"github.com/haproxytech/config-parser/v5/options"
	"github.com/haproxytech/config-parser/v5/types"
)

// What config-parser makes of a file, in its own words. Where one of these
// changes, so may what is built around it.
func TestTraps(t *testing.T) {
	tests := []struct{ name, config, want string }{
		{"variables and quotes are not resolved", "peers p\n peer a \"${HOST}:1000\"\n", "peer a \"${HOST}:1000\""},
		{"nor escapes", "peers p\n peer a\\x41 h:1000\n", `peer a\x41 h:1000`},
		{"conditions are lines like others", "peers p\n.if 0\n peer a h:1000\n.endif\n", "peer a h:1000|.if 0|.endif"},
		{"options are lost", "peers p\n server a h:1000 nosuch ssl guid x\n", "server a h:1000 ssl"},
		{"and such without a value", "peers p\n server a h:1000 crt\n", "server a h:1000"},
		{"options of a peer line are lost", "peers p\n peer a h:1000 ssl shard 2\n", "peer a h:1000"},
		{"a UNIX socket is no address of a peer", "peers p\n peer a /run/a\n", "peer a /run/a"},
		{"a server has to have an address", "peers p\n server a\n", "server a"},
		{"a table begins with type", "peers p\n table t size 1k type ip\n", "unread: table t size 1k type ip"},
		{"recv-only", "peers p\n table t type ip size 1k recv-only\n", "unread: table t type ip size 1k recv-only"},
		{"srvkey", "peers p\n table t type ip size 1k srvkey name\n", "unread: table t type ip size 1k srvkey name"},
		{"brates-factor", "peers p\n table t type ip size 1k brates-factor 2\n", "unread: table t type ip size 1k brates-factor 2"},
		{"the second section counts", "peers p\n peer a h:1000\npeers p\n peer b h:1000\n", "peer b h:1000"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := parser.New(options.String(tt.config))
			if err != nil {
				t.Fatal(err)
			}
			got := section(t, p.String(), "peers p")
			if unread, err := p.Get(parser.Peers, "p", ""); err == nil && strings.HasPrefix(tt.want, "unread: ") {
				got = "unread: " + unread.([]types.UnProcessed)[0].Value
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}

	p, err := parser.New(options.String("backend b\n stick-table type ip size 1k store gpc0 store gpc1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := section(t, p.String(), "backend b"), "stick-table type ip size 1k store gpc1"; got != want {
		t.Errorf("of several store words %q is left, want %q", got, want)
	}
}

// section returns the lines of one, with "|" between them.
func section(t *testing.T, text, header string) string {
	t.Helper()
	_, text, ok := strings.Cut(text, header+"\n")
	if !ok {
		t.Fatalf("no %s in:\n%s", header, text)
	}
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "|")
}
