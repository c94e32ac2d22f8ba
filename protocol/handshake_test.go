package protocol_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/peersd/peersd/protocol"
)

const goodHello = "HAProxyS 2.1\nlb1\nlb2 4242 1\n"

func TestParseHello(t *testing.T) {
	good := protocol.Hello{Version: protocol.Version21, Remote: "lb1", Local: "lb2", PID: 4242, Relative: 1}
	with := func(change func(h *protocol.Hello)) protocol.Hello {
		h := good
		change(&h)
		return h
	}
	for _, tt := range []struct {
		name, in string
		want     protocol.Hello
		status   protocol.Status // 0: accepted
	}{
		{"good", goodHello, good, 0},
		{"carriage returns", "HAProxyS 2.1\r\nlb1\r\nlb2 4242 1\r\n", good, 0},
		{"carriage return in one line", "HAProxyS 2.1\nlb1\r\nlb2 4242 1\n", good, 0},
		{"version 2.0", "HAProxyS 2.0\nlb1\nlb2 4242 1\n",
			with(func(h *protocol.Hello) { h.Version = protocol.Version20 }), 0},
		{"numbers that are none", "HAProxyS 2.1\nlb1\nlb2 x y z\n",
			with(func(h *protocol.Hello) { h.PID, h.Relative = 0, 0 }), 0},
		{"nothing behind the space", "HAProxyS 2.1\nlb1\nlb2 \n",
			with(func(h *protocol.Hello) { h.PID, h.Relative = 0, 0 }), 0},
		{"one number", "HAProxyS 2.1\nlb1\nlb2 4242\n", with(func(h *protocol.Hello) { h.Relative = 0 }), 0},
		{"empty names", "HAProxyS 2.1\n\n 4242 1\n",
			with(func(h *protocol.Hello) { h.Remote, h.Local = "", "" }), 0},
		{"space in the called name", "HAProxyS 2.1\nlb 1\nlb2 4242 1\n",
			with(func(h *protocol.Hello) { h.Remote = "lb 1" }), 0},

		{"no space in the third line", "HAProxyS 2.1\nlb1\nlb2\n",
			with(func(h *protocol.Hello) { h.PID, h.Relative = 0, 0 }), protocol.StatusProtocol},
		{"empty third line", "HAProxyS 2.1\nlb1\n\n",
			with(func(h *protocol.Hello) { h.Local, h.PID, h.Relative = "", 0, 0 }), protocol.StatusProtocol},
		{"another protocol", "GET / HTTP/1.1\r\n", protocol.Hello{}, protocol.StatusProtocol},
		{"another protocol's first byte", "\x16", protocol.Hello{}, protocol.StatusProtocol},
		{"empty line", "\n", protocol.Hello{}, protocol.StatusProtocol},
		{"no space before the version", "HAProxyS2.1\n", protocol.Hello{}, protocol.StatusProtocol},
		{"no version and no space", "HAProxyS\n", protocol.Hello{}, protocol.StatusProtocol},
		{"lower case", "haproxys 2.1\n", protocol.Hello{}, protocol.StatusProtocol},
		{"1 MB without a line feed", "HAProxyS " + strings.Repeat("2", 1<<20), protocol.Hello{}, protocol.StatusProtocol},
		{"1 MB of name", "HAProxyS 2.1\n" + strings.Repeat("n", 1<<20),
			protocol.Hello{Version: protocol.Version21}, protocol.StatusProtocol},
		{"1 MB of name, whole", "HAProxyS 2.1\n" + strings.Repeat("n", 1<<20) + "\nlb2 1 1\n",
			protocol.Hello{Version: protocol.Version21}, protocol.StatusProtocol},
		{"2 kB of version, whole", "HAProxyS " + strings.Repeat("2", 2000) + "\n", protocol.Hello{}, protocol.StatusProtocol},

		{"version 2.2", "HAProxyS 2.2\nlb1\nlb2 4242 1\n", protocol.Hello{}, protocol.StatusVersion},
		{"version 3.0", "HAProxyS 3.0\nlb1\nlb2 4242 1\n", protocol.Hello{}, protocol.StatusVersion},
		{"version 1.0", "HAProxyS 1.0\n", protocol.Hello{}, protocol.StatusVersion},
		{"version 2", "HAProxyS 2\n", protocol.Hello{}, protocol.StatusVersion},
		{"version 2.", "HAProxyS 2.\n", protocol.Hello{}, protocol.StatusVersion},
		{"version 2.x", "HAProxyS 2.x\n", protocol.Hello{}, protocol.StatusVersion},
		{"version 2.1.1", "HAProxyS 2.1.1\n", protocol.Hello{}, protocol.StatusVersion},
		{"version 2.-1", "HAProxyS 2.-1\n", protocol.Hello{}, protocol.StatusVersion},
		{"version 2.65537", "HAProxyS 2.65537\n", protocol.Hello{}, protocol.StatusVersion},
		{"version 18446744073709551618.1", "HAProxyS 18446744073709551618.1\n", protocol.Hello{}, protocol.StatusVersion},
		{"no version", "HAProxyS \n", protocol.Hello{}, protocol.StatusVersion},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, n, err := protocol.ParseHello([]byte(tt.in))
			if got := statusOf(t, err); got != tt.status {
				t.Fatalf("%v: status %d, not %d", err, got, tt.status)
			}
			if tt.status == 0 && n != len(tt.in) {
				t.Errorf("took %d bytes of %d", n, len(tt.in))
			}
			if tt.status != protocol.StatusVersion && h != tt.want {
				t.Errorf("read as %+v, not %+v", h, tt.want)
			}
			if len(tt.in) < 1<<20 {
				checkHelloSplit(t, []byte(tt.in))
			}
		})
	}
}

// statusOf is the status that err carries, 0 for no error.
func statusOf(t *testing.T, err error) protocol.Status {
	t.Helper()
	if err == nil {
		return 0
	}
	var refused *protocol.HandshakeError
	if !errors.As(err, &refused) || refused.Error() == "" {
		t.Fatalf("%v is no HandshakeError with a reason", err)
	}
	return refused.Status
}

// checkHelloSplit: read byte by byte, in comes what comes when it is read as
// a whole.
func checkHelloSplit(t *testing.T, in []byte) {
	t.Helper()
	want, wantN, wantErr := protocol.ParseHello(in)
	for i := range len(in) + 1 {
		h, n, err := protocol.ParseHello(in[:i])
		if n == 0 && err == nil {
			continue
		}
		if wantErr == nil && (h != want || n != wantN || err != nil) {
			t.Errorf("first %d bytes are read as %+v, %d bytes: %v", i, h, n, err)
		}
		if got, want := statusOf(t, err), statusOf(t, wantErr); got != want {
			t.Errorf("first %d bytes: status %d, not %d", i, got, want)
		}
		return
	}
	if wantN != 0 || wantErr != nil {
		t.Errorf("whole it is read from %d bytes: %v", wantN, wantErr)
	}
}

func TestParseHelloTakesNoMoreThanTheHello(t *testing.T) {
	for _, more := range []string{"", "\x00\x00", "\x00\x04\x00", "\n", strings.Repeat("\n", 1<<20)} {
		_, n, err := protocol.ParseHello([]byte(goodHello + more))
		if n != len(goodHello) || err != nil {
			t.Errorf("with %d bytes behind it took %d bytes, not %d: %v", len(more), n, len(goodHello), err)
		}
	}
}

func TestLongestHello(t *testing.T) {
	for _, tt := range []struct {
		size   int
		status protocol.Status
	}{
		{protocol.MaxHello, 0},
		{protocol.MaxHello + 1, protocol.StatusProtocol},
	} {
		h := protocol.Hello{Version: protocol.Version21, Local: "lb2", PID: 1}
		h.Remote = strings.Repeat("n", tt.size-len(protocol.AppendHello(nil, h)))
		_, _, err := protocol.ParseHello(protocol.AppendHello(nil, h))
		if got := statusOf(t, err); got != tt.status {
			t.Errorf("%d bytes: status %d, not %d: %v", tt.size, got, tt.status, err)
		}
	}
}

func TestAppendHello(t *testing.T) {
	h, _, err := protocol.ParseHello([]byte(goodHello))
	if got := string(protocol.AppendHello([]byte("x"), h)); err != nil || got != "x"+goodHello {
		t.Errorf("%q: %v", got, err)
	}
	h.Version = protocol.Version20
	if got := string(protocol.AppendHello(nil, h)); got != "HAProxyS 2.0\nlb1\nlb2 4242 1\n" {
		t.Errorf("%q", got)
	}
}

// For the reasons that don't depend on the configuration, a hand-made hello
// gets from us the status that it got from HAProxy.
func TestHelloStatusAgreesWithHAProxy(t *testing.T) {
	given := map[string]protocol.Status{}
	for _, c := range captures(t) {
		if c.scenario == "status-byhand" && !c.byCaller() {
			status, _, err := protocol.ParseStatus(c.data)
			if err != nil {
				t.Fatalf("%v: %v", c, err)
			}
			given[strings.TrimSuffix(c.file, ".s2c.bin")] = status
		}
	}
	for _, c := range captures(t) {
		if c.scenario != "status-byhand" || !c.byCaller() {
			continue
		}
		want := given[strings.TrimSuffix(c.file, ".c2s.bin")]
		if want != protocol.StatusProtocol && want != protocol.StatusVersion {
			want = 0
		}
		if _, _, err := protocol.ParseHello(c.data); statusOf(t, err) != want {
			t.Errorf("%q: %v, not status %d", c.data, err, want)
		}
	}
}

func TestParseStatus(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want protocol.Status
		n    int
		bad  bool
	}{
		{in: "200\n", want: protocol.StatusSuccess, n: 4},
		{in: "200\n\x00\x00", want: protocol.StatusSuccess, n: 4},
		{in: "200\r\n", want: protocol.StatusSuccess, n: 5},
		{in: "300\n", want: protocol.StatusTryAgain, n: 4},
		{in: "501\n", want: protocol.StatusProtocol, n: 4},
		{in: "502\n", want: protocol.StatusVersion, n: 4},
		{in: "503\n", want: protocol.StatusLocal, n: 4},
		{in: "504\n", want: protocol.StatusRemote, n: 4},
		{in: "599\n", want: 599, n: 4},
		{in: ""},
		{in: "2"},
		{in: "200"},
		{in: "200\r"},
		{in: "\n", bad: true},
		{in: "+200\n", bad: true},
		{in: "-200\n", bad: true},
		{in: "2O0\n", bad: true},
		{in: "99999\n", bad: true},
		{in: "200 OK\n", bad: true},
		{in: "HTTP/1.1 400 Bad Request\r\n", bad: true},
		{in: strings.Repeat("0", 20) + "200\n", bad: true},
		{in: strings.Repeat("2", 1<<20), bad: true},
	} {
		status, n, err := protocol.ParseStatus([]byte(tt.in))
		if status != tt.want || n != tt.n || (err != nil) != tt.bad {
			t.Errorf("%.30q is read as %d, %d bytes: %v", tt.in, status, n, err)
		}
		if tt.bad {
			checkError(t, err, protocol.ProtocolError)
			continue
		}
		for i := range tt.n {
			if status, n, err := protocol.ParseStatus([]byte(tt.in[:i])); status != 0 || n != 0 || err != nil {
				t.Errorf("%q is read as %d, %d bytes: %v", tt.in[:i], status, n, err)
			}
		}
	}
}

func TestStatus(t *testing.T) {
	for _, tt := range []struct {
		status     protocol.Status
		line, text string
	}{
		{protocol.StatusSuccess, "200\n", "200 (success)"},
		{protocol.StatusTryAgain, "300\n", "300 (try again later)"},
		{protocol.StatusProtocol, "501\n", "501 (not the peers protocol)"},
		{protocol.StatusVersion, "502\n", "502 (version not supported)"},
		{protocol.StatusLocal, "503\n", "503 (the called name is not its own)"},
		{protocol.StatusRemote, "504\n", "504 (our name is not known to it)"},
		{599, "599\n", "599"},
	} {
		if got := string(protocol.AppendStatus(nil, tt.status)); got != tt.line {
			t.Errorf("line %q, not %q", got, tt.line)
		}
		if got := tt.status.String(); got != tt.text {
			t.Errorf("text %q, not %q", got, tt.text)
		}
	}
}
