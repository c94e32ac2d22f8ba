package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/internal/testkit"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// On a terminal the log is for people.
func TestLogOnATerminal(t *testing.T) {
	screen, terminal := openTerminal(t)
	d := newDaemon(t, "--listen", haproxytest.Host(t)+":10001", "--section", "mypeers")
	d.cmd.Stderr = terminal
	d.cmd.Env = append(d.cmd.Env, "NO_COLOR=1")
	d.start()
	terminal.Close()
	var shown []byte
	for buf := make([]byte, 1000); !bytes.Contains(shown, []byte("\n")); {
		n, err := screen.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, buf[:n]...)
	}
	line := string(shown)
	if strings.HasPrefix(line, "{") || strings.Contains(line, "\x1b") || !strings.Contains(line, " INF peersd is running ") {
		t.Errorf("the terminal shows %q", line)
	}
}

// openTerminal opens a terminal of its own, and what it shows.
func openTerminal(t *testing.T) (screen, terminal *os.File) {
	t.Helper()
	screen, terminal, err := openPTY()
	if err != nil {
		testkit.Skip(t, "no terminals here: ", err)
	}
	t.Cleanup(func() { screen.Close() })
	return screen, terminal
}

func openPTY() (screen, terminal *os.File, err error) {
	if screen, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	if err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	number, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	return screen, terminal, err
}

func init() {
	scriptCommands["terminal"] = scriptTerminal
}

// scriptTerminal runs a command on a terminal of 24 lines of 80 characters, and
// writes what that shows to the file screen.
func scriptTerminal(ts *testscript.TestScript, neg bool, args []string) {
	typed := ""
	if len(args) > 1 && args[0] == "-type" {
		typed, args = args[1]+"\n", args[2:]
	}
	screen, terminal, err := openPTY()
	ts.Check(err)
	defer screen.Close()
	ts.Check(unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}))
	cmd := exec.Command(os.Args[0], args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), beMain+"=1", "GORACE=atexit_sleep_ms=0")
	for _, name := range []string{"XDG_RUNTIME_DIR", "TERM", "NO_COLOR"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	_, err = screen.WriteString(typed)
	ts.Check(err)
	ts.Check(cmd.Start())
	terminal.Close()
	shown, _ := io.ReadAll(screen) // it ends with an error, when nobody has the terminal any more
	ts.Check(os.WriteFile(ts.MkAbs("screen"), bytes.ReplaceAll(shown, []byte("\r\n"), []byte("\n")), 0o600))
	if err := cmd.Wait(); (err != nil) != neg {
		ts.Fatalf("%q ended with %v and shows:\n%s", args, err, shown)
	}
}
