package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// idleTimeout is how long a client may be silent, and how long it may take to read
// some of an answer, before it has said otherwise.
const idleTimeout = 10 * time.Second

// A Level is what a client of the socket may do, as in haproxy.cfg.
type Level int

const (
	// Operator may look at everything and change tables.
	Operator Level = iota
	// User may look at what is no secret: no entries, no environment.
	User
)

func (l Level) String() string {
	if l == User {
		return "user"
	}
	return "operator"
}

// errQuit ends a conversation.
var errQuit = errors.New("quit")

// A cli is the conversation with one client: its commands, and how it wants to be
// answered.
type cli struct {
	*Server
	ctx  context.Context // until the server ends
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer

	level    Level
	severity severityOutput
	timeout  time.Duration
	// What `prompt` sets: whether there may be another line after the first
	// one, and whether and how it is asked for.
	interactive, prompting, timed bool
	// noLF: no line feed follows the answer under way.
	noLF  bool
	words []string // of the command under way
	order order    // of the last `set table`
	// changed: the commands of this line have changed entries, which sessions are to
	// push once they are all done.
	changed bool
}

func newCLI(ctx context.Context, s *Server, c net.Conn) *cli {
	client := &cli{Server: s, ctx: ctx, conn: c, level: s.Level, timeout: idleTimeout}
	client.in = bufio.NewReaderSize(c, maxLine)
	client.out = bufio.NewWriterSize(slowWriter{client}, 32768)
	return client
}

// A slowWriter gives each write a timeout of its own, so that a long answer may
// take long and a reader that is gone doesn't keep it.
type slowWriter struct{ *cli }

func (w slowWriter) Write(b []byte) (int, error) {
	w.conn.SetWriteDeadline(time.Now().Add(w.timeout))
	return w.conn.Write(b)
}

// converse answers a line, or one after the other, until the client is content,
// silent or gone.
func (c *cli) converse() {
	for again := true; again; again = c.interactive {
		l, err := c.read()
		if errors.Is(err, errLongLine) {
			c.refuseLongLine()
			return
		}
		if err != nil {
			return
		}
		if over := c.answer(l.commands); c.out.Flush() != nil || over {
			return
		}
	}
}

// answer carries out the commands of a line, and reports whether the conversation
// is over.
func (c *cli) answer(commands []string) (over bool) {
	for i, command := range commands {
		if over = c.run(command) != nil || c.endAnswer(i == len(commands)-1) != nil; over {
			break
		}
	}
	if c.changed {
		c.changed = false
		c.Hub.Wake()
	}
	return over
}

// read reads a line. No command takes a payload: it is read, and left alone, as by
// HAProxy's commands that take none.
func (c *cli) read() (line, error) {
	c.conn.SetReadDeadline(time.Now().Add(c.timeout))
	text, err := readLine(c.in, maxLine)
	if err != nil {
		return line{}, err
	}
	l := parseLine(string(text))
	for left := maxLine - len(text) - 1; l.payload; {
		if c.prompting && c.in.Buffered() == 0 {
			c.out.WriteString("+ ")
			c.out.Flush()
		}
		c.conn.SetReadDeadline(time.Now().Add(c.timeout))
		text, err := readLine(c.in, left)
		if err != nil {
			return line{}, err
		}
		left -= len(text) + 1
		l.payload = string(text) != l.pattern
	}
	return l, nil
}

// refuseLongLine answers a line that is too long, and reads its end, for a moment: a
// client that still writes would not get the answer.
func (c *cli) refuseLongLine() {
	fmt.Fprintf(c.out, "The line is longer than %d bytes.\n\n", maxLine)
	if c.out.Flush() != nil {
		return
	}
	c.conn.SetReadDeadline(time.Now().Add(time.Second))
	for err := bufio.ErrBufferFull; errors.Is(err, bufio.ErrBufferFull); {
		_, err = c.in.ReadSlice('\n')
	}
}

// run carries out one command. An error is that the conversation is over.
func (c *cli) run(command string) error {
	c.noLF = false
	words, more := parseWords(c.words[:0], command)
	c.words = words
	if more {
		return c.say(severityError, fmt.Sprintf("Too many arguments. Commands must have at most %d arguments.\n", maxWords))
	}
	if len(words) == 0 {
		return nil
	}
	found, args := find(words)
	if found == nil {
		return c.say(severityInfo, "Unknown command: '"+words[0]+"', but maybe one of the following ones is a better match:\n"+usage(words))
	}
	err := c.allow(found.level)
	if err == nil {
		err = found.run(c, args)
	}
	var refused refusal
	if errors.As(err, &refused) {
		return c.say(severityError, string(refused))
	}
	return err
}

// allow refuses what is for another level.
func (c *cli) allow(l Level) error {
	if c.level > l {
		return refusal("Permission denied\n")
	}
	return nil
}

// endAnswer writes what stands behind an answer; last is that of a line's last
// command.
func (c *cli) endAnswer(last bool) error {
	end := "\n"
	switch {
	case c.prompting && last && c.timed:
		up := int(time.Since(c.Started).Seconds())
		end = fmt.Sprintf("\n[%d:%02d:%02d:%02d]> ", up/86400, up/3600%24, up/60%60, up%60)
	case c.prompting && last:
		end = "\n> "
	case !c.prompting && c.noLF:
		end = ""
	}
	_, err := c.out.WriteString(end)
	return err
}

// A severityOutput is what stands in front of answers that are messages.
type severityOutput int

const (
	severityNone severityOutput = iota
	severityNumber
	severityString
)

// The severities of messages, those of syslog.
const (
	severityError = 3
	severityInfo  = 6
)

// say writes a message. One that lacks its line feed gets it.
func (c *cli) say(severity int, text string) error {
	mark := ""
	switch c.severity {
	case severityNumber:
		mark = fmt.Sprintf("[%d]: ", severity)
	case severityString:
		mark = map[int]string{severityError: "[err]: ", severityInfo: "[info]: "}[severity]
	}
	_, err := c.out.WriteString(mark + strings.TrimRight(text, "\n") + "\n")
	return err
}
