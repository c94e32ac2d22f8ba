package protocol_test

import (
	"bytes"
	"encoding/hex"
	"math"
	"testing"

	"github.com/peersd/peersd/protocol"
)

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestVarint(t *testing.T) {
	for _, tt := range []struct {
		value uint64
		wire  string
	}{
		{0, "00"},
		{239, "ef"},
		{240, "f000"},
		{241, "f100"},
		{255, "ff00"},
		{256, "f001"},
		{2287, "ff7f"},
		{2288, "f08000"},
		{264431, "ffff7f"},
		{264432, "f0808000"},
		{math.MaxUint32, "fff0fefe7e"},
		{math.MaxUint64, "fff0fefefefefefefe0e"},
	} {
		wire := unhex(t, tt.wire)
		if got := protocol.AppendVarint(nil, tt.value); !bytes.Equal(got, wire) {
			t.Errorf("%d is encoded as %x, not %x", tt.value, got, wire)
		}
		if v, n := protocol.ParseVarint(append(wire, 0xff, 0xff)); v != tt.value || n != len(wire) {
			t.Errorf("%x is read as %d, %d bytes, not %d, %d bytes", wire, v, n, tt.value, len(wire))
		}
		for i := range wire {
			if v, n := protocol.ParseVarint(wire[:i]); v != 0 || n != 0 {
				t.Errorf("%x is read as %d, %d bytes, though it is cut short", wire[:i], v, n)
			}
		}
	}
}

// Around each value from which on a byte more is needed.
func TestVarintGrowsByOneByteAtATime(t *testing.T) {
	size, limit := 1, uint64(240)
	for shift := 4; shift < 64; shift += 7 {
		for v := limit - 2; v != limit+2; v++ {
			want := size
			if v >= limit {
				want++
			}
			b := protocol.AppendVarint(nil, v)
			if got, n := protocol.ParseVarint(b); got != v || n != len(b) || n != want {
				t.Errorf("%d takes %d bytes, not %d, and is read as %d from %d", v, len(b), want, got, n)
			}
		}
		size++
		limit += 1 << (shift + 7)
	}
	if size != protocol.MaxVarintLen {
		t.Errorf("%d bytes at most, not %d", size, protocol.MaxVarintLen)
	}
}

func TestVarintRefusesWhatDoesNotFit64Bits(t *testing.T) {
	for _, wire := range []string{
		"fff0fefefefefefefe0f",   // 2^64 and a bit: overflow while adding
		"f0f1fefefefefefefe0e",   // 2^64, by its first two bytes
		"ffffffffffffffffff0f",   // overflow while adding
		"fff0fefefefefefefe10",   // a bit beyond the 64th
		"fff0fefefefefefefe7f",   // several
		"fff0fefefefefefefe8000", // 11 bytes
		"ffffffffffffffffffffff",
	} {
		if v, n := protocol.ParseVarint(unhex(t, wire)); v != 0 || n >= 0 {
			t.Errorf("%s is read as %d, %d bytes", wire, v, n)
		}
	}
}
