package admin

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
)

// errorMark begins an answer that is an error, after `set severity-output
// number`.
const errorMark = "[3]: "

// A RefusedError is an answer of the socket that is an error.
type RefusedError string

func (e RefusedError) Error() string { return string(e) }

// Do sends one command to the socket at path and copies the answer, without
// the empty line that ends it, to w. The error is a [RefusedError] where the
// answer is one.
func Do(path, command string, w io.Writer) error {
	c, err := net.Dial("unix", path)
	if err != nil {
		return fmt.Errorf("no peersd answers at %s: %w; start `peersd serve`, or name its socket with --socket", path, errors.Unwrap(err))
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "set severity-output number;%s\n", command); err != nil {
		return fmt.Errorf("can't send the command: %w", err)
	}
	r := bufio.NewReaderSize(c, 65536)
	if _, err := r.ReadString('\n'); err != nil { // the answer to the first command
		return fmt.Errorf("no answer from %s: %w", path, err)
	}
	if mark, _ := r.Peek(len(errorMark)); string(mark) == errorMark {
		text, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		return RefusedError(bytes.TrimSpace(text[len(errorMark):]))
	}
	return copyAnswer(w, r)
}

// copyAnswer copies all but the empty line at the end.
func copyAnswer(w io.Writer, r *bufio.Reader) error {
	held := false // a line feed that may be the last one
	for {
		line, err := r.ReadSlice('\n')
		if len(line) > 0 {
			if held {
				if _, err := w.Write([]byte{'\n'}); err != nil {
					return err
				}
			}
			if held = len(line) == 1 && line[0] == '\n'; !held {
				if _, err := w.Write(line); err != nil {
					return err
				}
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}
