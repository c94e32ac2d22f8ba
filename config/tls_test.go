package config

import (
	"strings"
	"testing"

	"github.com/peersd/peersd/internal/testcert"
)

// How peers are reached, and reach us, is what their lines say, as `peersd check`
// prints it.
func TestLoadTransport(t *testing.T) {
	dir := t.TempDir()
	ca := testcert.New(t, "ca")
	testcert.Write(t, dir, "ca.pem", ca.PEM())
	testcert.Write(t, dir, "peersd.pem", ca.Issue(testcert.Request{Name: "peersd"}).Both())
	const tls = " default-bind ssl crt DIR/peersd.pem\n default-server ssl crt DIR/peersd.pem verify none\n"
	const mutual = " default-bind ssl crt DIR/peersd.pem ca-file DIR/ca.pem verify required\n default-server ssl crt DIR/peersd.pem ca-file DIR/ca.pem\n"
	for _, test := range []struct {
		name, section string
		flags         func(*Config)
		want          []string // the beginnings of lines, or an error
	}{
		{"TLS", tls + " peer lb1 127.0.0.1:1\n peer peersd 127.0.0.1:2\n", nil,
			[]string{"listen 127.0.0.1:2 ssl\n", "dial and accept lb1 127.0.0.1:1 ssl\n"}},
		{"mutual TLS", mutual + " peer lb1 127.0.0.1:1\n peer peersd 127.0.0.1:2\n", nil,
			[]string{"listen 127.0.0.1:2 ssl verify required\n", "dial and accept lb1 127.0.0.1:1 ssl verify required\n"}},
		{"another address with the TLS of the line", mutual + " peer lb1 127.0.0.1:1\n peer peersd 127.0.0.1:2\n", func(c *Config) { c.Listen = []string{"127.0.0.1:3"} },
			[]string{"listen 127.0.0.1:3 ssl verify required\n"}},
		{"a sidecar", tls + " peer lb1 *:1\n peer peersd 127.0.0.1:2\n", func(c *Config) { c.Sidecar = true },
			[]string{"dial and accept lb1 127.0.0.1:1 ssl\n"}},
		{"UNIX sockets", " bind unix@/run/p mode 600\n server peersd\n server lb1 unix@/run/l\n server lb2 /run/m ssl verify none\n", nil,
			[]string{"listen unix@/run/p\n", "dial and accept lb1 unix@/run/l\n", "dial and accept lb2 unix@/run/m ssl\n"}},
		{"a UNIX socket is not open to the network", " bind unix@/run/p mode 600\n server peersd\n", nil,
			[]string{"listen unix@/run/p\n", "accept any name from this machine\n"}},
		{"open to the network", tls + " peer peersd :2\n", nil, []string{"error: :2 is open to the network, and nothing says who may come"}},
		{"open to those who are verified", mutual + " peer peersd :2\n", nil, []string{"listen :2 ssl verify required\n", "accept any name from this machine, and from elsewhere with a certificate that was verified\n"}},
		{"names of certificates", mutual + " peer peersd :2\n", func(c *Config) { c.TLSNames = true }, []string{"accept names that are in the caller's certificate only\n"}},
		{"no certificates to take names from", tls + " peer peersd 127.0.0.1:2\n", func(c *Config) { c.TLSNames = true },
			[]string{"error: --tls-names goes by certificates, and nobody has to show one; write ssl, ca-file and verify required on our bind line in haproxy.cfg"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			flags := Default()
			flags.Name, flags.Files = "peersd", []string{written(t, "peers p\n"+strings.ReplaceAll(test.section, "DIR", dir))}
			if test.flags != nil {
				test.flags(flags)
			}
			c, _, err := flags.Load()
			text := "\n"
			if err != nil {
				text += "error: " + err.Error()
			} else {
				text += c.String()
			}
			for _, want := range test.want {
				if !strings.Contains(text, "\n"+want) {
					t.Errorf("%q is missing in:%s", want, text)
				}
			}
		})
	}
}
