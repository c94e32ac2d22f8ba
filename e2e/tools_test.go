package e2e

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/internal/testkit"
)

// Programs that watch HAProxys read the answers of its socket with patterns and by
// cutting lines at spaces. What such a program gets out of peersd is what it gets out
// of a HAProxy.
func TestToolsReadTheSocket(t *testing.T) {
	t.Parallel()
	r, err := haproxytest.Find("3.2")
	if err != nil {
		testkit.Skip(t, err)
	}
	host := haproxytest.Host(t)
	const name = "mypeers/t1"
	lb1 := r.Start(t, "lb1", peersSection(host, 1, "table t1 type string len 32 size 1k expire 1h store server_id,gpc0,http_req_rate(1h),server_key"))
	d := startDaemon(t, host, 1, "--table-size", name+"=1k")
	for i := range 20 {
		lb1.MustCommand(t, fmt.Sprintf("set table %s key k%d data.gpc0 %d data.http_req_rate %d", name, i, i, 10*i))
	}
	lb1.MustCommand(t, "set table "+name+` key a\ key\=with\\this data.gpc0 7`)
	eventually(t, 10*time.Second, "peersd has what lb1 has", func() error {
		if err := d.established("lb1"); err != nil {
			return err
		}
		return same(name, hap{lb1}, d)
	})
	theirs := func(line string) string { return ask(t, "unix", lb1.Socket(), line+"\n") }
	ours := func(line string) string { return d.ask(line + "\n") }

	for what, read := range map[string]func(send func(string) string) string{
		"heads, by a pattern":                readHeads,
		"heads, cut at commas":               cutHeads,
		"entries, by a pattern":              readEntries,
		"entries, cut at spaces":             cutEntries,
		"entries, on a connection for all":   readInteractively,
		"names of what `show info` tells":    readInfo,
		"peers that are there, by a pattern": readPeers,
	} {
		if got, want := read(ours), read(theirs); got != want || got == "" {
			t.Errorf("%s: of peersd\n%s\nof HAProxy\n%s", what, got, want)
		}
	}
}

func readHeads(send func(string) string) (all string) {
	re := regexp.MustCompile(`(?m)^# table:\s+(?P<table>[^,]+), type:\s+(?P<type>[^,]+), size:(?P<size>\d+), used:(?P<used>\d+)$`)
	for _, m := range re.FindAllStringSubmatch(send("show table"), -1) {
		all += fmt.Sprintln(m[1:])
	}
	return all
}

func cutHeads(send func(string) string) (all string) {
	for line := range strings.SplitSeq(send("show table"), "\n") {
		if !strings.HasPrefix(line, "# table:") {
			continue
		}
		for part := range strings.SplitSeq(line[2:], ", ") {
			name, value, _ := strings.Cut(part, ":")
			all += name + " is " + strings.TrimSpace(value) + "\n"
		}
	}
	return all
}

func readEntries(send func(string) string) string {
	var all []string
	re := regexp.MustCompile(`(?m)^0x[0-9a-f]+: key=(?P<key>(?:\\.|[^ ])+) use=(?P<use>\d+) exp=\d+ .*\bgpc0=(?P<gpc0>\d+) http_req_rate\((?P<period>\d+)\)=(?P<rate>\d+)`)
	for _, m := range re.FindAllStringSubmatch(send("show table mypeers/t1"), -1) {
		all = append(all, fmt.Sprintln(m[1:]))
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

func cutEntries(send func(string) string) string {
	var all []string
	for line := range strings.Lines(send("show table mypeers/t1 data.gpc0 gt 9")) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if !strings.HasPrefix(id, "0x") {
			continue
		}
		fields := map[string]string{}
		for word := range strings.FieldsSeq(rest) {
			name, value, _ := strings.Cut(word, "=")
			fields[name] = value
		}
		delete(fields, "exp")
		all = append(all, fmt.Sprintln(fields))
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// readInteractively asks for one entry after the other, with "> " in between.
func readInteractively(send func(string) string) (all string) {
	answers := strings.Split(send("prompt\nshow table mypeers/t1 key k3\nshow table mypeers/t1 key nobody\nshow table nope\nquit"), "\n> ")
	re := regexp.MustCompile(`(0x[0-9a-f]+|exp=\d+)`)
	for _, a := range answers {
		all += re.ReplaceAllString(a, "...") + "--\n"
	}
	return all
}

func readInfo(send func(string) string) string {
	fields := map[string]string{}
	for line := range strings.Lines(send("show info")) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ": "); found && value != "" {
			fields[name] = value
		}
	}
	return fmt.Sprintln(slices.Sorted(maps.Keys(fields)))
}

func readPeers(send func(string) string) (all string) {
	re := regexp.MustCompile(`(?m)^  0x[0-9a-f]+: id=(?P<peer>\S+)\((?P<what>remote),(?P<activity>active|inactive)\) addr=\S+:\d+ app_state=(?P<state>\S+) learn_state=\S+ last_status=(?P<status>\S+) last_hdshk=\d+\w+$\n` +
		`^        reconnect=\S+ heartbeat=\S+ confirm=\d+ tx_hbt=\d+ rx_hbt=\d+ no_hbt=(?P<dead>\d+) new_conn=\d+ proto_err=(?P<errors>\d+) coll=\d+$`)
	for _, m := range re.FindAllStringSubmatch(send("show peers"), -1) {
		all += fmt.Sprintln(m[2:])
	}
	return all
}

// Each kind of line of `show peers` is HAProxy's, but for one.
func TestShowPeersIsHAProxys(t *testing.T) {
	t.Parallel()
	r, err := haproxytest.Find("3.2")
	if err != nil {
		testkit.Skip(t, err)
	}
	host := haproxytest.Host(t)
	lb1 := r.Start(t, "lb1", peersSection(host, 1, "table t1 type ip size 1k expire 1h store gpc0,server_key"))
	d := startDaemon(t, host, 1)
	lb1.MustCommand(t, "set table mypeers/t1 key 10.0.0.1 data.gpc0 1")
	eventually(t, 10*time.Second, "updates went both ways", func() error {
		if answer := d.ask("set table mypeers/t1 key 10.0.0.2 data.gpc0 1\n"); answer != "\n" {
			return fmt.Errorf("%s", answer)
		}
		for _, text := range []string{ask(t, "unix", lb1.Socket(), "show peers\n"), d.ask("show peers\n")} {
			if !strings.Contains(text, "remote_table:") || !strings.Contains(text, "last_local_table:") {
				return fmt.Errorf("not yet: %s", text)
			}
		}
		return nil
	})
	for _, command := range []string{"show peers", "show peers mypeers", "show peers - mypeers", "show peers dict", "show peers dict mypeers"} {
		theirs, ours := shapes(ask(t, "unix", lb1.Socket(), command+"\n")), shapes(d.ask(command+"\n"))
		for shape := range theirs {
			if !ours[shape] {
				t.Errorf("%s: peersd has no line as HAProxy's %q", command, shape)
			}
		}
		for shape := range ours {
			if !theirs[shape] && !strings.HasPrefix(shape, "        heard=") {
				t.Errorf("%s: HAProxy has no line as %q", command, shape)
			}
		}
	}
}

// shapes are the lines of an answer without what is each one's own.
func shapes(answer string) map[string]bool {
	values := regexp.MustCompile(`=(\S+?)\(|=\S+|0x[0-9a-f]+|\[\S+\]|(remote|local),(in)?active| +\d+ -> \S+`)
	all := map[string]bool{}
	for line := range strings.SplitSeq(answer, "\n") {
		all[values.ReplaceAllStringFunc(line, func(s string) string {
			switch {
			case strings.HasSuffix(s, "("):
				return "=...("
			case s[0] == '=':
				return "=..."
			case s[0] == ' ':
				return ""
			}
			return "..."
		})] = true
	}
	return all
}
