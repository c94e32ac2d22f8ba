package admin

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
	peersync "github.com/peersd/peersd/sync"
	"github.com/peersd/peersd/table"
	"github.com/rs/zerolog"
)

// FuzzConversation sends anything to the socket: each line that is answered has an
// end to its answer, and a line that is cut short is not answered.
func FuzzConversation(f *testing.F) {
	for _, c := range commands {
		f.Add([]byte(c.name + "\n"))
		f.Add([]byte("set severity-output number;" + c.name + " t1; " + c.name + " x y\r\nmore\n"))
		f.Add([]byte("prompt\n" + c.name + " mypeers/t2 key k\n"))
	}
	f.Add([]byte("show table mypeers/t2;;;show tables"))
	f.Add([]byte(strings.Repeat(";", maxLine) + "\n"))
	f.Add([]byte(strings.Repeat("x", maxLine+1)))
	f.Add([]byte("set severity-output string;show \xff\x00table\n"))
	f.Add([]byte("prompt i\nset table /t2 key \\\n data.gpc0 1 expire 1d\nclear table /t2 <<x\ny\nx\n"))
	now := time.Now()
	s := &Server{Tables: table.NewSet("mypeers", now), Started: now, Reload: func() (string, error) { return "", nil }, Log: zerolog.Nop()}
	t2 := definition("/t2", protocol.KeyString, 33, protocol.GPC0, protocol.GPCRateArray)
	fill(s.Tables, now, &t2, protocol.Update{Key: []byte("k"), Values: make([]uint64, 10)})
	s.Hub = peersync.New(peersync.Config{Names: []string{"peersd"}, Tables: s.Tables})
	f.Fuzz(func(t *testing.T, in []byte) {
		c := &sentConn{in: bytes.NewReader(in)}
		newCLI(context.Background(), s, c).converse()
		answer := c.out.Bytes()
		switch {
		case len(answer) == 0:
		case !bytes.ContainsRune(in, '\n') && len(in) < maxLine:
			t.Errorf("%.100q is answered with %.100q", in, answer)
		case answer[len(answer)-1] != '\n' && !bytes.HasSuffix(answer, []byte("> ")) && !bytes.HasSuffix(answer, []byte("+ ")):
			t.Errorf("%.100q is answered with ...%.100q", in, answer[max(0, len(answer)-100):])
		}
	})
}

// A sentConn is a connection on which all is said, and all answers are kept.
type sentConn struct {
	net.Conn
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *sentConn) Read(b []byte) (int, error)       { return c.in.Read(b) }
func (c *sentConn) Write(b []byte) (int, error)      { return c.out.Write(b) }
func (c *sentConn) SetReadDeadline(time.Time) error  { return nil }
func (c *sentConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzAnswer reads anything as the answer to a command: it is passed on as it is but
// for the line that ends it, or it is said to be cut short.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{"", "\n", "a\n\n", "a\nb\n\n", "\n\na\n\n", "a", "a\n", strings.Repeat("x", 70000) + "\n\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var out bytes.Buffer
		err := copyAnswer(&out, bufio.NewReaderSize(bytes.NewReader(in), 65536))
		whole := bytes.Equal(in, []byte{'\n'}) || bytes.HasSuffix(in, []byte("\n\n"))
		switch {
		case (err == nil) != whole:
			t.Errorf("%.100q: %v", in, err)
		case whole && !bytes.Equal(out.Bytes(), in[:len(in)-1]):
			t.Errorf("%.100q is passed on as %.100q", in, out.Bytes())
		case !bytes.HasPrefix(in, out.Bytes()):
			t.Errorf("%.100q, cut short, is passed on as %.100q", in, out.Bytes())
		}
	})
}
