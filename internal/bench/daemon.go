package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/internal/testkit"
)

// A daemon is a peersd under test.
type daemon struct {
	cmd  *exec.Cmd
	dir  string
	log  testkit.Output
	done chan struct{} // closed when it has ended
}

// startDaemon starts peersd on port 10001 of host, and returns when it answers on
// its socket.
func startDaemon(path, host string, env []string, flags ...string) (*daemon, error) {
	dir, err := os.MkdirTemp("", "peersd-")
	if err != nil {
		return nil, err
	}
	d := &daemon{dir: dir, done: make(chan struct{})}
	args := append([]string{"serve", "--listen", host + ":10001", "--section", "mypeers", "--socket", d.socket()}, flags...)
	d.cmd = exec.Command(path, args...)
	d.cmd.Env = append(os.Environ(), env...)
	d.cmd.Stderr = &d.log
	if err := d.cmd.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	go func() {
		_ = d.cmd.Wait() // how it ended is in its log
		close(d.done)
	}()
	if err := d.ready(); err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

func (d *daemon) ready() error {
	deadline := time.After(10 * time.Second)
	for {
		if _, err := d.command("show table"); err == nil {
			return nil
		}
		select {
		case <-d.done:
			return fmt.Errorf("peersd did not start; it wrote\n%s", d.log.String())
		case <-deadline:
			return fmt.Errorf("peersd does not answer within 10 s; it wrote\n%s", d.log.String())
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func (d *daemon) pid() int { return d.cmd.Process.Pid }

func (d *daemon) socket() string { return filepath.Join(d.dir, "s") }

func (d *daemon) command(command string) (string, error) {
	var out strings.Builder
	err := admin.Do(d.socket(), command, &out)
	return out.String(), err
}

// used is how many entries t1 has.
func (d *daemon) used() (int, error) {
	answer, err := d.command("show table")
	if err != nil {
		return 0, err
	}
	return number(answer, "used:")
}

// awaitUpdates waits till d has received so many updates, and fails where it has not
// received just these, or has another number of entries then.
func (d *daemon) awaitUpdates(updates, entries int) error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		answer, err := d.command("show peers")
		if err != nil {
			return err
		}
		received, err := number(answer, "updates_in=")
		if err != nil {
			return err
		}
		if received < updates && time.Now().Before(deadline) {
			continue
		}
		used, err := d.used()
		if err == nil && (received != updates || used != entries) {
			err = fmt.Errorf("peersd has received %d of %d updates, and has %d of %d entries", received, updates, used, entries)
		}
		return err
	}
}

// stop ends peersd, even where it was paused.
func (d *daemon) stop() {
	_ = d.cmd.Process.Signal(syscall.SIGCONT)
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.done:
	case <-time.After(5 * time.Second):
		_ = d.cmd.Process.Kill()
		<-d.done
	}
	_ = os.RemoveAll(d.dir)
}

// number reads the number behind a label in the answer of a socket. It is 0 where
// the label is missing: there is no table yet, or no session.
func number(answer, label string) (n int, err error) {
	if _, rest, ok := strings.Cut(answer, label); ok {
		_, err = fmt.Sscanf(rest, "%d", &n)
	}
	return n, err
}
