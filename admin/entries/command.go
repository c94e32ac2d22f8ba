package entries

import (
	"strconv"
	"strings"
)

// AppendSet appends the command that sets e, without its lifetime, which only peersd
// knows. A server's key can't be set: it is left out.
func (t *Table) AppendSet(b []byte, e *Entry) []byte {
	b = append(append(b, "set table "...), t.Name...)
	b = AppendKey(append(b, ' '), e.Key)
	for i := range e.Fields {
		if f := &e.Fields[i]; f.Name != "server_key" {
			b = append(append(b, " data."...), f.Name...)
			b = append(append(b, ' '), f.Value...)
		}
	}
	return b
}

// AppendTimed is AppendSet with the lifetime, if e has one.
func (t *Table) AppendTimed(b []byte, e *Entry) []byte {
	b = t.AppendSet(b, e)
	if e.Expire > 0 {
		b = strconv.AppendInt(append(b, " expire "...), e.Expire, 10)
	}
	return b
}

// AppendKey appends the words that name an entry.
func AppendKey(b []byte, key string) []byte {
	b = append(b, "key "...)
	for i := range len(key) {
		if strings.IndexByte(" \t\n;\\", key[i]) >= 0 || i == 0 && key[i] == '<' {
			b = append(b, '\\')
		}
		b = append(b, key[i])
	}
	if strings.HasSuffix(key, "\r") {
		b = append(b, ' ') // at the end of a line it would not be part of it
	}
	return b
}
