package transport

import (
	"net"
	"strings"
	"testing"
)

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		name, host string
		want       bool
	}{
		{"lb1", "lb1", true},
		{"lb1", "lb2", false},
		{"lb1", "lb1.example", false},
		{"*.example", "lb1.example", true},
		{"*.example", "example", false},
		{"*.example", ".example", true},
		{"*.example", "a.lb1.example", false},
		{"lb*.example", "lb1.example", true},
		{"lb*.example", "lb.example", true},
		{"lb*1.example", "lb1.example", true},
		{"lb1*1.example", "lb1.example", false},
		{"*b1.example", "lb1.example", true},
		{"a.*.example", "a.b.example", false},
		{"*", "lb1", false},
		{"*.", "lb1.", false},
		{"", "", true},
	} {
		if got := matches(test.name, test.host); got != test.want {
			t.Errorf("%q for %q: %v", test.name, test.host, got)
		}
	}
}

func verified(nc net.Conn) bool {
	c, ok := nc.(*Conn)
	return ok && c.Verified()
}

// A caller goes by the names in its certificate, where that was verified.
func TestCheckName(t *testing.T) {
	dir := folder(t)
	const ssl = "ssl crt DIR/lb1.pem "
	for _, test := range []struct {
		name, bind, server string
		verified           bool
		errors             map[string]string // by the name that is said
	}{
		{"no TLS", "", "", false, map[string]string{"lb1": `"lb1" has shown no certificate that it goes by that name`}},
		{"nothing is verified", ssl, "ssl verify none crt DIR/lb1.pem", false, map[string]string{"lb1": "has shown no certificate"}},
		{"no certificate", ssl + "ca-file DIR/ca.pem verify optional", "ssl verify none", false, map[string]string{"lb1": "has shown no certificate"}},
		{"a certificate", ssl + "ca-file DIR/ca.pem verify optional", "ssl verify none crt DIR/lb1.pem", true, map[string]string{
			"lb1":            "",
			"lb1.example":    "",
			"*.wild.example": "",
			"a.wild.example": `"a.wild.example" is no name in the certificate that it has shown, that is for "lb1", "lb1.example", "*.wild.example"; give it one of its own`,
			"LB1":            "is no name in the certificate",
			"lb2":            "is no name in the certificate",
			"":               "is no name in the certificate",
		}},
		{"a certificate without a name", ssl + "ca-file DIR/ca.pem verify required", "ssl verify none crt DIR/nameless.pem", true, map[string]string{
			"": "that is for no name at all",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := open(t, dir, "", test.bind, test.server)
			if s := p.server; s.TLS() != (test.bind != "") || s.Verifies() != strings.Contains(test.bind, "required") {
				t.Errorf("TLS %v, Verifies %v", s.TLS(), s.Verifies())
			}
			ours, theirs := p.expect("", "")
			if verified(ours) != test.verified || verified(theirs) {
				t.Errorf("verified: %v, and who is dialled: %v", verified(ours), verified(theirs))
			}
			for name, want := range test.errors {
				if err := CheckName(ours, name); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("%q: %v, want %q", name, err, want)
				}
			}
		})
	}
}

// Before its handshake nobody is known.
func TestNotYetVerified(t *testing.T) {
	dir := folder(t)
	p := open(t, dir, "", "ssl crt DIR/lb1.pem ca-file DIR/ca.pem verify required", "ssl verify none crt DIR/lb1.pem")
	accepted := make(chan net.Conn)
	go func() {
		nc, _ := p.in.Accept()
		accepted <- nc
	}()
	nc, err := p.client.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	in := <-accepted
	defer in.Close()
	if verified(in) || verified(nc) {
		t.Error("verified")
	}
}
