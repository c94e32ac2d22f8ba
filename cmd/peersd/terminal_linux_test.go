package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/internal/testkit"
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
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		testkit.Skip(t, "no terminals here: ", err)
	}
	t.Cleanup(func() { screen.Close() })
	var number, locked uint32
	for request, arg := range map[uintptr]*uint32{syscall.TIOCGPTN: &number, syscall.TIOCSPTLCK: &locked} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, screen.Fd(), request, uintptr(unsafe.Pointer(arg))); errno != 0 {
			t.Fatal(errno)
		}
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return screen, terminal
}
