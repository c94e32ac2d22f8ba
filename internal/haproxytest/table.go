package haproxytest

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Table is what `show table NAME` prints.
type Table struct {
	Name, Type string
	Size, Used int
	Entries    []Entry // in the order printed
}

// Entry is one line of it.
type Entry struct {
	ID    string        // where HAProxy has it in memory
	Key   string        // as printed: "\ ", "\=", "\\" and "\xE9" stand for bytes that would spoil the line
	Use   int           // how many hold it
	Exp   time.Duration // remaining lifetime; 0 in a table without expire
	Shard int           // 0 also where HAProxy 2.6 prints none
	Data  []Field       // in the order printed, array elements one by one
}

// Field is a value of an entry, such as gpc0=7, http_req_rate(10000)=2 or server_key=s1.
type Field struct {
	Name, Value string
}

// Get returns the value of a field, and whether it is there.
func (e Entry) Get(name string) (string, bool) {
	for _, f := range e.Data {
		if f.Name == name {
			return f.Value, true
		}
	}
	return "", false
}

// ByKey returns the entries by their key as printed.
func (t Table) ByKey() map[string]Entry {
	m := make(map[string]Entry, len(t.Entries))
	for _, e := range t.Entries {
		m[e.Key] = e
	}
	return m
}

// ParseTable reads the answer to `show table NAME`.
func ParseTable(text string) (Table, error) {
	head, body, _ := strings.Cut(text, "\n")
	var t Table
	if _, err := fmt.Sscanf(strings.ReplaceAll(head, ",", " "), "# table: %s  type: %s  size:%d  used:%d", &t.Name, &t.Type, &t.Size, &t.Used); err != nil {
		return Table{}, fmt.Errorf("not a table: %q", head)
	}
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			continue
		}
		e, err := parseEntry(line)
		if err != nil {
			return Table{}, fmt.Errorf("table %s: %w in %q", t.Name, err, line)
		}
		t.Entries = append(t.Entries, e)
	}
	return t, nil
}

// parseEntry reads "0x5565: key=a\ b use=0 exp=599 shard=0 gpc0=7". The first " use=" ends the key, whatever is in
// it, because no "=" of a key is printed bare.
func parseEntry(line string) (Entry, error) {
	var e Entry
	id, rest, ok := strings.Cut(line, ": key=")
	key, fields, ok2 := strings.Cut(rest, " use=")
	if !ok || !ok2 {
		return e, fmt.Errorf("no key")
	}
	e.ID, e.Key = id, key
	for field := range strings.FieldsSeq("use=" + fields) {
		name, value, ok := strings.Cut(field, "=")
		if !ok {
			return e, fmt.Errorf("no value of %q", field)
		}
		if err := e.set(name, value); err != nil {
			return e, err
		}
	}
	return e, nil
}

func (e *Entry) set(name, value string) (err error) {
	switch name {
	case "use":
		e.Use, err = strconv.Atoi(value)
	case "exp":
		var ms int64
		ms, err = strconv.ParseInt(value, 10, 64)
		e.Exp = time.Duration(ms) * time.Millisecond
	case "shard":
		e.Shard, err = strconv.Atoi(value)
	default:
		e.Data = append(e.Data, Field{name, value})
	}
	return err
}
