package unixsocket

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
	for _, test := range []struct{ name, want string }{
		{"new", ""},
		{"stale", ""},
		{"in-use", "is in use by another process"},
		{"file", "is no socket"},
		{"nowhere/new", "no such file or directory"},
		{strings.Repeat("long", 40), "invalid argument"},
	} {
		t.Run(test.name[:3], func(t *testing.T) {
			l, err := Listen(path(test.name), Owner{0o660, os.Getuid(), os.Getgid()})
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Lstat(path(test.name)); err != nil || info.Mode() != os.ModeSocket|0o660 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			l.Close()
			if _, err := os.Lstat(path(test.name)); !os.IsNotExist(err) {
				t.Errorf("after the end: %v, want no file", err)
			}
		})
	}
	if b, err := os.ReadFile(path("file")); string(b) != "precious" || err != nil {
		t.Errorf("the file is %q, %v", b, err)
	}
}

// An abstract socket is no file, and a second one of its name is refused.
func TestListenAbstract(t *testing.T) {
	name := "@peersd-test-" + filepath.Base(t.TempDir()) + t.Name()
	l, err := Listen(name, Ours(0o600))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(name, Ours(0o600)); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second one: %v", err)
	}
}
