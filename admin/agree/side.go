package agree

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/admin/entries"
)

// A side is one runtime socket.
type side struct {
	socket string
	remedy string // where it says nothing
}

// A failure is that a side can't be asked.
type failure struct {
	error
	*side
}

// askTimeout is how long a socket may take for a part of its answer.
const askTimeout = 10 * time.Second

// A head is what is told of a table before its entries.
type head struct {
	keyType    string
	size, used int
}

// An entry is a line of `show table`.
type entry struct {
	key    string // as it is printed
	inUse  bool
	expire string            // in ms
	fields map[string]string // what is to be compared
	shown  []string          // their names, in their order
}

// ask sends a line of commands, and gives take each line of the answers until it wants
// no more.
func (s *side) ask(commands string, take func(line string) (more bool)) error {
	network := "unix"
	if admin.IsTCP(s.socket) {
		network = "tcp"
	}
	c, err := net.DialTimeout(network, s.socket, askTimeout)
	if err != nil {
		return failure{fmt.Errorf("nobody answers at %s: %w", s.socket, errors.Unwrap(err)), s}
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(askTimeout))
	if _, err := fmt.Fprintln(c, commands); err != nil {
		return failure{fmt.Errorf("%s takes no commands: %w", s.socket, errors.Unwrap(err)), s}
	}
	lines := bufio.NewScanner(c)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		c.SetDeadline(time.Now().Add(askTimeout))
		if strings.HasPrefix(lines.Text(), "# contents not dumped") {
			return failure{fmt.Errorf("the socket %s shows no entries: its level has to be operator", s.socket), s}
		}
		if !take(lines.Text()) {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return failure{fmt.Errorf("the answer of %s is cut short: %w", s.socket, err), s}
	}
	return nil
}

// tables are the heads of all tables, by their names. Of a name that peers define in
// several ways peersd has several tables: they are compared with nothing.
func (s *side) tables() (map[string]head, error) {
	all, twice := map[string]head{}, map[string]bool{}
	err := s.ask("show table", func(line string) bool {
		if name, keyType, size, used, ok := entries.ParseHead([]byte(line)); ok {
			_, known := all[name]
			twice[name] = twice[name] || known
			all[name] = head{keyType, size, used}
		}
		return true
	})
	for name, several := range twice {
		if several {
			delete(all, name)
		}
	}
	return all, err
}

// some are up to most entries of a table, by their keys, and whether these are all.
func (s *side) some(table string, most int) (all map[string]entry, whole bool, err error) {
	all, whole = map[string]entry{}, true
	err = s.ask("show table "+table, func(line string) bool {
		if e, ok := parseEntry(line); ok {
			if whole = len(all) < most; whole {
				all[e.key] = e
			}
		}
		return whole
	})
	return all, whole, err
}

// How many entries are asked for with one line, which HAProxy takes 16384 bytes of.
const (
	keysAtOnce  = 50
	bytesAtOnce = 8000
)

// lookUp adds the entries of keys to all.
func (s *side) lookUp(table string, keys []string, all map[string]entry) error {
	for len(keys) > 0 {
		var commands []byte
		n := 0
		for ; n < len(keys) && n < keysAtOnce && (n == 0 || len(commands)+len(keys[n]) < bytesAtOnce); n++ {
			key, err := entries.Unescape(keys[n])
			if err != nil {
				return failure{fmt.Errorf("%s shows a key that is none: %s", s.socket, keys[n]), s}
			}
			commands = append(commands, "show table "+table+" "...)
			commands = append(entries.AppendKey(commands, key), ';')
		}
		keys = keys[n:]
		err := s.ask(strings.TrimSuffix(string(commands), ";"), func(line string) bool {
			if e, ok := parseEntry(line); ok {
				all[e.key] = e
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// parseEntry reads a line such as "0x5565: key=a\ b use=0 exp=599 shard=0 gpc0=7".
func parseEntry(line string) (e entry, ok bool) {
	id, rest, found := strings.Cut(line, ": key=")
	if !found || !strings.HasPrefix(id, "0x") {
		return e, false
	}
	e.fields = map[string]string{}
	e.key, rest = entries.CutWord(rest)
	for word := ""; rest != ""; {
		word, rest = entries.CutWord(rest)
		switch name, value, _ := strings.Cut(word, "="); {
		case name == "use":
			e.inUse = value != "0"
		case name == "exp":
			e.expire = value
		case compares(name):
			e.fields[name] = value
			e.shown = append(e.shown, name)
		}
	}
	return e, true
}

// compares reports whether values of a field are to be the same everywhere. Rates
// fade between two looks, the number of connections is each HAProxy's own, and so are
// the ids of its servers.
func compares(name string) bool {
	switch name {
	case "shard", "conn_cur", "server_id":
		return false
	}
	return !strings.HasSuffix(name, ")")
}
