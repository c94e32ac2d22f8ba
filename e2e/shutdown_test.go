package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/protocol"
)

// stopSignals are those that end HAProxy, and peersd.
var stopSignals = map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT, "SIGUSR1": syscall.SIGUSR1}

// Whoever is being taught when peersd is stopped gets whole messages and then the
// end of the stream; whoever reads a table from the socket gets its end too.
func TestStoppedWhileTeaching(t *testing.T) {
	const n = 100_000
	together(t, stopSignals, func(t *testing.T, s syscall.Signal) {
		host := haproxytest.Host(t)
		d := startDaemon(t, host, 0)
		teacher := mustCall(t, host, "lb1", protocol.Version21)
		go io.Copy(io.Discard, teacher.TCPConn)
		b := protocol.AppendDefinition(nil, gpc0Table("t1"))
		for i := range n {
			b = append(b, gpc0Update(uint32(i+1), fmt.Sprint("key", i), 1)...)
		}
		teacher.send(b)
		eventually(t, 4*patience, "peersd has learned it", func() error {
			if got := d.peerField("lb1", "updates_in"); got != fmt.Sprint(n) {
				return fmt.Errorf("updates_in=%s", got)
			}
			return nil
		})
		p := mustCall(t, host, "lb2", protocol.Version21)
		p.send(message(protocol.ResyncRequest))
		updates := 0
		next := func() error {
			f, err := p.r.Next()
			if f.Type.IsUpdate() {
				updates++
			}
			return err
		}
		for updates < 1000 {
			if err := next(); err != nil {
				t.Fatal(err)
			}
		}
		dump := dumpBegun(t, d)
		began := time.Now()
		d.cmd.Process.Signal(s)
		var err error
		for err == nil {
			err = next()
		}
		if !errors.Is(err, io.EOF) {
			t.Errorf("after %d updates: %v", updates, err)
		}
		if updates == n {
			t.Error("the lesson was over")
		}
		if _, err := io.Copy(io.Discard, dump); err != nil {
			t.Errorf("the socket: %v", err)
		}
		select {
		case <-d.ended:
		case <-time.After(patience):
			t.Fatal("it has not ended")
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
		if code := d.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	})
}

// dumpBegun is a connection to the socket on which a dump of t1 has begun.
func dumpBegun(t *testing.T, d *daemon) net.Conn {
	t.Helper()
	c, err := net.Dial("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(2 * patience))
	io.WriteString(c, "show table t1\n")
	if _, err := io.ReadFull(c, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	return c
}

// A HAProxy keeps what it has when peersd is stopped, and takes the session up
// again when it is started anew, which then has it too.
func TestStoppedBesideHAProxy(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		together(t, stopSignals, func(t *testing.T, s syscall.Signal) {
			p := startHAProxy(t, r, nil, "backend t1\n    stick-table type string len 32 size 10k expire 1h store gpc0 peers mypeers\n")
			for i := range 20 {
				p.set("t1", fmt.Sprint("before", i), "gpc0 1")
			}
			p.startPeersd()
			p.mirrored("before", "t1")
			before := p.lb.MustTable(t, "t1")
			p.d.end(p.d.cmd, p.d.ended, s)
			p.set("t1", "meanwhile", "gpc0 2")
			p.d.start()
			eventually(t, 2*patience, "the lesson is over", func() error { return p.d.established("lb1") })
			p.mirrored("after", "t1")
			after := p.lb.MustTable(t, "t1").ByKey()
			for _, e := range before.Entries {
				if _, ok := after[e.Key]; !ok {
					t.Errorf("HAProxy has lost %s", e.Key)
				}
			}
		})
	})
}
