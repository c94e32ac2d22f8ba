package haproxytest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/testkit"
)

// meshConfig is a HAProxy that tracks requests in t1 and sticks them to one of two servers in t2.
func meshConfig(host string) string {
	return fmt.Sprintf(`
defaults
	mode http
	timeout connect 5s
	timeout client 5s
	timeout server 5s
peers mesh
	peer lb1 %[1]s:10001
	table t1 type string len 32 size 1k expire 1h store http_req_cnt,gpc0
frontend web
	bind %[1]s:8080
	http-request track-sc0 req.hdr(x-user) table mesh/t1
	default_backend t2
backend t2
	stick-table type string len 32 size 1k expire 1h peers mesh
	stick on req.hdr(x-user)
	server s1 %[1]s:8081
	server s2 %[1]s:8082
`, host)
}

func startMesh(t *testing.T, r Release) (p *Process, url string) {
	host := Host(t)
	Origin(t, host+":8081")
	Origin(t, host+":8082")
	return r.Start(t, "lb1", meshConfig(host)), "http://" + host + ":8080/"
}

func TestTraffic(t *testing.T) {
	Each(t, func(t *testing.T, r Release) {
		lb1, url := startMesh(t, r)
		for range 3 {
			if status, body, err := Get(url, "X-User", `a b="c"`); status != 200 || body == "" || err != nil {
				t.Fatalf("got %d, %q, %v", status, body, err)
			}
		}
		const key = `a\ b\="c"`
		if got, _ := lb1.MustTable(t, "mesh/t1").ByKey()[key].Get("http_req_cnt"); got != "3" {
			t.Errorf("t1: got http_req_cnt=%s, want 3", got)
		}
		e := lb1.MustTable(t, "t2").ByKey()[key]
		if got, _ := e.Get("server_key"); got != "s1" && got != "s2" {
			t.Errorf("t2: got server_key=%s, want s1 or s2", got)
		}
		if e.Exp <= 59*time.Minute || e.Exp > time.Hour {
			t.Errorf("t2: got exp=%v, want an hour", e.Exp)
		}
	})
}

func TestKillAndRestart(t *testing.T) {
	Each(t, func(t *testing.T, r Release) {
		lb1, _ := startMesh(t, r)
		lb1.MustCommand(t, "set table mesh/t1 key k data.gpc0 7")
		if since := time.Since(lb1.Started()); since < 0 || since > startTimeout {
			t.Errorf("started %v ago", since)
		}
		lb1.Kill()
		if lb1.Alive() {
			t.Error("alive after Kill")
		}
		if _, err := lb1.Reload(""); err == nil {
			t.Error("reloaded a dead process")
		}
		again, err := lb1.Restart()
		if err != nil {
			t.Fatal(err)
		}
		if again.PID() == lb1.PID() || !again.Alive() {
			t.Errorf("process %d, alive %v, after process %d", again.PID(), again.Alive(), lb1.PID())
		}
		if got := again.MustTable(t, "mesh/t1"); len(got.Entries) != 0 {
			t.Errorf("got %+v, want an empty table", got)
		}
	})
}

// What the old process teaches is no matter of this package: 2.6 teaches nothing in its first 5 s.
func TestReload(t *testing.T) {
	Each(t, func(t *testing.T, r Release) {
		old, url := startMesh(t, r)
		next, err := old.Reload("")
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-old.Done():
		case <-time.After(startTimeout):
			t.Fatal("the old process did not end")
		}
		if status, _, err := Get(url, "X-User", "k"); status != 200 || err != nil {
			t.Errorf("got %d, %v", status, err)
		}
		if got := next.MustTable(t, "mesh/t1").Used; got != 1 {
			t.Errorf("got %d entries, want that of the request", got)
		}
	})
}

func TestReloadWithAnotherConfig(t *testing.T) {
	Each(t, func(t *testing.T, r Release) {
		old, _ := startMesh(t, r)
		next, err := old.Reload(strings.ReplaceAll(meshConfig(Host(t)), "t1", "t9"))
		if err != nil {
			t.Fatal(err)
		}
		next.MustTable(t, "mesh/t9")
		again, err := next.Restart()
		if err != nil {
			t.Fatal(err)
		}
		again.MustTable(t, "mesh/t9")
		if _, err := again.Table("mesh/t1"); err == nil {
			t.Error("the table of the old configuration is there")
		}
	})
}

func TestStop(t *testing.T) {
	Each(t, func(t *testing.T, r Release) {
		p := r.Start(t, "", "")
		p.Stop()
		if p.Alive() {
			t.Error("alive after Stop")
		}
	})
}

// The process is HAProxy itself, not a shell around it: signals reach it, and its command line is its own.
func TestPIDIsHAProxys(t *testing.T) {
	Each(t, func(t *testing.T, r Release) {
		p := r.Start(t, "", "")
		if got, want := p.MustCommand(t, "show info"), fmt.Sprintf("\nPid: %d\n", p.PID()); !strings.Contains(got, want) {
			t.Errorf("want %q in %s", want, got)
		}
	})
}

func TestStartError(t *testing.T) {
	Each(t, func(t *testing.T, r Release) {
		dir := t.TempDir()
		_, err := Start(r, Options{Config: "peers mesh\n\tnonsense\n", Dir: dir})
		if err == nil || !strings.Contains(err.Error(), "haproxy.cfg:2") {
			t.Errorf("got %v, want HAProxy's own words on line 2", err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestLog(t *testing.T) {
	Each(t, func(t *testing.T, r Release) {
		var log testkit.Output
		p, err := Start(r, Options{Config: "defaults\n\tmode http\nfrontend f\n\tbind " + Host(t) + ":8080\n", Log: &log})
		if err != nil {
			t.Fatal(err)
		}
		p.Kill()
		if got := log.String(); got == "" || got != p.Output() {
			t.Errorf("got %q, want %q: a warning that the frontend has no timeout", got, p.Output())
		}
	})
}

// When a test binary is killed, its HAProxys go with it. The binary is this one, in a process of its own.
func TestNothingOutlivesUs(t *testing.T) {
	const dirEnv = "HAPROXYTEST_DIR"
	Each(t, func(t *testing.T, r Release) {
		if dir := os.Getenv(dirEnv); dir != "" {
			if _, err := Start(r, Options{Dir: dir}); err != nil {
				t.Fatal(err)
			}
			select {} // until we are killed
		}
		dir, err := os.MkdirTemp("", "") // t.TempDir is too long for sockets
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		cmd := exec.Command(os.Args[0], "-test.run=^TestNothingOutlivesUs$/^haproxy-"+r.Line+"$")
		cmd.Env = append(os.Environ(), dirEnv+"="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		answers := func() bool {
			sockets, _ := filepath.Glob(filepath.Join(dir, "*", "haproxy.sock"))
			if len(sockets) == 0 {
				return false
			}
			conn, err := net.Dial("unix", sockets[0])
			if err == nil {
				conn.Close()
			}
			return err == nil
		}
		waitFor(t, "the HAProxy of the other process", answers)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		waitFor(t, "its end", func() bool { return !answers() })
	})
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(startTimeout); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
