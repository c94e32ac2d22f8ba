package protocol_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/peersd/peersd/protocol"
)

// A definition is written as the list of its fields: numbers are varints,
// strings their bytes.
func fields(list ...any) []byte {
	var b []byte
	for _, f := range list {
		switch f := f.(type) {
		case int:
			b = protocol.AppendVarint(b, uint64(f))
		case string:
			b = append(b, f...)
		}
	}
	return b
}

func TestParseDefinition(t *testing.T) {
	for _, tt := range []struct {
		name    string
		payload []byte
		want    string
	}{
		{"nothing stored", fields(1, 2, "t1", 4, 4, 0, 0), "t1 type ip len 4 expire 0 store"},
		{"scalar", fields(1, 2, "t1", 2, 4, 1<<2, 10000), "t1 type integer len 4 expire 10000 store gpc0"},
		{"rate", fields(1, 2, "t1", 5, 16, 1<<10, 1, 10, 10000), "t1 type ipv6 len 16 expire 1 store http_req_rate(10000)"},
		{"arrays", fields(1, 3, "/t1", 6, 33, 7<<22, 1, 22, 100, 23, 1, 24, 2, 500),
			"/t1 type string len 33 expire 1 store gpt(100),gpc(1),gpc_rate(2,500)"},
		{"longest expire and period", fields(1, 1, "b", 7, 8192, 1<<3, 1<<32-1, 3, 1<<32-1),
			"b type binary len 8192 expire 4294967295 store gpc0_rate(4294967295)"},
		{"without expire", fields(1, 2, "t1", 4, 4, 1<<2|1<<10), "t1 type ip len 4 expire 0 store gpc0,http_req_rate(0)"},
		{"unknown data types", fields(1, 2, "t1", 4, 4, 1<<2|1<<27|1<<62, 1), "t1 type ip len 4 expire 1 store gpc0,unknown(0x4000000008000000)"},
		{"unknown data types alone", fields(1, 2, "t1", 4, 4, 1<<27, 1, 27, 5), "t1 type ip len 4 expire 1 store unknown(0x8000000)"},
		{"parameters of unknown ones behind", fields(1, 2, "t1", 4, 4, 1<<10|1<<27, 1, 10, 500, 27, 9, 9),
			"t1 type ip len 4 expire 1 store http_req_rate(500),unknown(0x8000000)"},
		{"string of room for its NUL", fields(1, 2, "t1", 6, 1, 0, 0), "t1 type string len 1 expire 0 store"},
		{"longest name", fields(1, 2048, strings.Repeat("n", 2048), 4, 4, 0, 0),
			strings.Repeat("n", 2048) + " type ip len 4 expire 0 store"},
	} {
		d, err := protocol.ParseDefinition(tt.payload)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		} else if d.ID != 1 || d.String() != tt.want {
			t.Errorf("%s: %d is read as %q, not %q", tt.name, d.ID, d, tt.want)
		}
	}
}

// What HAProxy would pass over: each is refused in words that name the table.
func TestImpossibleDefinitions(t *testing.T) {
	for name, payload := range map[string][]byte{
		"key type 0":                fields(9, 2, "t1", 0, 4, 0, 0),
		"key type 1":                fields(9, 2, "t1", 1, 4, 0, 0),
		"key type 3":                fields(9, 2, "t1", 3, 4, 0, 0),
		"key type 8":                fields(9, 2, "t1", 8, 4, 0, 0),
		"key type 260":              fields(9, 2, "t1", 260, 4, 0, 0),
		"integer of 8 bytes":        fields(9, 2, "t1", 2, 8, 0, 0),
		"IPv4 of 8 bytes":           fields(9, 2, "t1", 4, 8, 0, 0),
		"IPv6 of 4 bytes":           fields(9, 2, "t1", 5, 4, 0, 0),
		"string of 0 bytes":         fields(9, 2, "t1", 6, 0, 0, 0),
		"binary of 0 bytes":         fields(9, 2, "t1", 7, 0, 0, 0),
		"binary of 4 GB":            fields(9, 2, "t1", 7, 1<<32, 0, 0),
		"binary of 2^62 bytes":      fields(9, 2, "t1", 7, 1<<62, 0, 0),
		"expire of 2^32 ms":         fields(9, 2, "t1", 4, 4, 0, 1<<32),
		"no parameters of a rate":   fields(9, 2, "t1", 4, 4, 1<<10, 1),
		"none of the second rate":   fields(9, 2, "t1", 4, 4, 1<<10|1<<12, 1, 10, 500),
		"parameters of another":     fields(9, 2, "t1", 4, 4, 1<<10, 1, 12, 500),
		"period of 2^32 ms":         fields(9, 2, "t1", 4, 4, 1<<10, 1, 10, 1<<32),
		"array without expire":      fields(9, 2, "t1", 4, 4, 1<<22),
		"no parameters of an array": fields(9, 2, "t1", 4, 4, 1<<22, 1),
		"array of 0":                fields(9, 2, "t1", 4, 4, 1<<22, 1, 22, 0),
		"array of 101":              fields(9, 2, "t1", 4, 4, 1<<22, 1, 22, 101),
		"array of 2^62":             fields(9, 2, "t1", 4, 4, 1<<24, 1, 24, 1<<62, 500),
	} {
		d, err := protocol.ParseDefinition(payload)
		checkError(t, err, protocol.ProtocolError)
		if err != nil && !strings.Contains(err.Error(), `"t1"`) {
			t.Errorf("%s: %v does not name the table", name, err)
		}
		if d != nil {
			t.Errorf("%s: %v comes along", name, d)
		}
	}
}

func TestMalformedDefinitions(t *testing.T) {
	for name, payload := range map[string][]byte{
		"empty":                     {},
		"no name":                   fields(9, 0, 4, 4, 0, 0),
		"name beyond the end":       fields(9, 3, "t1"),
		"name with a line feed":     fields(9, 2, "t\n", 4, 4, 0, 0),
		"name of 2^62 bytes":        fields(9, 1<<62, "t1", 4, 4, 0, 0),
		"name of 2049 bytes":        fields(9, 2049, strings.Repeat("n", 2049), 4, 4, 0, 0),
		"id of 65 bits":             append([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), fields(2, "t1", 4, 4, 0, 0)...),
		"bit field of 65 bits":      append(fields(9, 2, "t1", 4, 4), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"...),
		"cut in the expire":         append(fields(9, 2, "t1", 4, 4, 0), 0xf0),
		"cut in a period":           append(fields(9, 2, "t1", 4, 4, 1<<10, 1, 10), 0xf0),
		"cut before a period":       fields(9, 2, "t1", 4, 4, 1<<10, 1, 10),
		"cut in an array of rates":  fields(9, 2, "t1", 4, 4, 1<<24, 1, 24, 2),
		"cut in an array's element": append(fields(9, 2, "t1", 4, 4, 1<<22, 1, 22), 0xff),
	} {
		d, err := protocol.ParseDefinition(payload)
		if d != nil {
			t.Errorf("%s: is read as %v", name, d)
		}
		checkError(t, err, protocol.ProtocolError)
	}
}

func TestAppendDefinition(t *testing.T) {
	for _, d := range handMadeDefinitions() {
		f, _, err := protocol.ParseFrame(protocol.AppendDefinition(nil, d))
		if err != nil || f.Type != protocol.DefinitionMessage {
			t.Fatalf("%v: %v: %v", d, f.Type, err)
		}
		if again, err := protocol.ParseDefinition(f.Payload); err != nil || *again != *d {
			t.Errorf("%v is read again as %v: %v", d, again, err)
		}
	}
}

// Updates don't have the values of unknown data types, so a definition must
// not promise them.
func TestAppendDefinitionLeavesUnknownTypesOut(t *testing.T) {
	d := &protocol.Definition{ID: 1, Name: "t1", KeyType: protocol.KeyIPv4, KeyLen: 4, Types: 1<<2 | 1<<40}
	f, _, _ := protocol.ParseFrame(protocol.AppendDefinition(nil, d))
	again, err := protocol.ParseDefinition(f.Payload)
	if err != nil || again.Types != 1<<2 {
		t.Errorf("%v is read again as %v: %v", d, again, err)
	}
}

func TestDataTypesStopWithTheLoop(t *testing.T) {
	d := &protocol.Definition{Types: 1<<0 | 1<<5 | 1<<26 | 1<<27}
	want := []protocol.DataType{protocol.ServerID, protocol.ConnRate, protocol.GlitchRate}
	if got := slices.Collect(d.DataTypes()); !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
	for t1 := range d.DataTypes() {
		if t1 == protocol.ConnRate {
			break
		}
	}
}

// The table of PROTOCOL's data types: what is wide, what is an array.
func TestDataTypes(t *testing.T) {
	kinds := map[protocol.DataType]protocol.Kind{
		protocol.ServerID:      protocol.Signed32,
		protocol.BytesInCount:  protocol.Unsigned64,
		protocol.BytesOutCount: protocol.Unsigned64,
		protocol.ServerKey:     protocol.Dictionary,
	}
	arrays := []protocol.DataType{protocol.GPTArray, protocol.GPCArray, protocol.GPCRateArray}
	for dt := range protocol.DataType(protocol.NumDataTypes) {
		want := kinds[dt]
		if _, listed := kinds[dt]; !listed {
			want = protocol.Unsigned32
			if strings.HasSuffix(dt.String(), "_rate") {
				want = protocol.Rate
			}
		}
		if dt.Kind() != want || dt.IsRate() != (want == protocol.Rate) || dt.IsArray() != slices.Contains(arrays, dt) {
			t.Errorf("%v: kind %d, array %v", dt, dt.Kind(), dt.IsArray())
		}
	}
	if got := protocol.DataType(27).String(); got != "data type 27" {
		t.Error(got)
	}
	if got := protocol.KeyType(3).String(); got != "key type 3" {
		t.Error(got)
	}
}
