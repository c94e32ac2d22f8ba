package admin

import (
	"bytes"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDo(t *testing.T) {
	huge := strings.Repeat("x", 65536) // as long as the reader's buffer
	tests := []struct {
		name, answer string // behind that to "set severity-output"
		want         string
		err          string
	}{
		{"a line", "peersd\n\n", "peersd\n", ""},
		{"several lines", "a\nb\n\n", "a\nb\n", ""},
		{"nothing", "\n", "", ""},
		{"empty lines within", "\n\na\n\n\nb\n\n", "\n\na\n\n\nb\n", ""},
		{"huge lines", huge + "\n" + huge + huge + "y\n\n", huge + "\n" + huge + huge + "y\n", ""},
		{"an error", "[3]: No such table\n\n", "", "No such table"},
		{"an error of two lines", "[3]: No\nsuch table\n\n", "", "No\nsuch table"},
		{"an error's mark within a line", "a [3]: \n\n", "a [3]: \n", ""},
		{"a message", "[6]: a\nb\n\n", "a\nb\n", ""},
		{"an unknown command", "[6]: Unknown command: 'frob', but\n  help\n\n", "", "Unknown command: 'frob', but\n  help"},
		{"cut short", "a\nb\n", "a\nb\n", "cut short"},
		{"cut short in a line", "a\nb", "a\nb", "cut short"},
		{"cut short after a huge line", huge + "\n", huge + "\n", "cut short"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			asked := answerOnce(t, path, "\n"+tt.answer)
			var out bytes.Buffer
			err := Do(path, "show table", &out)
			if got := <-asked; got != "set severity-output number;show table\n" {
				t.Errorf("asked %q", got)
			}
			if out.String() != tt.want {
				t.Errorf("got %.80q, want %.80q", out.String(), tt.want)
			}
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// answerOnce answers the first line that comes to the socket, and returns it.
func answerOnce(t *testing.T, path, answer string) <-chan string {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	asked := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, 1000)
		n, _ := c.Read(buf)
		asked <- string(buf[:n])
		io.WriteString(c, answer)
	}()
	return asked
}

func TestDoWithoutAnswer(t *testing.T) {
	dir := t.TempDir()
	empty, other := filepath.Join(dir, "empty"), filepath.Join(dir, "other")
	answerOnce(t, empty, "")
	answerOnce(t, other, "The line is longer than 16384 bytes.\n\n")
	for path, want := range map[string]string{
		filepath.Join(dir, "nowhere"): "start `peersd serve`, or name its socket with --socket",
		empty:                         "no answer from " + empty,
		other:                         "The line is longer than 16384 bytes.",
	} {
		if err := Do(path, "show table", io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
}

// A daemon that stands still keeps nobody waiting for ever.
func TestDoOfOneThatStandsStill(t *testing.T) {
	before := answersWithin
	answersWithin = 10 * time.Millisecond
	defer func() { answersWithin = before }()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := Do(path, "show peers", io.Discard); err == nil || !strings.Contains(err.Error(), "no answer from "+path+" within 10ms; see whether peersd") {
		t.Error(err)
	}
}
