package peersync

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// sockets returns both ends of a connection over loopback.
func sockets(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if theirs, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if ours, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ours.Close()
		theirs.Close()
	})
	return ours, theirs
}

// A few bytes at a time are read many at once, nothing is lost, and all of it
// comes though there is never as much as the reader would be woken for.
func TestRareReader(t *testing.T) {
	const messages, size = 200, 10
	read := func(rarely bool) (reads int) {
		ours, theirs := sockets(t)
		r := rareReader{nc: ours}
		r.wakeRarely(rarely)
		if r.rarely != rarely {
			t.Fatal("the socket refuses")
		}
		go func() {
			for range messages {
				theirs.Write(make([]byte, size))
				time.Sleep(100 * time.Microsecond)
			}
		}()
		b := make([]byte, messages*size)
		for got := 0; got < messages*size; reads++ {
			n, err := r.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			got += n
		}
		return reads
	}
	often, rarely := read(false), read(true)
	t.Logf("%d messages were read in %d reads, or %d", messages, often, rarely)
	if rarely > messages/10 || rarely > often {
		t.Errorf("%d reads of %d messages, and %d when few were to do", often, messages, rarely)
	}
}

// What waits comes when it is not to wait any more.
func TestRareReaderEnds(t *testing.T) {
	ours, theirs := sockets(t)
	r := rareReader{nc: ours}
	r.wakeRarely(true)
	got := make(chan int)
	go func() {
		n, _ := r.Read(make([]byte, 10))
		got <- n
	}()
	theirs.Write([]byte("ab"))
	r.wakeRarely(false)
	r.wakeRarely(false)
	if n := <-got; n != 2 {
		t.Errorf("%d bytes, not 2", n)
	}
	r.wakeRarely(true)
	r.endBy(time.Now().Add(rareTime / 10))
	if _, err := r.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the end: %v", err)
	}
	r = rareReader{nc: ours}
	ours.Close()
	if r.wakeRarely(true); r.rarely {
		t.Error("a closed connection is said to be read rarely")
	}
}

// Where there is no socket, all is read as it comes.
func TestRareReaderOfPipe(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	r := rareReader{nc: ours}
	r.wakeRarely(true)
	go theirs.Write([]byte("ab"))
	if n, err := r.Read(make([]byte, 10)); n != 2 || err != nil || r.rarely {
		t.Errorf("%d bytes, %v, rarely %v", n, err, r.rarely)
	}
}
