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
	blocks [][]byte // commands, and ";" or a line feed between them
	line   int      // bytes of the line under way
	lines  int
	n      int
}

const (
	// withNumbers stands in front of the commands, so that errors can be told from
	// other answers.
	withNumbers = "set severity-output number;"
	// scriptBlock is how much a block has room for.
	scriptBlock = 1 << 20
)

// Len is how many commands there are.
func (s *Script) Len() int { return s.n }

// Add adds a command. It is refused where it is too long for a line.
func (s *Script) Add(command []byte) error {
	if len(withNumbers)+len(command)+1 > maxLine {
		return fmt.Errorf("it makes a command of %d bytes, and a line of the socket has %d at most", len(command), maxLine)
	}
	separator := byte(';')
	if s.n == 0 || s.line+1+len(command)+1 > maxLine {
		separator, s.line = '\n', len(withNumbers) // of the first line; others have a bit of room left
		s.lines++
	}
	last := len(s.blocks) - 1
	if last < 0 || len(s.blocks[last])+1+len(command) > cap(s.blocks[last]) {
		s.blocks, last = append(s.blocks, make([]byte, 0, scriptBlock)), last+1
	}
	if s.n > 0 {
		s.blocks[last] = append(s.blocks[last], separator)
	}
	s.blocks[last] = append(s.blocks[last], command...)
	s.line += 1 + len(command)
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
	begin, before := withNumbers, 1
	if s.lines > 1 {
		begin, before = withNumbers+"prompt i\n", 2 // else one line would be all that is answered
	}
	sent := make(chan error, 1)
	go func() { sent <- s.send(c, begin) }()
	err = s.hear(c, before, answered)
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

// send writes all at once: HAProxy 2.6 takes the beginning of a line, up to a ";", for
// all that comes.
func (s *Script) send(c net.Conn, begin string) error {
	all := append(net.Buffers{[]byte(begin)}, s.blocks...)
	all = append(all, []byte("\n"))
	if _, err := all.WriteTo(c); err != nil {
		return fmt.Errorf("can't send all commands: %w", err)
	}
	return nil
}

// hear reads the answers, each of which is an empty line, or an error and an empty
// line; first those to so many commands before the script.
func (s *Script) hear(c net.Conn, before int, answered func(i int, refused error)) error {
	r := bufio.NewReaderSize(c, 65536)
	for i := -before; i < s.n; i++ {
		refused, err := readRefusal(r)
		switch {
		case err != nil:
			return errors.New("the daemon has ended the conversation; has `peersd serve` ended?")
		case i >= 0:
			answered(i, refused)
		case refused != nil:
			return refused
		}
	}
	return nil
}

// readRefusal reads the answer to a command; refused is nil where it is done.
func readRefusal(r *bufio.Reader) (refused, err error) {
	var text []byte
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimPrefix(line, []byte("> ")) // HAProxy before 3.2 goes on only where it prompts
		if len(line) == 1 {
			break
		}
		text = append(text, line...)
	}
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return nil, nil
	}
	return RefusedError(bytes.TrimPrefix(text, []byte(errorMark))), nil
}
