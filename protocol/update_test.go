package protocol_test

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/peersd/peersd/protocol"
)

func TestUpdateRoundTrip(t *testing.T) {
	for _, d := range handMadeDefinitions() {
		var w protocol.DictionaryWriter
		var r protocol.DictionaryReader
		for _, u := range handMadeUpdates(d) {
			e := event{def: d, layout: protocol.NewLayout(d), update: u}
			b := protocol.AppendUpdate([]byte("before"), e.layout, &w, &u)
			checkDecodes(t, b[len("before"):], e, &r)
		}
	}
}

// What a value that is too wide, or a key that HAProxy would cut, becomes.
func TestParseUpdateAsHAProxyStores(t *testing.T) {
	const explicit, incremental = protocol.UpdateMessage, protocol.IncrementalUpdateMessage
	for _, tt := range []struct {
		name       string
		definition []byte
		message    protocol.MessageType
		payload    []byte
		want       string
	}{
		{"negative server id", fields(1, 1, "t", 4, 4, 1<<0), incremental, fields("\x0a\x00\x00\x01\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"),
			"8 t 10.0.0.1 server_id=-1"},
		{"server id of 32 bits", fields(1, 1, "t", 4, 4, 1<<0), incremental, fields("\x0a\x00\x00\x01", 1<<32-2),
			"8 t 10.0.0.1 server_id=-2"},
		{"counter of 33 bits", fields(1, 1, "t", 4, 4, 1<<2), incremental, fields("\x0a\x00\x00\x01", 1<<32+5), "8 t 10.0.0.1 gpc0=5"},
		{"age of 33 bits", fields(1, 1, "t", 4, 4, 1<<3), incremental, fields("\x0a\x00\x00\x01", 1<<32+5, 1, 2),
			"8 t 10.0.0.1 gpc0_rate=[5 1 2]"},
		{"bytes of 33 bits", fields(1, 1, "t", 4, 4, 1<<13), incremental, fields("\x0a\x00\x00\x01", 1<<32+5),
			"8 t 10.0.0.1 bytes_in_cnt=4294967301"},
		{"string", fields(1, 1, "t", 6, 4, 0), incremental, fields(3, "abc"), `8 t "abc"`},
		{"string that is too long", fields(1, 1, "t", 6, 4, 1<<2), incremental, fields(5, "abcde", 1), `8 t "abc" gpc0=1`},
		{"string with a NUL", fields(1, 1, "t", 6, 9, 1<<2), incremental, fields(5, "ab\x00de", 1), `8 t "ab" gpc0=1`},
		{"NUL behind the end", fields(1, 1, "t", 6, 3, 1<<2), incremental, fields(5, "abc\x00e", 1), `8 t "ab" gpc0=1`},
		{"empty string", fields(1, 1, "t", 6, 9, 1<<2), incremental, fields(0, 1), `8 t "" gpc0=1`},
		{"no room for a string", fields(1, 1, "t", 6, 1, 1<<2), incremental, fields(2, "ab", 1), `8 t "" gpc0=1`},
		{"integer", fields(1, 1, "t", 2, 4, 0), explicit, fields("\xff\xff\xff\xff\x00\x00\x00\x01"), "4294967295 t 0x00000001"},
		{"bytes behind the values", fields(1, 1, "t", 4, 4, 1<<2), incremental, fields("\x0a\x00\x00\x01", 1, "more"), "8 t 10.0.0.1 gpc0=1"},
		{"unknown values behind", fields(1, 1, "t", 4, 4, 1<<2|1<<30), incremental, fields("\x0a\x00\x00\x01", 1, 2), "8 t 10.0.0.1 gpc0=1"},
		{"unknown values missing", fields(1, 1, "t", 4, 4, 1<<2|1<<30), incremental, fields("\x0a\x00\x00\x01", 1), "8 t 10.0.0.1 gpc0=1"},
		{"timed", fields(1, 1, "t", 4, 4, 0), protocol.TimedUpdateMessage, fields("\x00\x00\x00\x02\x00\x00\x01\x00\x0a\x00\x00\x01"),
			"2 t 10.0.0.1 for 256ms"},
		{"incremental timed", fields(1, 1, "t", 4, 4, 0), protocol.IncrementalTimedUpdateMessage, fields("\x00\x00\x01\x00\x0a\x00\x00\x01"),
			"8 t 10.0.0.1 for 256ms"},
	} {
		d, err := protocol.ParseDefinition(tt.definition)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		e := event{def: d, layout: protocol.NewLayout(d)}
		e.update.Values = make([]uint64, e.layout.Words)
		var dict protocol.DictionaryReader
		if err := protocol.ParseUpdate(tt.message, tt.payload, e.layout, &dict, 7, &e.update); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if got := describe(e); got != tt.want {
			t.Errorf("%s: is read as %q, not %q", tt.name, got, tt.want)
		}
	}
}

// An Update is used again and again; nothing of the last message may stay.
func TestParseUpdateLeavesNothingBehind(t *testing.T) {
	e := keyed("t", 1<<protocol.GPC0|1<<protocol.ServerKey)
	var dict protocol.DictionaryReader
	for _, tt := range []struct {
		message protocol.MessageType
		payload []byte
		want    string
	}{
		{protocol.TimedUpdateMessage, fields("\x00\x00\x00\x02\x00\x00\x01\x00\x0a\x00\x00\x01", 5, 4, 1, 2, "s1"),
			`2 t 10.0.0.1 for 256ms gpc0=5 server_key="s1"`},
		{protocol.IncrementalUpdateMessage, fields("\x0a\x00\x00\x02", 0, 0), `1 t 10.0.0.2 gpc0=0 server_key=""`},
	} {
		if err := protocol.ParseUpdate(tt.message, tt.payload, e.layout, &dict, 0, &e.update); err != nil {
			t.Fatal(err)
		}
		if got := describe(e); got != tt.want || !e.update.Timed && e.update.Remaining != 0 {
			t.Errorf("%q with %d ms, not %q", got, e.update.Remaining, tt.want)
		}
	}
}

// keyed is an event of a table with IPv4 keys that stores the given types,
// arrays of 3 elements.
func keyed(name string, types uint64) event {
	d := &protocol.Definition{ID: 1, Name: name, KeyType: protocol.KeyIPv4, KeyLen: 4, Types: types}
	for t := range d.DataTypes() {
		if t.IsArray() {
			d.Params[t].Elements = 3
		}
	}
	l := protocol.NewLayout(d)
	return event{def: d, layout: l, update: protocol.Update{Key: []byte{10, 0, 0, 1}, Values: make([]uint64, l.Words)}}
}

// The biggest update that any definition allows still fits HAProxy's buffer.
func TestBiggestMessagesFit(t *testing.T) {
	d := &protocol.Definition{ID: math.MaxUint64, Name: strings.Repeat("n", 2048), KeyType: protocol.KeyBinary, KeyLen: 8192,
		Types: 1<<protocol.NumDataTypes - 1, Expire: math.MaxUint32}
	for t := range d.DataTypes() {
		d.Params[t] = protocol.Params{Elements: protocol.MaxElements, Period: math.MaxUint32}
	}
	updates := handMadeUpdates(d)
	u := updates[len(updates)-1]
	u.ServerKey = strings.Repeat("s", 2048)
	b := protocol.AppendUpdate(nil, protocol.NewLayout(d), new(protocol.DictionaryWriter), &u)
	if len(b) > protocol.MaxSend {
		t.Errorf("update of %d bytes", len(b))
	}
	if b := protocol.AppendDefinition(nil, d); len(b) > protocol.MaxSend {
		t.Errorf("definition of %d bytes", len(b))
	}
}

func TestBefore(t *testing.T) {
	for _, tt := range []struct {
		a, b uint32
		want bool
	}{
		{1, 2, true}, {2, 1, false}, {1, 1, false},
		{math.MaxUint32, 0, true}, {0, math.MaxUint32, false},
		{math.MaxUint32 - 5, 5, true}, {5, math.MaxUint32 - 5, false},
		{0, math.MaxInt32, true}, {math.MaxInt32, 0, false},
	} {
		if got := protocol.Before(tt.a, tt.b); got != tt.want {
			t.Errorf("%d before %d: %v", tt.a, tt.b, got)
		}
	}
}

func TestLayout(t *testing.T) {
	e := keyed("t", 1<<protocol.GPC0|1<<protocol.ConnRate|1<<protocol.ServerKey|1<<protocol.GPTArray|1<<protocol.GPCRateArray|1<<40)
	want := []protocol.Column{
		{Type: protocol.GPC0, Elements: 1, Offset: 0},
		{Type: protocol.ConnRate, Elements: 1, Offset: 1},
		{Type: protocol.ServerKey, Elements: 1, Offset: 4},
		{Type: protocol.GPTArray, Elements: 3, Offset: 5},
		{Type: protocol.GPCRateArray, Elements: 3, Offset: 8},
	}
	same := func(a, b protocol.Column) bool {
		return a.Type == b.Type && a.Elements == b.Elements && a.Offset == b.Offset
	}
	if !slices.EqualFunc(e.layout.Columns, want, same) || e.layout.Words != 17 {
		t.Errorf("%+v, %d words", e.layout.Columns, e.layout.Words)
	}
}

// shapes are the updates whose speed and allocations are watched.
func shapes() map[string]event {
	all := map[string]event{
		"scalars":    keyed("t", 1<<protocol.GPC0|1<<protocol.ConnCount|1<<protocol.BytesInCount),
		"rates":      keyed("t", 1<<protocol.GPC0|1<<protocol.HTTPReqRate|1<<protocol.ConnCount),
		"arrays":     keyed("t", 1<<protocol.GPTArray|1<<protocol.GPCArray|1<<protocol.GPCRateArray),
		"dictionary": keyed("t", 1<<protocol.ServerID|1<<protocol.ServerKey),
		"string key": keyed("t", 1<<protocol.GPC0|1<<protocol.HTTPReqRate|1<<protocol.ConnCount),
		"everything": keyed("t", 1<<protocol.NumDataTypes-1),
	}
	for name, e := range all {
		for i := range e.update.Values {
			e.update.Values[i] = uint64(i) * 300
		}
		e.update.Timed, e.update.Remaining, e.update.ServerKey = true, 60000, "10.0.0.1:8080"
		if name == "string key" {
			e.layout.KeyType, e.layout.KeyLen = protocol.KeyString, 33
			e.update.Key = bytes.Repeat([]byte("k"), 32)
		}
		all[name] = e
	}
	return all
}

// known encodes e once, so that the peer knows its dictionary string, and
// then returns it as it is encoded from then on.
func known(tb testing.TB, e event, w *protocol.DictionaryWriter, r *protocol.DictionaryReader) protocol.Frame {
	tb.Helper()
	for range 2 {
		f, _, err := protocol.ParseFrame(protocol.AppendUpdate(nil, e.layout, w, &e.update))
		if err == nil {
			err = protocol.ParseUpdate(f.Type, f.Payload, e.layout, r, 0, &e.update)
		}
		if err != nil {
			tb.Fatal(err)
		}
		e.frame = f
	}
	return e.frame
}

func TestUpdatesAllocateNothing(t *testing.T) {
	for name, e := range shapes() {
		var w protocol.DictionaryWriter
		var r protocol.DictionaryReader
		f := known(t, e, &w, &r)
		b := make([]byte, 0, 4096)
		if n := testing.AllocsPerRun(100, func() { protocol.AppendUpdate(b, e.layout, &w, &e.update) }); n != 0 {
			t.Errorf("%s: AppendUpdate allocates %v times", name, n)
		}
		u := e.update
		n := testing.AllocsPerRun(100, func() {
			if err := protocol.ParseUpdate(f.Type, f.Payload, e.layout, &r, 0, &u); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: ParseUpdate allocates %v times", name, n)
		}
	}
}

func TestReaderAllocatesNothing(t *testing.T) {
	frame := protocol.AppendFrame(nil, protocol.UpdateMessage, make([]byte, 300))
	r := protocol.NewReader(bytes.NewReader(bytes.Repeat(frame, 1000)))
	n := testing.AllocsPerRun(900, func() {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("Next allocates %v times", n)
	}
}

func BenchmarkParseUpdate(b *testing.B) {
	for name, e := range shapes() {
		b.Run(name, func(b *testing.B) {
			var w protocol.DictionaryWriter
			var r protocol.DictionaryReader
			f, u := known(b, e, &w, &r), e.update
			b.SetBytes(int64(len(f.Payload)))
			b.ReportAllocs()
			for b.Loop() {
				if err := protocol.ParseUpdate(f.Type, f.Payload, e.layout, &r, 0, &u); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendUpdate(b *testing.B) {
	for name, e := range shapes() {
		b.Run(name, func(b *testing.B) {
			var w protocol.DictionaryWriter
			f := known(b, e, &w, new(protocol.DictionaryReader))
			buf := make([]byte, 0, 4096)
			b.SetBytes(int64(len(f.Payload)))
			b.ReportAllocs()
			for b.Loop() {
				protocol.AppendUpdate(buf, e.layout, &w, &e.update)
			}
		})
	}
}
