package screen

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A terminal on which what is emphasized stands in brackets.
func newScreen() *Screen {
	mark := func(open, end string) func(string) string {
		return func(s string) string { return open + s + end }
	}
	return &Screen{Socket: "/run/s", Head: mark("", ""), Mark: mark("[", "]"), Warn: mark("!", "!")}
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func lookAt(seconds int, in, merged uint64) Look {
	return Look{
		At:       noon.Add(time.Duration(seconds) * time.Second),
		Activity: map[string]string{"uptime": "3700", "resident": "19922944"},
		Peers: []Peer{
			{Name: "lb1", Address: "10.0.0.1:10000", Established: true, Learned: true, Heard: "1s", In: in, Out: 5},
			{Name: "lb2", Address: "10.0.0.2:10000", Established: true, Heard: "0s", Teaching: 250, Of: 1000, Rate: 99, Left: "8s", Behind: 3},
			{Name: "lb3\x1b[2J", Address: "10.0.0.3:10000", Heard: "<NEVER>"},
		},
		Tables: []Table{
			{Name: "t1", Keys: "ip", Entries: 1000000, Memory: 1 << 30, Merged: merged},
			{Name: "t2", Keys: "string len 32", Entries: 3, Size: 10, Memory: 2048, Evicted: 7},
		},
		Busiest: Busiest{Table: "t1", By: "http_req_rate(10000)", Keys: []Key{
			{Text: "10.0.0.1", Fields: []string{"exp", "http_req_rate(10000)"}, Values: []string{"3600000", "77"}, Changed: 12 * time.Millisecond},
			{Text: "10.0.0.2", Fields: []string{"exp", "http_req_rate(10000)"}, Values: []string{"2600000", "7"}, Changed: 1000 * time.Second},
		}},
	}
}

func expectScreen(t *testing.T, s *Screen, lines int, want string) {
	t.Helper()
	got := strings.Join(s.Lines(lines), "\n")
	if want = strings.TrimSuffix(want, "\n"); strings.TrimRight(got, "\n") != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestScreen(t *testing.T) {
	s := newScreen()
	expectScreen(t, s, 24, "peersd top   /run/s\n")
	s.Trouble("no peersd answers")
	expectScreen(t, s, 24, "peersd top   /run/s\n!no peersd answers!")
	s.Add(lookAt(0, 10, 100))
	s.Add(lookAt(2, 20, 5100))
	expectScreen(t, s, 18, `
peersd top   /run/s   up 1h1m40s   memory 19.0M

peer     address         state  heard    lesson                     behind  in/s  out/s   2 of 3 up
lb1      10.0.0.1:10000  up     1s       learned                         0     5      0
lb2      10.0.0.2:10000  up     0s       taught 25%, 99/s, 8s left       3     0      0
lb3?[2J  10.0.0.3:10000  away   <NEVER>  -                               0     -      -

table  keys           entries  size  memory  updates/s  expired/s  evicted
[t1     ip             1000000     -    1.0G       2500          0        0]
t2     string len 32        3    10    2.0K          0          0        7

busiest keys of t1, by http_req_rate(10000)
key       changed      exp  http_req_rate(10000)
10.0.0.1     12ms  3600000                    77
10.0.0.2   16m40s  2600000                     7


q: quit   up, down: another table
`[1:])

	// Trouble keeps what was known; it is over with the next look.
	s.Trouble("no peersd answers")
	if got := s.Lines(18); got[1] != "!no peersd answers!" || !strings.HasPrefix(got[3], "lb1") {
		t.Errorf("%q", got)
	}
	s.Add(lookAt(4, 20, 5100))

	// It fits, where that is possible.
	for lines := 14; lines < 30; lines++ {
		if n := len(s.Lines(lines)); n != lines {
			t.Errorf("%d lines for %d", n, lines)
		}
	}
}

func TestChoose(t *testing.T) {
	s := newScreen()
	s.Next() // nothing is there
	l := lookAt(0, 0, 0)
	l.Tables = append(l.Tables, Table{Name: "t2", Keys: "ip"}, Table{Name: "t3"})
	s.Add(l)
	var got []string
	for range 4 {
		s.Next()
		got = append(got, s.Table())
	}
	for range 4 {
		s.Previous()
		got = append(got, s.Table())
	}
	if fmt.Sprint(got) != "[t2 t3 t1 t2 t1 t3 t2 t1]" {
		t.Errorf("%v", got)
	}
	s.Choose("gone")
	if s.Next(); s.Table() != "t2" {
		t.Errorf("%v", s.Table())
	}
}

// Of many peers and tables some are shown, those around the chosen one.
func TestManyTables(t *testing.T) {
	s := newScreen()
	l := lookAt(0, 0, 0)
	l.Tables = nil
	for i := range 100 {
		l.Tables = append(l.Tables, Table{Name: fmt.Sprintf("t%02d", i)})
	}
	s.Add(l)
	for range 50 {
		s.Next()
	}
	text := strings.Join(s.Lines(24), "\n")
	for _, want := range []string{"(6 of 100)\nt47 ", "[t50 ", "\nt52 "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

// Without a rate, keys are counted when they have changed since the last look.
func TestUpdatesSeen(t *testing.T) {
	s := newScreen()
	for i := range 10 {
		l := lookAt(i, 0, 0)
		l.Busiest.By = ""
		for j := range l.Busiest.Keys {
			l.Busiest.Keys[j].Fields, l.Busiest.Keys[j].Values = []string{"gpt0"}, []string{"1"}
		}
		l.Busiest.Keys[0].Changed = time.Duration(5-i%2*5) * time.Second // each other time
		l.Busiest.Keys[1].Changed = 10 * time.Millisecond
		s.Add(l)
	}
	text := strings.Join(s.Lines(24), "\n")
	const want = `busiest keys of t1, by updates seen
key       changed  seen  gpt0
10.0.0.2     10ms    10     1
10.0.0.1      0ms     6     1
`
	if !strings.Contains(text, want) {
		t.Errorf("got:\n%s", text)
	}
	for i := range 3 * mostSeen { // what is remembered is bounded
		l := lookAt(i, 0, 0)
		l.Busiest = Busiest{Table: "t1", Keys: []Key{{Text: fmt.Sprint(i)}, {Text: "often"}}}
		s.Add(l)
	}
	if len(s.seen) > mostSeen || s.seen["often"] < 100 {
		t.Errorf("%d keys, and %d", len(s.seen), s.seen["often"])
	}
}
