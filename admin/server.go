package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	peersync "github.com/peersd/peersd/sync"
	"github.com/peersd/peersd/table"
	"github.com/rs/zerolog"
)

// Limits of the socket.
const (
	maxLine     = 16384 // bytes of a line of commands, as HAProxy's tune.bufsize
	idleTimeout = 10 * time.Second
)

// A Server answers the runtime commands on a socket: a line of commands
// separated by ";", the answer to each ended by an empty line, and then the
// end of the connection.
type Server struct {
	Tables  *table.Set
	Hub     *peersync.Hub
	Listen  []string // the addresses that peers reach us at
	Started time.Time
	Log     zerolog.Logger
}

// Listen opens the UNIX socket at path with mode 600. A socket that an earlier
// process has left behind is replaced; one that somebody listens on is not.
func Listen(path string) (net.Listener, error) {
	l, err := listenUnix(path)
	if err == nil {
		return l, nil
	}
	c, dialErr := net.Dial("unix", path)
	if dialErr == nil {
		c.Close()
		return nil, fmt.Errorf("the socket %s is in use by another process; choose another one with --socket", path)
	}
	if info, statErr := os.Lstat(path); statErr == nil && info.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("%s is no socket; choose another path with --socket", path)
	}
	if errors.Is(dialErr, syscall.ECONNREFUSED) {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("can't replace the old socket: %w", err)
		}
		l, err = listenUnix(path)
	}
	if err != nil {
		return nil, fmt.Errorf("can't open the socket %s: %w; choose another one with --socket", path, errors.Unwrap(err))
	}
	return l, nil
}

// listenUnix gives the socket its mode before it has a name, so that nobody
// can connect in between.
func listenUnix(path string) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), 0o600) }); cerr != nil {
			return cerr
		}
		return err
	}}
	return lc.Listen(context.Background(), "unix", path)
}

// Serve answers on l until ctx is done, and closes it.
func (s *Server) Serve(ctx context.Context, l net.Listener) {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			s.Log.Error().Err(err).Msg("can't accept a connection on the socket, trying again")
			time.Sleep(100 * time.Millisecond)
			continue
		}
		wg.Go(func() {
			stop := context.AfterFunc(ctx, func() { c.Close() })
			defer stop()
			defer c.Close()
			s.answer(c)
		})
	}
}

// answer reads one line and carries it out.
func (s *Server) answer(c net.Conn) {
	c.SetReadDeadline(time.Now().Add(idleTimeout))
	line, err := bufio.NewReader(io.LimitReader(c, maxLine+1)).ReadString('\n')
	if err != nil && (!errors.Is(err, io.EOF) || line == "") {
		return
	}
	w := bufio.NewWriterSize(&slowWriter{c}, 32768)
	defer w.Flush()
	if len(line) > maxLine {
		fmt.Fprintf(w, "The line is longer than %d bytes.\n\n", maxLine)
		return
	}
	severity := severities["none"]
	for text := range strings.SplitSeq(strings.TrimRight(line, "\r\n"), ";") {
		words := strings.Fields(text)
		var err error
		if len(words) > 1 && words[0] == "set" && words[1] == "severity-output" {
			severity, err = setSeverity(severity, words[2:])
		} else if len(words) > 0 {
			err = s.run(w, words)
		}
		var r refusal
		switch {
		case errors.As(err, &r):
			io.WriteString(w, severity+string(r))
		case err != nil:
			return // whoever asked is gone
		}
		io.WriteString(w, "\n")
	}
}

func (s *Server) run(w io.Writer, words []string) error {
	c, args := find(words)
	if c == nil {
		return refusal(fmt.Sprintf("Unknown command: '%s'; 'help' lists those that exist.\n", strings.Join(words, " ")))
	}
	return c.run(s, w, args)
}

// severities are what an error begins with, by the argument of `set
// severity-output`. 3 is syslog's "error", which HAProxy calls "err".
var severities = map[string]string{"none": "", "number": errorMark, "string": "[err]: "}

// setSeverity returns what errors are to begin with from now on.
func setSeverity(was string, args []string) (string, error) {
	if len(args) == 1 {
		if is, ok := severities[args[0]]; ok {
			return is, nil
		}
	}
	return was, refusal("one of 'none', 'number', 'string' is a required argument\n")
}

// A slowWriter gives each write the idle timeout, so that a long answer may
// take long and a reader that is gone doesn't keep it.
type slowWriter struct{ net.Conn }

func (w *slowWriter) Write(b []byte) (int, error) {
	w.SetWriteDeadline(time.Now().Add(idleTimeout))
	return w.Conn.Write(b)
}
