package e2e

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/peersd/peersd/internal/haproxytest"
)

// Keys that something on their way could mangle. Each is an entry of its own.
var oddKeys = []struct {
	table   string
	set     []string // by `set table`, where a backslash makes the next byte stand for itself
	request []string // by a header
}{
	{"strings", []string{
		`a\ b\ `, `user=alice`, `use=0\ exp=1`, `"quoted"`, `it's`, `back\\slash\\`, "tab\\\tone", "\x01\x7f\x1b\r",
		"caf\xc3\xa9", "latin\xe9", "0x5565:", `semi\;colon`, "exactly-64-bytes-which-is-all-that-an-entry-of-this-table-holds!",
	}, []string{
		"b a", "user=bob=", "key=x use=0 exp=1", `'quoted ""`, `\x20\\`, "tab\ttwo",
		"th\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\xb4", "\xff", "0x1: key=a use=0 exp=1 shard=0 gpc0=9", "%[src] $HOME # , ;",
	}},
	{"bytes", nil, allBytes()},
	{"short", []string{"12345678", "abcdefghi", "12\xe2\x82\xac\xe2\x82\xac"}, []string{"23456789", "bcdefghij", "ab\xe2\x82\xac\xe2\x82\xac"}},
	{"long", []string{
		strings.Repeat("a", 239), strings.Repeat("b", 240), strings.Repeat("c", 1024),
		strings.Repeat("d", 4096), strings.Repeat("e", 5000), strings.Repeat("\xff", 3000),
	}, []string{
		strings.Repeat("f", 2287), strings.Repeat("g", 2288), strings.Repeat("h", 4096), strings.Repeat("i", 4097),
	}},
	{"ip", []string{"0.0.0.0", "1.2.3.4"}, []string{"255.255.255.255", "::ffff:1.2.3.5"}},
	{"ipv6", []string{
		"::", "::ffff:1.2.3.4", "::1.2.3.4", "::1:2", "::ffff:0:1.2.3.4", "64:ff9b::1.2.3.4", "2001:db8:0:0:1::", "1:0:2:3:4:5:6:7",
	}, []string{
		"::1", "1.2.3.5", "::ffff:1.2.3.6", "::1.2.3.5", "::2", "2001:0:0:2::3", "0:0:1::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	}},
	{"integer", []string{"0", "240", "4294967295"}, []string{"1", "2147483648"}},
	{"binary", nil, []string{encoded("\x00"), encoded("\x00\x00\x01"), encoded("8 bytes!"), encoded("8 bytes, and more"), encoded("\xff\x00=\\ \n")}},
}

// encoded is a key for b64dec.
func encoded(key string) string { return base64.StdEncoding.EncodeToString([]byte(key)) }

// allBytes are keys of all bytes, and two with NUL, which ends a string: one of
// them is empty.
func allBytes() []string {
	keys := []string{encoded("ends here\x00not here"), encoded("\x00")}
	for c := 1; c < 256; c += 15 {
		var key []byte
		for i := range 15 {
			key = append(key, byte(c+i))
		}
		keys = append(keys, encoded(string(key)))
	}
	return keys
}

func TestLiveOddKeys(t *testing.T) {
	lines := []string{
		"table strings type string len 64 size 1k expire 1h store gpc0",
		"table bytes type string len 64 size 1k expire 1h store gpc0",
		"table short type string len 8 size 1k expire 1h store gpc0",
		"table long type string len 4096 size 1k expire 1h store gpc0",
		"table ip type ip size 1k expire 1h store gpc0",
		"table ipv6 type ipv6 size 1k expire 1h store gpc0",
		"table integer type integer size 1k expire 1h store gpc0",
		"table binary type binary len 8 size 1k expire 1h store gpc0",
	}
	const config = `
frontend fe
    bind HOST:8080
    http-request track-sc0 req.fhdr(x-key) table mypeers/strings if { path /strings }
    http-request track-sc0 req.fhdr(x-key),b64dec table mypeers/bytes if { path /bytes }
    http-request track-sc0 req.fhdr(x-key) table mypeers/short if { path /short }
    http-request track-sc0 req.fhdr(x-key) table mypeers/long if { path /long }
    http-request track-sc0 req.hdr_ip(x-key) table mypeers/ip if { path /ip }
    http-request track-sc0 req.hdr_ip(x-key) table mypeers/ipv6 if { path /ipv6 }
    http-request track-sc0 req.fhdr(x-key) table mypeers/integer if { path /integer }
    http-request track-sc0 req.fhdr(x-key),b64dec table mypeers/binary if { path /binary }
    http-request sc-inc-gpc0(0)
    http-request return status 200
`
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		p := startHAProxy(t, r, lines, config)
		var names []string
		write := func(gpc0 int, every int) {
			for _, odd := range oddKeys {
				for i, key := range odd.set {
					if i%every == 0 {
						p.set("mypeers/"+odd.table, key, fmt.Sprint("gpc0 ", gpc0+i))
					}
				}
				for i, key := range odd.request {
					if i%every == 0 {
						p.get(200, "/"+odd.table, "x-key", key)
					}
				}
			}
		}
		for _, odd := range oddKeys {
			names = append(names, "mypeers/"+odd.table)
		}
		write(1, 2)
		p.startPeersd()
		p.mirroredExactly("after the lesson", names...)
		write(1000, 1)
		p.mirroredExactly("after changes", names...)
		complete := func() {
			t.Helper()
			for i, odd := range oddKeys {
				if got, want := len(p.lb.MustTable(t, names[i]).Entries), len(odd.set)+len(odd.request); got != want {
					t.Errorf("HAProxy's table %s has %d entries, not %d", odd.table, got, want)
				}
			}
		}
		complete()
		p.restartHAProxy()
		p.mirroredExactly("after HAProxy was killed", names...)
		complete()
	})
}
