package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// watch paints what show writes, again and again, until Ctrl-C.
func (a *app) watch(cmd *cobra.Command, interval time.Duration, show func() error) error {
	screen, ok := a.stdout.(*os.File)
	if !ok || !a.terminal {
		return misuse(cmd, errors.New("--watch paints a terminal, and stdout is none; leave it out"))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var frame bytes.Buffer
	a.stdout = &frame
	io.WriteString(screen, "\x1b[2J")
	for {
		frame.Reset()
		if err := show(); err != nil {
			return err
		}
		if _, err := io.WriteString(screen, paintFrame(frame.String(), screen)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			_, err := io.WriteString(screen, "\n")
			return err
		case <-time.After(interval):
		}
	}
}

// paintFrame writes over what was painted before, as much as there is room for.
func paintFrame(text string, screen *os.File) string {
	columns, lines := screenSize(screen)
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	var b strings.Builder
	b.WriteString("\x1b[H")
	for i, line := range all[:min(len(all), lines)] {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(clip(line, columns) + "\x1b[K")
	}
	b.WriteString("\x1b[J")
	return b.String()
}

// screenSize is that of a terminal, of 80 columns and 24 lines where it does not tell.
func screenSize(screen any) (columns, lines int) {
	if f, ok := screen.(*os.File); ok {
		size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		if err == nil && size.Col > 0 && size.Row > 2 {
			return int(size.Col), int(size.Row)
		}
	}
	return 80, 24
}

// clip cuts a line to so many characters, not counting colours.
func clip(line string, columns int) string {
	if width(line) <= columns {
		return line
	}
	seen, colour := 0, false
	for i, r := range line {
		switch {
		case r == '\x1b':
			colour = true
		case colour:
			colour = r != 'm'
		case seen == columns:
			return line[:i] + "\x1b[0m"
		default:
			seen++
		}
	}
	return line
}
