package transport

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peersd/peersd/config/haproxycfg"
	"github.com/peersd/peersd/internal/testcert"
	"github.com/peersd/peersd/internal/unixsocket"
	"github.com/rs/zerolog"
)

func TestNetwork(t *testing.T) {
	for _, test := range []struct {
		a    haproxycfg.Address
		want string
	}{
		{haproxycfg.Address{Host: "10.0.0.1", Port: 1}, "tcp 10.0.0.1:1"},
		{haproxycfg.Address{Host: "2001:db8::1", Port: 1}, "tcp [2001:db8::1]:1"},
		{haproxycfg.Address{Host: "lb1", Port: 1, V6: true}, "tcp6 lb1:1"},
		{haproxycfg.Address{Host: "lb1", Port: 1, V4: true}, "tcp4 lb1:1"},
		{haproxycfg.Address{Port: 1}, "tcp4 :1"},
		{haproxycfg.Address{Family: haproxycfg.Unix, Path: "/run/s"}, "unix /run/s"},
		{haproxycfg.Address{Family: haproxycfg.AbstractZ, Path: "s"}, "unix @s"},
		{haproxycfg.Address{Family: haproxycfg.Abstract, Path: "s"}, "unix @s" + strings.Repeat("\x00", 106)},
	} {
		if n, address := network(test.a); n+" "+address != test.want {
			t.Errorf("%v: %s %q, want %q", test.a, n, address, test.want)
		}
	}
}

// sockets reads a peers section with a UNIX socket on each line. DIR in it is dir.
func sockets(t *testing.T, dir, global, bind, server string) (*Server, *Client) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	text := fmt.Sprintf("global\n%s\npeers p\n bind %s\n server peersd\n server lb1 %s\n", global, bind, server)
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, messages := haproxycfg.Read(haproxycfg.Options{Files: []string{file}, LocalPeer: "peersd"})
	if err := messages.Err(); err != nil {
		t.Fatal(err)
	}
	transport, said := New(c.Global, zerolog.Nop(), nil)
	s, more := transport.Server(c.Peers[0].Listen)
	said = append(said, more...)
	d, more := transport.Client(c.Peers[0].Remote[0])
	if err := append(said, more...).Err(); err != nil {
		t.Fatal(err)
	}
	return s, d
}

// Peers meet over UNIX sockets, with TLS too, and the file is as the lines say.
func TestUnixSockets(t *testing.T) {
	dir, err := os.MkdirTemp("", "peersd-") // a short name, as sockets need
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ca := testcert.New(t, "ca")
	testcert.Write(t, dir, "ca.pem", ca.PEM())
	testcert.Write(t, dir, "peersd.pem", ca.Issue(testcert.Request{Name: "peersd"}).Both())
	abstract := "peersd-test-" + filepath.Base(dir)
	for _, test := range []struct {
		name, global, bind, server string
		file                       string
		mode                       os.FileMode
	}{
		{"unix@", "", "unix@DIR/1 mode 600", "unix@DIR/1", "1", 0o600},
		{"a path", "unix-bind mode 660", "DIR/2", "DIR/2", "2", 0o660},
		{"a prefix", "unix-bind prefix DIR/ mode 600", "unix@3 mode 666", "unix@DIR/3", "3", 0o666},
		{"an owner", fmt.Sprintf("unix-bind uid %d gid %d mode 640", os.Getuid(), os.Getgid()), "unix@DIR/4", "unix@DIR/4", "4", 0o640},
		{"TLS", "", "unix@DIR/5 mode 600 ssl crt DIR/peersd.pem", "unix@DIR/5 ssl ca-file DIR/ca.pem", "5", 0o600},
		{"abns@", "", "abns@" + abstract, "abns@" + abstract, "", 0},
		{"abnsz@", "", "abnsz@" + abstract, "abnsz@" + abstract, "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, c := sockets(t, dir, test.global, test.bind, test.server)
			l, err := s.Listen()
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if test.file != "" {
				if info, err := os.Lstat(filepath.Join(dir, test.file)); err != nil || info.Mode() != os.ModeSocket|test.mode {
					t.Errorf("%v, %v, want mode %v", info.Mode(), err, test.mode)
				}
			}
			(&pair{t: t, server: s, client: c, in: l}).expect("", "")
		})
	}
}

// What a bind line can't have is said in a sentence.
func TestListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file, err := taken.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	noSocket, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer noSocket.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	for _, test := range []struct {
		a    haproxycfg.Address
		want string
	}{
		{haproxycfg.Address{Host: "127.0.0.1"}, ""},
		{haproxycfg.Address{}, ""},
		{haproxycfg.Address{Host: "127.0.0.1", Port: port}, "the address is in use; end what uses it, or choose another one"},
		{haproxycfg.Address{Host: "192.0.2.1", Port: 1}, "this machine has no such address; choose another one"},
		{haproxycfg.Address{Host: "no-such-host.invalid", Port: 1}, "choose another address"},
		{haproxycfg.Address{Family: haproxycfg.Unix, Path: "/nowhere/s"}, "can't open the socket /nowhere/s: "},
		{haproxycfg.Address{Family: haproxycfg.FD, Path: fmt.Sprint(noSocket.Fd())}, "is no socket that listens"},
		{haproxycfg.Address{Family: haproxycfg.FD, Path: "x"}, "fd@x is no file descriptor; write it as in fd@3"},
	} {
		l, err := listen(test.a, false, unixsocket.Ours(0))
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %q", test.a, err, test.want)
		}
		if err == nil {
			l.Close()
		}
	}
	// The file is ours no more.
	l, err := listen(haproxycfg.Address{Family: haproxycfg.FD, Path: fmt.Sprint(dup(t, file))}, false, unixsocket.Ours(0))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.Addr().String() != taken.Addr().String() {
		t.Errorf("%v, want %v", l.Addr(), taken.Addr())
	}
}
