package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/internal/testkit"
	"github.com/peersd/peersd/protocol"
)

const patience = 5 * time.Second

// A daemon is a `peersd serve` in a process of its own, with a runtime directory
// of its own.
type daemon struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
	log testkit.Output
	// ended gives, once, what the process ended with.
	ended chan error
}

func newDaemon(t *testing.T, args ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, dir: t.TempDir(), ended: make(chan error, 1)}
	d.cmd = exec.Command(os.Args[0], append([]string{"serve"}, args...)...)
	d.cmd.Env = append(os.Environ(), beMain+"=1", "XDG_RUNTIME_DIR="+d.dir, "GORACE=atexit_sleep_ms=0")
	d.cmd.Stderr = &d.log
	return d
}

// start starts the daemon. It is killed with the test, if it has not ended.
func (d *daemon) start() {
	d.t.Helper()
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		d.ended <- d.cmd.Wait()
		close(done)
	}()
	d.t.Cleanup(func() {
		d.cmd.Process.Kill()
		<-done
		if d.t.Failed() {
			d.t.Logf("peersd wrote:\n%s", d.log.String())
		}
	})
}

// startDaemon is newDaemon, started and running.
func startDaemon(t *testing.T, args ...string) *daemon {
	t.Helper()
	d := newDaemon(t, args...)
	d.start()
	d.says("peersd is running")
	return d
}

func (d *daemon) socket() string { return filepath.Join(d.dir, "peersd.sock") }

// says waits until the log has this.
func (d *daemon) says(what string) {
	d.t.Helper()
	eventually(d.t, "the log says "+what, func() bool { return strings.Contains(d.log.String(), what) })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// show runs `peersd show` against the daemon.
func (d *daemon) show(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	code = run(append(append([]string{"show"}, args...), "--socket", d.socket()), nil, &out, &errs)
	return out.String(), errs.String(), code
}

// hello connects to address as a peer of that name, and returns the connection
// and the status, "" without one.
func hello(t *testing.T, address, name, called string) (net.Conn, string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	c.Write(protocol.AppendHello(nil, protocol.Hello{Version: protocol.Version21, Remote: called, Local: name, PID: 1, Relative: 1}))
	status := make([]byte, 4)
	if _, err := io.ReadFull(c, status); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return c, strings.TrimSpace(string(bytes.Trim(status, "\x00")))
}

func hostname(t *testing.T) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestServeWithoutAFlag(t *testing.T) {
	const byDefault = "127.0.0.1:10001"
	l, err := net.Listen("tcp", byDefault)
	if err != nil {
		testkit.Skip(t, "somebody else listens where peersd does by default: ", err)
	}
	l.Close()
	d := newDaemon(t)
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.socket()})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close() // as a peersd that was killed leaves it behind
	d.start()
	d.says("peersd is running")

	for i, name := range []string{"peersd", hostname(t)} {
		if _, status := hello(t, byDefault, fmt.Sprint("anybody", i), name); status != "200" {
			t.Errorf("called %s: status %s", name, status)
		}
	}
	if info, err := os.Stat(d.socket()); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}
	if out, _, code := d.show("peers"); code != 0 || !strings.Contains(out, " id=peers ") {
		t.Errorf("show peers: code %d:\n%s", code, out)
	}
	for line := range strings.Lines(d.log.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("the log is no terminal, and has a line that is no JSON: %s", line)
		}
	}
}

// By which names peersd may be called, and by whom.
func TestNames(t *testing.T) {
	host := hostname(t)
	tests := []struct {
		name, args     string
		caller, called string
		status         string
		says           string
	}{
		{"default", "", "lb1", "peersd", "200", ""},
		{"the host's name", "", "lb1", host, "200", ""},
		{"another name", "", "lb1", "other", "503", "start peersd with -L other"},
		{"-L", "-L X", "lb1", "X", "200", ""},
		{"-L is the only name", "-L X", "lb1", "peersd", "503", `write \"peer X ADDRESS:PORT\" in its haproxy.cfg, or start peersd with -L peersd`},
		{"-L, not the host's name", "-L X", "lb1", host, "503", "start peersd with -L " + host},
		{"HAProxy on this host", "", host, "peersd", "200", ""},
		{"HAProxy on this host, that we dial", "--peer " + host + "=127.0.0.1:9", host, "peersd", "200", ""},
		{"the host's name, which is a peer's", "--peer " + host + "=127.0.0.1:9", host, host, "503", "start peersd with -L " + host},
		{"our own name", "", "peersd", "peersd", "504", `the caller has our own name \"peersd\"`},
		{"a peer that is not ours", "--peer lb1=127.0.0.1:9", "lb2", "peersd", "504", "add --peer lb2=ADDRESS:PORT"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			address := haproxytest.Host(t) + ":10001"
			d := startDaemon(t, append(strings.Fields(tt.args), "--listen", address)...)
			c, status := hello(t, address, tt.caller, tt.called)
			c.Close()
			if status != tt.status {
				t.Errorf("status %s, want %s", status, tt.status)
			}
			d.says(tt.says)
		})
	}
}

// Without -L, who doesn't know us by the first name is told the other one at
// the next dial, and from then on.
func TestOtherNameAfter504(t *testing.T) {
	l, err := net.Listen("tcp", haproxytest.Host(t)+":10010")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	startDaemon(t, "--listen", haproxytest.Host(t)+":10001", "--peer", "lb1="+l.Addr().String())
	host := hostname(t)
	for i, want := range []string{"peersd", host, host} {
		status := protocol.StatusSuccess
		if want == "peersd" {
			status = protocol.StatusRemote
		}
		if got := answer(t, l, status); got.Local != want {
			t.Errorf("dial %d as %s, want %s", i+1, got.Local, want)
		}
	}
}

// answer accepts a connection, answers its hello and closes it.
func answer(t *testing.T, l net.Listener, status protocol.Status) protocol.Hello {
	t.Helper()
	l.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	buf := make([]byte, protocol.MaxHello)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := protocol.ParseHello(buf[:n])
	if err != nil {
		t.Fatal(err)
	}
	c.Write(protocol.AppendStatus(nil, status))
	return got
}

// Real HAProxys, with the names that they have without -L, theirs or ours.
func TestNamesOfTheHost(t *testing.T) {
	tests := []struct{ name, haproxy, ours string }{
		{"HAProxy knows us by the host's", "lb1", hostname(t)},
		{"HAProxy goes by the host's", "", "peersd"},
	}
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				host := haproxytest.Host(t)
				name := tt.haproxy
				if name == "" {
					name = hostname(t)
				}
				// Nothing listens where HAProxy dials us: it is us who dial.
				lb1 := r.Start(t, tt.haproxy, fmt.Sprintf("peers peers\n    peer %s %[2]s:10010\n    peer %[3]s %[2]s:10999\n    table t1 type integer size 10 store gpc0\n", name, host, tt.ours))
				lb1.MustCommand(t, "set table peers/t1 key 1 data.gpc0 7")
				d := startDaemon(t, "--listen", host+":10001", "--peer", name+"="+host+":10010")
				eventually(t, "peersd has learned", func() bool {
					out, _, _ := d.show("table", "peers/t1")
					return strings.Contains(out, " gpc0=7\n")
				})
			})
		}
	})
}

func TestShow(t *testing.T) {
	address := haproxytest.Host(t) + ":10001"
	d := startDaemon(t, "--listen", address, "--section", "mypeers")
	def := &protocol.Definition{ID: 1, Name: "/t1", KeyType: protocol.KeyString, KeyLen: 33}
	teach(t, address, def, "k1", "k2")
	eventually(t, "the table is there", func() bool {
		out, _, _ := d.show("table")
		return strings.HasPrefix(out, "# table: mypeers/t1, type: string, size:") && strings.HasSuffix(out, ", used:2\n")
	})
	for _, name := range []string{"mypeers/t1", "/t1"} {
		if out, errs, code := d.show("table", name); code != 0 || errs != "" || strings.Count(out, " key=k") != 2 {
			t.Errorf("%s: code %d, %q:\n%s", name, code, errs, out)
		}
	}
	const nope = "peersd: no such table: nope; `peersd show table` lists those that peers have defined so far\n"
	if out, errs, code := d.show("table", "nope"); code != 1 || errs != nope || out != "" {
		t.Errorf("no such table: code %d, %q, %q", code, errs, out)
	}
	if out, errs, code := d.show("peers"); code != 0 || errs != "" || !strings.Contains(out, "id=lb1(remote,active)") {
		t.Errorf("peers: code %d, %q:\n%s", code, errs, out)
	}
}

// teach makes a session, as lb1, and sends keys of a table that stores nothing.
func teach(t *testing.T, address string, def *protocol.Definition, keys ...string) {
	t.Helper()
	c, status := hello(t, address, "lb1", "peersd")
	if status != "200" {
		t.Fatalf("status %s", status)
	}
	b := protocol.AppendDefinition(nil, def)
	for i, key := range keys {
		u := protocol.Update{ID: uint32(i + 1), Key: []byte(key)}
		b = protocol.AppendUpdate(b, protocol.NewLayout(def), new(protocol.DictionaryWriter), &u)
	}
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

// Each of the signals that HAProxy takes for its end too ends peersd, whatever
// is under way: here a lesson for a peer that has stopped reading.
func TestSignals(t *testing.T) {
	def := &protocol.Definition{ID: 1, Name: "t1", KeyType: protocol.KeyString, KeyLen: 5001}
	var keys []string // of 20 MB, more than sockets hold
	for i := range 4000 {
		keys = append(keys, fmt.Sprintf("%05000d", i))
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			address := haproxytest.Host(t) + ":10001"
			d := startDaemon(t, "--listen", address)
			teach(t, address, def, keys...)
			eventually(t, "the table is there", func() bool {
				out, _, _ := d.show("table")
				return strings.Contains(out, "used:4000\n")
			})
			learner, _ := hello(t, address, "lb2", "peersd")
			learner.Write(protocol.AppendMessage(nil, protocol.ResyncRequest))
			eventually(t, "the lesson has come to a stop", func() bool {
				before, _, _ := d.show("peers")
				time.Sleep(50 * time.Millisecond)
				after, _, _ := d.show("peers")
				return strings.Contains(before, " teaching=") && taught(before) == taught(after)
			})

			d.cmd.Process.Signal(s)
			select {
			case err := <-d.ended:
				if err != nil {
					t.Errorf("ended with %v", err)
				}
			case <-time.After(time.Second):
				t.Error("has not ended within a second")
			}
			if _, err := os.Lstat(d.socket()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the socket is left: %v", err)
			}
		})
	}
}

// taught is how far a lesson is, by `show peers`.
func taught(peers string) string {
	_, after, _ := strings.Cut(peers, " teaching=")
	n, _, _ := strings.Cut(after, " ")
	return n
}

// A second signal ends peersd at once, though it hangs: here because nobody
// reads what it logs.
func TestSecondSignal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fillPipe(t, w)
	d := newDaemon(t, "--listen", haproxytest.Host(t)+":10001")
	d.cmd.Stderr = w
	d.start()
	w.Close()
	eventually(t, "the socket is there", func() bool {
		_, _, code := d.show("table")
		return code == 0
	})
	d.cmd.Process.Signal(syscall.SIGTERM)
	eventually(t, "the first signal is seen", func() bool {
		_, _, code := d.show("table")
		return code != 0
	})
	for end := time.After(patience); ; {
		d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-d.ended:
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
				t.Errorf("ended with %v", err)
			}
			return
		case <-end:
			t.Fatal("has not ended")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// fillPipe writes until nothing more fits.
func fillPipe(t *testing.T, w *os.File) {
	t.Helper()
	w.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := w.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
}

// There may be several sockets, of another mode and level than by default.
func TestSockets(t *testing.T) {
	host := haproxytest.Host(t)
	d := newDaemon(t, "--listen", host+":10001", "--socket-mode", "660", "--socket-level", "user", "--socket", host+":9999")
	d.cmd.Args = append(d.cmd.Args, "--socket", d.socket())
	d.start()
	d.says("peersd is running")
	if info, err := os.Stat(d.socket()); err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}
	for _, socket := range []string{d.socket(), host + ":9999"} {
		var out, errs bytes.Buffer
		if code := run([]string{"show", "table", "--socket", socket}, nil, &out, &errs); code != 0 {
			t.Errorf("%s: code %d: %s", socket, code, errs.String())
		}
		if err := admin.Do(socket, "show env", io.Discard); err == nil || err.Error() != "Permission denied" {
			t.Errorf("%s: %v", socket, err)
		}
	}
}
