package protocol_test

import (
	"testing"

	"github.com/peersd/peersd/protocol"
)

// What HAProxy 3.0.11, 3.2.26 and 3.4.7 print in `show table` of a section with
// shards 64, all three the same, on a machine whose integers begin with the low byte
// (e2e compares many more with those that run).
func TestShardOfKey(t *testing.T) {
	for _, tt := range []struct {
		table string
		kind  protocol.KeyType
		key   string
		want  int
	}{
		{"mypeers/strings", protocol.KeyString, "a", 26},
		{"mypeers/strings", protocol.KeyString, "b", 24},
		{"mypeers/strings", protocol.KeyString, "alice", 58},
		{"mypeers/strings", protocol.KeyString, "abcdefgh", 51},
		{"mypeers/strings", protocol.KeyString, "caf\xc3\xa9", 9},
		{"users", protocol.KeyString, "a", 52},
		{"users", protocol.KeyString, "b", 29},
		{"users", protocol.KeyString, "alice", 18},
		{"mypeers/integers", protocol.KeyInteger, "\x00\x00\x00\x00", 37},
		{"mypeers/integers", protocol.KeyInteger, "\x00\x00\x00\x01", 27},
		{"mypeers/integers", protocol.KeyInteger, "\x01\x00\x00\x00", 59},
		{"mypeers/integers", protocol.KeyInteger, "\xff\xff\xff\xff", 28},
		{"mypeers/v4", protocol.KeyIPv4, "\x0a\x00\x00\x01", 16},
		{"mypeers/v4", protocol.KeyIPv4, "\xc0\x00\x02\xff", 36},
		{"addresses", protocol.KeyIPv4, "\x0a\x00\x00\x01", 38},
		{"mypeers/v6", protocol.KeyIPv6, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", 54},
		{"mypeers/v6", protocol.KeyIPv6, "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", 48},
		{"mypeers/bytes", protocol.KeyBinary, "8 bytes!", 24},
		{"mypeers/bytes", protocol.KeyBinary, "short\x00\x00\x00", 53},
	} {
		if got := protocol.NewShards(64, tt.table, tt.kind).Of([]byte(tt.key)); got != tt.want {
			t.Errorf("%q of %s is of shard %d, want %d", tt.key, tt.table, got, tt.want)
		}
		if got := protocol.NewShards(1, tt.table, tt.kind).Of([]byte(tt.key)); got != 1 {
			t.Errorf("%q of %s is of shard %d of one", tt.key, tt.table, got)
		}
		if got := protocol.NewShards(0, tt.table, tt.kind).Of([]byte(tt.key)); got != 0 {
			t.Errorf("%q of %s is of shard %d of none", tt.key, tt.table, got)
		}
	}
}

func TestShardAllocatesNothing(t *testing.T) {
	s, key := protocol.NewShards(3, "users", protocol.KeyString), []byte("alice")
	if n := testing.AllocsPerRun(100, func() { s.Of(key) }); n != 0 {
		t.Errorf("%v allocations for a key", n)
	}
}

func BenchmarkShardOfKey(b *testing.B) {
	s, key := protocol.NewShards(3, "users", protocol.KeyString), []byte("a key of 32 bytes, as strings are")
	for b.Loop() {
		s.Of(key)
	}
}
