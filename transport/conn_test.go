package transport

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

// Who reads nothing keeps nobody from ending the connection, nor from going on after
// a read that had its time.
func TestEnd(t *testing.T) {
	dir := folder(t)
	p := open(t, dir, "", "ssl crt DIR/lb1.pem", "ssl ca-file DIR/ca.pem")
	ours, theirs := p.expect("", "")
	ours.SetDeadline(time.Now())
	if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%v, want that its time is over", err)
	}
	ours.SetDeadline(time.Time{})
	theirs.Write([]byte("x"))
	if n, err := ours.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Fatalf("after that: %d bytes, %v", n, err)
	}
	sent := 0
	ours.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	for b, n := make([]byte, 1<<20), 0; ; sent += n {
		var err error
		if n, err = ours.Write(b); errors.Is(err, os.ErrDeadlineExceeded) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if err := ours.(*Conn).CloseWrite(); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("the end took %v", d) // TLS's own would wait for 5 s
	}
	theirs.SetDeadline(time.Now().Add(10 * time.Second))
	if n, err := io.Copy(io.Discard, theirs); n < int64(sent) {
		t.Errorf("%d bytes of %d came, %v", n, sent, err)
	}
	began = time.Now()
	ours.Close()
	theirs.Close()
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("the end took %v", d)
	}
}

// What was sent is read to its end, which is none that an error is made of.
func TestEndIsEOF(t *testing.T) {
	dir := folder(t)
	p := open(t, dir, "", "ssl crt DIR/lb1.pem", "ssl ca-file DIR/ca.pem")
	ours, theirs := p.expect("", "")
	ours.Write([]byte("last words"))
	ours.Close()
	if b, err := io.ReadAll(theirs); string(b) != "last words" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}
