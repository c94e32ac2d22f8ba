package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/peersd/peersd/admin/screen"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (a *app) topCommand() *cobra.Command {
	table, interval := "", time.Second
	cmd := a.onSocket(&cobra.Command{
		Use:   "top",
		Short: "a live screen of peers, tables and busy keys",
		Long: `It shows on a terminal, again and again: the peers, how far their lessons are and
how far they are behind; the tables, what they take and how often they change; and
the busiest keys of one, by a rate if it has one, else by how often they were seen to
change. Keys are looked for among the 10000 or so that changed last.

The arrows choose another table, q or Ctrl-C ends it.`,
		Example: `  peersd top
  peersd top --table t1 --interval 500ms`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.top(cmd, table, interval) },
	})
	addFlag(cmd.Flags(), "table", "NAME", "the table whose busiest keys are shown, the first one without it", func(s string) error {
		table = s
		return checkTable(s)
	})
	cmd.RegisterFlagCompletionFunc("table", a.tables)
	addFlag(cmd.Flags(), "interval", "TIME", "how often it is painted, 1s without it", func(s string) (err error) {
		if interval, err = time.ParseDuration(s); err != nil || interval < 100*time.Millisecond || interval > time.Hour {
			return fmt.Errorf("%q is no time from 100ms to 1h, as in 500ms", s)
		}
		return nil
	})
	return cmd
}

// top paints the screen until it is told to end.
func (a *app) top(cmd *cobra.Command, table string, interval time.Duration) error {
	in, ok := a.stdin.(*os.File)
	out, ok2 := a.stdout.(*os.File)
	if !ok || !ok2 || !isTerminal(in) || !isTerminal(out) {
		return misuse(cmd, errors.New("top needs a terminal to paint on and to read keys from; elsewhere `peersd show peers` and `peersd show tables` tell the same"))
	}
	restore, err := takeOver(in, out)
	if err != nil {
		return err
	}
	defer restore()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)

	t := &topScreen{out: out, keys: make(chan string), looks: make(chan look), ask: make(chan string, 1), interval: interval}
	t.Socket, t.Head, t.Mark, t.Warn = a.socket, a.painter(bold), a.painter(green), a.painter(red)
	t.Choose(table)
	t.begin()
	go t.read(in)
	go t.look(a.socket)
	return t.run(ctx, resized)
}

func (a *app) painter(c color) func(string) string {
	return func(text string) string { return a.paint(c, text) }
}

// takeOver makes the terminal give each key at once, and shows a screen of its own on
// it. What it was before comes back with restore.
func takeOver(in, out *os.File) (restore func(), err error) {
	before, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("can't take over the terminal: %w", err)
	}
	io.WriteString(out, "\x1b[?1049h\x1b[?25l")
	return func() {
		io.WriteString(out, "\x1b[?25h\x1b[?1049l")
		term.Restore(int(in.Fd()), before)
	}, nil
}

// A topScreen is the screen with what it is fed by: keys, and looks at the daemon,
// which are asked for one at a time. So a daemon that doesn't answer keeps nobody
// from leaving.
type topScreen struct {
	screen.Screen
	out      *os.File
	interval time.Duration
	keys     chan string
	ask      chan string // the table whose keys are to be looked at
	looks    chan look
	asked    time.Time // when, zero where nothing is asked for
}

type look struct {
	screen.Look
	err error
}

// slow is how long the daemon may take to answer before that is told.
const slow = 3 * time.Second

func (t *topScreen) run(ctx context.Context, resized <-chan os.Signal) error {
	tick := time.NewTicker(t.interval)
	defer tick.Stop()
	for {
		if err := t.paint(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-resized:
		case key := <-t.keys:
			if t.press(key) {
				return nil
			}
		case l := <-t.looks:
			t.asked = time.Time{}
			if l.err != nil {
				t.Trouble(l.err.Error())
			} else {
				t.Add(l.Look)
			}
		case <-tick.C:
			t.begin()
			if waited := time.Since(t.asked); !t.asked.IsZero() && waited > slow {
				t.Trouble(fmt.Sprintf("no answer for %v", waited.Round(time.Second)))
			}
		}
	}
}

// begin asks for a look, if none is under way.
func (t *topScreen) begin() {
	if t.asked.IsZero() {
		t.asked = time.Now()
		t.ask <- t.Table()
	}
}

// look looks at the daemon whenever it is asked for.
func (t *topScreen) look(socket string) {
	for table := range t.ask {
		l, err := screen.Take(socket, table, screen.MostKeys)
		t.looks <- look{l, err}
	}
}

// press does what a key means, and reports whether that is the end.
func (t *topScreen) press(key string) (over bool) {
	switch key {
	case "q", "Q", "\x03", "\x04":
		return true
	case "\x1b[A", "\x1bOA", "k":
		t.Previous()
	case "\x1b[B", "\x1bOB", "j", "\t":
		t.Next()
	default:
		return false
	}
	t.begin()
	return false
}

// read reads keys. More than one of them may come at once.
func (t *topScreen) read(in *os.File) {
	buf := make([]byte, 256)
	for {
		n, err := in.Read(buf)
		for left := string(buf[:n]); left != ""; {
			key := left[:1]
			if strings.HasPrefix(left, "\x1b[") || strings.HasPrefix(left, "\x1bO") {
				key = left[:min(3, len(left))]
			}
			left = left[len(key):]
			t.keys <- key
		}
		if err != nil {
			t.keys <- "q" // the terminal is gone
			return
		}
	}
}

func (t *topScreen) paint() error {
	_, lines := screenSize(t.out)
	_, err := io.WriteString(t.out, paintFrame(strings.Join(t.Lines(lines), "\n"), t.out))
	return err
}
