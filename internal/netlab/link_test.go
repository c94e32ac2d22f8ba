package netlab

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/testkit"
)

const port = ":7000"

func newLink(t *testing.T) *Link {
	t.Helper()
	l, err := New(1)
	if errors.Is(err, ErrUnavailable) {
		testkit.Skip(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// connect returns both ends of a TCP connection over the link.
func connect(t *testing.T, l *Link) (a, b net.Conn) {
	t.Helper()
	var listener net.Listener
	listen := func() (err error) {
		listener, err = net.Listen("tcp", l.B.Address+port)
		return err
	}
	dial := func() (err error) {
		a, err = net.DialTimeout("tcp", l.B.Address+port, 10*time.Second)
		return err
	}
	if err := l.B.Do(listen); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := l.A.Do(dial); err != nil {
		t.Fatal(err)
	}
	b, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{a, b} {
		c.SetDeadline(time.Now().Add(30 * time.Second))
		t.Cleanup(func() { c.Close() })
	}
	return a, b
}

// pingPong sends n bytes there and back.
func pingPong(t *testing.T, a, b net.Conn, n int) {
	t.Helper()
	go io.CopyN(b, b, int64(n))
	sent := bytes.Repeat([]byte("ping"), n/4)
	go a.Write(sent)
	got := make([]byte, n)
	if _, err := io.ReadFull(a, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d bytes came back otherwise, or not: %v", n, err)
	}
}

func TestPingPong(t *testing.T) {
	l := newLink(t)
	a, b := connect(t, l)
	pingPong(t, a, b, 4)
	pingPong(t, a, b, 4<<20)
	if passed, lost := l.Packets(); passed < 4<<20/mtu || lost > passed/10 {
		t.Errorf("%d packets came through, and %d did not", passed, lost)
	}
}

// Neither end is told of a cut; what was sent meanwhile comes when it is healed.
func TestCut(t *testing.T) {
	l := newLink(t)
	a, b := connect(t, l)
	l.Set(Faults{Cut: true})
	if _, err := a.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	b.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	if n, err := b.Read(got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes came through a cut, or its end: %v", n, err)
	}
	l.Set(Faults{})
	b.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(b, got); err != nil {
		t.Fatalf("nothing came after it was healed: %v", err)
	}
	pingPong(t, a, b, 4)
}

func TestDelay(t *testing.T) {
	const delay = 50 * time.Millisecond
	l := newLink(t)
	a, b := connect(t, l)
	l.Set(Faults{Delay: delay})
	began := time.Now()
	pingPong(t, a, b, 4)
	if took := time.Since(began); took < 2*delay {
		t.Errorf("there and back in %v", took)
	}
}

// As many packets get lost as are to be; TCP makes up for it.
func TestLoss(t *testing.T) {
	l := newLink(t)
	a, b := connect(t, l)
	l.Set(Faults{Loss: 0.05})
	pingPong(t, a, b, 1<<20)
	passed, lost := l.Packets()
	t.Logf("%d packets came through, and %d did not", passed, lost)
	if share := float64(lost) / float64(passed+lost); share < 0.02 || share > 0.1 {
		t.Errorf("%.3f of the packets were lost", share)
	}
}

// A process that is started in a namespace has its network and no other.
func TestProcess(t *testing.T) {
	l := newLink(t)
	for _, n := range []*Namespace{l.A, l.B} {
		var out []byte
		err := n.Do(func() (err error) {
			out, err = exec.Command("cat", "/proc/net/fib_trie").Output()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(out, []byte(n.Address)) || !bytes.Contains(out, []byte("127.0.0.1")) {
			t.Errorf("no %s in:\n%s", n.Address, out)
		}
	}
	ours, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range ours {
		if ip := a.(*net.IPNet).IP.String(); ip == l.A.Address || ip == l.B.Address {
			t.Errorf("the test's own network has the address %s", ip)
		}
	}
}

// Nothing is left of links that were closed.
func TestClose(t *testing.T) {
	newLink(t)
	files := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	beforeFiles, before := files(), runtime.NumGoroutine()
	for range 5 {
		l, err := New(1)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	// Connections of other tests may go meanwhile.
	if after := files(); after > beforeFiles {
		t.Errorf("%d files are open, before it were %d", after, beforeFiles)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines, before it were %d", after, before)
	}
}
