package admin

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
	peersync "github.com/peersd/peersd/sync"
	"github.com/peersd/peersd/table"
	"github.com/rs/zerolog"
)

// FuzzLine sends anything to the socket: each command of the first line has its
// answer, which an empty line ends, and nothing else comes.
func FuzzLine(f *testing.F) {
	for _, c := range commands {
		f.Add([]byte(c.name + "\n"))
		f.Add([]byte("set severity-output number;" + c.name + " t1; " + c.name + " x y\r\nmore\n"))
	}
	f.Add([]byte("show table mypeers/t2;;;show tables"))
	f.Add([]byte(strings.Repeat(";", maxLine) + "\n"))
	f.Add([]byte(strings.Repeat("x", maxLine+1)))
	f.Add([]byte("set severity-output string;show \xff\x00table\n"))
	now := time.Now()
	s := &Server{Tables: table.NewSet("mypeers", now), Started: now, Log: zerolog.Nop()}
	t2 := protocol.Definition{ID: 2, Name: "/t2", KeyType: protocol.KeyString, KeyLen: 33}
	fill(s.Tables, now, &t2, protocol.Update{Key: []byte("k")})
	s.Hub = peersync.New(peersync.Config{Names: []string{"peersd"}, Tables: s.Tables})
	f.Fuzz(func(t *testing.T, in []byte) {
		answer := exchange(t, s, in)
		line, _, ended := bytes.Cut(in, []byte{'\n'})
		switch {
		case len(line) > maxLine || ended && len(line) == maxLine:
			if !bytes.HasPrefix(answer, []byte("The line is longer")) {
				t.Errorf("a line of %d bytes is answered with %.100q", len(line), answer)
			}
		default:
			ends := bytes.Count(answer, []byte("\n\n"))
			if bytes.HasPrefix(answer, []byte{'\n'}) {
				ends++
			}
			if commands := bytes.Count(line, []byte{';'}) + 1; ends < 1 || ends > commands || !bytes.HasSuffix(answer, []byte{'\n'}) {
				t.Errorf("%d commands have %d answers: %.100q", commands, ends, answer)
			}
		}
	})
}

// exchange sends in, and its end, and returns the whole answer.
func exchange(t *testing.T, s *Server, in []byte) []byte {
	ours, theirs := net.Pipe()
	ours.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		s.answer(theirs)
		theirs.Close()
	}()
	go func() {
		ours.Write(in) // what is behind the first line is never read
		if !bytes.ContainsRune(in, '\n') && len(in) <= maxLine {
			ours.Write([]byte{'\n'})
		}
	}()
	answer, err := io.ReadAll(ours)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

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
