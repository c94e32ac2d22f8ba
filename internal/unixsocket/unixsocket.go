// Package unixsocket opens UNIX sockets that outlive a process that was killed.
package unixsocket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// An Owner is whom a socket belongs to.
type Owner struct {
	Mode os.FileMode // 0 is what the umask leaves
	// UID and GID are -1 for those of the process.
	UID, GID int
}

// Ours is an owner that only has a mode.
func Ours(mode os.FileMode) Owner { return Owner{mode, -1, -1} }

// Listen opens the socket of that path. One that an earlier process has left behind
// is replaced; one that somebody listens on, and what is no socket, is not. A path
// that begins with "@" is the name of an abstract socket, which is no file.
func Listen(path string, o Owner) (net.Listener, error) {
	l, err := listen(path, o)
	if err == nil {
		return l, nil
	}
	c, dialErr := net.Dial("unix", path)
	if dialErr == nil {
		c.Close()
		return nil, fmt.Errorf("the socket %s is in use by another process", path)
	}
	if info, statErr := os.Lstat(path); statErr == nil && info.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("%s is no socket", path)
	}
	if errors.Is(dialErr, syscall.ECONNREFUSED) && errors.Is(err, syscall.EADDRINUSE) {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("can't replace the old socket: %w", err)
		}
		l, err = listen(path, o)
	}
	if err != nil {
		return nil, fmt.Errorf("can't open the socket %s: %w", path, reason(err))
	}
	return l, nil
}

// reason strips what the sentence around it says already.
func reason(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	var path *os.PathError
	if errors.As(err, &path) {
		return fmt.Errorf("%s: %w", path.Op, path.Err)
	}
	return err
}

// listen gives the socket its mode before it has a name, so that nobody whom it
// keeps out can connect in between; and after that, what the umask took of it.
func listen(path string, o Owner) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		if o.Mode == 0 {
			return nil
		}
		var err error
		if cerr := c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), uint32(o.Mode)) }); cerr != nil {
			return cerr
		}
		return err
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil || strings.HasPrefix(path, "@") {
		return l, err
	}
	if err := o.own(path); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// own gives the file its owner before its mode, which a change of owner may alter.
func (o Owner) own(path string) error {
	if o.UID >= 0 || o.GID >= 0 {
		if err := os.Lchown(path, o.UID, o.GID); err != nil {
			return err
		}
	}
	if o.Mode == 0 {
		return nil
	}
	return os.Chmod(path, o.Mode)
}
