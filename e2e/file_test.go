package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/internal/haproxytest"
)

// A oneFile is one haproxy.cfg, which two HAProxys and peersd run by, each by a name of
// its own.
type oneFile struct {
	t          *testing.T
	host, path string
	d          *daemon
}

// share writes the file; start starts peersd by it.
func share(t *testing.T) *oneFile {
	s := &oneFile{t: t, host: haproxytest.Host(t), path: filepath.Join(t.TempDir(), "haproxy.cfg")}
	s.write(s.config())
	s.d = newDaemon(t, s.host, 0)
	s.d.args = []string{"serve", "-f", s.path, "-L", "peersd", "--socket", s.d.socket, "--log-level", "debug"}
	return s
}

// config is the file, with more lines of the peers section.
func (s *oneFile) config(more ...string) string {
	return peersSection(s.host, 2, append([]string{"table own type integer size 1k expire 1h store gpt0"}, more...)...) + `
backend t1
    stick-table type string len 64 size 100k expire 1h store gpc0,http_req_rate(10s) peers mypeers
`
}

func (s *oneFile) write(config string) {
	s.t.Helper()
	if err := os.WriteFile(s.path, []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *oneFile) haproxy(r haproxytest.Release, name string) *haproxytest.Process {
	s.t.Helper()
	return r.StartWith(s.t, haproxytest.Options{Name: name, Args: []string{"-f", s.path}})
}

// One file for all: what it declares is there before a HAProxy is, peersd is found and
// finds the others, and gives back what it learned.
func TestSharedFile(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		s := share(t)
		s.d.start()
		for _, name := range []string{"t1", "mypeers/own"} {
			if err := has(s.d, name, 0); err != nil {
				t.Errorf("before there is a HAProxy: %v", err)
			}
		}
		lb1, lb2 := s.haproxy(r, "lb1"), s.haproxy(r, "lb2")
		for _, name := range []string{"lb1", "lb2"} {
			eventually(t, patience, "the lesson of "+name, func() error { return s.d.established(name) })
		}
		for i, lb := range []*haproxytest.Process{lb1, lb2} {
			lb.MustCommand(t, fmt.Sprintf("set table t1 key k%d data.gpc0 %d data.http_req_rate 5", i, i+1))
			lb.MustCommand(t, fmt.Sprintf("set table mypeers/own key %d data.gpt0 1", i))
		}
		for _, name := range []string{"t1", "mypeers/own"} {
			eventually(t, patience, "all entries", func() error { return has(s.d, name, 2) })
		}
		lb1 = restartHAProxy(t, lb1)
		for _, name := range []string{"t1", "mypeers/own"} {
			eventually(t, 2*time.Second, "lb1 has them back", func() error { return same(name, hap{lb1}, s.d) })
		}
		if text := s.d.log.String(); strings.Contains(text, "otherwise") {
			t.Errorf("HAProxy defines a table as it was told to, and peersd says:\n%s", text)
		}
	})
}

// A HAProxy with another line for a table is told of, by file and line.
func TestSharedFileDiffers(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		s := share(t)
		s.d.start()
		s.write(strings.ReplaceAll(s.config(), "expire 1h store gpc0,http_req_rate(10s)", "expire 30m store gpt0,http_req_rate(20s)"))
		s.haproxy(r, "lb1").MustCommand(t, "set table t1 key k data.gpt0 1")
		want := fmt.Sprintf("the peer defines the table otherwise than %s:8 declares it: expire 30m0s in place of 1h0m0s, gpt0 besides, no gpc0, http_req_rate over 20s in place of 10s; make their lines equal", s.path)
		eventually(t, patience, "it is told of", func() error {
			if text := s.d.log.String(); !strings.Contains(text, want) {
				return fmt.Errorf("the log lacks %q:\n%s", want, text)
			}
			return nil
		})
	})
}

// A hundred reloads while two HAProxys are updated: no session ends that the file did
// not change, and nothing is lost.
func TestReloadPeersd(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		s := share(t)
		s.d.start()
		lbs := []*haproxytest.Process{s.haproxy(r, "lb1"), s.haproxy(r, "lb2")}
		sessions := map[string]string{}
		for _, name := range []string{"lb1", "lb2"} {
			eventually(t, patience, "the lesson of "+name, func() error { return s.d.established(name) })
			sessions[name] = s.d.peerField(name, "new_conn")
		}

		over, counts := make(chan struct{}), make([]int, len(lbs))
		var wg sync.WaitGroup
		for i, lb := range lbs {
			wg.Go(func() { counts[i] = keepSetting(t, lb, i, over) })
		}
		for i := range 100 {
			s.reload(i)
		}
		close(over)
		wg.Wait()

		for i, lb := range lbs {
			eventually(t, patience, "peersd has all", func() error { return has(s.d, "t1", counts[0]+counts[1]) })
			eventually(t, patience, "they agree", func() error { return sameCounts("t1", hap{lb}, s.d) })
			name := fmt.Sprint("lb", i+1)
			if n := s.d.peerField(name, "new_conn"); n != sessions[name] {
				t.Errorf("%s: %s sessions, and %s before", name, n, sessions[name])
			}
		}
		t.Logf("%v entries were set meanwhile", counts)
		for _, name := range []string{"lb1", "lb2"} {
			if closed(s.d.log.String(), name) {
				t.Errorf("a session of %s was closed", name)
			}
		}
		if err := has(s.d, "mypeers/t9", 0); err != nil {
			t.Error(err) // of the last reload
		}
	})
}

// sameCounts reports how two tables differ in their keys and in gpc0. Where updates
// wait for each other, lifetimes differ by as much.
func sameCounts(name string, a, b shower) error {
	ta, err := a.table(name)
	if err != nil {
		return err
	}
	tb, err := b.table(name)
	if err != nil {
		return err
	}
	theirs := tb.ByKey()
	for _, e := range ta.Entries {
		x, _ := e.Get("gpc0")
		if y, _ := theirs[e.Key].Get("gpc0"); x != y {
			return fmt.Errorf("table %s: %s: gpc0 is %s and %q", name, e.Key, x, y)
		}
	}
	if len(ta.Entries) != len(tb.Entries) {
		return fmt.Errorf("table %s: %d entries and %d", name, len(ta.Entries), len(tb.Entries))
	}
	return nil
}

func closed(log, peer string) bool {
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"peer":"`+peer+`"`) && strings.Contains(line, "session closed") {
			return true
		}
	}
	return false
}

// setAtMost is how many entries are set of a HAProxy: they fit the table.
const setAtMost = 40_000

// keepSetting sets entries, each of them twice, and more often where there are many,
// and returns how many there are.
func keepSetting(t *testing.T, lb *haproxytest.Process, i int, over <-chan struct{}) (n int) {
	for ; ; n++ {
		select {
		case <-over:
			return min(n, setAtMost)
		default:
		}
		for value := 1; value <= 2; value++ {
			command := fmt.Sprintf("set table t1 key lb%d-%d data.gpc0 %d", i, n%setAtMost, n*10+value)
			if answer, err := lb.Command(command); err != nil || strings.TrimSpace(answer) != "" {
				t.Errorf("%s: %q, %v", command, answer, err)
				return n
			}
		}
	}
}

// reload changes the file in what does not concern lb1 and lb2, and has peersd read it:
// by the socket or by the signal. One in ten is a file that can't be used.
func (s *oneFile) reload(i int) {
	s.t.Helper()
	more := []string{fmt.Sprintf("peer lb3 %s:%d", s.host, 20_000+i/2)}
	if i%3 == 0 {
		more = append(more, "peer lb4 127.0.0.1:9")
	}
	if i%2 == 1 {
		more = append(more, "table t9 type ip size 1k store gpc0")
	}
	reloaded, refused := s.logged(`"reloaded"`), s.logged("not reloaded")
	broken := i%10 == 8
	if broken {
		more = append(more, "peer lb5", "tabel t8 type ip size 1k")
	}
	s.write(s.config(more...))
	if i%4 == 0 {
		s.d.cmd.Process.Signal(syscall.SIGHUP)
	} else {
		var answer strings.Builder
		if err := admin.Do(s.d.socket, "reload", &answer); (err != nil) != broken || !broken && !strings.HasPrefix(answer.String(), "Success=1\n") {
			s.t.Errorf("reload %d: %q, %v", i, answer.String(), err)
		}
	}
	eventually(s.t, patience, "the reload is over", func() error {
		if s.logged(`"reloaded"`)+s.logged("not reloaded") == reloaded+refused {
			return fmt.Errorf("the log does not say so")
		}
		return nil
	})
	if broken != (s.logged("not reloaded") > refused) {
		s.t.Errorf("reload %d: broken %v, but it was not refused so", i, broken)
	}
}

func (s *oneFile) logged(what string) int { return strings.Count(s.d.log.String(), what) }

// The new form, in which HAProxy has its own address on the bind line, and peersd on its
// server line.
func TestSharedFileOfServers(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		s := share(t)
		s.write(fmt.Sprintf(`peers mypeers
    bind %[1]s:%[2]d
    server lb1
    server peersd %[1]s:%[3]d
    table t1 type string len 64 size 1k expire 1h store gpc0
`, s.host, portLB, portPeersd))
		s.d.start()
		lb1 := s.haproxy(r, "lb1")
		eventually(t, patience, "the lesson of lb1", func() error { return s.d.established("lb1") })
		lb1.MustCommand(t, "set table mypeers/t1 key k data.gpc0 1")
		eventually(t, patience, "the entry", func() error { return has(s.d, "mypeers/t1", 1) })
		lb1.Kill()
		eventually(t, patience, "it is dialled where the bind line says", func() error {
			if !strings.Contains(s.d.log.String(), fmt.Sprintf(`"address":"%s:%d"`, s.host, portLB)) {
				return fmt.Errorf("the log does not say so:\n%s", s.d.log)
			}
			return nil
		})
		lb1 = restartHAProxy(t, lb1)
		eventually(t, 2*time.Second, "lb1 has it back", func() error { return same("mypeers/t1", hap{lb1}, s.d) })
	})
}
