package admin

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path("stale")})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	inUse, err := net.Listen("unix", path("in-use"))
	if err != nil {
		t.Fatal(err)
	}
	defer inUse.Close()
	if err := os.WriteFile(path("file"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"new":         "",
		"stale":       "",
		"in-use":      "is in use by another process; choose another one with --socket",
		"file":        "is no socket; choose another path with --socket",
		"nowhere/new": "no such file or directory; choose another one with --socket",
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Listen(path(name), 0o660)
			if want != "" {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v, want %q", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if info, err := os.Lstat(path(name)); err != nil || info.Mode() != os.ModeSocket|0o660 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
		})
	}
	if b, err := os.ReadFile(path("file")); string(b) != "precious" || err != nil {
		t.Errorf("the file is %q, %v", b, err)
	}
}

// A port is opened on a loopback address, and nowhere else.
func TestListenTCP(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "localhost:0", "127.3.2.1:0"} {
		l, err := Listen(address, 0)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for address, want := range map[string]string{
		"0.0.0.0:9999":          "is no loopback address",
		":9999":                 "is no loopback address",
		"192.0.2.1:9999":        "is no loopback address",
		"127.0.0.1:x":           "choose another one with --socket",
		taken.Addr().String():   "choose another one with --socket",
		"no.such.invalid.:9999": "no such host; choose another one with --socket",
	} {
		if _, err := Listen(address, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", address, err, want)
		}
	}
}
