package entries

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/peersd/peersd/protocol"
)

func table(keyType protocol.KeyType, types ...protocol.DataType) *Table {
	t := &Table{Name: "t1", KeyType: keyType}
	for _, dt := range types {
		t.Types |= 1 << dt
	}
	return t
}

// What people write for a field, and what commands have for it.
func TestField(t *testing.T) {
	single := table(protocol.KeyString, protocol.GPT0, protocol.GPC0, protocol.GPC1Rate, protocol.HTTPReqRate)
	arrays := table(protocol.KeyString, protocol.GPTArray, protocol.GPCArray, protocol.GPCRateArray)
	none := table(protocol.KeyString)
	tests := []struct {
		table           *Table
		name, want, err string
	}{
		{single, "gpt0", "gpt0", ""},
		{single, "data.gpc0", "gpc0", ""},
		{single, "http_req_rate(10000)", "http_req_rate", ""},
		{single, "gpc1_rate", "gpc1_rate", ""},
		{single, "gpc0_rate", "", "t1 does not store gpc0_rate; it stores gpt0, gpc0, http_req_rate, gpc1_rate"},
		{single, "gpt1", "", `there is no field "gpt1"; t1 stores gpt0, `},
		{single, "gpc[0]", "", "t1 does not store gpc; it stores "},
		{single, "gpt0[0]", "", `t1 has no field "gpt0[0]"`},
		{arrays, "gpt0", "gpt[0]", ""},
		{arrays, "gpc99", "gpc[99]", ""},
		{arrays, "gpc3_rate(10000)", "gpc_rate[3]", ""},
		{arrays, "gpc_rate[3]", "gpc_rate[3]", ""},
		{arrays, "data.gpt[1]", "gpt[1]", ""},
		{arrays, "gpt", "gpt[0]", ""},
		{arrays, "gpc_rate", "gpc_rate[0]", ""},
		{arrays, "gpt[x]", "", `t1 has no field "gpt[x]"`},
		{arrays, "gpt[-1]", "", `t1 has no field "gpt[-1]"`},
		{arrays, "gptx", "", `there is no field "gptx"; `},
		{none, "gpt0", "", "t1 does not store gpt0; it stores nothing"},
		{none, "", "", `there is no field ""; t1 stores nothing`},
	}
	for _, tt := range tests {
		got, _, err := tt.table.Field(tt.name)
		if got != tt.want || tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.err)) {
			t.Errorf("%q: got %q, %v; want %q, %q", tt.name, got, err, tt.want, tt.err)
		}
	}
}

func TestSet(t *testing.T) {
	all := table(protocol.KeyString, protocol.ServerID, protocol.GPT0, protocol.BytesInCount, protocol.HTTPReqRate, protocol.ServerKey)
	tests := []struct{ name, value, want, err string }{
		{"gpt0", "4294967295", "4294967295", ""},
		{"gpt0", "007", "7", ""},
		{"gpt0", "4294967296", "", `gpt0: "4294967296" is no number from 0 to 4294967295`},
		{"gpt0", "-1", "", `gpt0: "-1" is no number from 0 to 4294967295`},
		{"gpt0", "", "", `gpt0: "" is no number from 0 to 4294967295`},
		{"gpt0", "1;clear table t1", "", `gpt0: "1;clear table t1" is no number from 0 to 4294967295`},
		{"server_id", "-2147483648", "-2147483648", ""},
		{"server_id", "2147483648", "", `server_id: "2147483648" is no number from -2147483648 to 2147483647`},
		{"bytes_in_cnt", "9223372036854775807", "9223372036854775807", ""},
		{"bytes_in_cnt", "9223372036854775808", "", `bytes_in_cnt: "9223372036854775808" is no number from 0 to 9223372036854775807`},
		{"http_req_rate", "4294967296", "", `http_req_rate: "4294967296" is no number from 0 to 4294967295`},
		{"server_key", "s1", "", "server_key can't be set over a socket"},
	}
	for _, tt := range tests {
		f, err := all.Set(tt.name, tt.value)
		if f.Value != tt.want || fmt.Sprint(err) != tt.err && (err != nil || tt.err != "") {
			t.Errorf("%s=%s: got %q, %v; want %q, %q", tt.name, tt.value, f.Value, err, tt.want, tt.err)
		}
	}
}

func TestKey(t *testing.T) {
	tests := []struct {
		keyType         protocol.KeyType
		text, want, err string
	}{
		{protocol.KeyInteger, "4294967295", "4294967295", ""},
		{protocol.KeyInteger, "007", "7", ""},
		{protocol.KeyInteger, "4294967296", "", `"4294967296" is no key of t1: no number from 0 to 4294967295`},
		{protocol.KeyInteger, "x", "", `"x" is no key of t1: no number from 0 to 4294967295`},
		{protocol.KeyIPv4, "10.0.0.1", "10.0.0.1", ""},
		{protocol.KeyIPv4, " 10.0.0.1 ", "10.0.0.1", ""},
		{protocol.KeyIPv4, "::ffff:10.0.0.1", "10.0.0.1", ""},
		{protocol.KeyIPv4, "::1", "", `"::1" is no key of t1: no IPv4 address`},
		{protocol.KeyIPv4, "10.0.0.256", "", `"10.0.0.256" is no key of t1: no address`},
		{protocol.KeyIPv6, "2001:DB8:0:0::1", "2001:db8::1", ""},
		{protocol.KeyIPv6, "10.0.0.1", "::ffff:10.0.0.1", ""},
		{protocol.KeyIPv6, "fe80::1%eth0", "", `"fe80::1%eth0" is no key of t1: no address`},
		{protocol.KeyString, `a b`, "a b", ""},
		{protocol.KeyString, `a\ b\=\\\t\x41\e`, "a b=\\\tA\x1b", ""},
		{protocol.KeyString, `a\`, "", `"a\\" has a backslash that means nothing; write a backslash itself as \\, other characters as \x and two digits`},
		{protocol.KeyString, `\x4`, "", `"\\x4" has a backslash that means nothing; write a backslash itself as \\, other characters as \x and two digits`},
		{protocol.KeyString, "", "", `"" is no key of t1: it is empty or has a zero byte`},
		{protocol.KeyString, `a\x00`, "", `"a\\x00" is no key of t1: it is empty or has a zero byte`},
		{protocol.KeyBinary, "00", "", "t1 has binary keys, which can't be named over a socket"},
	}
	for _, tt := range tests {
		got, err := table(tt.keyType).Key(tt.text)
		if err != nil {
			got = ""
		}
		if got != tt.want || fmt.Sprint(err) != tt.err && (err != nil || tt.err != "") {
			t.Errorf("%v %q: got %q, %v; want %q, %q", tt.keyType, tt.text, got, err, tt.want, tt.err)
		}
	}
}

func TestParse(t *testing.T) {
	tb := table(protocol.KeyString, protocol.GPCArray, protocol.GPCRateArray, protocol.ServerKey)
	tests := []struct {
		line string
		want Entry
		err  bool
	}{
		{"0x1: key=a\\ b use=2 exp=59000 shard=0 gpc0=1 gpc1=2 gpc0_rate(10000)=3 server_key=s\\ 1\n", Entry{Key: "a b", Use: "2", Expire: 59000, Fields: []Field{
			{"gpc[0]", "gpc0", "1"}, {"gpc[1]", "gpc1", "2"}, {"gpc_rate[0]", "gpc0_rate(10000)", "3"}, {"server_key", "server_key", "s 1"}}}, false},
		{"0x1: key=\\x41 use=0 exp=0", Entry{Key: "A", Use: "0", Fields: []Field{}}, false}, // of HAProxy 2.6, and without a line feed
		{"0x1: key=k use=0 exp=0 http_req_rate(10000)=1\n", Entry{Key: "k", Use: "0", Fields: []Field{ // which the table was not known to store
			{"http_req_rate", "http_req_rate(10000)", "1"}}}, false},
		{"0x1: key=k use=0 exp=x\n", Entry{}, true},
		{"0x1: key=k use\n", Entry{}, true},
		{"0x1: key=\\q use=0 exp=0\n", Entry{}, true},
		{"# table: t1, type: string, size:1, used:0\n", Entry{}, true},
		{"\n", Entry{}, true},
	}
	for _, tt := range tests {
		got := Entry{Key: "before", Use: "7", Expire: 1, Fields: []Field{{"x", "x", "x"}}}
		if err := tb.Parse([]byte(tt.line), &got); (err != nil) != tt.err || err == nil && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %+v, %v", tt.line, got, err)
		}
	}
}

func TestParseHead(t *testing.T) {
	name, keyType, size, used, ok := ParseHead([]byte("# table: mypeers/t1, type: ip, size:1024, used:3\n"))
	if name != "mypeers/t1" || keyType != "ip" || size != 1024 || used != 3 || !ok {
		t.Errorf("got %q, %q, %d, %d, %v", name, keyType, size, used, ok)
	}
	for _, line := range []string{"", "# table: t1", "# table: t1, type: ip, size:x, used:0", "0x1: key=k use=0 exp=0", "# contents not dumped due to insufficient privileges\n"} {
		if _, _, _, _, ok := ParseHead([]byte(line)); ok {
			t.Errorf("%q is taken for a head", line)
		}
	}
}

// Commands name keys so that a socket has them as they are.
func TestAppendTimed(t *testing.T) {
	tb := table(protocol.KeyString)
	for key, want := range map[string]string{
		"k":              "set table t1 key k data.gpt0 1 expire 60000",
		`a b;c\d`:        `set table t1 key a\ b\;c\\d data.gpt0 1 expire 60000`,
		"<<x":            `set table t1 key \<<x data.gpt0 1 expire 60000`,
		"a\nb\tc":        "set table t1 key a\\\nb\\\tc data.gpt0 1 expire 60000",
		"ends with cr\r": "set table t1 key ends\\ with\\ cr\r  data.gpt0 1 expire 60000",
	} {
		e := Entry{Key: key, Expire: 60000, Fields: []Field{{"gpt0", "", "1"}, {"server_key", "", "s1"}}}
		if got := string(tb.AppendTimed(nil, &e)); got != want {
			t.Errorf("%q: got %q, want %q", key, got, want)
		}
	}
}

func TestSame(t *testing.T) {
	is := Entry{Expire: 1000, Fields: []Field{{Name: "gpt0", Value: "1"}, {Name: "gpc0", Value: "2"}}}
	tests := []struct {
		name   string
		wanted Entry
		want   bool
	}{
		{"nothing", Entry{}, true},
		{"a field that it has", Entry{Fields: []Field{{Name: "gpc0", Value: "2"}}}, true},
		{"one that it has otherwise", Entry{Fields: []Field{{Name: "gpc0", Value: "3"}}}, false},
		{"one that it does not have", Entry{Fields: []Field{{Name: "gpc1", Value: "0"}}}, false},
		{"a lifetime of which half is left", Entry{Expire: 2000}, true},
		{"less than half", Entry{Expire: 2002}, false},
		{"a lifetime that is shorter", Entry{Expire: 999}, false},
	}
	for _, tt := range tests {
		if got := is.Same(&tt.wanted); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func readAll(t *Table, file, format string) (all []Entry, bad []string, err error) {
	r, err := t.NewReader(strings.NewReader(file), format)
	for err == nil {
		var e Entry
		switch err = r.Next(&e); {
		case err == nil:
			all = append(all, e)
		case errors.As(err, new(*LineError)):
			bad, err = append(bad, err.Error()), nil
		}
	}
	return all, bad, err
}

// The first line tells what a file is.
func TestFormats(t *testing.T) {
	tb := table(protocol.KeyString, protocol.GPT0)
	for file, want := range map[string]string{
		"":                              "[]",
		"# a list\nkey,1\nb\n":          "[{key,1 0  []} {b 0  []}]",
		"\r\na\r\nb":                    "[{a 0  []} {b 0  []}]",
		"\xef\xbb\xbfa\n":               "[{a 0  []}]",
		"key\na\n":                      "[{a 0  []}]",
		"gpt0,key\n1,a\n":               "[{a 0  [{gpt0  1}]}]",
		"\"key\",\"expire\"\na,1s\n":    "[{a 1000  []}]",
		"key,server_key\na,s1\n":        "[{a 0  []}]",
		"key\r\n\"a\r\nb\"\r\n":         "[{a\nb 0  []}]",
		`{"key":"a","gpt0":1}`:          "[{a 0  [{gpt0  1}]}]",
		` {"gpt0" : "1", "key" : 5 }`:   "[{5 0  [{gpt0  1}]}]",
		`{"key":"a","gpt0":1,"gpt0":2}`: "[{a 0  [{gpt0  2}]}]",
		`{"key":"\u00e4\\\\"}` + "\n":   `[{ä\ 0  []}]`,
		strings.Repeat("x", 70000):      "[{" + strings.Repeat("x", 70000) + " 0  []}]",
		strings.Repeat("y", 1<<17-2) + "\n" + strings.Repeat("z", 20): "[{" + strings.Repeat("y", 1<<17-2) + " 0  []} {" + strings.Repeat("z", 20) + " 0  []}]",
	} {
		if all, bad, err := readAll(tb, file, ""); fmt.Sprint(all) != want || bad != nil || !errors.Is(err, io.EOF) {
			t.Errorf("%.40q: got %.100s, %.200q, %v; want %.100s", file, fmt.Sprint(all), bad, err, want)
		}
	}
}

// Bad lines are told with their numbers, and the others are read.
func TestBadLines(t *testing.T) {
	tb := table(protocol.KeyIPv4, protocol.GPT0)
	long := strings.Repeat("1", 1<<20)
	tests := []struct {
		name, file string
		good       int
		bad        []string
	}{
		{"a line of a megabyte", "10.0.0.1\n" + long + "\n10.0.0.2\n", 2, []string{"line 2: it is longer than 131072 bytes"}},
		{"the last one", "10.0.0.1\n" + long, 1, []string{"line 2: it is longer than 131072 bytes"}},
		{"a quote in CSV", "key,gpt0\n10.0.0.1,\"1\n\n10.0.0.2,1\n", 0, []string{`line 2: it is no CSV: extraneous or missing " in quoted-field`}},
		{"a bare quote in CSV", "key,gpt0\n10.0.0.1,a\"\n10.0.0.2,1\n", 1, []string{`line 2: it is no CSV: bare " in non-quoted-field`}},
		{"JSON that is nearly right", "{\"key\":\"10.0.0.1\",}\n{\"key\":\"10.0.0.1\",\"gpt0\":01}\n{\"key\":\"10.0.0.1\",\"gpt0\":-}\n{\"gpt0\":1}\n{}\n", 0, []string{
			`line 1: it is no JSON object, as in {"key":"10.0.0.1","expire":600000,"gpt0":1}`,
			`line 2: it is no JSON object, as in {"key":"10.0.0.1","expire":600000,"gpt0":1}`,
			`line 3: it is no JSON object, as in {"key":"10.0.0.1","expire":600000,"gpt0":1}`,
			`line 4: it has no "key"`, `line 5: it has no "key"`}},
		{"JSON of another form", "{\"key\":\"10.0.0.1\"}\n[1]\n{\"key\":\"10.0.0.2\"} x\n{\"key\":[\"10.0.0.2\"]}\n{\"key\":\"10.0.0.3\",\"gpt0\":null}\n", 1, []string{
			`line 2: it is no JSON object, as in {"key":"10.0.0.1","expire":600000,"gpt0":1}`,
			`line 3: it is no JSON object, as in {"key":"10.0.0.1","expire":600000,"gpt0":1}`,
			`line 4: "key" is neither a number nor text`,
			`line 5: "gpt0" is neither a number nor text`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all, bad, err := readAll(tb, tt.file, "")
			if len(all) != tt.good || !reflect.DeepEqual(bad, tt.bad) || !errors.Is(err, io.EOF) {
				t.Errorf("got %.100s, %.300q, %v", fmt.Sprint(all), bad, err)
			}
		})
	}
	for file, want := range map[string]string{
		"key,frob\n":       `line 1: there is no field "frob"; t1 stores gpt0`,
		"key,gpt0,gpt0\n":  `line 1: there are two columns "gpt0"`,
		"key,\"gpt0\nx\n":  `line 1: it is no CSV: extraneous or missing " in quoted-field`,
		"gpt0,expire\nx\n": `line 1: it is to name the columns, and one of them "key"`,
	} {
		if _, _, err := readAll(tb, file, CSV); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", file, err, want)
		}
	}
	if _, err := tb.NewReader(strings.NewReader(""), "xml"); err == nil {
		t.Error("a format that there is not is taken")
	}
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]int64{"1": 1, "1ms": 1, "1s": 1000, "2m": 120000, "1h": 3600000, "24d": 24 * 86400000, "2147483647": 2147483647,
		"0": 0, "": 0, "-1": 0, "25d": 0, "1y": 0, "s": 0, "1.5s": 0, "2147483648": 0, "9223372036854775807d": 0} {
		if got, err := ParseTime(text); got != want || (err != nil) != (want == 0) {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
}

// A table that HAProxys define in two ways has no columns.
func TestCSVOfTwoDefinitions(t *testing.T) {
	tb := table(protocol.KeyString, protocol.GPT0, protocol.GPC0)
	var b bytes.Buffer
	w, err := tb.NewWriter(&b, CSV)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(&Entry{Key: "a", Fields: []Field{{Name: "gpt0", Value: "1"}}}); err != nil {
		t.Fatal(err)
	}
	for _, fields := range [][]Field{nil, {{Name: "gpc0", Value: "1"}}, {{Name: "gpt0", Value: "1"}, {Name: "gpc0", Value: "1"}}} {
		if err := w.Write(&Entry{Key: "b", Fields: fields}); err == nil || !strings.Contains(err.Error(), "t1 stores other fields from b on") {
			t.Errorf("%v: %v", fields, err)
		}
	}
}

// What is written is read back as it was, whatever the key.
func FuzzRoundTrip(f *testing.F) {
	for _, key := range []string{"a", "a b", `\`, "日本", "\xff\x01", `"`, ",", "\r\n", "<<x", "#x", "{", "key", " x ", "\u2028", "<&>"} {
		f.Add(key, uint32(7), int64(600000))
	}
	f.Fuzz(func(t *testing.T, key string, value uint32, expire int64) {
		if key == "" || strings.Contains(key, "\x00") || len(key) > 10000 || expire < 0 || expire > 1<<31-1 {
			t.Skip()
		}
		tb := table(protocol.KeyString, protocol.GPT0, protocol.ServerKey)
		e := Entry{Key: key, Expire: expire, Fields: []Field{{Name: "gpt0", Value: fmt.Sprint(value)}, {Name: "server_key", Value: key}}}
		want := e
		want.Fields = e.Fields[:1] // a server's key can't be set
		for _, format := range []string{JSON, CSV} {
			var b bytes.Buffer
			w, err := tb.NewWriter(&b, format)
			if err = errors.Join(err, w.Write(&e), w.End()); err != nil {
				t.Fatal(err)
			}
			all, bad, err := readAll(tb, b.String(), "")
			if len(all) != 1 || !reflect.DeepEqual(all[0], want) || bad != nil || !errors.Is(err, io.EOF) {
				t.Errorf("%s %q: got %+v, %q, %v; want %+v", format, b.String(), all, bad, err, want)
			}
		}
	})
}

// What is read without package json is what that reads.
func FuzzMembers(f *testing.F) {
	for _, object := range []string{`{"key":"a","gpt0":1}`, `{ "a" : -5 , "b":"c" }`, `{}`, `{"a":0,}`, `{"a":01}`, `{"a":--1}`, `{"a":"\u0041"}`, `{"a" "b"}`} {
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, object string) {
		names, values, plain := plainMembers(object)
		if !plain {
			return
		}
		want := map[string]any{}
		d := json.NewDecoder(strings.NewReader(object))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("%q is read as %q, %q; package json says %v", object, names, values, err)
		}
		got := map[string]string{}
		for i, name := range names {
			got[name] = values[i]
		}
		for name, value := range want {
			if fmt.Sprint(value) != got[name] || len(got) != len(want) {
				t.Errorf("%q is read as %q, package json says %q", object, got, want)
			}
		}
	})
}

// Anything may be in a file: it is read to its end, and each line is an entry or is
// wrong.
func FuzzReader(f *testing.F) {
	for _, file := range []string{"a\nb\n", "# x\n\n", "key,gpt0\na,1\n", "key\n\"", `{"key":"a","gpt0":1}`, "{}\n[]\n{", "\xef\xbb\xbf", "key,key\n"} {
		for _, format := range []string{"", Keys, CSV, JSON} {
			f.Add(file, format)
		}
	}
	tb := table(protocol.KeyString, protocol.GPT0, protocol.GPCArray)
	f.Fuzz(func(t *testing.T, file, format string) {
		all, _, _ := readAll(tb, file, format)
		for i := range all {
			if command := tb.AppendTimed(nil, &all[i]); all[i].Key == "" || bytes.Contains(command, []byte("\x00")) {
				t.Errorf("%q is an entry %+v", file, all[i])
			}
		}
	})
}

// Anything may come from a socket.
func FuzzParse(f *testing.F) {
	f.Add([]byte("0x1: key=a\\ b use=2 exp=59000 shard=0 gpc0=1 gpc1=2 gpc0_rate(10000)=3 server_key=s\\ 1\n"))
	f.Add([]byte("0x1: key=\\"))
	f.Add([]byte("0x: key== =\n"))
	tb := table(protocol.KeyIPv6, protocol.GPCArray, protocol.GPCRateArray, protocol.ServerKey)
	f.Fuzz(func(t *testing.T, line []byte) {
		var e Entry
		tb.Parse(line, &e)
		ParseHead(line)
	})
}

func BenchmarkRead(b *testing.B) {
	tb := table(protocol.KeyIPv4, protocol.GPT0, protocol.GPC0)
	for _, bb := range []struct{ format, head, line string }{
		{Keys, "", "10.%d.%d.%d\n"},
		{CSV, "key,expire,gpt0,gpc0\n", "10.%d.%d.%d,600000,1,0\n"},
		{JSON, "", `{"key":"10.%d.%d.%d","expire":600000,"gpt0":1,"gpc0":0}` + "\n"},
	} {
		b.Run(bb.format, func(b *testing.B) {
			file := []byte(bb.head)
			for i := range b.N {
				file = fmt.Appendf(file, bb.line, i>>16&255, i>>8&255, i&255)
			}
			b.ReportAllocs()
			b.ResetTimer()
			r, err := tb.NewReader(bytes.NewReader(file), bb.format)
			for range b.N {
				var e Entry
				if err = errors.Join(err, r.Next(&e)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	tb := table(protocol.KeyIPv4, protocol.GPT0, protocol.GPC0)
	line := []byte("0x48ee4ce49eb6bf63: key=10.0.0.2 use=0 exp=600000 shard=0 gpt0=1 gpc0=0\n")
	b.ReportAllocs()
	var e Entry
	for b.Loop() {
		if err := tb.Parse(line, &e); err != nil {
			b.Fatal(err)
		}
	}
}
