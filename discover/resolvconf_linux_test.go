package discover

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/dnstest"
	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/internal/testkit"
)

// inItsPlace names the folder with what is to be /etc/resolv.conf and /etc/hosts in the
// process that the test starts.
const inItsPlace = "PEERSD_TEST_ETC"

// Names are completed as in a pod of Kubernetes, from /etc/resolv.conf, and those in
// /etc/hosts are found there. The test runs itself in a process that has files of its own
// in their places.
func TestResolvConf(t *testing.T) {
	if dir := os.Getenv(inItsPlace); dir != "" {
		lookupIn(t, dir)
		return
	}
	if os.Getuid() != 0 {
		testkit.Skip(t, "only root can put files in the place of others, for a process")
	}
	host, dir := haproxytest.Host(t), t.TempDir()
	s := dnstest.Start(t, net.JoinHostPort(host, "53"))
	s.Negative(77 * time.Second)
	s.Set("lb-headless.default.svc.cluster.local", 5*time.Second, dnstest.A("10.0.0.1"))
	s.Set("lb-headless.other.svc.cluster.local", 6*time.Second, dnstest.A("10.0.0.2"))
	s.Set("_peers._tcp.lb.default.svc.cluster.local", 7*time.Second, dnstest.SRV("lb-0.lb.default.svc.cluster.local", 10000))
	s.Set("lb-0.lb.default.svc.cluster.local", 30*time.Second, dnstest.A("10.0.0.3"))
	for name, text := range map[string]string{
		"resolv.conf": "nameserver " + host + "\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n",
		"hosts":       "10.0.0.4 lb1\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestResolvConf$")
	cmd.Env = append(os.Environ(), inItsPlace+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), notMounted) || os.IsPermission(err) {
		testkit.Skip(t, notMounted)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := slices.DeleteFunc(strings.Split(string(out), "\n"), func(line string) bool { return !strings.Contains(line, "+") })
	want := []string{
		"dns+lb-headless:10000 [{10.0.0.1:10000 [lb-headless]}] 5s <nil>",
		"dns+lb-headless.other.svc:10000 [{10.0.0.2:10000 [lb-headless lb-headless.other.svc]}] 6s <nil>",
		"srv+_peers._tcp.lb [{10.0.0.3:10000 [lb-0 lb-0.lb.default.svc.cluster.local]}] 7s <nil>",
		"srv+_peers._tcp.lb.default.svc [{10.0.0.3:10000 [lb-0 lb-0.lb.default.svc.cluster.local]}] 7s <nil>",
		"dns+lb1:10000 [{10.0.0.4:10000 [lb1]}] 10s <nil>",
		"dns+none:10000 [] 1m17s <nil>",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const notMounted = "files can't be put in the place of others here"

// lookupIn prints what places are, with files of dir in the places of those in /etc.
func lookupIn(t *testing.T, dir string) {
	for _, name := range []string{"resolv.conf", "hosts"} {
		if err := syscall.Mount(filepath.Join(dir, name), filepath.Join("/etc", name), "", syscall.MS_BIND, ""); err != nil {
			t.Fatal(notMounted, err)
		}
	}
	for _, p := range []Place{
		{Host: "lb-headless", Port: 10000}, {Host: "lb-headless.other.svc", Port: 10000},
		{Host: "_peers._tcp.lb"}, {Host: "_peers._tcp.lb.default.svc"}, {Host: "lb1", Port: 10000}, {Host: "none", Port: 10000},
	} {
		found, ttl, err := p.lookup(context.Background(), Resolver{})
		fmt.Println(p, found, ttl, err)
	}
}
