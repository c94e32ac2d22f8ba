package protocol_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/peersd/peersd/protocol"
)

// naiveDictionary is the twin of a DictionaryWriter: a list of (string, id),
// the most recently used one first.
type naiveDictionary []naiveEntry

type naiveEntry struct {
	s  string
	id int
}

// encode returns the dictionary value for s.
func (n *naiveDictionary) encode(s string) []byte {
	if s == "" {
		return fields(0)
	}
	e, known := naiveEntry{s, len(*n) + 1}, false
	i := slices.IndexFunc(*n, func(e naiveEntry) bool { return e.s == s })
	if i < 0 && len(*n) == protocol.DictionarySize {
		i = len(*n) - 1
		e.id = (*n)[i].id
	} else if i >= 0 {
		e, known = (*n)[i], true
	}
	if i >= 0 {
		*n = slices.Delete(*n, i, i+1)
	}
	*n = slices.Insert(*n, 0, e)
	if known {
		return fields(1, e.id)
	}
	text := fields(len(s), s)
	return fields(len(text)+1, e.id, string(text))
}

func TestDictionaryWriterAgainstNaiveTwin(t *testing.T) {
	for _, distinct := range []int{1, 128, 129, 500} {
		t.Run(fmt.Sprint(distinct), func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, uint64(distinct)))
			e := keyed("t", 1<<protocol.ServerKey)
			var w protocol.DictionaryWriter
			var r protocol.DictionaryReader
			var twin naiveDictionary
			for step := range 1500 {
				// Some strings far more often than others, as with servers.
				i := min(random.IntN(distinct), random.IntN(distinct))
				e.update.ServerKey = strings.Repeat("s", i%300) + fmt.Sprint(i)
				if random.IntN(20) == 0 {
					e.update.ServerKey = ""
				}
				b := protocol.AppendUpdate(nil, e.layout, &w, &e.update)
				if want := twin.encode(e.update.ServerKey); !bytes.HasSuffix(b, slices.Concat(e.update.Key, want)) {
					t.Fatalf("step %d: %q is encoded as %x, not with %x", step, e.update.ServerKey, b, want)
				}
				checkDecodes(t, b, e, &r)
			}
		})
	}
}

func TestDictionaryReader(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values [][]byte
		want   string // of the last value
		bad    bool   // the last value is an error
	}{
		{"no value", [][]byte{fields(0)}, "", false},
		{"new", [][]byte{fields(4, 1, 2, "s1")}, "s1", false},
		{"by its id", [][]byte{fields(4, 1, 2, "s1"), fields(1, 1)}, "s1", false},
		{"last id", [][]byte{fields(4, 128, 2, "s1"), fields(1, 128)}, "s1", false},
		{"redefined", [][]byte{fields(4, 1, 2, "s1"), fields(4, 1, 2, "s2"), fields(1, 1)}, "s2", false},
		{"redefined as itself", [][]byte{fields(4, 1, 2, "s1"), fields(4, 1, 2, "s1")}, "s1", false},
		{"empty string", [][]byte{fields(2, 1, 0), fields(1, 1)}, "", false},
		{"bytes behind the string", [][]byte{fields(6, 1, 2, "s1xx")}, "s1", false},
		{"longest string", [][]byte{fields(2051, 1, 2048, strings.Repeat("s", 2048))}, strings.Repeat("s", 2048), false},

		{"id 0", [][]byte{fields(1, 0)}, "", true},
		{"id 0, new", [][]byte{fields(4, 0, 2, "s1")}, "", true},
		{"id 129", [][]byte{fields(4, 129, 2, "s1")}, "", true},
		{"id 2^62", [][]byte{fields(13, 1<<62, 2, "s1")}, "", true},
		{"id never defined", [][]byte{fields(4, 1, 2, "s1"), fields(1, 2)}, "", true},
		{"beyond the message", [][]byte{fields(5, 1, 2, "s1")}, "", true},
		{"2^62 bytes", [][]byte{fields(1<<62, 1, 2, "s1")}, "", true},
		{"string beyond the value", [][]byte{fields(4, 1, 3, "s1x")}, "", true},
		{"string of 2^62 bytes", [][]byte{fields(12, 1, 1<<62, "s1s1s1s1")}, "", true},
		{"id cut short", [][]byte{{1, 0xff}}, "", true},
		{"length cut short", [][]byte{{2, 1, 0xff}}, "", true},
		{"string of 2049 bytes", [][]byte{fields(2052, 1, 2049, strings.Repeat("s", 2049))}, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := keyed("t", 1<<protocol.ServerKey)
			var dict protocol.DictionaryReader
			var err error
			for i, value := range tt.values {
				payload := slices.Concat([]byte{10, 0, 0, 1}, value)
				err = protocol.ParseUpdate(protocol.IncrementalUpdateMessage, payload, e.layout, &dict, 0, &e.update)
				if i < len(tt.values)-1 && err != nil {
					t.Fatal(err)
				}
			}
			if tt.bad {
				checkError(t, err, protocol.ProtocolError)
			} else if err != nil || e.update.ServerKey != tt.want {
				t.Errorf("read as %q, not %q: %v", e.update.ServerKey, tt.want, err)
			}
		})
	}
}

// An id that was refused is not defined by it.
func TestDictionaryReaderKeepsNothingOfARefusedValue(t *testing.T) {
	e := keyed("t", 1<<protocol.ServerKey)
	var dict protocol.DictionaryReader
	for _, value := range [][]byte{fields(4, 1, 3, "s1x"), fields(1, 1)} {
		payload := slices.Concat([]byte{10, 0, 0, 1}, value)
		err := protocol.ParseUpdate(protocol.IncrementalUpdateMessage, payload, e.layout, &dict, 0, &e.update)
		checkError(t, err, protocol.ProtocolError)
	}
}
