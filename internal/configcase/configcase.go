// Package configcase reads the cases that config/haproxycfg is tested by: by
// itself there, and beside a real HAProxy in e2e.
//
// A case is a text file. What precedes its first "-- NAME --" line says what it
// is about; "-- run --" has the arguments of HAProxy (without, "-f haproxy.cfg
// -L lb1"), one environment variable NAME=VALUE a line, and "not started" where
// HAProxy is only asked whether it accepts the files; "-- want --" has the
// report; all others are files.
package configcase

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A Case is one file of a folder of them.
type Case struct {
	Name string
	Path string
	// Args are HAProxy's arguments, and Files and LocalPeer what they say.
	Args      []string
	Files     []string
	LocalPeer string
	// Environ are variables that are set in addition.
	Environ []string
	// NotStarted: HAProxy would not come up with it here.
	NotStarted bool
	Sources    []Source
	Want       string

	head string // all before want
}

// A Source is a file of the case.
type Source struct{ Name, Text string }

// Load reads all cases of a folder.
func Load(tb testing.TB, dir string) []*Case {
	tb.Helper()
	dir, err := filepath.Abs(dir)
	if err != nil {
		tb.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(paths) == 0 {
		tb.Fatalf("no cases in %s: %v", dir, err)
	}
	cases := make([]*Case, len(paths))
	for i, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		cases[i] = parse(path, string(text))
	}
	return cases
}

func parse(path, text string) *Case {
	c := &Case{Path: path, Name: strings.TrimSuffix(filepath.Base(path), ".txt")}
	c.run("-f haproxy.cfg -L lb1\n")
	var name string
	var body strings.Builder
	end := func() {
		switch name {
		case "":
		case "run":
			c.run(body.String())
		case "want":
			c.Want = body.String()
		default:
			c.Sources = append(c.Sources, Source{name, body.String()})
		}
		body.Reset()
	}
	for line := range strings.Lines(text) {
		if header, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(header, " --\n") {
			end()
			name = strings.TrimSuffix(header, " --\n")
		} else {
			body.WriteString(line)
		}
		if name != "want" {
			c.head += line
		}
	}
	end()
	return c
}

func (c *Case) run(text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "not started":
			c.NotStarted = true
		case !strings.HasPrefix(line, "-"):
			c.Environ = append(c.Environ, line)
		default:
			c.Args, c.Files, c.LocalPeer = strings.Fields(line), nil, ""
			for i := 0; i+1 < len(c.Args); i += 2 {
				if c.Args[i] == "-L" {
					c.LocalPeer = c.Args[i+1]
				} else {
					c.Files = append(c.Files, c.Args[i+1])
				}
			}
		}
	}
}

// Write puts the files of the case into a folder, with what is to be replaced in
// their text.
func (c *Case) Write(tb testing.TB, dir string, r *strings.Replacer) {
	tb.Helper()
	for _, s := range c.Sources {
		path := filepath.Join(dir, s.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			tb.Fatal(err)
		}
		// "\0", "\r" and a file without an end can't be seen in a text file.
		text := strings.NewReplacer("<CR>", "\r", "<NUL>", "\x00", "<END>\n", "").Replace(s.Text)
		if err := os.WriteFile(path, []byte(r.Replace(text)), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

// Rewrite writes the case anew, with another report.
func (c *Case) Rewrite(tb testing.TB, want string) {
	tb.Helper()
	if err := os.WriteFile(c.Path, []byte(c.head+"-- want --\n"+want), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// Environment is a small one, with the variables of the case.
func (c *Case) Environment() []string {
	return slices.Concat([]string{"HOME=/root", "PATH=/usr/bin:/bin"}, c.Environ)
}
