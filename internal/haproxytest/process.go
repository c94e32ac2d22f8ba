package haproxytest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/peersd/peersd/internal/testkit"
)

const (
	startTimeout   = 10 * time.Second
	commandTimeout = 10 * time.Second
	stopTimeout    = 5 * time.Second
)

// Options say how to start a HAProxy.
type Options struct {
	Name   string    // local peer name (-L); empty: HAProxy takes the host name
	Config string    // haproxy.cfg; runtime socket and one thread are seen to
	Dir    string    // where the process gets a folder; empty: the system's temporary folder, which has a short name, as sockets need
	Args   []string  // more of its arguments, such as "-f" and a file
	Env    []string  // its environment; nil: that of the test
	Log    io.Writer // also gets what HAProxy writes to its standard output and error

	// Enter is called on the thread that starts the process, which is used for nothing else: what it does to the thread,
	// such as entering a network namespace, the process inherits.
	Enter func() error

	onStart func(*Process) // called with every process that was started so, Reload's and Restart's too
}

// Process is a HAProxy that was started. It dies with the process that started it, if not before.
type Process struct {
	release Release
	options Options
	dir     string
	started time.Time
	os      *os.Process
	output  testkit.Output
	done    chan struct{} // closed when the process has ended and was reaped
}

// Start starts a HAProxy in the foreground and waits until it answers on its runtime socket.
func Start(r Release, o Options) (*Process, error) {
	return start(r, o)
}

func start(r Release, o Options, args ...string) (*Process, error) {
	dir, err := os.MkdirTemp(o.Dir, "haproxy-")
	if err != nil {
		return nil, err
	}
	p := &Process{release: r, options: o, dir: dir, done: make(chan struct{})}
	if err := p.exec(args); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	if err := p.waitReady(); err != nil {
		p.Kill()
		return nil, fmt.Errorf("HAProxy %s %w; it wrote:\n%s", r.Version, err, p.Output())
	}
	if o.onStart != nil {
		o.onStart(p)
	}
	return p, nil
}

// exec writes the configuration and runs HAProxy on it. Our part of it is a file of its own, so that HAProxy's errors
// name the right lines of the other.
func (p *Process) exec(args []string) error {
	base, config := filepath.Join(p.dir, "base.cfg"), filepath.Join(p.dir, "haproxy.cfg")
	global := fmt.Sprintf("global\n\tstats socket %s level admin mode 600\n\tnbthread 1\n\tfd-hard-limit 20000\n", p.Socket())
	if err := errors.Join(os.WriteFile(base, []byte(global), 0o600), os.WriteFile(config, []byte(p.options.Config), 0o600)); err != nil {
		return err
	}
	args = slices.Concat([]string{"-db", "-f", base, "-f", config}, p.options.Args, args)
	if p.options.Name != "" {
		args = append(args, "-L", p.options.Name)
	}
	cmd := exec.Command(p.release.path, args...)
	cmd.Stdout, cmd.Env, cmd.SysProcAttr = &p.output, p.options.Env, dieWithParent()
	if p.options.Log != nil {
		cmd.Stdout = io.MultiWriter(&p.output, p.options.Log)
	}
	cmd.Stderr = cmd.Stdout

	begun := make(chan error)
	go func() {
		// To the kernel the parent is this thread, not the process: it has to live as long as the child. It is never
		// unlocked, and so ends with this goroutine.
		runtime.LockOSThread()
		p.started = time.Now()
		err := p.enter()
		if err == nil {
			err = cmd.Start()
		}
		p.os = cmd.Process
		begun <- err
		if err == nil {
			_ = cmd.Wait()
			close(p.done)
		}
	}()
	return <-begun
}

func (p *Process) enter() error {
	if p.options.Enter == nil {
		return nil
	}
	return p.options.Enter()
}

func (p *Process) waitReady() error {
	deadline := time.After(startTimeout)
	for {
		if _, err := p.Command("show version"); err == nil {
			return nil
		}
		select {
		case <-p.done:
			return errors.New("did not start")
		case <-deadline:
			return fmt.Errorf("did not answer on its runtime socket within %v", startTimeout)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// Socket is the path of the runtime socket.
func (p *Process) Socket() string { return filepath.Join(p.dir, "haproxy.sock") }

// Command sends one command to the runtime socket and returns the answer.
func (p *Process) Command(cmd string) (string, error) {
	conn, err := net.DialTimeout("unix", p.Socket(), commandTimeout)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(commandTimeout))
	if _, err := io.WriteString(conn, cmd+"\n"); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

// Table returns what HAProxy has in a table. One of a peers section is called section/name.
func (p *Process) Table(name string) (Table, error) {
	answer, err := p.Command("show table " + name)
	if err != nil {
		return Table{}, err
	}
	return ParseTable(answer)
}

// PID is the process id of HAProxy itself.
func (p *Process) PID() int { return p.os.Pid }

// Started is the instant of the start.
func (p *Process) Started() time.Time { return p.started }

// Release is the one that runs.
func (p *Process) Release() Release { return p.release }

// Output is what HAProxy wrote to its standard output and error so far.
func (p *Process) Output() string { return p.output.String() }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Alive tells whether the process has not ended.
func (p *Process) Alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal sends a signal; a process that has ended does not mind.
func (p *Process) Signal(s os.Signal) error {
	err := p.os.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Kill ends the process with SIGKILL, and returns when it is gone.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL)
	<-p.done
	_ = os.RemoveAll(p.dir)
}

// Stop asks the process to finish what it has begun and end, and kills it when that takes too long.
func (p *Process) Stop() {
	_ = p.Signal(syscall.SIGUSR1)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
	}
	p.Kill()
}

// Reload starts another HAProxy that takes over from this one (-sf), which ends by itself when it has taught its
// tables to its successor. An empty config means the same again.
func (p *Process) Reload(config string) (*Process, error) {
	if !p.Alive() {
		return nil, errors.New("nothing to reload: HAProxy has ended")
	}
	o := p.options
	if config != "" {
		o.Config = config
	}
	return start(p.release, o, "-sf", strconv.Itoa(p.PID()))
}

// Restart kills the process, if that was not done, and starts the same again.
func (p *Process) Restart() (*Process, error) {
	p.Kill()
	return start(p.release, p.options)
}
