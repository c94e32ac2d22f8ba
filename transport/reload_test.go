package transport

import (
	"testing"

	"github.com/rs/zerolog"
)

// After a reload a client is the same as long as it does the same.
func TestSameClient(t *testing.T) {
	dir := folder(t)
	client := func(previous *Transport, global, server string) (*Transport, *Client) {
		t.Helper()
		p := read(t, dir, global, "", server)
		if err := p.said.Err(); err != nil {
			t.Fatal(err)
		}
		transport, said := New(p.config.Global, zerolog.Nop(), previous)
		c, more := transport.Client(p.config.Peers[0].Remote[0])
		if err := append(said, more...).Err(); err != nil {
			t.Fatal(err)
		}
		return transport, c
	}
	const global, server = "crt-base DIR", "ssl ca-file DIR/ca.pem crt lb1.pem"
	first, c := client(nil, global, server)
	for _, test := range []struct {
		name, global, server string
		same                 bool
	}{
		{"nothing has changed", global, server, true},
		{"another way to say it", global, "ssl crt lb1.pem ca-file DIR/ca.pem", true},
		{"another certificate", global, "ssl ca-file DIR/ca.pem crt lb2.pem", false},
		{"the same folder in other words", "crt-base DIR/cas/..", server, true},
		{"other defaults", global + "\n ssl-default-server-ciphers AES", server, false},
		{"ssl-server-verify", global + "\n ssl-server-verify none", server, false},
		{"no TLS", global, "", false},
	} {
		if _, again := client(first, test.global, test.server); (again == c) != test.same {
			t.Errorf("%s: the same: %v", test.name, again == c)
		}
	}
}

// A listener goes on with another line.
func TestUse(t *testing.T) {
	dir := folder(t)
	p := open(t, dir, "", "ssl crt DIR/stranger.pem", "ssl ca-file DIR/ca.pem")
	p.expect(notTaken, "is not signed")
	p.in.(*Listener).Use(read(t, dir, "", "ssl crt DIR/lb1.pem", "").server)
	p.expect("", "")
	p.in.(*Listener).Use(read(t, dir, "", "", "").server)
	p.client = &Client{Address: p.client.Address}
	ours, _ := p.expect("", "")
	if _, secure := ours.(*Conn); secure {
		t.Error("TLS is left")
	}
}
