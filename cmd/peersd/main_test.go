package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/rogpeppe/go-internal/testscript"
)

// beMain in the environment makes the test binary peersd itself.
const beMain = "PEERSD_TEST_BE_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(beMain) != "" {
		main()
	}
	testscript.Main(m, map[string]func(){"peersd": main})
}

// What is not understood ends with code 2, what can't be done with code 1, and
// both with one sentence that says what to do about it: testdata/errors.txt.
func TestErrors(t *testing.T) {
	script, err := os.ReadFile("testdata/errors.txt")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", dir)
	inUse, err := net.Listen("unix", filepath.Join(dir, "in-use"))
	if err != nil {
		t.Fatal(err)
	}
	defer inUse.Close()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	variables := map[string]string{
		"DIR": dir, "TAKEN": taken.Addr().String(), "FREE": haproxytest.Host(t) + ":10001", "LONG": strings.Repeat("x", 108),
	}
	text := os.Expand(string(script), func(name string) string { return variables[name] })
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		line, want, _ := strings.Cut(block, "\n")
		t.Run(line, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(arguments(strings.TrimPrefix(line, "$ peersd")), nil, &stdout, &stderr)
			if got := fmt.Sprintf("%sexit %d", stderr.String(), code); got != want || stdout.Len() > 0 {
				t.Errorf("got:\n%s\nwant:\n%s\nand on stdout: %q", got, want, stdout.String())
			}
		})
	}
}

// arguments cuts a line at spaces outside of single quotes.
func arguments(line string) (args []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 0 {
			args = append(args, strings.Fields(part)...)
		} else {
			args = append(args, part)
		}
	}
	return args
}

func TestHelpAndVersion(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1000")
	for line, want := range map[string]string{
		"--help":               "peersd mirrors the stick tables of HAProxys",
		"-h":                   "peersd mirrors the stick tables of HAProxys",
		"help":                 "peersd mirrors the stick tables of HAProxys",
		"serve --help":         "usage: peersd serve [flags]",
		"serve -L x -h":        "usage: peersd serve [flags]",
		"show --help":          "usage: peersd show\n",
		"show table t1 --help": "usage: peersd show table [NAME [KEY]] [flags]",
		"version --help":       "usage: peersd version",
		"version":              "peersd ",
		"--version":            "peersd ",
	} {
		var stdout, stderr bytes.Buffer
		code := run(strings.Fields(line), nil, &stdout, &stderr)
		if code != 0 || stderr.Len() > 0 || !strings.HasPrefix(stdout.String(), want) {
			t.Errorf("%s: code %d, stdout %q, stderr %q", line, code, stdout.String(), stderr.String())
		}
	}
}

// The help names every flag, and where the socket is without one.
func TestServeHelp(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1000")
	var stdout, stderr bytes.Buffer
	run([]string{"serve", "--help"}, nil, &stdout, &stderr)
	for _, want := range []string{"-L, --localpeer NAME", "--listen ADDR:PORT", "--peer NAME=ADDR:PORT", "--section NAME", "--socket PATH|ADDR:PORT", "--teach-rate RATE", "--max-updates-at-once N", "--max-memory SIZE", "--table-size NAME=SIZE",
		"--max-handshakes N", "--max-handshakes-per-address N", "--max-sessions N", "--max-tables N", "--max-data-types N", "--max-message SIZE", "--learn-rate N", "--log-level LEVEL", "/run/user/1000/peersd.sock"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("no %q in:\n%s", want, stdout.String())
		}
	}
}
