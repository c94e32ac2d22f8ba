package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/admin/entries"
	"github.com/peersd/peersd/internal/testkit"
	"github.com/peersd/peersd/protocol"
	"github.com/rogpeppe/go-internal/testscript"
)

// watching FILE ARG...         starts `peersd watch ARG...`, which writes to a file, and
//
//	waits until it watches
//
// shows FILE PATTERN           waits until the file has this
// interrupt FILE               presses Ctrl-C there, which is to end it with 0
func init() {
	scriptCommands["watching"] = scriptWatching
	scriptCommands["shows"] = scriptShows
	scriptCommands["interrupt"] = scriptInterrupt
}

// watchProcesses are those of all scripts, by their files.
var watchProcesses sync.Map

type watchProcess struct {
	cmd  *exec.Cmd
	over chan struct{}
	err  error // when it is over
}

func scriptInterrupt(ts *testscript.TestScript, _ bool, args []string) {
	all, _ := watchProcesses.Load(ts.MkAbs(args[0]))
	p := all.(*watchProcess)
	ts.Check(p.cmd.Process.Signal(syscall.SIGINT))
	<-p.over
	ts.Check(p.err)
}

func scriptWatching(ts *testscript.TestScript, _ bool, args []string) {
	a := &app{socket: filepath.Join(ts.Getenv("XDG_RUNTIME_DIR"), "peersd.sock")}
	watches := func() int {
		answer, err := a.answer("show activity")
		ts.Check(err)
		names, values := admin.ParseLines(answer)
		for i, name := range names {
			if name == "watches" {
				n, err := strconv.Atoi(values[i])
				ts.Check(err)
				return n
			}
		}
		ts.Fatalf("no watches in %s", answer)
		return 0
	}
	before := watches()
	file, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	cmd := exec.Command(os.Args[0], append([]string{"watch"}, args[1:]...)...)
	cmd.Env = append(os.Environ(), beMain+"=1", "XDG_RUNTIME_DIR="+ts.Getenv("XDG_RUNTIME_DIR"), "GORACE=atexit_sleep_ms=0")
	cmd.Stdout = file
	var stderr testkit.Output
	cmd.Stderr = &stderr
	ts.Check(cmd.Start())
	file.Close()
	p := &watchProcess{cmd: cmd, over: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.over)
	}()
	ts.Defer(func() {
		cmd.Process.Kill()
		<-p.over
	})
	watchProcesses.Store(ts.MkAbs(args[0]), p)
	ts.Check(soon("it watches", func() error {
		if watches() == before {
			return errors.New(stderr.String())
		}
		return nil
	}))
}

func scriptShows(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile("(?m)" + args[1])
	ts.Check(soon(args[0]+" shows "+args[1], func() error {
		if got := ts.ReadFile(args[0]); !want.MatchString(got) {
			return errors.New("it shows\n" + got)
		}
		return nil
	}))
}

// On a terminal a line is for people; nothing that a line says is taken for a command
// of the terminal.
func TestWatchForPeople(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	var out bytes.Buffer
	w := &tableWatch{app: &app{stdout: &out, terminal: true}, table: &entries.Table{Name: "t1", KeyType: protocol.KeyString, Types: 1 << protocol.GPT0}}
	for _, line := range []string{
		"# table: t1, type: string, size:16, used:1\n",
		"0x1: key=a\\ b\\x1B use=0 exp=3599988 shard=0 gpt0=7\n",
		"0x1: key=c use=0 exp=0 shard=0 gpt0=8\n",
		"# ended: key=a\\ b\\x1B\n",
		"# missed: 3\n",
	} {
		if err := w.line([]byte(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	got := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d\d\d `).ReplaceAllString(out.String(), "")
	const want = `a b\x1B gpt0=7 expires in 1h0m0s
c gpt0=8
a b\x1B ended
3 ends were missed
`
	if got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}
