package admin

import (
	"fmt"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

func TestParseTime(t *testing.T) {
	const refused = -1
	tests := []struct {
		text string
		unit time.Duration
		want time.Duration
	}{
		{"250", time.Millisecond, 250 * time.Millisecond},
		{"250", time.Second, 250 * time.Second},
		{"250ms", time.Millisecond, 250 * time.Millisecond},
		{"1s", time.Millisecond, time.Second},
		{"10m", time.Millisecond, 10 * time.Minute},
		{"2h", time.Second, 2 * time.Hour},
		{"1d", time.Second, 24 * time.Hour},
		{"1us", time.Millisecond, time.Millisecond},
		{"1001us", time.Millisecond, 2 * time.Millisecond},
		{"1500ms", time.Second, 2 * time.Second},
		{"0", time.Millisecond, 0},
		{"2147483647", time.Millisecond, 2147483647 * time.Millisecond},
		{"2147483648", time.Millisecond, refused},
		{"24d", time.Millisecond, 24 * 24 * time.Hour},
		{"25d", time.Millisecond, refused},
		{"99999999999999999999", time.Millisecond, refused},
		{"9223372036854775807d", time.Millisecond, refused},
		{"", time.Second, refused}, {"s", time.Second, refused}, {"-1", time.Second, refused}, {"1.5s", time.Second, refused},
		{"1w", time.Second, refused}, {"1 s", time.Second, refused}, {"+1", time.Second, refused}, {"1_0", time.Second, refused},
	}
	for _, tt := range tests {
		got, ok := parseTime(tt.text, tt.unit)
		if !ok {
			got = refused
		}
		if got != tt.want {
			t.Errorf("%q: got %v, want %v", tt.text, got, tt.want)
		}
	}
}

func TestHumanTime(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                    "0s",
		-time.Second:                         "0s",
		999 * time.Millisecond:               "0s",
		59 * time.Second:                     "59s",
		60 * time.Second:                     "1m",
		61 * time.Second:                     "1m1s",
		time.Hour + time.Second:              "1h1s",
		time.Hour + time.Minute + 5e9:        "1h1m",
		25*time.Hour + time.Minute:           "1d1h",
		48*time.Hour + time.Minute + 1e9:     "2d1m",
		1000*24*time.Hour + 23*time.Hour + 1: "1000d23h",
	} {
		if got := humanTime(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

// More keys, as HAProxy takes them, are in package e2e.
func TestParseKey(t *testing.T) {
	tables := table.NewSet("mypeers", time.Now())
	define := func(k protocol.KeyType, keyLen int) *table.Table {
		def := definition(fmt.Sprint("t", k), k, keyLen, protocol.GPC0)
		return tables.Define(time.Now(), nil, &def)
	}
	var (
		integers = define(protocol.KeyInteger, 4)
		ips      = define(protocol.KeyIPv4, 4)
		ipv6s    = define(protocol.KeyIPv6, 16)
		texts    = define(protocol.KeyString, 5)
	)
	for _, tt := range []struct {
		t          *table.Table
		text, want string // "" is refused
	}{
		{integers, "7", "7"}, {integers, "-1", "4294967295"}, {integers, "+5", "5"}, {integers, "--5", "0"}, {integers, "+-5", "0"},
		{integers, "12abc", "12"}, {integers, "abc", "0"}, {integers, "-", "0"}, {integers, "-99999999999999999999", "0"},
		{integers, "9223372036854775808", "4294967295"},
		{ips, "10.0.0.1", "10.0.0.1"}, {ips, "10.0.0.001", "10.0.0.1"}, {ips, "10.0.0.1/8", "10.0.0.1"}, {ips, "10.0.0", ""},
		{ips, "10.0.0.256", ""}, {ips, "10.0.0.99999999999999999999", ""}, {ips, "10..0.1", ""}, {ips, "10.0.0.1.2", ""}, {ips, "x", ""},
		{ips, "::1", "0.0.0.1"}, {ips, "::ffff:1.2.3.4", "1.2.3.4"}, {ips, "2002:102:304::", "1.2.3.4"}, {ips, "2001:db8::", ""}, {ips, "::ff:0:0", ""},
		{ipv6s, "::1", "::1"}, {ipv6s, "1.2.3.4", "::ffff:1.2.3.4"}, {ipv6s, "fe80::1%lo", ""}, {ipv6s, "1:2", ""},
		{texts, "abc", "abc"}, {texts, "abcdef", "abcd"},
	} {
		key, ok := parseKey(tt.t, tt.text)
		got := ""
		if ok {
			got = string(appendKey(nil, tt.t.KeyType(), key))
		}
		if got != tt.want {
			t.Errorf("%s of type %v: got %q, want %q", tt.text, tt.t.KeyType(), got, tt.want)
		}
	}
}

func TestParseField(t *testing.T) {
	for name, want := range map[string]string{
		"gpc0": "gpc0 0", "http_req_rate": "http_req_rate 0", "gpc": "gpc 0", "gpc[2]": "gpc 2", "gpc_rate[0]": "gpc_rate 0",
		"gpc[+1]": "gpc 1", "gpc[01]": "gpc 1", "gpc[ 1]": "gpc 1", "gpc[-1]": "gpc 4294967295", "gpc[4294967297]": "gpc 1",
		"gpc[99999999999999999999]": "gpc 4294967295",
		"g[1]":                      "gpt 1", "[1]": "gpt 1", "gpc_[1]": "gpc_rate 1",
		"": "", "gpc3": "", "GPC0": "", "gpc0[0]": "", "gpc[": "", "gpc[]": "", "gpc[1": "", "gpc[1]x": "", "gpc[x]": "", "gpc[1x]": "", "gpc[--1]": "", "gpc[1-]": "",
	} {
		got := ""
		if f, ok := parseField(name); ok {
			got = fmt.Sprint(f.Type, f.Element)
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestParseValue(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "7": "7", "007": "7", "-7": "-7", "-": "0", "9223372036854775807": "9223372036854775807", "-9223372036854775808": "-9223372036854775808",
		"": "", "+7": "", "--7": "", "7x": "", "1_0": "", "0x1": "", "1.5": "", "9223372036854775808": "", "-9223372036854775809": "",
	} {
		got := ""
		if v, ok := parseValue(text); ok {
			got = fmt.Sprint(v)
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// Filters look at values as they are read now.
func TestFilters(t *testing.T) {
	def := definition("t1", protocol.KeyInteger, 4, protocol.ServerID, protocol.GPC0, protocol.HTTPReqRate, protocol.BytesInCount, protocol.ServerKey, protocol.GPTArray)
	u := protocol.Update{Values: []uint64{
		1<<64 - 3, 4, 5000, 0, 100, // server_id -3, gpc0 4, http_req_rate 50
		1 << 63, 0, 1, 2, 3, // bytes_in_cnt, server_key, gpt
	}}
	for text, want := range map[string]bool{
		"":                                true,
		"data.gpc0 eq 4":                  true,
		"data.gpc0 ne 4":                  false,
		"data.gpc0 lt 5":                  true,
		"data.gpc0 lt 4":                  false,
		"data.gpc0 le 4":                  true,
		"data.gpc0 le 3":                  false,
		"data.gpc0 gt 3":                  true,
		"data.gpc0 gt 4":                  false,
		"data.gpc0 ge 4":                  true,
		"data.gpc0 ge 5":                  false,
		"data.gpc0 gt -1":                 true,
		"data.server_id lt 0":             true,
		"data.http_req_rate eq 50":        true,
		"data.bytes_in_cnt lt 0":          true,
		"data.server_key eq 0":            true,
		"data.gpt eq 1":                   true,
		"data.gpt[2] eq 3":                true,
		"data.gpt[3] ge 0":                false,
		"data.gpc0 eq 4 data.gpt[1] eq 2": true,
		"data.gpc0 eq 4 data.gpt[1] eq 3": false,
		"data.gpc0 eq 3 data.gpt[1] eq 2": false,
		"data.gpc0 eq 4 12345gpc0 eq 4":   true,
		"data.gpc0 eq 4 data.gpc0 eq 4 data.gpc0 eq 4 data.gpt[0] gt 1": false,
	} {
		words, _ := parseWords(nil, text)
		filters, err := parseFilters(&def, words)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := passes(filters, protocol.NewLayout(&def), &def, &u); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}
