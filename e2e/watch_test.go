package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
)

// What HAProxy changes is seen by who watches, and what is set and cleared on peersd.
func TestWatch(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		lb1 := hap{r.Start(t, "lb1", peersSection(host, 1, "table t1 type ip size 1k expire 1h store gpc0"))}
		d := startDaemon(t, host, 1)
		lb1.MustCommand(t, "set table mypeers/t1 key 10.0.0.1 data.gpc0 1")
		eventually(t, 10*time.Second, "peersd has the table", func() error { return same("mypeers/t1", lb1, d) })
		eventually(t, 10*time.Second, "peersd has the lesson", func() error { return d.established("lb1") })

		cmd := exec.Command(peersd, "watch", "mypeers/t1", "--socket", d.socket)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		lines := make(chan string, 100)
		go func() {
			defer close(lines)
			for s := bufio.NewScanner(out); s.Scan(); {
				lines <- s.Text()
			}
			io.Copy(io.Discard, out)
		}()
		next := func(want string) {
			t.Helper()
			select {
			case line := <-lines:
				if !regexp.MustCompile(want).MatchString(line) {
					t.Fatalf("got %q, want %s", line, want)
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("waited in vain for %s", want)
			}
		}
		next(`^# table: mypeers/t1, type: ip, size:\d+, used:1$`)
		for i := range 5 {
			lb1.MustCommand(t, fmt.Sprintf("set table mypeers/t1 key 10.0.0.2 data.gpc0 %d", i))
			next(fmt.Sprintf(`^0x[0-9a-f]+: key=10\.0\.0\.2 use=\d+ exp=\d+ shard=0 gpc0=%d$`, i))
		}
		d.must("set table mypeers/t1 key 10.0.0.3 data.gpc0 7 expire 300ms")
		next(`key=10\.0\.0\.3 .* gpc0=7$`)
		next(`^# ended: key=10\.0\.0\.3$`)
		d.must("clear table mypeers/t1 key 10.0.0.2")
		next(`^# ended: key=10\.0\.0\.2$`)

		cmd.Process.Signal(syscall.SIGINT)
		var rest strings.Builder
		for line := range lines {
			rest.WriteString(line)
		}
		if err := cmd.Wait(); err != nil || rest.Len() > 0 {
			t.Errorf("Ctrl-C: %v, and %s", err, &rest)
		}
	})
}
