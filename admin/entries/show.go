package entries

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

var errLine = errors.New("the socket has sent a line that is none of a table")

// ParseHead reads the line that a table begins with in an answer to `show table`:
// its name, the type of its keys, its size and how many entries it has.
func ParseHead(line []byte) (name, keyType string, size, used int, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte("# table: "))
	var words [4][]byte
	for i, mark := range []string{", type: ", ", size:", ", used:"} {
		var found bool
		words[i], rest, found = bytes.Cut(rest, []byte(mark))
		ok = ok && found
	}
	size, err := strconv.Atoi(string(words[2]))
	used, err2 := strconv.Atoi(string(bytes.TrimSpace(rest)))
	return string(words[0]), string(words[1]), size, used, ok && err == nil && err2 == nil
}

// Parse reads a line of an answer to `show table` into e.
func (t *Table) Parse(line []byte, e *Entry) error {
	e.Key, e.Expire, e.Use, e.Fields = "", 0, "", e.Fields[:0]
	_, rest, found := bytes.Cut(bytes.TrimRight(line, "\n"), []byte(": key="))
	if !found || !bytes.HasPrefix(line, []byte("0x")) {
		return errLine
	}
	word, rest := CutWord(rest)
	key, err := Unescape(string(word))
	if err != nil {
		return errLine
	}
	e.Key = t.shownKey(key)
	for len(rest) > 0 {
		word, rest = CutWord(rest)
		name, value, found := bytes.Cut(word, []byte("="))
		if !found {
			return errLine
		}
		switch string(name) {
		case "use":
			e.Use = string(value)
		case "exp":
			e.Expire, err = strconv.ParseInt(string(value), 10, 64)
		case "shard":
		default:
			var f Field
			f, err = t.shownField(name, value)
			e.Fields = append(e.Fields, f)
		}
		if err != nil {
			return errLine
		}
	}
	return nil
}

// CutWord cuts an entry's line, as `show table` has it, at the first space without a
// backslash in front.
func CutWord[Text string | []byte](s Text) (word, rest Text) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ' ':
			return s[:i], s[i+1:]
		}
	}
	return s, s[len(s):]
}

// shownKey is the key in the way of [Table.Key], where it is one of these.
func (t *Table) shownKey(key string) string {
	if t.KeyType.String() != "ipv6" {
		return key
	}
	if address, err := t.address(key); err == nil {
		return address
	}
	return key
}

// shownField is a field of a name that `show table` has.
func (t *Table) shownField(name, value []byte) (f Field, err error) {
	known, met := t.known[string(name)]
	if !met {
		if _, _, err := t.Field(string(name)); err != nil {
			// HAProxys define the table in two ways, or one has defined it anew.
			plain, _, _ := strings.Cut(string(name), "(")
			return Field{Name: plain, Shown: string(name), Value: string(value)}, nil
		}
		known = t.known[string(name)]
	}
	f = Field{Name: known.name, Shown: known.written, Value: string(value)}
	if known.name == serverKey {
		f.Value, err = Unescape(f.Value)
	}
	return f, err
}
