package haproxycfg

import (
	"strings"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for s, want := range map[string]uint32{"0": 0, "1": 1, "007": 7, "1k": 1 << 10, "3K": 3 << 10, "2m": 2 << 20, "3g": 3 << 30, "4294967295": 1<<32 - 1, "4194303k": 4194303 << 10} {
		if got, err := parseSize(s); got != want || err != nil {
			t.Errorf("%s: %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "k", "-1", "+1", "1kb", "1t", "4g", "4194304k", "4294967296", "1.5k", " 1", "1 ", "0x10", "1_0"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("%q: %d, want an error", s, got)
		}
	}
}

func TestParseTime(t *testing.T) {
	for s, want := range map[string]uint32{
		"0": 0, "10": 10, "1us": 1, "1500us": 2, "1500ms": 1500, "2s": 2000, "3m": 180_000, "1h": 3_600_000, "24d": 24 * 86_400_000,
		"2147483647": 1<<31 - 1, "2147483647000us": 1<<31 - 1, "10sec": 10_000, "10msx": 10, "1mx": 60_000, "596h": 596 * 3_600_000,
	} {
		got, behind, err := parseTime(s)
		if got != want || err != nil {
			t.Errorf("%s: %d, %v; want %d", s, got, err, want)
		}
		if want := map[string]string{"10sec": "ec", "10msx": "x", "1mx": "x"}[s]; behind != want {
			t.Errorf("%s: %q is behind it, want %q", s, behind, want)
		}
	}
	for _, s := range []string{"", "s", "-1", "1w", "1u", "10S", "1.5s", "25d", "597h", "2147483648", "99999999999999999999", " 1"} {
		if got, _, err := parseTime(s); err == nil {
			t.Errorf("%q: %d, want an error", s, got)
		}
	}
}

func TestFormatTime(t *testing.T) {
	for ms, want := range map[uint32]string{0: "0ms", 1: "1ms", 1500: "1500ms", 2000: "2s", 90_000: "90s", 180_000: "3m", 3_600_000: "1h", 48 * 3_600_000: "2d"} {
		got := formatTime(time.Duration(ms) * time.Millisecond)
		if got != want {
			t.Errorf("%d: %s, want %s", ms, got, want)
		}
		if again, _, err := parseTime(got); again != ms || err != nil {
			t.Errorf("%s is read as %d, %v", got, again, err)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for _, tt := range []struct {
		s        string
		want     string
		wildcard bool
		name     bool
	}{
		{"10.0.0.1:1", "10.0.0.1:1", false, false},
		{"[::1]:10000", "[::1]:10000", false, false},
		{"::1:10000", "[::1]:10000", false, false},
		{"*:10000", "*:10000", true, false},
		{":10000", "*:10000", true, false},
		{"ipv6@:10000", "[::]:10000", true, false},
		{"[::]:10000", "[::]:10000", true, false},
		{"0:10000", "0.0.0.0:10000", true, false},
		{"127.1:10000", "127.0.0.1:10000", false, false},
		{"2130706433:10000", "127.0.0.1:10000", false, false},
		{"lb-1.example:10000", "lb-1.example:10000", false, true},
		{"mptcp@lb1:10000", "lb1:10000", false, true},
		{"/run/x", "unix@/run/x", false, false},
		{"unix@x", "unix@x", false, false},
		{"abns@x", "abns@x", false, false},
		{"abnsz@x", "abnsz@x", false, false},
	} {
		a, err := parseAddress(tt.s, false, "")
		if err != nil || a.String() != tt.want || a.Wildcard() != tt.wildcard || a.IsName() != tt.name {
			t.Errorf("%s: %v, wildcard %v, name %v, %v; want %+v", tt.s, a, a.Wildcard(), a.IsName(), err, tt)
		}
	}
	for _, s := range []string{"", "fd@3", "10.0.0.1", "10.0.0.1:", "1.2.3.4.5:1", "256.1:1", "[::1", "[]:1", "[:1", "a b:1", "fe80::1%lo:1", "rhttp@x", "dgram+ip@h:1"} {
		if a, err := parseAddress(s, false, ""); err == nil {
			t.Errorf("%q: %v, want an error", s, a)
		}
	}
	if a, err := parseAddress("/x", true, "/run"); err != nil || a.Path != "/run/x" {
		t.Errorf("with a prefix: %v, %v", a, err)
	}
	for s, ok := range map[string]bool{"fd@3": true, "fd@x": false, "fd@-1": false, "h:1-1": true, "h:1-2": false} {
		if a, err := parseAddress(s, true, ""); (err == nil) != ok {
			t.Errorf("to listen at %s: %v, %v", s, a, err)
		}
	}
	long := "/" + strings.Repeat("x", 96)
	if _, err := parseAddress(long, true, ""); err != nil {
		t.Error(err)
	}
	if _, err := parseAddress(long, true, "/"); err == nil {
		t.Error("a path that is too long with its prefix is accepted")
	}
}
