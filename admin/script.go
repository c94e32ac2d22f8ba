package admin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
)

// A Script is commands that the socket answers with nothing or with an error, as
// `set table` and `clear table`. They are sent as many in a line as it takes, and
// line after line, without waiting for answers.
type Script struct {
	blocks [][]byte // whole lines, but for the last command's end
	line   int      // bytes of the line under way
	n      int
}

// scriptBlock is how much a block has room for.
const scriptBlock = 1 << 20

// Len is how many commands there are.
func (s *Script) Len() int { return s.n }

// Add adds a command. It is refused where it is too long for a line.
func (s *Script) Add(command []byte) error {
	if len(command)+1 >= maxLine {
		return fmt.Errorf("it makes a command of %d bytes, and a line of the socket has %d at most", len(command), maxLine)
	}
	separator := byte(';')
	if s.line+len(command)+2 > maxLine {
		separator, s.line = '\n', 0
	}
	last := len(s.blocks) - 1
	if last < 0 || len(s.blocks[last])+len(command)+1 > cap(s.blocks[last]) {
		s.blocks, last = append(s.blocks, make([]byte, 0, scriptBlock)), last+1
	}
	b := s.blocks[last]
	if s.n > 0 {
		b = append(b, separator)
	}
	s.blocks[last] = append(b, command...)
	s.line += len(command) + 1
	s.n++
	return nil
}

// Run sends the commands to the socket, and calls answered with what each is answered,
// nil where it is done, in their order.
func (s *Script) Run(ctx context.Context, socket string, answered func(i int, refused error)) error {
	if s.n == 0 {
		return nil
	}
	c, err := dial(socket)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	sent := make(chan error, 1)
	go func() { sent <- s.send(c) }()
	err = s.hear(c, answered)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		c.Close() // the rest is not sent
		<-sent
		return err
	}
	return <-sent
}

func (s *Script) send(c net.Conn) error {
	_, err := fmt.Fprint(c, "set severity-output number;prompt i\n")
	for _, b := range append(s.blocks, []byte("\n")) {
		if err == nil {
			_, err = c.Write(b)
		}
	}
	if err != nil {
		return fmt.Errorf("can't send all commands: %w", err)
	}
	return nil
}

// hear reads the answers: an empty line, or an error and an empty line.
func (s *Script) hear(c net.Conn, answered func(i int, refused error)) error {
	r := bufio.NewReaderSize(c, 65536)
	for i := -2; i < s.n; i++ {
		var text []byte
		for line := []byte{}; len(line) != 1; {
			var err error
			if line, err = r.ReadSlice('\n'); err != nil {
				return errors.New("the daemon has ended the conversation; has `peersd serve` ended?")
			}
			text = append(text, line...)
		}
		switch refused := bytes.TrimSpace(text); {
		case len(refused) == 0 && i >= 0:
			answered(i, nil)
		case len(refused) == 0:
		case i < 0:
			return RefusedError(refused)
		default:
			answered(i, RefusedError(bytes.TrimPrefix(refused, []byte(errorMark))))
		}
	}
	return nil
}
