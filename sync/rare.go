package peersync

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A rareReader reads from a connection, and can be told to let little data wait.
//
// HAProxy before 3.3 acks a lesson while it learns, a few bytes at a time, which
// nobody needs. Each time, its kernel has to wake us, at the cost of its event
// loop as much as of ours.
//
// It looks for a socket of its own: with TLS there is none, where the end of a
// record could wait for want of company, and over a UNIX socket the kernel wakes us
// anyway.
type rareReader struct {
	nc net.Conn

	mu     sync.Mutex
	rarely bool
	end    time.Time // of all reading, zero before it is known
}

const (
	// rareBytes is how much has to be there before the reader is woken.
	rareBytes = 4096
	// rareTime is for how long less than that waits. A sign of life is not
	// missed for it.
	rareTime = 100 * time.Millisecond
)

// wakeRarely says whether a few bytes may wait.
func (r *rareReader) wakeRarely(rarely bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rarely == rarely {
		return
	}
	low := 1
	if rarely {
		low = rareBytes
	}
	if r.setLowWater(low) == nil { // a connection in a test has none
		r.rarely = rarely
		r.nc.SetReadDeadline(time.Now()) // what is there is read, and the next deadline set
	}
}

var errNoSocket = errors.New("not a socket")

// setLowWater sets how many bytes have to be there for the reader to be woken.
func (r *rareReader) setLowWater(bytes int) error {
	sc, ok := r.nc.(syscall.Conn)
	if !ok {
		return errNoSocket
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, bytes)
	})
	return errors.Join(err, refused)
}

// endBy makes reading end at an instant.
func (r *rareReader) endBy(end time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end = end
	r.setDeadline(time.Now())
}

// setDeadline is when the next read is to return with what is there.
func (r *rareReader) setDeadline(now time.Time) {
	at := r.end
	if soon := now.Add(rareTime); r.rarely && (at.IsZero() || soon.Before(at)) {
		at = soon
	}
	r.nc.SetReadDeadline(at)
}

// over reports whether the deadline that was met was the last one, and sets the
// next one where it was not.
func (r *rareReader) over(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.end.IsZero() && !now.Before(r.end) {
		return true
	}
	r.setDeadline(now)
	return false
}

func (r *rareReader) Read(b []byte) (n int, err error) {
	for {
		n, err = r.nc.Read(b)
		// The next read looks for what is there before it waits.
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || r.over(time.Now()) {
			return n, err
		}
	}
}
