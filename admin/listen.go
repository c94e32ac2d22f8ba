package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// IsTCP reports whether the name of a socket is an address and not a path: there is
// a ":" in it and no "/".
func IsTCP(socket string) bool {
	return strings.Contains(socket, ":") && !strings.Contains(socket, "/")
}

// network is that of a socket by its name.
func network(socket string) string {
	if IsTCP(socket) {
		return "tcp"
	}
	return "unix"
}

// Listen opens the socket of that name: a TCP port of a loopback address, or a
// UNIX socket of a mode. A UNIX socket that an earlier process has left behind is
// replaced; one that somebody listens on is not.
func Listen(socket string, mode os.FileMode) (net.Listener, error) {
	if IsTCP(socket) {
		return listenTCP(socket)
	}
	l, err := listenUnix(socket, mode)
	if err == nil {
		return l, nil
	}
	c, dialErr := net.Dial("unix", socket)
	if dialErr == nil {
		c.Close()
		return nil, fmt.Errorf("the socket %s is in use by another process; choose another one with --socket", socket)
	}
	if info, statErr := os.Lstat(socket); statErr == nil && info.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("%s is no socket; choose another path with --socket", socket)
	}
	if errors.Is(dialErr, syscall.ECONNREFUSED) {
		if err := os.Remove(socket); err != nil {
			return nil, fmt.Errorf("can't replace the old socket: %w", err)
		}
		l, err = listenUnix(socket, mode)
	}
	if err != nil {
		return nil, cannotOpen(socket, err)
	}
	return l, nil
}

func cannotOpen(socket string, err error) error {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err // without the address, once more
	}
	return fmt.Errorf("can't open the socket %s: %w; choose another one with --socket", socket, err)
}

// listenTCP listens on a loopback address only: whoever reaches the port may change
// tables.
func listenTCP(address string) (net.Listener, error) {
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, cannotOpen(address, err)
	}
	if !a.IP.IsLoopback() {
		return nil, fmt.Errorf("the socket %s is no loopback address, and whoever reached it could change tables; choose one as 127.0.0.1:9999", address)
	}
	l, err := net.ListenTCP("tcp", a)
	if err != nil {
		return nil, cannotOpen(address, err)
	}
	return l, nil
}

// listenUnix gives the socket its mode before it has a name, so that nobody whom it
// keeps out can connect in between; and after that, what the umask took of it.
func listenUnix(path string, mode os.FileMode) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), uint32(mode)) }); cerr != nil {
			return cerr
		}
		return err
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
