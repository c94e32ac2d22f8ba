package e2e

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/internal/testkit"
)

// peersd is the path of the binary under test. plain returns that of one without the
// race detector, which takes many times the memory.
var (
	peersd string
	plain  func() (string, error)
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "peersd-e2e-")
	if err != nil {
		panic(err)
	}
	build := func(name string, flags ...string) (string, error) {
		path := filepath.Join(dir, name)
		args := append(append([]string{"build"}, flags...), "-o", path, "../cmd/peersd")
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("can't build peersd: %w\n%s", err, out)
		}
		return path, nil
	}
	if peersd, err = build("peersd", buildFlags...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	plain = sync.OnceValues(func() (string, error) {
		if len(buildFlags) == 0 {
			return peersd, nil
		}
		return build("plain")
	})
	// A data race fails the test in which it is seen; without the last setting each
	// run of a verb would take a second longer.
	os.Setenv("GORACE", "halt_on_error=0 exitcode=66 atexit_sleep_ms=0")
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// The ports in use on a test's own loopback address.
const (
	portPeersd = 10001
	portLB     = 10010 // of the peer lb1; lb2 is one above
	portHTTP   = 8080  // of lb1's frontend; lb2 is one above
	portOrigin = 9000
)

// peersSection is the peers section of a configuration in which lb1 to lbN and
// peersd know each other. extra are further lines of it.
func peersSection(host string, n int, extra ...string) string {
	var b strings.Builder
	b.WriteString("peers mypeers\n")
	for i := range n {
		fmt.Fprintf(&b, "    peer lb%d %s:%d\n", i+1, host, portLB+i)
	}
	fmt.Fprintf(&b, "    peer peersd %s:%d\n", host, portPeersd)
	for _, line := range extra {
		b.WriteString("    " + line + "\n")
	}
	return b.String()
}

const defaults = `
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
`

// A daemon is a running `peersd serve`.
type daemon struct {
	t      testing.TB
	path   string // of the binary
	args   []string
	socket string
	cmd    *exec.Cmd
	ended  chan struct{}
	log    *testkit.Output
	within func(start func() error) error // starts it in another network, nil is ours
	said   int                            // bytes of log that a test has read, see says
}

// newDaemon prepares a daemon that listens on host, is of the section mypeers
// and dials lb1 to lbN; start starts it.
func newDaemon(t testing.TB, host string, n int, args ...string) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "peersd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &daemon{t: t, path: peersd, socket: filepath.Join(dir, "s"), log: &testkit.Output{}}
	d.args = []string{"serve", "--listen", fmt.Sprintf("%s:%d", host, portPeersd), "--section", "mypeers",
		"--socket", d.socket, "--log-level", "debug"}
	for i := range n {
		d.args = append(d.args, "--peer", fmt.Sprintf("lb%d=%s:%d", i+1, host, portLB+i))
	}
	d.args = append(d.args, args...)
	return d
}

// A daemonMaker is newDaemon, or newPlain.
type daemonMaker func(t testing.TB, host string, n int, args ...string) *daemon

// newPlain is newDaemon without the race detector.
func newPlain(t testing.TB, host string, n int, args ...string) *daemon {
	t.Helper()
	path, err := plain()
	if err != nil {
		t.Fatal(err)
	}
	d := newDaemon(t, host, n, args...)
	d.path = path
	return d
}

// startDaemon is newDaemon, started.
func startDaemon(t testing.TB, host string, n int, args ...string) *daemon {
	t.Helper()
	d := newDaemon(t, host, n, args...)
	d.start()
	return d
}

// start starts the daemon and waits until its socket answers. It ends with the
// test; its log is shown if the test fails, and a data race fails it.
func (d *daemon) start() {
	d.t.Helper()
	cmd := exec.Command(d.path, d.args...)
	cmd.Stderr = d.log
	begin := cmd.Start
	if d.within != nil {
		begin = func() error { return d.within(cmd.Start) }
	}
	if err := begin(); err != nil {
		d.t.Fatal(err)
	}
	ended := make(chan struct{})
	d.cmd, d.ended = cmd, ended
	go func() { cmd.Wait(); close(ended) }()
	d.t.Cleanup(func() {
		d.end(cmd, ended, syscall.SIGTERM)
		if d.t.Failed() {
			d.t.Logf("peersd %d wrote:\n%s", cmd.Process.Pid, d.log)
		}
		if strings.Contains(d.log.String(), "DATA RACE") {
			d.t.Errorf("peersd has a data race:\n%s", d.log)
		}
	})
	eventually(d.t, 10*time.Second, "peersd answers on its socket", func() error {
		return admin.Do(d.socket, "show peers", io.Discard) // no process for each look
	})
}

func (d *daemon) end(cmd *exec.Cmd, ended chan struct{}, s syscall.Signal) {
	cmd.Process.Signal(s)
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		cmd.Process.Kill()
		<-ended
		d.t.Errorf("peersd did not end within 5 s of %v", s)
	}
}

// kill ends the daemon with SIGKILL; stop, with SIGTERM.
func (d *daemon) kill() { d.end(d.cmd, d.ended, syscall.SIGKILL) }
func (d *daemon) stop() { d.end(d.cmd, d.ended, syscall.SIGTERM) }

// try runs a verb of the command line against the daemon.
func (d *daemon) try(args ...string) (string, error) {
	out, err := exec.Command(peersd, append(args, "--socket", d.socket)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("peersd %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (d *daemon) table(name string) (haproxytest.Table, error) {
	out, err := d.try("show", "table", name)
	if err != nil {
		return haproxytest.Table{}, err
	}
	return haproxytest.ParseTable(out)
}

// peerField is the value of a field of a peer in `show peers`, such as
// new_conn, "" where there is none.
func (d *daemon) peerField(peer, field string) string {
	d.t.Helper()
	var out strings.Builder
	if err := admin.Do(d.socket, "show peers", &out); err != nil {
		d.t.Fatal(err)
	}
	_, block, _ := strings.Cut(out.String(), " id="+peer+"(")
	block, _, _ = strings.Cut(block, ": id=")
	m := regexp.MustCompile(`\b` + field + `=(\S+)`).FindStringSubmatch(block)
	if m == nil {
		return ""
	}
	return m[1]
}

// established reports whether there is a session with peer, and whether its
// lesson is over.
func (d *daemon) established(peer string) error {
	if state := d.peerField(peer, "learn_state"); state != "FINISHED" {
		return fmt.Errorf("the lesson of %s is %q", peer, state)
	}
	return nil
}

// eventually fails the test where check does not succeed in time.
func eventually(t testing.TB, within time.Duration, what string, check func() error) {
	t.Helper()
	end := time.Now().Add(within)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s: %v", within, what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A shower prints one table: a HAProxy or a peersd.
type shower interface {
	table(name string) (haproxytest.Table, error)
}

// hap makes a HAProxy a shower.
type hap struct{ *haproxytest.Process }

func (h hap) table(name string) (haproxytest.Table, error) { return h.Table(name) }

// same reports how the tables of that name differ: in keys, in values, in rates
// by more than their clocks allow, in lifetimes by more than a second.
func same(name string, a, b shower) error {
	began := time.Now()
	ta, err := a.table(name)
	if err != nil {
		return err
	}
	tb, err := b.table(name)
	if err != nil {
		return err
	}
	return compare(ta, tb, time.Since(began))
}

// compare reports how two dumps, taken at most apart from each other, differ.
func compare(a, b haproxytest.Table, apart time.Duration) error {
	if a.Name != b.Name || a.Type != b.Type {
		return fmt.Errorf("table %s of type %s against %s of type %s", a.Name, a.Type, b.Name, b.Type)
	}
	theirs := b.ByKey()
	for _, e := range a.Entries {
		o, ok := theirs[e.Key]
		if !ok {
			return fmt.Errorf("table %s: %s is missing in the second", a.Name, e.Key)
		}
		if diff := (e.Exp - o.Exp).Abs(); diff > time.Second+apart {
			return fmt.Errorf("table %s: %s: exp %v against %v", a.Name, e.Key, e.Exp, o.Exp)
		}
		if len(e.Data) != len(o.Data) {
			return fmt.Errorf("table %s: %s: %v against %v", a.Name, e.Key, e.Data, o.Data)
		}
		for i, f := range e.Data {
			if f.Name != o.Data[i].Name || !sameValue(f.Name, f.Value, o.Data[i].Value, apart) {
				return fmt.Errorf("table %s: %s: %v against %v", a.Name, e.Key, f, o.Data[i])
			}
		}
	}
	if len(a.Entries) != len(b.Entries) {
		return fmt.Errorf("table %s: %d entries against %d", a.Name, len(a.Entries), len(b.Entries))
	}
	return nil
}

var ratePeriod = regexp.MustCompile(`_rate\((\d+)\)$`)

// sameValue compares two values of a field. A rate falls by at most its whole
// height a period: between two readings, by the part of it that has passed. One
// more is for rounding and for the ms in which the update was under way.
func sameValue(name, a, b string, apart time.Duration) bool {
	m := ratePeriod.FindStringSubmatch(name)
	if m == nil || a == b {
		return a == b
	}
	period, _ := strconv.ParseFloat(m[1], 64)
	x, err1 := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	if err1 != nil || err2 != nil {
		return false
	}
	passed := float64(apart.Milliseconds()+20) / period
	return max(x, y)-min(x, y) <= 1+max(x, y)*passed
}
