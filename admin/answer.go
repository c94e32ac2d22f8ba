package admin

import (
	"regexp"
	"strings"
)

// What the socket answers, read again.

// ParseLines reads an answer of lines "name: value", as those to `show info` and
// `show activity`.
func ParseLines(answer string) (names, values []string) {
	for line := range strings.Lines(answer) {
		if name, value, found := strings.Cut(strings.TrimRight(line, "\n"), ":"); found {
			names, values = append(names, name), append(values, strings.TrimSpace(value))
		}
	}
	return names, values
}

var columnGap = regexp.MustCompile(` {2,}`)

// ParseColumns reads an answer of a head and lines below it, as those to
// `show tables` and `show limits`. Lines that begin with "#" are not among them. In
// the name of a column there is "_" for a space.
func ParseColumns(answer string) (head []string, rows [][]string) {
	for line := range strings.Lines(answer) {
		cells := columnGap.Split(strings.TrimSpace(line), -1)
		switch {
		case strings.HasPrefix(line, "#"):
		case head == nil:
			for _, name := range cells {
				head = append(head, strings.ReplaceAll(strings.TrimPrefix(name, "# "), " ", "_"))
			}
		default:
			rows = append(rows, cells)
		}
	}
	return head, rows
}

// A Peer is one of an answer to `show peers`.
type Peer struct {
	Name   string
	Local  bool // it is the daemon itself
	Active bool
	Values map[string]string // of what is written name=value
	Tables []PeerTable
}

// A PeerTable is a table that is shared with a peer.
type PeerTable struct {
	Name   string
	Values map[string]string
}

// ParsePeers reads an answer to `show peers`.
func ParsePeers(answer string) (peers []Peer) {
	var peer *Peer
	var table *PeerTable
	for line := range strings.Lines(answer) {
		words := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "  0x"):
			peers, table = append(peers, newPeer(words)), nil
			peer = &peers[len(peers)-1]
			addValues(peer.Values, words[min(2, len(words)):])
		case peer == nil || len(words) == 0: // what is said of the section
		case strings.HasPrefix(words[0], "0x"):
			peer.Tables = append(peer.Tables, PeerTable{Values: map[string]string{}})
			table = &peer.Tables[len(peer.Tables)-1]
			addValues(table.Values, words)
		case strings.HasPrefix(words[0], "remote_table:"), strings.HasPrefix(words[0], "last_local_table:"):
		case strings.HasPrefix(words[0], "heard="): // the line that is peersd's own
			table = nil
			addValues(peer.Values, words)
		case table != nil:
			addValues(table.Values, words)
			if strings.HasPrefix(words[0], "table:") {
				table.Name = table.Values["id"]
				delete(table.Values, "id")
			}
		default:
			addValues(peer.Values, words)
		}
	}
	return peers
}

// newPeer reads "0x1: id=lb1(remote,active) ...".
func newPeer(words []string) Peer {
	p := Peer{Values: map[string]string{}}
	if len(words) > 1 {
		name, kind, _ := strings.Cut(strings.TrimPrefix(words[1], "id="), "(")
		p.Name, p.Local, p.Active = name, strings.HasPrefix(kind, "local"), strings.HasSuffix(kind, ",active)")
	}
	return p
}

// addValues adds what is written name=value. Of two of one name the first counts: the
// second addr is that of our end.
func addValues(to map[string]string, words []string) {
	for _, word := range words {
		name, value, found := strings.Cut(word, "=")
		if _, there := to[name]; found && !there {
			to[name] = value
		}
	}
}
