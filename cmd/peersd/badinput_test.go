package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/protocol"
)

// Whatever is asked for, there is one sentence, and the daemon goes on.
func TestLongInput(t *testing.T) {
	address := haproxytest.Host(t) + ":10001"
	d := startDaemon(t, "--listen", address)
	def := &protocol.Definition{ID: 1, Name: "t1", KeyType: protocol.KeyString, KeyLen: 65, Types: 1 << protocol.GPT0}
	teach(t, address, def)
	d.showsUsed(0)
	long := strings.Repeat("x", 1<<20)
	const tooLong = "The line is longer than 16384 bytes."
	tests := []struct {
		name  string
		args  []string
		stdin string
		want  string
	}{
		{"a command", []string{"raw", "show table " + long}, "", tooLong},
		{"words", append([]string{"raw", "show"}, strings.Fields(strings.Repeat("x ", 62))...), "", "Unknown command: 'show'"},
		{"a table", []string{"show", "table", long}, "", tooLong},
		{"a table of which more has to be known", []string{"show", "table", long, "--json"}, "", "no such table: xxx"},
		{"a key", []string{"show", "table", "t1", long}, "", tooLong},
		{"a key to be set", []string{"set", "t1", long, "gpt0=1"}, "", tooLong},
		{"a key to be cleared", []string{"clear", "t1", long}, "", tooLong},
		{"a field", []string{"set", "t1", "k", long + "=1"}, "", `there is no field "xxx`},
		{"a value", []string{"set", "t1", "k", "gpt0=" + strings.Repeat("1", 1<<20)}, "", "is no number from 0 to 4294967295"},
		{"a filter", []string{"show", "table", "t1", "--filter", long + ">1"}, "", `there is no field "xxx`},
		{"a line of a file", []string{"import", "t1", "-"}, "k1\n" + long + "\nk2\n", "stdin: line 2: it is longer than 131072 bytes"},
		{"a line of a file that makes a long command", []string{"import", "t1", "-"}, "k1\n" + long[:20000] + "\nk2\n", "stdin: line 2: it makes a command of 20017 bytes, and a line of the socket has 16384 at most"},
		{"a line of JSON", []string{"import", "t1", "-"}, `{"key":"` + long[:100000] + `"}`, "stdin: line 1: it makes a command of 100017 bytes"},
		{"a line of CSV", []string{"import", "t1", "-"}, "key,gpt0\n" + long + ",1\n", "stdin: line 2: it makes a command of 1048605 bytes"},
		{"a file without an end to its line", []string{"import", "t1", "-"}, long, "stdin: line 1: it is longer than 131072 bytes"},
		{"a file of zeros", []string{"import", "t1", "-"}, strings.Repeat("\x00", 1000), `is no key of t1: it is empty or has a zero byte`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := run(append(tt.args[:len(tt.args):len(tt.args)], d.socketFlag(tt.args[0])...), strings.NewReader(tt.stdin), &out, &errs)
			if code != 1 || out.Len() > 0 || !strings.Contains(errs.String(), tt.want) {
				t.Errorf("code %d, %.100q, and %.300q, not %q", code, out.String(), errs.String(), tt.want)
			}
		})
	}
	d.showsUsed(0)
}

// socketFlag names the socket; raw takes flags in front only, and finds it by itself.
func (d *daemon) socketFlag(verb string) []string {
	if verb == "raw" {
		d.t.Setenv("XDG_RUNTIME_DIR", d.dir)
		return nil
	}
	return []string{"--socket", d.socket()}
}

// showsUsed waits until the one table has so many entries.
func (d *daemon) showsUsed(n int) {
	d.t.Helper()
	eventually(d.t, fmt.Sprint("there are ", n, " entries"), func() bool {
		out, _, _ := d.show("table")
		return strings.Contains(out, fmt.Sprintf(", used:%d\n", n))
	})
}

// Whoever reads from a verb may stop, and end: neither the verb nor the daemon cares.
func TestReaderThatStops(t *testing.T) {
	address := haproxytest.Host(t) + ":10001"
	d := startDaemon(t, "--listen", address)
	def := &protocol.Definition{ID: 1, Name: "t1", KeyType: protocol.KeyInteger, KeyLen: 4, Types: 1 << protocol.GPT0}
	teach(t, address, def)
	eventually(t, "the table is there", func() bool {
		out, _, _ := d.show("table")
		return strings.Contains(out, "# table: t1,")
	})
	var keys strings.Builder
	for i := range 100_000 {
		fmt.Fprintln(&keys, i)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"import", "t1", "-", "--socket", d.socket()}, strings.NewReader(keys.String()), &out, &errs); code != 0 {
		t.Fatal(errs.String())
	}
	for _, verb := range []string{"show table t1", "show table t1 --json", "export t1", "raw show table t1"} {
		cmd := exec.Command(d.cmd.Path, strings.Fields(verb)...)
		cmd.Env = d.cmd.Env
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stdout.Read(make([]byte, 10))
		d.showsUsed(100_000) // while it waits
		stdout.Close()
		cmd.Wait() // it was told so by a signal, or has written it all
	}
	d.showsUsed(100_000)
}
