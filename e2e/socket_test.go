package e2e

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/internal/testkit"
)

// ask sends text to a socket, and returns all that comes back.
func ask(t testing.TB, network, address, text string) string {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("%q: %v, after %q", text, err, answer)
	}
	return string(answer)
}

// ask sends text to the daemon's socket.
func (d *daemon) ask(text string) string {
	d.t.Helper()
	return ask(d.t, "unix", d.socket, text)
}

// The tables of the script below.
var scriptTables = []string{
	"table ip type ip size 1k expire 1h store server_id,gpt0,gpc0,conn_cur,http_req_rate(10s),bytes_in_cnt,bytes_in_rate(10s),server_key",
	"table arr type integer size 1k expire 1h store gpt(2),gpc(3),gpc_rate(2,60s)",
	"table str type string len 32 size 1k expire 1h store gpc0",
	"table v6 type ipv6 size 1k expire 1h store gpc0",
	"table bin type binary len 8 size 1k expire 1h store gpc0",
	"table forever type integer size 1k store gpc0,gpc1,gpc0_rate(10s),gpc1_rate(10s),glitch_cnt,glitch_rate(10s)",
}

// A step of the script is what is sent, without the line feed at its end. $ptr(T K)
// is the number of the entry of K in T.
type step struct {
	send string
	// alike makes of an answer what is alike, where not all of it can be; why
	// says why.
	alike func(string) string
	why   string
}

// steps are those of a text, one a line.
func steps(text string) (all []step) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			all = append(all, step{send: line})
		}
	}
	return all
}

// script is what is sent to a HAProxy 3.2 and to peersd.
var script = slices.Concat(
	steps(`
# values: of all kinds, cut to what is stored, too great, no numbers
set table mypeers/ip key 10.0.0.1 data.gpc0 1
set table mypeers/ip key 10.0.0.2 data.server_id -5 data.gpt0 7 data.gpc0 8 data.conn_cur 2 data.http_req_rate 20 data.bytes_in_cnt 1099511627776 data.bytes_in_rate 500
set table mypeers/ip key 10.0.0.3 data.gpc0 4294967297 data.server_id 2147483648 data.bytes_in_cnt -1 data.http_req_rate 4294967299
set table mypeers/ip key 10.0.0.4
set table mypeers/ip key 10.0.0.4 data.gpc0 9223372036854775807
set table mypeers/ip key 10.0.0.4 data.gpc0 9223372036854775808
set table mypeers/ip key 10.0.0.4 data.bytes_in_cnt -9223372036854775808
set table mypeers/ip key 10.0.0.4 data.gpc0 -
set table mypeers/ip key 10.0.0.4 data.gpc0 +1
set table mypeers/ip key 10.0.0.4 data.gpc0 0x1
set table mypeers/ip key 10.0.0.4 data.gpc0 1.5
set table mypeers/ip key 10.0.0.4 data.gpc0
set table mypeers/ip key 10.0.0.4 data.server_key s1
set table mypeers/ip key 10.0.0.4 data.server_key 5
set table mypeers/ip key 10.0.0.4 data.gpc0 3 data.nope 1 data.gpt0 9
set table mypeers/ip key 10.0.0.4 data.gpc1 1
set table mypeers/ip key 10.0.0.4 data.gpc0[0] 1
set table mypeers/ip key 10.0.0.4 data. 1
set table mypeers/ip key 10.0.0.4 gpc0 1
set table mypeers/ip key 10.0.0.4 data.gpc0 1 data.gpc0 2
set table mypeers/ip key 10.0.0.5 data.nope 1
show table mypeers/ip

# keys
set table mypeers/ip key 10.0.0.256 data.gpc0 1
set table mypeers/ip key 10.0.0 data.gpc0 1
set table mypeers/ip key ::ffff:10.0.0.6 data.gpc0 6
set table mypeers/ip key ::10.0.0.7 data.gpc0 7
set table mypeers/ip key 2002:a00:8::1 data.gpc0 8
set table mypeers/ip key 2001:db8::1 data.gpc0 1
set table mypeers/ip key 10.0.0.009 data.gpc0 9
set table mypeers/ip key 10.0.0.10/24 data.gpc0 10
set table mypeers/ip key somebody data.gpc0 1
set table mypeers/ip key
show table mypeers/ip
set table mypeers/v6 key 1.2.3.4 data.gpc0 1
set table mypeers/v6 key ::1.2.3.4 data.gpc0 1
set table mypeers/v6 key 2001:DB8:0:0::1 data.gpc0 1
set table mypeers/v6 key fe80::1%lo data.gpc0 1
set table mypeers/v6 key 1::2::3 data.gpc0 1
set table mypeers/v6 key [::1] data.gpc0 1
show table mypeers/v6
set table mypeers/arr key 4294967295 data.gpc 1
set table mypeers/arr key -5 data.gpc 2
set table mypeers/arr key 4294967297 data.gpc 3
set table mypeers/arr key 99999999999999999999 data.gpc 4
set table mypeers/arr key 12abc data.gpc 5
set table mypeers/arr key abc data.gpc 6
show table mypeers/arr
set table mypeers/str key abc data.gpc0 1
set table mypeers/str key a\ b\=c\\\;\x data.gpc0 2
set table mypeers/str key 0123456789012345678901234567890123456789 data.gpc0 3
set table mypeers/str key "quoted" data.gpc0 4
set table mypeers/str key é data.gpc0 5
show table mypeers/str
show table mypeers/str key a\ b\=c\\\;\x
set table mypeers/bin key abc
set table mypeers/bin key
show table mypeers/bin key abc
clear table mypeers/bin key abc
show table mypeers/bin ptr 0x1
clear table mypeers/bin data.gpc0 ge 0

# arrays
set table mypeers/arr key 1 data.gpc 3 data.gpc[1] 4 data.gpt[1] 5 data.gpc_rate[0] 100 data.gpc_rate[1] 7
set table mypeers/arr key 2 data.gpc[2] 6 data.gpc[3] 7
set table mypeers/arr key 2 data.gpc[x] 1
set table mypeers/arr key 2 data.gpc[] 1
set table mypeers/arr key 2 data.gpc[1 1
set table mypeers/arr key 2 data.gpc[1]x 1
set table mypeers/arr key 2 data.gpc[-1] 1
set table mypeers/arr key 2 data.gpc[+1] 8
set table mypeers/arr key 2 data.gpc[\ 0] 9
set table mypeers/arr key 2 data.gpc[4294967298] 10
set table mypeers/arr key 2 data.g[0] 11
set table mypeers/arr key 2 data.gpc_[0] 12
set table mypeers/arr key 2 data.gpc1 1
show table mypeers/arr key 1
show table mypeers/arr key 2

# filters
show table mypeers/ip data.gpc0 gt 3
show table mypeers/ip data.gpc0 ge 3 data.gpc0 le 8 data.gpc0 ne 7 data.gpt0 eq 0
show table mypeers/ip data.gpc0 ge 3 data.gpc0 le 8 data.gpc0 ne 7 data.gpt0 eq 0 data.gpc0 ne 0
show table mypeers/ip data.server_id lt 0
show table mypeers/ip data.http_req_rate ge 20
show table mypeers/ip data.bytes_in_cnt lt 0
show table mypeers/ip data.server_key eq 0 data.gpc0 eq 1
show table mypeers/ip data.nope gt 1
show table mypeers/ip data.gpc1 gt 1
show table mypeers/ip data.gpc0
show table mypeers/ip data.gpc0 GT 1
show table mypeers/ip data.gpc0 gt
show table mypeers/ip data.gpc0 gt x
show table mypeers/ip data.gpc0 gt 1 data.gpc0 lt
show table mypeers/ip data.gpc0 gt 1 wrong lt 1
show table mypeers/arr data.gpc[1] ge 4
show table mypeers/arr data.gpc ge 3
show table mypeers/arr data.gpc[5] ge 0
show table mypeers/arr data.gpc_rate[1] eq 7 data.gpt[1] eq 5

# entries by their number
show table mypeers/ip ptr $ptr(mypeers/ip 10.0.0.2)
set table mypeers/ip ptr $ptr(mypeers/ip 10.0.0.2) data.gpt0 70
set table mypeers/ip ptr $ptr(mypeers/ip 10.0.0.2)
show table mypeers/ip key 10.0.0.2
show table mypeers/arr ptr $ptr(mypeers/ip 10.0.0.2)
show table mypeers/ip ptr
show table mypeers/ip ptr 1234
show table mypeers/ip ptr 0x
show table mypeers/ip ptr 0xzz
show table mypeers/ip ptr 0x1234
set table mypeers/ip ptr 0x1234 data.gpc0 1
clear table mypeers/ip ptr 0x1234

# clear
clear table
clear table mypeers/ip key 10.0.0.1
clear table mypeers/ip key 10.0.0.1
clear table mypeers/ip key 10.9.9.9
clear table mypeers/ip key
clear table mypeers/ip key x
clear table mypeers/ip ptr $ptr(mypeers/ip 10.0.0.2)
clear table mypeers/ip data.gpc0 gt 7
clear table mypeers/ip data.gpc0 xx 7
clear table mypeers/ip wrong
show table mypeers/ip
clear table mypeers/str
show table mypeers/str
set table mypeers/str key abc data.gpc0 9
show table mypeers/str

# a table whose entries never end
set table mypeers/forever key 1 data.gpc0 1 data.gpc1 2 data.gpc0_rate 3 data.gpc1_rate 4 data.glitch_cnt 5 data.glitch_rate 6
show table mypeers/forever
clear table mypeers/forever key 1
show table mypeers/forever

# what does not exist, or is not understood
show table nope
set table nope key 1
clear table nope
set table
set table mypeers/ip wrong
set table mypeers/ip data.gpc0 1
show table mypeers/ip wrong
show table mypeers/ip mypeers/arr
show table mypeers/ip key
show table mypeers/ip key 10.9.9.9

# several commands, and how messages begin
show table nope;show table mypeers/v6; show table nope
;show table nope;;
set severity-output number;show table nope;show cli level;show table mypeers/v6
set severity-output string;show table nope
set severity-output number -;show table nope;set severity-output none -;show table nope
set severity-output colour
set severity-output
user;show cli level;show table mypeers/v6 key 1.2.3.4
user -;set table mypeers/v6 key 9::9 data.gpc0 1;clear table mypeers/v6;clear table mypeers/v6 key 1.2.3.4;show env;show sess;operator
user;set table nope key 1;clear table mypeers/v6 data.nope gt 1
set timeout cli 10s
set timeout cli 0
set timeout cli abc
set timeout cli
set timeout
show env PEERSD_NOPE
show sess 0x12
show sess wrong
show stat typed
show stat json
show stat nope 1 2
show stat domain wrong
show peers nope
show peers dict nope
prompt help
prompt wrong
quit
show cli level;quit;show cli level
show cli level x`),
	[]step{
		{send: "show table nope\r"},
		{send: "show table nope\r\r"},
		{send: "show \t table\tnope\t"},
		{send: "show table no\x00show table nope"},
		{send: "set table mypeers/str key a\\\nb\tdata.gpc0 1"},
		{send: "set table mypeers/str key a\\\tb data.gpc0 2"},
		{send: "show table mypeers/str"},
		{send: "show table nope\nshow table nope"}, // the second line is not asked for
		{send: "show table nope <<\npayload\n"},
		{send: "show table nope <<END\npay\n\nload\nEND"},
		{send: "show table nope <<TOOLONG1"},
		{send: "show table nope << "},
		{send: "show table no " + strings.Repeat("x ", 61)},
		{send: "show table no " + strings.Repeat("x ", 62)},
		{send: "prompt\nshow table nope\n\nshow cli level;show cli level;\nquit"},
		{send: "prompt i\nshow table nope\n\nprompt\nshow cli level\nprompt\nshow cli level"},
		{send: "prompt p;show cli level\nprompt n\nshow cli level"},
		{send: "prompt\nshow cli level <<\npayload\n\nquit"},
		{send: "prompt\nset severity-output number -\nuser -\nshow table nope\nquit"},
		// Not alike to the byte:
		{"show table", sortedLines, "HAProxy has its tables in the order of haproxy.cfg, peersd in that in which it heard of them"},
		{"user;show table mypeers/v6", lines("# table: mypeers/v6, type: ipv6, size:1024, used:3"), "HAProxy asks for the level of the socket there, not for that to which it was lowered"},
		{"prompt timed\nprompt timed\nquit", cut(`\d+:\d\d:\d\d:\d\d`), "it tells how long each of them is up"},
		{"show cli sockets", cut(`unix@\S+`), "it has the path"},
		{"show version", cut(`^\S+`), "it is each one's own"},
		{"show stat", cut(`,-,.*`), "the columns behind the dash are of modules that HAProxy was built with"},
		{"show info", cut(`(?m): .*`), "values are each one's own; names and their order are not"},
		{"show info typed", cut(`(?m)(:str|:u\d\d):.*`), "values are each one's own; names, numbers, tags and types are not"},
		{"show info desc", cut(`(?m): .*`), "so are the words for what a value means"},
		{"show info json", cut(`(?m)"value":("[^"]*"|\d+)`), "values are each one's own"},
		{"show env HOME", cut(`=.*`), "the environment is each one's own"},
		{"show sess", nothing, "HAProxy has at least the stream of the command itself, peersd has none"},
		{"help", lines(" quit ", " prompt ", "are valid", " show version "), "commands that exist are listed, in words of their own"},
		{"help show version", lines(" quit ", " prompt ", "are valid", " show version "), "in words of its own"},
		{"show", lines(" quit ", " prompt ", "Unknown command", " show version "), "commands that exist are listed, in words of their own"},
		{"set severity-output number;frob", lines(" quit ", " prompt ", "[6]: Unknown command"), "HAProxy guesses what was meant"},
		{strings.Repeat("x", 16384), nothing, "HAProxy sends the user to tune.bufsize, which peersd does not have"},
		{"set table mypeers/ip", nothing, "HAProxy clears the whole table; peersd says what is missing, as for other words"},
	},
)

// cut makes alike what a pattern matches.
func cut(pattern string) func(string) string {
	re := regexp.MustCompile(pattern)
	return func(s string) string { return re.ReplaceAllString(s, "...") }
}

// lines leaves of the answer what those of its lines begin with that have one of
// the words.
func lines(words ...string) func(string) string {
	return func(s string) (kept string) {
		for line := range strings.Lines(s) {
			for _, word := range words {
				if strings.Contains(line, word) {
					kept += word + "\n"
				}
			}
		}
		return kept
	}
}

func sortedLines(s string) string {
	all := strings.SplitAfter(s, "\n")
	slices.Sort(all)
	return strings.Join(all, "")
}

// nothing is for answers that have nothing in common.
func nothing(string) string { return "" }

var (
	pointers  = regexp.MustCompile(`0x[0-9a-f]+: `)
	lifetimes = regexp.MustCompile(` exp=[1-9]\d* `)
)

// comparable is an answer without what is never alike: where HAProxy has an entry in
// memory, how long it lives on, and that the HAProxy of the test is of level admin.
// HAProxy walks over hash buckets: the order of entries is any.
func comparable(answer string) string {
	answer = lifetimes.ReplaceAllString(pointers.ReplaceAllString(answer, "0x: "), " exp=N ")
	answer = strings.ReplaceAll(answer, "admin", "operator")
	all := strings.SplitAfter(answer, "\n")
	for from := 0; from < len(all); from++ {
		to := from
		for to < len(all) && strings.HasPrefix(all[to], "0x: ") {
			to++
		}
		slices.Sort(all[from:to])
		from = max(from, to)
	}
	return strings.Join(all, "")
}

var ptr = regexp.MustCompile(`\$ptr\((\S+) (\S+)\)`)

// answer sends one step, and returns what is to be compared.
func (s *step) answer(send func(string) string) string {
	text := ptr.ReplaceAllStringFunc(s.send, func(name string) string {
		m := ptr.FindStringSubmatch(name)
		return regexp.MustCompile("0x[0-9a-f]+").FindString(send("show table " + m[1] + " key " + m[2] + "\n"))
	})
	answer := comparable(send(text + "\n"))
	if s.alike != nil {
		answer = s.alike(answer)
	}
	return answer
}

// The same commands give the same bytes from a HAProxy 3.2, which is asked here and
// now, and from a peersd that mirrors one with the same tables.
func TestSocketIsHAProxys(t *testing.T) {
	t.Parallel()
	r, err := haproxytest.Find("3.2")
	if err != nil {
		testkit.Skip(t, err)
	}
	host := haproxytest.Host(t)
	lb1 := r.Start(t, "lb1", peersSection(host, 1, scriptTables...))
	alone := r.Start(t, "lb1", peersSection(haproxytest.Host(t), 1, scriptTables...))
	var args []string
	for _, line := range scriptTables {
		args = append(args, "--table-size", "mypeers/"+strings.Fields(line)[1]+"=1k")
	}
	d := startDaemon(t, host, 1, args...)
	eventually(t, 10*time.Second, "peersd knows the tables", func() error {
		if n := strings.Count(d.ask("show table\n"), "# table: "); n != len(scriptTables) {
			return fmt.Errorf("%d tables", n)
		}
		return d.established("lb1")
	})
	theirs := func(text string) string { return ask(t, "unix", alone.Socket(), text) }
	for i := range script {
		s := &script[i]
		if want, got := s.answer(theirs), s.answer(d.ask); got != want {
			t.Errorf("%.200q\n  HAProxy %.2000q\n  peersd  %.2000q", s.send, want, got)
		}
	}
	// What was set and cleared through peersd is what lb1 has too.
	eventually(t, 10*time.Second, "lb1 has what peersd has", func() error {
		for _, name := range []string{"mypeers/arr", "mypeers/v6", "mypeers/ip", "mypeers/str"} {
			if err := hasAll(name, d, hap{lb1}); err != nil {
				return err
			}
		}
		return nil
	})
	t.Logf("%d steps", len(script))
}

// hasAll reports what of a's table b does not have alike.
func hasAll(name string, a, b shower) error {
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
		if o := theirs[e.Key]; !slices.Equal(e.Data, o.Data) {
			return fmt.Errorf("table %s: %s: %v against %v", name, e.Key, e.Data, o.Data)
		}
	}
	return nil
}
