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
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/internal/testkit"
	"github.com/peersd/peersd/protocol"
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

// With --watch a table is painted again and again, no more than the terminal has room
// for, until Ctrl-C.
func TestWatch(t *testing.T) {
	address := haproxytest.Host(t) + ":10001"
	d := startDaemon(t, "--listen", address)
	def := &protocol.Definition{ID: 1, Name: "t1", KeyType: protocol.KeyInteger, KeyLen: 4, Types: 1 << protocol.GPT0}
	teach(t, address, def)
	eventually(t, "the table is there", func() bool {
		out, _, _ := d.show("table")
		return strings.Contains(out, "# table: t1,")
	})
	set := func(key, value int) {
		t.Helper()
		var out, errs bytes.Buffer
		if run([]string{"set", "t1", fmt.Sprint(key), fmt.Sprint("gpt0=", value), "--socket", d.socket()}, nil, &out, &errs) != 0 {
			t.Fatal(errs.String())
		}
	}
	for key := range 100 {
		set(key, key)
	}
	screen, terminal, err := openPTY()
	if err != nil {
		testkit.Skip(t, "no terminals here: ", err)
	}
	defer screen.Close()
	if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 10, Col: 30}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "show", "table", "t1", "--sort", "gpt0", "--watch", "--interval", "50ms", "--socket", d.socket())
	cmd.Env = append(os.Environ(), beMain+"=1", "NO_COLOR=1", "GORACE=atexit_sleep_ms=0")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.Close()
	var shown testkit.Output
	ended := make(chan struct{})
	go func() {
		io.Copy(&shown, screen) // it ends with an error, when nobody has the terminal any more
		close(ended)
	}()
	last := func() string {
		frames := strings.Split(shown.String(), "\x1b[H")
		if len(frames) < 3 { // the one under way, and one that is whole
			return ""
		}
		return frames[len(frames)-2]
	}
	eventually(t, "the greatest comes first", func() bool { return strings.Contains(last(), "\n99 ") })
	if lines := strings.Count(last(), "\n"); lines != 9 || strings.Contains(last(), "\n91 ") {
		t.Errorf("%d line feeds on a screen of 10 lines:\n%s", lines, last())
	}
	set(5, 4_000_000_000)
	eventually(t, "it is painted again", func() bool { return strings.Contains(last(), "\n5 ") })
	screen.WriteString("\x03")
	select {
	case <-ended:
	case <-time.After(patience):
		cmd.Process.Kill()
		t.Error("Ctrl-C does not end it")
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
}

// While an import goes on, a bar shows how much is done.
func TestProgress(t *testing.T) {
	screen, terminal, err := openPTY()
	if err != nil {
		testkit.Skip(t, "no terminals here: ", err)
	}
	defer screen.Close()
	a := &app{stderr: terminal}
	p := a.newProgress(1000)
	p.began = time.Now().Add(-2 * time.Second)
	p.show(1) // not worth it
	p.show(256)
	p.show(384) // too soon
	p.clear()
	p.clear()
	terminal.Close()
	shown, _ := io.ReadAll(screen)
	want := "\r[##########                              ]  25%  256 of 1000  5.8s left \x1b[K\r\x1b[K"
	if string(shown) != want {
		t.Errorf("shown is %q, want %q", shown, want)
	}
	var b bytes.Buffer
	a = &app{stderr: &b}
	p = a.newProgress(1000)
	p.show(256)
	p.clear()
	if b.Len() > 0 {
		t.Errorf("elsewhere than on a terminal there is %q", b.String())
	}
}
