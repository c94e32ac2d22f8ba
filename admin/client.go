package admin

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// What messages begin with after `set severity-output number`: errors, and what is
// told.
const (
	errorMark = "[3]: "
	infoMark  = "[6]: "
)

// unknownMark begins the answer to a command that does not exist, which to HAProxy
// is no error.
const unknownMark = infoMark + "Unknown command: "

// A RefusedError is an answer of the socket that is an error.
type RefusedError string

func (e RefusedError) Error() string { return string(e) }

// Do sends one command to the socket of that name and copies the answer, without
// the empty line that ends it, to w. The error is a [RefusedError] where the
// answer is one.
func Do(socket, command string, w io.Writer) error {
	c, err := dial(socket)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "set severity-output number;%s\n", command); err != nil {
		return fmt.Errorf("can't send the command: %w", err)
	}
	r := bufio.NewReaderSize(c, 65536)
	c.SetReadDeadline(time.Now().Add(answersWithin))
	first, err := r.ReadString('\n') // the answer to the first command
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("no answer from %s within %v; see whether peersd, or who reads its log, stands still", socket, answersWithin)
	}
	if err != nil {
		return fmt.Errorf("no answer from %s: %w", socket, err)
	}
	c.SetReadDeadline(time.Time{})
	if first != "\n" {
		return RefusedError(strings.TrimSpace(first))
	}
	beginning, _ := r.Peek(len(unknownMark))
	switch {
	case bytes.HasPrefix(beginning, []byte(errorMark)), string(beginning) == unknownMark:
		text, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return RefusedError(bytes.TrimSpace(text[len(errorMark):]))
	case bytes.HasPrefix(beginning, []byte(infoMark)):
		r.Discard(len(infoMark))
	}
	return copyAnswer(w, r)
}

// answersWithin is how long it may take until an answer begins.
var answersWithin = 10 * time.Second

// dial connects to the socket of that name.
func dial(socket string) (net.Conn, error) {
	c, err := net.Dial(network(socket), socket)
	if errors.Is(err, syscall.EACCES) {
		return nil, fmt.Errorf("the socket %s is another user's; run this as who runs `peersd serve`, or as root", socket)
	}
	if err != nil {
		return nil, fmt.Errorf("no peersd answers at %s: %w; start `peersd serve`, or name its socket with --socket", socket, errors.Unwrap(err))
	}
	return c, nil
}

// copyAnswer copies all but the empty line at the end, which tells that nothing
// is missing.
func copyAnswer(w io.Writer, r *bufio.Reader) error {
	held := false  // a line feed that may be the last one
	begins := true // what comes next is the beginning of a line
	for {
		part, err := r.ReadSlice('\n')
		if len(part) > 0 {
			if held {
				if _, err := w.Write([]byte{'\n'}); err != nil {
					return err
				}
			}
			if held = begins && part[0] == '\n'; !held {
				if _, err := w.Write(part); err != nil {
					return err
				}
			}
			begins = part[len(part)-1] == '\n'
		}
		switch {
		case errors.Is(err, io.EOF) && held:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("the answer is cut short; has `peersd serve` ended?")
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("the answer is cut short: %w", err)
		}
	}
}
