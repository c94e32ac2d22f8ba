package screen

import (
	"bytes"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/admin/entries"
)

// A Look is what the socket says at one moment.
type Look struct {
	At       time.Time
	Activity map[string]string // of `show activity`
	Peers    []Peer
	Tables   []Table
	Busiest  Busiest
}

// A Peer is one of `show peers`.
type Peer struct {
	Name, Address string
	Established   bool
	Learned       bool   // its lesson to peersd is over
	Version       string // of the protocol
	Heard         string // how long ago
	In, Out       uint64 // updates
	Behind        uint64 // changes made on peersd that it has not acked
	// Of its own lesson, while it is given: updates sent, of so many, a second, and
	// what is left.
	Teaching, Of, Rate uint64
	Left               string
}

// A Table is one of `show tables`.
type Table struct {
	Name, Keys                     string
	Entries, Size, Memory          uint64 // Size is 0 where there is no limit
	Merged, Expired, Evicted, Lost uint64 // Lost are refused ones
}

// Busiest are keys of a table, from `show busiest`.
type Busiest struct {
	Table string
	By    string // a rate, "" where the table has none: then the newest come first
	Keys  []Key
}

// A Key is one entry.
type Key struct {
	Text    string // as `show table` writes it
	Fields  []string
	Values  []string      // of fields
	Changed time.Duration // ago
}

// Take looks at the daemon: at up to busiest keys of a table, of the first one where
// there is none of that name.
func Take(socket, table string, busiest int) (l Look, err error) {
	ask := func(command string) string {
		var b bytes.Buffer
		if err == nil {
			err = admin.Do(socket, command, &b)
		}
		return b.String()
	}
	l.Activity = map[string]string{}
	names, values := admin.ParseLines(ask("show activity"))
	for i, name := range names {
		l.Activity[name] = values[i]
	}
	l.Peers = parsePeers(ask("show peers"))
	l.Tables = parseTables(ask("show tables"))
	l.At = time.Now()
	if l.Busiest.Table = l.choose(table); l.Busiest.Table != "" && err == nil {
		answer := ask("show busiest " + l.Busiest.Table + " " + strconv.Itoa(busiest))
		if errors.As(err, new(admin.RefusedError)) {
			err = nil // a table that has gone meanwhile, or a socket that shows no entries
		}
		l.Busiest.parse(answer)
	}
	return l, err
}

// choose returns the table of that name, or the first one where there is none. One
// whose name is more than a word of a command has no keys here.
func (l *Look) choose(table string) string {
	first := ""
	for i := range l.Tables {
		name := l.Tables[i].Name
		switch {
		case strings.ContainsAny(name, " ;\\<\t\r\n\x00"):
		case name == table:
			return table
		case first == "":
			first = name
		}
	}
	return first
}

var (
	peerHead  = regexp.MustCompile(`^  0x[0-9a-f]+: id=(.+)\(remote,(active|inactive)\) addr=(\S+) .*learn_state=(\S+) `)
	localHead = regexp.MustCompile(`^  0x[0-9a-f]+: id=.+\(local,`)
)

// parsePeers reads `show peers`.
func parsePeers(text string) (all []Peer) {
	var p *Peer // nil where a line is of none
	defined := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := peerHead.FindStringSubmatch(line); m != nil {
			all = append(all, Peer{Name: m[1], Established: m[2] == "active", Address: m[3], Learned: m[4] == "FINISHED"})
			p = &all[len(all)-1]
			continue
		}
		if localHead.MatchString(line) {
			p = nil
		}
		words := fieldsOf(line)
		switch {
		case p == nil:
		case words["remote_data"] != "":
			defined = words["remote_id"] != "0"
		case words["last_acked"] != "" && defined:
			p.Behind += uint64(uint32(number(words["update"])) - uint32(number(words["last_acked"])))
		case words["heard"] != "":
			p.Heard, p.Version, p.Left = words["heard"], words["version"], words["left"]
			p.In, p.Out = number(words["updates_in"]), number(words["updates_out"])
			p.Teaching, p.Of, p.Rate = number(words["teaching"]), number(words["of"]), number(words["rate"])
		}
	}
	return all
}

// fieldsOf are the words "name=value" of a line.
func fieldsOf(line string) map[string]string {
	words := map[string]string{}
	for word := range strings.FieldsSeq(line) {
		if name, value, found := strings.Cut(word, "="); found {
			words[name] = value
		}
	}
	return words
}

// number is 0 where text is none.
func number(text string) uint64 {
	n, _ := strconv.ParseUint(text, 10, 64)
	return n
}

// parseTables reads `show tables`. Of names that peers define in several ways the
// tables are told apart by their keys.
func parseTables(text string) (all []Table) {
	head, rows := admin.ParseColumns(text)
	for _, row := range rows {
		cells := map[string]string{}
		for i := range min(len(row), len(head)) {
			cells[head[i]] = row[i]
		}
		t := Table{Entries: number(cells["entries"]), Size: number(cells["size"]), Memory: number(cells["memory"]),
			Merged: number(cells["merged"]), Expired: number(cells["expired"]), Evicted: number(cells["evicted"]), Lost: number(cells["refused"])}
		t.Name = cells["table"]
		if i := strings.LastIndex(t.Name, ", "); i >= 0 {
			t.Name, t.Keys = t.Name[:i], t.Name[i+2:]
		}
		all = append(all, t)
	}
	return all
}

// parse reads `show busiest`.
func (b *Busiest) parse(text string) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if by, found := strings.CutPrefix(line, "# busiest by: "); found {
			if b.By = by; by == "last change" {
				b.By = ""
			}
			continue
		}
		if k, ok := parseKey(line); ok {
			b.Keys = append(b.Keys, k)
		}
	}
}

func parseKey(line string) (k Key, ok bool) {
	id, rest, found := strings.Cut(line, ": key=")
	if !found || !strings.HasPrefix(id, "0x") {
		return k, false
	}
	k.Text, rest = entries.CutWord(rest)
	for word := ""; rest != ""; {
		word, rest = entries.CutWord(rest)
		switch name, value, _ := strings.Cut(word, "="); name {
		case "use", "shard":
		case "changed":
			k.Changed = time.Duration(number(value)) * time.Millisecond
		default:
			k.Fields, k.Values = append(k.Fields, name), append(k.Values, value)
		}
	}
	return k, true
}
