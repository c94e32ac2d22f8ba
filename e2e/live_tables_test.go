package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/internal/haproxytest"
)

// Entries of tables without expire live for ever: both print exp=0.
func TestLiveNoExpire(t *testing.T) {
	const config = `
frontend fe
    bind HOST:8080
    stick-table type ip size 1k peers mypeers store http_req_cnt
    http-request track-sc0 src
    http-request track-sc1 req.hdr(x-user) table users
    http-request return status 200
backend users
    stick-table type string len 16 size 1k peers mypeers store http_req_cnt,http_req_rate(1h)
`
	tables := []string{"fe", "users", "mypeers/t9"}
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		p := startHAProxy(t, r, []string{"table t9 type integer size 1k store gpc0"}, config)
		write := func(user string, n int) {
			p.get(200, "/", "x-user", user)
			p.set("mypeers/t9", fmt.Sprint(n), fmt.Sprint("gpc0 ", n))
		}
		timeless := func() {
			t.Helper()
			for _, side := range []shower{p.lb, p.d} {
				for _, name := range tables {
					table, err := side.table(name)
					if err != nil {
						t.Fatal(err)
					}
					for _, e := range table.Entries {
						if e.Exp != 0 {
							t.Errorf("table %s: %s has exp=%v in %T", name, e.Key, e.Exp, side)
						}
					}
				}
			}
		}
		write("early", 1)
		p.startPeersd()
		p.mirroredExactly("after the lesson", tables...)
		write("late", 2)
		p.mirroredExactly("after changes", tables...)
		timeless()
		p.restartHAProxy()
		p.mirroredExactly("after HAProxy was killed", tables...)
		timeless()
		if got := p.value("users", "late", "http_req_cnt"); got != "1" {
			t.Errorf("http_req_cnt=%s after one request", got)
		}
	})
}

// More tables in a section than HAProxy pushes updates at once (200).
func TestLiveManyTables(t *testing.T) {
	const tables, entries = 300, 5
	shapes := []struct {
		line string
		key  func(n int) string
	}{
		{"type ip size 100 expire 1h store gpc0,http_req_rate(1h)", func(n int) string { return fmt.Sprintf("10.0.%d.%d", n>>8, n&255) }},
		{"type string len 16 size 100 store gpc0", func(n int) string { return fmt.Sprint("key", n) }},
		{"type integer size 100 expire 2h store gpc0,gpt0", func(n int) string { return fmt.Sprint(n) }},
	}
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		var lines, names []string
		for i := range tables {
			lines = append(lines, fmt.Sprintf("table t%03d %s", i, shapes[i%len(shapes)].line))
			names = append(names, fmt.Sprintf("mypeers/t%03d", i))
		}
		config := ""
		if r.Line == "2.6" {
			// 2.6 never finishes pushing more tables than updates at once.
			config = "global\n tune.peers.max-updates-at-once 1000\n"
		}
		p := startHAProxy(t, r, lines, config)
		// One line of commands an entry: that many connections would take long.
		fill := func(from, to int) {
			for n := from; n < to; n++ {
				var commands []string
				for i, name := range names {
					commands = append(commands, setCommand(name, shapes[i%len(shapes)].key(i+n), fmt.Sprint("gpc0 ", 1+i+n)))
				}
				p.mustSet(strings.Join(commands, ";"))
			}
		}
		fill(0, 2)
		p.startPeersd()
		p.mirroredAll("after the lesson", names)
		fill(1, entries)
		p.mirroredAll("after changes", names)

		p.restartHAProxy()
		eventually(t, time.Until(p.lb.Started().Add(2*time.Second)), "HAProxy has its tables back", func() error {
			return p.lb.full(tables, entries)
		})
		t.Logf("back %v after the start", time.Since(p.lb.Started()).Round(time.Millisecond))
		p.mirroredAll("after HAProxy was killed", names)
	})
}

// full reports whether HAProxy has that many tables, with that many entries in
// each.
func (h hap) full(tables, entries int) error {
	list, err := h.Command("show table")
	if err != nil {
		return err
	}
	if full := strings.Count(list, fmt.Sprintf(", used:%d\n", entries)); full != tables {
		return fmt.Errorf("%d of %d tables have %d entries", full, tables, entries)
	}
	return nil
}

// mirroredAll is mirroredExactly for so many tables that a process and a
// connection for each would take too long.
func (p *pair) mirroredAll(when string, tables []string) {
	p.t.Helper()
	command := "show table " + strings.Join(tables, ";show table ")
	eventually(p.t, 5*time.Second, when, func() error {
		theirs, err := p.lb.Command(command)
		if err != nil {
			return err
		}
		var ours strings.Builder
		if err := admin.Do(p.d.socket, command, &ours); err != nil {
			return err
		}
		if a, b := listed(theirs), listed(ours.String()); !slices.Equal(a, b) {
			return fmt.Errorf("the tables are %v against %v", a, b)
		}
		a, b := answersTo(tables, theirs), answersTo(tables, ours.String())
		for _, name := range tables {
			if err := identical(name, a, b); err != nil {
				return err
			}
		}
		return nil
	})
}

var tableHead = regexp.MustCompile(`(# table: .*, type: .*), size:.*(, used:.*)`)

// listed are the heads of tables without their size, which peersd has no limit of.
func listed(text string) (heads []string) {
	for _, m := range tableHead.FindAllStringSubmatch(text, -1) {
		heads = append(heads, m[1]+m[2])
	}
	return heads
}

// answers are those to `show table`, by the table's name.
type answers map[string]string

// answersTo takes apart the answer to a line of commands.
func answersTo(tables []string, text string) answers {
	a := answers{}
	for i, answer := range strings.SplitN(text, "\n\n", len(tables)) {
		a[tables[i]] = answer
	}
	return a
}

func (a answers) table(name string) (haproxytest.Table, error) {
	return haproxytest.ParseTable(a[name])
}
