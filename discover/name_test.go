package discover

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// What a peer answers to a hello without a caller's name, and what that says of its
// own.
func TestProber(t *testing.T) {
	tests := []struct {
		name, answer string
		is           bool
		failed       string
	}{
		{"it is", "504\n", true, ""},
		{"it is not", "503\n", false, ""},
		{"in two parts", "50", false, "it gives no status: EOF"},
		{"no status", "", false, "it gives no status: EOF"},
		{"a peer of any name", "200\n", false, "it says 200 (success) to a hello without a name"},
		{"no peer at all", "HTTP/1.1 400 Bad Request\r\n", false, `answer to the hello is no status: "HTTP/1.1 400 Bad"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			hello := make(chan string, 1)
			dial := func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func() {
					defer theirs.Close()
					var buf [256]byte
					n, _ := theirs.Read(buf[:])
					hello <- string(buf[:n])
					io.WriteString(theirs, test.answer)
				}()
				return ours, nil
			}
			is, err := Prober{dial}.Is(t.Context(), netip.MustParseAddrPort("10.0.0.1:10000"), "lb1")
			said := ""
			if err != nil {
				said = err.Error()
			}
			if is != test.is || said != test.failed {
				t.Errorf("%v, error %q", is, said)
			}
			if h := <-hello; h != "HAProxyS 2.0\nlb1\n 0 1\n" {
				t.Errorf("hello %q", h)
			}
		})
	}
}

// Who says nothing is not waited for.
func TestProberSilence(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	dial := func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go io.Copy(io.Discard, theirs)
		return ours, nil
	}
	if _, err := (Prober{dial}).Is(ctx, netip.MustParseAddrPort("10.0.0.1:10000"), "lb1"); err == nil {
		t.Error("no error")
	}
}
