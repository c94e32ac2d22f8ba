package netlab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Enter moves the thread of the calling goroutine, which has to be locked to it and
// never unlocked, into the namespace. Most callers want [Namespace.Do]; this is for
// who needs the thread for longer, as the parent of a process that is to die with it.
func (n *Namespace) Enter() error {
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("can't enter a network namespace: %w", err)
	}
	return nil
}

// newNamespace returns a namespace with a loopback interface and a TUN device of
// that address, both up.
func newNamespace(address string) (*Namespace, error) {
	n := &Namespace{Address: address}
	err := onOwnThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		if n.file, err = os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())); err != nil {
			return err
		}
		if n.tun, err = openTUN(); err != nil {
			return errors.Join(err, n.file.Close())
		}
		if err := configure(address); err != nil {
			return errors.Join(err, n.close())
		}
		return nil
	})
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENOENT):
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case err != nil:
		return nil, fmt.Errorf("can't make a network namespace: %w", err)
	}
	return n, nil
}

const (
	loopback = "lo"
	device   = "tun0"
)

// openTUN makes the device in the namespace of the calling thread. It is not waited
// for in a thread of its own, and is gone when the file is closed.
func openTUN() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(device)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), device), nil
}

// configure gives the device its address, and takes both interfaces up.
func configure(address string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ip := netip.MustParseAddr(address).As4()
	return errors.Join(
		setInterface(fd, device, unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(ip[:]) }),
		setInterface(fd, device, unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 0}) }),
		setInterface(fd, device, unix.SIOCSIFFLAGS, up),
		setInterface(fd, loopback, unix.SIOCSIFFLAGS, up),
	)
}

func up(r *unix.Ifreq) error {
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return nil
}

func setInterface(fd int, name string, request uint, set func(*unix.Ifreq) error) error {
	r, err := unix.NewIfreq(name)
	if err == nil {
		err = set(r)
	}
	if err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, request, r)
}
