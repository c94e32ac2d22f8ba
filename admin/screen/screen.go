package screen

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MostKeys is how many keys a [Look] needs: where a table has no rate, they are
// counted as they come by.
const MostKeys = 200

// mostSeen is how many keys are counted.
const mostSeen = 5000

// A Screen shows the last look, and what has happened since the one before.
type Screen struct {
	Socket string
	// Head and Mark are how heads and what is chosen are written, Warn what is wrong.
	Head, Mark, Warn func(string) string

	last, before Look
	table        string // that was chosen, "" before
	seen         map[string]int
	trouble      string
}

// Add takes another look.
func (s *Screen) Add(l Look) {
	if l.Busiest.Table != s.last.Busiest.Table {
		s.seen = nil
	}
	s.before, s.last, s.trouble = s.last, l, ""
	if l.Busiest.By == "" {
		s.count()
	}
}

// Trouble says that there is nothing new, and why.
func (s *Screen) Trouble(why string) { s.trouble = why }

// Table is the one whose keys are to be looked at, "" for any.
func (s *Screen) Table() string { return s.table }

// Choose chooses the table of that name.
func (s *Screen) Choose(table string) { s.table = table }

// Next chooses the table that stands behind the one that is shown, and Previous that
// in front of it.
func (s *Screen) Next()     { s.step(1) }
func (s *Screen) Previous() { s.step(-1) }

// step goes on to the next table of another name: what peers define in several ways
// has its keys shown together.
func (s *Screen) step(by int) {
	all, from := s.last.Tables, s.shown()
	for i := range all {
		if name := all[(from+by*(i+1)+len(all)*2)%len(all)].Name; name != all[from].Name {
			s.table = name
			return
		}
	}
}

// shown is the number of the table whose keys are shown, or are to be shown next.
func (s *Screen) shown() int {
	name := cmp.Or(s.table, s.last.Busiest.Table)
	return max(slices.IndexFunc(s.last.Tables, func(t Table) bool { return t.Name == name }), 0)
}

// count counts the keys that have changed since the last look.
func (s *Screen) count() {
	if s.seen == nil {
		s.seen = map[string]int{}
	}
	since := s.last.At.Sub(s.before.At)
	for i := range s.last.Busiest.Keys {
		if k := &s.last.Busiest.Keys[i]; s.before.At.IsZero() || k.Changed <= since {
			s.seen[k.Text]++
		}
	}
	if len(s.seen) > mostSeen { // those that were seen often stay
		maps.DeleteFunc(s.seen, func(key string, n int) bool {
			s.seen[key] = n / 2
			return n < 2
		})
	}
}

// Lines are the screen, for a terminal of so many lines, which may be too few.
func (s *Screen) Lines(lines int) []string {
	all := []string{s.title(), ""}
	if s.trouble != "" {
		all[1] = s.Warn(printable(s.trouble))
	}
	if s.last.At.IsZero() {
		return all
	}
	some := max(lines/4, 2)
	all = append(all, s.peers(some)...)
	all = append(all, "")
	all = append(all, s.tables(some)...)
	all = append(all, "")
	all = append(all, s.busiest(max(lines-len(all)-3, 1))...)
	for len(all) < lines-1 {
		all = append(all, "")
	}
	if len(all) == lines-1 {
		all = append(all, "q: quit   up, down: another table")
	}
	return all
}

func (s *Screen) title() string {
	title := "peersd top   " + s.Socket
	if up, err := strconv.Atoi(s.last.Activity["uptime"]); err == nil {
		title += fmt.Sprintf("   up %v   memory %s", time.Duration(up)*time.Second, amount(number(s.last.Activity["resident"])))
	}
	return s.Head(printable(title))
}

// since is how much a counter has grown a second since the look before, "-" where that
// can't be told.
func (s *Screen) since(before, now uint64, known bool) string {
	passed := s.last.At.Sub(s.before.At).Seconds()
	if !known || s.before.At.IsZero() || passed <= 0 || now < before {
		return "-"
	}
	return fmt.Sprintf("%.0f", float64(now-before)/passed)
}

func (s *Screen) peers(most int) []string {
	rows := [][]string{{"peer", "address", "state", "heard", "lesson", ">behind", ">in/s", ">out/s"}}
	up := 0
	for i := range s.last.Peers {
		p := &s.last.Peers[i]
		state := "away"
		if p.Established {
			state = "up"
			up++
		}
		j := slices.IndexFunc(s.before.Peers, func(o Peer) bool { return o.Name == p.Name })
		known := j >= 0 && p.Established && s.before.Peers[j].Established
		var was Peer
		if known {
			was = s.before.Peers[j]
		}
		rows = append(rows, []string{p.Name, p.Address, state, p.Heard, p.lesson(), strconv.FormatUint(p.Behind, 10),
			s.since(was.In, p.In, known), s.since(was.Out, p.Out, known)})
	}
	if len(rows) == 1 {
		return []string{"no peers yet"}
	}
	return s.section(rows, most, -1, fmt.Sprintf("%d of %d up", up, len(rows)-1))
}

// lesson is how far the lessons of a peer are: the one that it is given, and the one
// that it gives.
func (p *Peer) lesson() string {
	switch {
	case p.Left != "" && p.Of > 0:
		return fmt.Sprintf("taught %d%%, %d/s, %s left", 100*p.Teaching/p.Of, p.Rate, p.Left)
	case p.Left != "":
		return "taught"
	case !p.Established:
		return "-"
	case p.Learned:
		return "learned"
	}
	return "learning"
}

func (s *Screen) tables(most int) []string {
	rows := [][]string{{"table", "keys", ">entries", ">size", ">memory", ">updates/s", ">expired/s", ">evicted"}}
	for i := range s.last.Tables {
		t := &s.last.Tables[i]
		j := slices.IndexFunc(s.before.Tables, func(o Table) bool { return o.Name == t.Name && o.Keys == t.Keys })
		var was Table
		if j >= 0 {
			was = s.before.Tables[j]
		}
		size := "-"
		if t.Size > 0 {
			size = strconv.FormatUint(t.Size, 10)
		}
		rows = append(rows, []string{t.Name, t.Keys, strconv.FormatUint(t.Entries, 10), size, amount(t.Memory),
			s.since(was.Merged, t.Merged, j >= 0), s.since(was.Expired, t.Expired, j >= 0), strconv.FormatUint(t.Evicted+t.Lost, 10)})
	}
	if len(rows) == 1 {
		return []string{"no tables yet"}
	}
	return s.section(rows, most, s.shown(), "")
}

func (s *Screen) busiest(most int) []string {
	b := &s.last.Busiest
	if b.Table == "" {
		return nil
	}
	by := b.By
	if by == "" {
		by = "updates seen"
	}
	title := s.Head(printable("busiest keys of " + b.Table + ", by " + by))
	keys := s.ranked()
	if len(keys) == 0 {
		return []string{title, "none"}
	}
	head := []string{"key", ">changed"}
	if b.By == "" {
		head = append(head, ">seen")
	}
	for _, f := range keys[0].Fields {
		head = append(head, ">"+f)
	}
	rows := [][]string{head}
	for i := range keys[:min(len(keys), most)] {
		k := &keys[i]
		row := []string{k.Text, ago(k.Changed)}
		if b.By == "" {
			row = append(row, strconv.Itoa(s.seen[k.Text]))
		}
		row = append(row, k.Values...)
		for len(row) < len(head) { // the table has been defined anew in between
			row = append(row, "")
		}
		rows = append(rows, row[:len(head)])
	}
	return append([]string{title}, s.section(rows, most, -1, "")...)
}

// ranked are the keys in the order in which they are shown.
func (s *Screen) ranked() []Key {
	keys := slices.Clone(s.last.Busiest.Keys)
	if s.last.Busiest.By == "" {
		slices.SortStableFunc(keys, func(a, b Key) int { return cmp.Compare(s.seen[b.Text], s.seen[a.Text]) })
	}
	return keys
}

func ago(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%dms", d.Milliseconds())
	}
	return d.Round(time.Second).String()
}

// section aligns rows below their head, and shows most of them: those around the one
// that is marked, if there is one. more stands behind the head.
func (s *Screen) section(rows [][]string, most, mark int, more string) []string {
	all := align(rows)
	head, rest := s.Head(all[0]), all[1:]
	if more != "" {
		head += "   " + more
	}
	from := 0
	if len(rest) > most {
		from = min(max(mark-most/2, 0), len(rest)-most)
		head += fmt.Sprintf("   (%d of %d)", most, len(rest))
		rest = rest[from : from+most]
	}
	if mark >= from && mark-from < len(rest) {
		rest = slices.Clone(rest)
		rest[mark-from] = s.Mark(rest[mark-from])
	}
	return append([]string{head}, rest...)
}

// align makes columns of rows. The names of those that are numbers begin with ">" in
// the first row.
func align(rows [][]string) (lines []string) {
	right, widths := make([]bool, len(rows[0])), make([]int, len(rows[0]))
	for i := range rows {
		for j := range rows[i] {
			cell := &rows[i][j]
			if i == 0 {
				*cell, right[j] = strings.CutPrefix(*cell, ">")
			}
			*cell = printable(*cell)
			widths[j] = max(widths[j], utf8.RuneCountInString(*cell))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for j, cell := range row {
			space := strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell))
			if right[j] {
				cell, space = space, cell
			}
			b.WriteString(cell + space + "  ")
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

// printable is text without what a terminal would obey: names come from the network.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

// amount is an amount of memory in a few characters.
func amount(n uint64) string {
	const units = "KMGT"
	if n < 1024 {
		return strconv.FormatUint(n, 10)
	}
	f, i := float64(n)/1024, 0
	for ; f >= 1023.95 && i < len(units)-1; i++ {
		f /= 1024
	}
	return fmt.Sprintf("%.1f%c", f, units[i])
}
