package netlab

import (
	"errors"
	"os"
	"runtime"
)

// A Namespace is one end of a [Link].
type Namespace struct {
	// Address of this end, IPv4, in a network that both ends share.
	Address string

	file *os.File // holds the namespace
	tun  *os.File // takes and gives the packets of its device
}

// Do runs f on a thread that is in the namespace: a socket that f opens, and a
// process that it starts, belong there for good. Goroutines that f starts do not.
func (n *Namespace) Do(f func() error) error {
	return onOwnThread(func() error {
		if err := n.Enter(); err != nil {
			return err
		}
		return f()
	})
}

// onOwnThread runs f on a thread that ends with it, so that nobody meets what f has
// made of the thread.
func onOwnThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked
		done <- f()
	}()
	return <-done
}

func (n *Namespace) close() error { return errors.Join(n.tun.Close(), n.file.Close()) }
