package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/internal/testkit"
)

// A tmux is a real terminal, in which a shell runs.
type tmux struct {
	t      *testing.T
	socket string
}

const shellPrompt = "ready> "

func startTmux(t *testing.T, columns, lines int) *tmux {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		testkit.Skip(t, "no tmux here: run scripts/install.sh tmux")
	}
	tm := &tmux{t: t, socket: filepath.Join(t.TempDir(), "t")}
	tm.do("new-session", "-d", "-x", fmt.Sprint(columns), "-y", fmt.Sprint(lines), "env", "PS1="+shellPrompt, "sh")
	t.Cleanup(func() { tm.do("kill-server") })
	tm.shows("the shell is ready", "(?m)^"+strings.TrimSpace(shellPrompt)+"$")
	return tm
}

// do runs a command of tmux.
func (tm *tmux) do(args ...string) string {
	tm.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", tm.socket, "-f", "/dev/null"}, args...)...).CombinedOutput()
	if err != nil {
		tm.t.Fatalf("tmux %v: %v: %s", args, err, out)
	}
	return string(out)
}

// typeLine types a line, and presses Enter.
func (tm *tmux) typeLine(line string) {
	tm.t.Helper()
	tm.do("send-keys", "-l", line)
	tm.do("send-keys", "Enter")
}

// screen is what the terminal shows.
func (tm *tmux) screen() string { return tm.do("capture-pane", "-p") }

// shows waits until the screen has all this, regular expressions in their order.
func (tm *tmux) shows(what string, want ...string) {
	tm.t.Helper()
	all := regexp.MustCompile("(?s)" + strings.Join(want, ".*"))
	eventually(tm.t, 15*time.Second, what, func() error {
		if got := tm.screen(); !all.MatchString(got) {
			return fmt.Errorf("the screen is\n%s", got)
		}
		return nil
	})
}

// isShell waits until the shell is back, and the terminal as it was before: its own
// screen, the cursor, and what is typed to be seen.
func (tm *tmux) isShell() {
	tm.t.Helper()
	eventually(tm.t, 15*time.Second, "the terminal is restored", func() error {
		if got := tm.do("display-message", "-p", "#{alternate_on} #{cursor_flag}"); got != "0 1\n" {
			return fmt.Errorf("alternate screen and cursor: %s", got)
		}
		return nil
	})
	tm.typeLine("echo code=$? && stty -a | tr ';' '\\n' | grep -c -w -e icanon -e echo -e isig")
	tm.shows("the shell goes on", `(?m)^before$`, `echo code=`, `(?m)^code=0$`, `(?m)^1$`)
	if got := tm.screen(); strings.Contains(got, "peer  ") {
		tm.t.Errorf("the screen of top is left:\n%s", got)
	}
	tm.typeLine("clear; echo before")
	tm.shows("the screen is clean", `^before\n`)
}

// `peersd top` in a real terminal: its screen, when that is resized, when the daemon is
// gone and comes back, and the terminal afterwards.
func TestTop(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		lb1 := hap{r.Start(t, "lb1", peersSection(host, 2,
			"table t1 type ip size 1k expire 1h store gpc0,http_req_rate(1h)",
			"table plain type string len 32 size 1k expire 1h store gpt0"))}
		d := startDaemon(t, host, 2)
		for i := range 5 {
			lb1.MustCommand(t, fmt.Sprintf("set table mypeers/t1 key 10.0.0.%d data.http_req_rate %d", i, 1000*i))
		}
		tm := startTmux(t, 110, 30)
		tm.typeLine("clear; echo before")
		tm.shows("what was before", `^before\n`)
		top := fmt.Sprintf("%s top --socket %s --table mypeers/t1 --interval 200ms", peersd, d.socket)
		tm.typeLine(top)
		tm.shows("the whole screen", `^peersd top   `+regexp.QuoteMeta(d.socket)+`   up [0-9ms]+   memory [0-9.]+M\n\n`,
			`peer  address +state  heard +lesson +behind  in/s  out/s   1 of 2 up\n`,
			`lb1   `+host+`:10010  up     [0-9a-z]+ +learned +0 +[0-9]+ +[0-9]+\n`,
			`lb2   `+host+`:10011  away   <NEVER>  - +0 +- +-\n\n`,
			`table +keys +entries  size  memory  updates/s  expired/s  evicted`,
			`\nmypeers/t1     ip +5 +- +[0-9.]+K +0 +0 +0\n`,
			`busiest keys of mypeers/t1, by http_req_rate\(3600000\)\n`,
			`key +changed +exp +gpc0 +http_req_rate\(3600000\)\n10\.0\.0\.4 +`, `\n10\.0\.0\.3 +`, `\n10\.0\.0\.0 `,
			`q: quit   up, down: another table\n$`)
		tm.shows("the other table", `evicted\n`, `mypeers/plain  string len 32 +0 +- +[0-9.]+K +0 +0 +0\n`)

		lb1.MustCommand(t, "set table mypeers/t1 key 10.0.0.77 data.http_req_rate 9000")
		tm.shows("another key", `http_req_rate\(3600000\)\n10\.0\.0\.77 +`)

		tm.do("resize-window", "-x", "50", "-y", "20")
		tm.shows("all that there is room for", `^peersd top`, `lb1 `, `\n10\.0\.0\.77 +`, `(?m)^q: quit   up, down: another table$`)
		if lines := strings.Split(strings.TrimSuffix(tm.screen(), "\n"), "\n"); len(lines) != 20 || utf8.RuneCountInString(lines[2]) > 50 {
			t.Errorf("%d lines, and %q", len(lines), lines[2])
		}
		tm.do("resize-window", "-x", "110", "-y", "30")
		tm.shows("more again", `1 of 2 up\n`)

		tm.do("send-keys", "Down")
		tm.shows("another table", `busiest keys of mypeers/plain, by updates seen\nnone\n`)
		lb1.MustCommand(t, "set table mypeers/plain key abc data.gpt0 7")
		tm.shows("its key", `key  changed  seen +exp  gpt0\nabc +[0-9.a-z]+ +[1-9][0-9]* +[0-9]+ +7\n`)

		d.kill()
		tm.shows("that the daemon is gone", `^peersd top .*\nno peersd answers at `+regexp.QuoteMeta(d.socket)+`: [^\n]+\n`, `\nlb1 `)
		d.start()
		tm.shows("the daemon that comes back", `^peersd top [^\n]+\n\n`, `\nlb1 [^\n]+ up `, `busiest keys of mypeers/plain, by updates seen\n`, `\nabc `)

		tm.do("send-keys", "q")
		tm.isShell()
		tm.typeLine(top)
		tm.shows("the screen", `lb1 [^\n]+ up `)
		tm.do("send-keys", "C-c")
		tm.isShell()
	})
}
