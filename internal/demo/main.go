// Command demo shows what peersd is for: two real HAProxys and peersd on
// loopback, traffic, a HAProxy killed with SIGKILL, and its tables before and
// after.
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

	"github.com/peersd/peersd/internal/haproxytest"
)

// The two don't know each other: what lb1 has after its restart, it has from
// peersd.
const haproxyCfg = `
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s

peers mypeers
    peer %[2]s %[1]s:%[3]d          # HAProxy itself
    peer peersd %[1]s:10001

backend limits                      # rate limits and bans, by client address
    stick-table type ip size 10k expire 30m store http_req_rate(60s),http_req_cnt,gpc0 peers mypeers

backend app                         # stickiness, by user
    balance roundrobin
    stick-table type string len 32 size 10k expire 1h peers mypeers
    stick on req.hdr(x-user)
    server blue %[1]s:9001
    server green %[1]s:9002

frontend web
    bind %[1]s:%[4]d
    http-request track-sc0 req.hdr_ip(x-client) table limits
    default_backend app
`

func main() {
	if err := demo(); err != nil {
		fmt.Fprintln(os.Stderr, "demo: "+err.Error())
		os.Exit(1)
	}
}

func demo() error {
	release, err := newest()
	if err != nil {
		return err
	}
	host, free, err := haproxytest.Reserve()
	if err != nil {
		return err
	}
	defer free()
	for _, port := range []string{":9001", ":9002"} {
		stop, err := haproxytest.StartOrigin(host + port)
		if err != nil {
			return err
		}
		defer stop()
	}
	dir, err := os.MkdirTemp("", "peersd-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cfg := func(name string, peer, web int) string { return fmt.Sprintf(haproxyCfg, host, name, peer, web) }

	say("HAProxy %s twice, lb1 and lb2, and peersd, all on %s", release.Version, host)
	lb1, err := haproxytest.Start(release, haproxytest.Options{Name: "lb1", Config: cfg("lb1", 10010, 8081)})
	if err != nil {
		return err
	}
	defer func() { lb1.Kill() }()
	lb2, err := haproxytest.Start(release, haproxytest.Options{Name: "lb2", Config: cfg("lb2", 10020, 8082)})
	if err != nil {
		return err
	}
	defer lb2.Kill()
	stop, err := startPeersd(dir, host)
	if err != nil {
		return err
	}
	defer stop()

	say("traffic through both, and a ban set by hand on lb1")
	for i := range 30 {
		for _, port := range []int{8081, 8082} {
			client := fmt.Sprintf("192.0.2.%d", 1+i%5)
			if _, _, err := haproxytest.Get(fmt.Sprintf("http://%s:%d/", host, port), "X-Client", client, "X-User", fmt.Sprintf("user%d", i%4)); err != nil {
				return err
			}
		}
	}
	if _, err := lb1.Command("set table limits key 203.0.113.9 data.gpc0 1"); err != nil {
		return err
	}
	time.Sleep(300 * time.Millisecond)
	before, err := tables(lb1)
	if err != nil {
		return err
	}
	say("the tables of lb1 BEFORE:")
	fmt.Print(before)
	say("what peersd has of them (peersd show table limits):")
	if err := show(dir, host); err != nil {
		return err
	}

	say("kill -9 %d: lb1 is gone, and starts again two seconds later", lb1.PID())
	lb1.Kill()
	time.Sleep(2 * time.Second)
	again, err := lb1.Restart()
	if err != nil {
		return err
	}
	lb1 = again
	took, err := waitFor(lb1, strings.Count(before, "key="))
	if err != nil {
		return err
	}
	after, err := tables(lb1)
	if err != nil {
		return err
	}
	say("the tables of lb1 AFTER, all back %d ms after its start, lifetimes running on:", took.Milliseconds())
	fmt.Print(after)
	return nil
}

// newest is the newest HAProxy that scripts/haproxy.sh could get.
func newest() (r haproxytest.Release, err error) {
	for i := len(haproxytest.Lines) - 1; i >= 0; i-- {
		if r, err = haproxytest.Find(haproxytest.Lines[i]); err == nil {
			return r, nil
		}
	}
	return r, err
}

// startPeersd builds and starts peersd, and waits until it answers.
func startPeersd(dir, host string) (stop func(), err error) {
	if out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "peersd"), "./cmd/peersd").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("can't build peersd: %w\n%s", err, out)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--listen", host + ":10001", "--section", "mypeers", "--socket", filepath.Join(dir, "s"),
		"--peer", "lb1=" + host + ":10010", "--peer", "lb2=" + host + ":10020"}
	fmt.Println("   $ peersd " + strings.Join(args, " "))
	cmd := exec.Command(filepath.Join(dir, "peersd"), args...)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		out, _ := exec.Command(filepath.Join(dir, "peersd"), "show", "peers", "--socket", filepath.Join(dir, "s")).Output()
		if strings.Count(string(out), "learn_state=FINISHED") == 2 {
			return stop, nil
		}
	}
	stop()
	text, _ := os.ReadFile(log.Name())
	return nil, fmt.Errorf("peersd has no session with both HAProxys after 5 s; it wrote:\n%s", text)
}

func show(dir, host string) error {
	cmd := exec.Command(filepath.Join(dir, "peersd"), "show", "table", "limits", "--socket", filepath.Join(dir, "s"))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// tables are both tables of a HAProxy as its own socket prints them.
func tables(p *haproxytest.Process) (string, error) {
	var all string
	for _, name := range []string{"limits", "app"} {
		text, err := p.Command("show table " + name)
		if err != nil {
			return "", err
		}
		all += strings.TrimSpace(text) + "\n"
	}
	return all, nil
}

// waitFor waits until p has as many entries, and returns how long after its
// start that was.
func waitFor(p *haproxytest.Process, entries int) (time.Duration, error) {
	for time.Since(p.Started()) < 5*time.Second {
		text, err := tables(p)
		if err != nil {
			return 0, err
		}
		if strings.Count(text, "key=") >= entries {
			return time.Since(p.Started()), nil
		}
		time.Sleep(2 * time.Millisecond)
	}
	return 0, errors.New("lb1 did not get its entries back within 5 s")
}

func say(format string, args ...any) { fmt.Printf("\n== "+format+"\n", args...) }
