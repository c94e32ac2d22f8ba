package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
)

// What is sent, and all that comes back, is a conversation. Those that HAProxy has
// too are in package e2e.
func TestConversations(t *testing.T) {
	r := start(t)
	none := "No such table\n\n"
	tests := []struct{ name, sent, want string }{
		{"a line that is cut short is not carried out", "show table t1", ""},
		{"nothing", "", ""},
		{"only the first line", "show table t1\nshow table t3\n", headT1 + "\n"},
		{"several", "show table t1;show table nope; show table t3\n", headT1 + "\n" + none + headsT3 + "\n"},
		{"spaces", "  show \t table  t1 \n", headT1 + "\n"},
		{"severity as a number", "set severity-output number;show table nope;show table t1\n", "\n[3]: " + none + headT1 + "\n"},
		{"severity as a word", "set severity-output string;show table nope;show version\n", "\n[err]: " + none + "[info]: 1.2.3\n\n"},
		{"severity again", "set severity-output number;set severity-output none;show table nope\n", "\n\n" + none},
		{"severity, and no line feed", "set severity-output number -;show table nope\n", "[3]: " + none},
		{"prompt", "prompt\nshow version\nprompt\n", "\n> 1.2.3\n\n> \n"},
		{"prompt, and the end of what is sent", "prompt\nshow version\n", "\n> 1.2.3\n\n> "},
		{"interactive without a prompt", "prompt i\nshow version\nshow version\nquit\n", "\n1.2.3\n\n1.2.3\n\n"},
		{"a payload is asked for, and left alone", "prompt\nshow version <<\nx\ny\n\nquit\n", "\n> 1.2.3\n\n> "},
		{"a payload that never ends", "show version <<\nx\n", ""},
		{"a line of 16384 bytes", strings.Repeat(" ", 16370) + "show table t1\n", headT1 + "\n"},
		{"a line of 16385 bytes", strings.Repeat(" ", 16371) + "show table t1\n", "The line is longer than 16384 bytes.\n\n"},
		{"a payload that is too long", "show version <<\n" + strings.Repeat("x\n", 8200), "The line is longer than 16384 bytes.\n\n"},
		{"a line of a megabyte", strings.Repeat("x", 1<<20) + "\n", "The line is longer than 16384 bytes.\n\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := numbers.ReplaceAllString(r.ask(tt.sent), "P"); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// A client may think about its next line for a while, but not for ever.
func TestTimeout(t *testing.T) {
	c := start(t).dial()
	began := time.Now()
	io.WriteString(c, "prompt;set timeout cli 1s\n")
	answer, err := io.ReadAll(c)
	if string(answer) != "\n\n> " || err != nil {
		t.Errorf("got %q, %v", answer, err)
	}
	if d := time.Since(began); d < time.Second || d > 5*time.Second {
		t.Errorf("ended after %v", d)
	}
}

func TestHelp(t *testing.T) {
	r := start(t)
	all := r.ask("help\n")
	for i := range commands {
		if c := &commands[i]; !strings.Contains(all, "\n  "+c.name) {
			t.Errorf("no %s in:\n%s", c.name, all)
		}
	}
	const always = `  help [<command>]                        : all commands, or those that begin so
  prompt [help|n|i|p|timed]*              : whether this connection goes on after a line
  quit                                    : end this connection

`
	const cli = `  show cli level                          : the level of this connection
  show cli sockets                        : where commands are taken
`
	for line, want := range map[string]string{
		"help show cli":  "The following commands are valid at this level:\n" + cli + always,
		"show cli":       "Unknown command: 'show', but maybe one of the following ones is a better match:\n" + cli + always,
		"show cli wrong": "Unknown command: 'show', but maybe one of the following ones is a better match:\n" + cli + always,
	} {
		if got := r.ask(line + "\n"); got != want {
			t.Errorf("%s:\n%swant:\n%s", line, got, want)
		}
	}
	if got := r.ask("frob t1\n"); strings.Count(got, "\n") != len(commands)+2 || !strings.HasPrefix(got, "Unknown command: 'frob', but") {
		t.Errorf("got:\n%s", got)
	}
}

// A user sees no entries and changes none; nobody gets a level back.
func TestLevels(t *testing.T) {
	r := startAt(t, User)
	const denied = "Permission denied\n\n"
	for line, want := range map[string]string{
		"show cli level":                 "user\n\n",
		"show table":                     headT1 + headT2 + headsT3 + "\n",
		"show table /t2":                 headT2 + "# contents not dumped due to insufficient privileges\n\n",
		"show table /t2 key k":           denied,
		"show table /t2 key":             "Key value expected\n\n",
		"show version":                   "1.2.3\n\n",
		"show env":                       denied,
		"show sess":                      denied,
		"set table /t2 key k":            denied,
		"set table nope key k":           "No such table\n\n",
		"clear table /t2":                denied,
		"clear table /t2 key k":          denied,
		"clear table /t2 data.gpc0 gt 0": denied,
		"operator;show cli level":        denied + "user\n\n",
	} {
		if got := numbers.ReplaceAllString(r.ask(line+"\n"), "P"); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
	if got := start(t).ask("user;show cli level;clear table /t2;show table /t2\n"); got != "\nuser\n\n"+denied+headT2+"# contents not dumped due to insufficient privileges\n\n" {
		t.Errorf("lowered: got %q", got)
	}
}

// An answer on a TCP port is the same.
func TestTCP(t *testing.T) {
	l, err := Listen("127.0.0.1:0", 0)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, l)
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "show table t1\n")
	if answer, err := io.ReadAll(c); string(answer) != headT1+"\n" || err != nil {
		t.Errorf("got %q, %v", answer, err)
	}
	if got, want := r.ask("show cli sockets\n"), fmt.Sprintf("# socket lvl processes\nunix@%s operator all\nipv4@%s operator all\n\n", r.path, l.Addr()); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var b strings.Builder
	if err := Do(l.Addr().String(), "show version", &b); err != nil || b.String() != "1.2.3\n" {
		t.Errorf("Do: %q, %v", b.String(), err)
	}
}

// Fields have HAProxy's names and tags, which package e2e compares; and values.
func TestShowInfo(t *testing.T) {
	r := start(t)
	for _, want := range []string{"Name: peersd\n", "\nVersion: 1.2.3\n", "\nUptime: 0d 0h00m0", "\nUptime_sec: ", "\nListeners: 2\n", "\nTainted: 0\n"} {
		if got := r.ask("show info\n"); !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	if got := r.ask("show info typed desc\n"); !strings.HasPrefix(got, "0.Name.1:POS:str:peersd:\"what this is\"\n1.Version.1:POS:str:1.2.3:\"its version\"\n") {
		t.Errorf("got:\n%s", got)
	}
	var fields []struct {
		Field struct{ Name string }
		Value struct{ Value any }
	}
	if err := json.Unmarshal([]byte(r.ask("show info json\n")), &fields); err != nil || len(fields) != len(infoFields) || fields[1].Value.Value != "1.2.3" {
		t.Errorf("%v: %v", err, fields)
	}
}

// HAProxy has no lifetime for what is set; the rest of `set table` is compared with
// it in package e2e.
func TestSetWithLifetime(t *testing.T) {
	r := start(t)
	const most = "HAProxy forgets an entry of this table after 3600000ms; that is the longest for expire\n\n"
	exp := regexp.MustCompile(`exp=\d+`)
	for _, tt := range []struct{ line, answer, entry string }{
		{"key 10.0.0.1 data.gpc0 1 expire 10m", "\n", "exp=(599|600)\\d{3} shard=0 gpc0=1$"},
		{"key 10.0.0.2 data.gpc0 1 expire 5000", "\n", "exp=[45]\\d{3} shard=0 gpc0=1$"},
		{"key 10.0.0.3 expire 1h", "\n", "exp=3\\d{6} shard=0 gpc0=0$"},
		{"key 10.0.0.4 data.gpc0 1 expire 3601s", most, ""},
		{"key 10.0.0.5 data.gpc0 1 expire 10x", "'10x' is no time to live, as in 10m, of at most 2147483647ms\n\n", ""},
		{"key 10.0.0.6 data.gpc0 1 expire 0", "'0' is no time to live, as in 10m, of at most 2147483647ms\n\n", ""},
		{"key 10.0.0.7 data.gpc0 1 expire", "expire needs a time, as in 10m; a number without a unit is of milliseconds\n\n", ""},
		{"key 10.0.0.8 expire 10m data.gpc0 1", "\"data.<type>\" followed by a value expected\n\n", "gpc0=0$"},
	} {
		if got := r.ask("set table t1 " + tt.line + "\n"); got != tt.answer {
			t.Errorf("%s: got %q, want %q", tt.line, got, tt.answer)
		}
		got := r.ask("show table t1 " + strings.Join(strings.Fields(tt.line)[:2], " ") + "\n")
		_, entry, _ := strings.Cut(strings.TrimRight(got, "\n"), ": key=")
		if (tt.entry == "") != (entry == "") || !regexp.MustCompile(tt.entry).MatchString(entry) {
			t.Errorf("%s: the entry is %q, want %s", tt.line, entry, exp.ReplaceAllString(tt.entry, "exp"))
		}
	}
}

// Where a name is of several tables, what is done is done with each that can.
func TestTablesOfOneName(t *testing.T) {
	r := start(t)
	now := time.Now()
	for _, k := range []protocol.KeyType{protocol.KeyIPv4, protocol.KeyString} {
		def := definition("t4", k, map[protocol.KeyType]int{protocol.KeyIPv4: 4, protocol.KeyString: 33}[k], protocol.GPC0)
		fill(r.tables, now, &def)
	}
	for line, want := range map[string]string{
		"set table t4 key 10.0.0.1 data.gpc0 1": "\n",
		"set table t4 key somebody data.gpc0 1": "\n",
		"set table t4 key somebody data.gpc1 1": "Invalid key\n\n",
	} {
		if got := r.ask(line + "\n"); got != want {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
	if got := r.ask("show table t4 key 10.0.0.1\n"); strings.Count(got, "key=10.0.0.1 ") != 2 {
		t.Errorf("got %s", got)
	}
	r.ask("clear table t4\n")
	if got := r.ask("show table t4\n"); strings.Contains(got, "key=") || strings.Count(got, "used:0") != 2 {
		t.Errorf("cleared: got %s", got)
	}
}

// A table is full for who sets, too.
func TestSetInFullTable(t *testing.T) {
	r := start(t)
	r.tables.Limit("t1", limitsOfOne)
	r.ask("set table t1 key 10.0.0.1 data.gpc0 1\n")
	if got := r.ask("set table t1 key 10.0.0.2 data.gpc0 1\n"); got != "Unable to allocate a new entry\n\n" {
		t.Errorf("got %q", got)
	}
}

// Clearing a table of many entries goes through all of them.
func TestClearMany(t *testing.T) {
	r := start(t)
	r.many(5000)
	for _, step := range []struct{ line, used string }{
		{"clear table t1 data.gpc0 gt 1", "used:5000\n"},
		{"clear table t1 key 0.0.0.7", "used:4999\n"},
		{"clear table t1", "used:0\n"},
	} {
		if got := r.ask(step.line + "\n"); got != "\n" {
			t.Errorf("%s: got %q", step.line, got)
		}
		if got := r.ask("show table\n"); !strings.Contains(got, step.used) {
			t.Errorf("%s: got %s, want %s", step.line, got, step.used)
		}
	}
}
