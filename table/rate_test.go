package table

import (
	"math"
	"testing"
)

func TestReadRate(t *testing.T) {
	const p = 10_000
	for _, test := range []struct {
		name                   string
		period, age, cur, prev uint32
		want                   uint64
	}{
		{"period just begun", p, 0, 3, 8, 11},
		{"a quarter", p, p / 4, 3, 8, 9},
		{"rounded down", p, 1, 0, 2, 1},
		{"one ms to go", p, p - 1, 3, p, 4},
		{"a = p", p, p, 3, 8, 3},
		{"current has become previous", p, p + 1, p, 8, p - 1},
		{"half of it is left", p, p + p/2, 7, 8, 3},
		{"a = 2p", p, 2 * p, 7, 8, 0},
		{"beyond", p, 2*p + 1, 7, 8, 0},
		{"never counted", p, 4294949264, 0, 0, 0},
		{"greatest age", p, math.MaxUint32, math.MaxUint32, math.MaxUint32, 0},

		{"flapping: lone previous", p, p - 1, 0, 1, 1},
		{"flapping: at a = p", p, p, 0, 1, 1},
		{"flapping: gone after it", p, p + 1, 0, 1, 0},
		{"flapping: lone current", p, p + 1, 1, 0, 1},
		{"flapping: lone current with many before", p, p + 1, 1, 100, 1},
		{"flapping: at a = 2p", p, 2 * p, 1, 0, 1},
		{"flapping: beyond", p, 2*p + 1, 1, 0, 0},
		{"no flapping with two", p, p - 1, 0, 2, 0},
		{"no flapping with a current", p, p - 1, 1, 1, 1},

		{"no period", 0, 0, 5, 5, 0},
		{"no period, any age", 0, 1, 5, 5, 0},
		{"period of 1", 1, 1, 5, 9, 5},
		{"twice the period passes 32 bits", 1 << 31, math.MaxUint32, 4, 0, 0},
		{"twice the period passes 32 bits, half", 1 << 31, 3 << 30, 4, 0, 2},
		{"greatest period", math.MaxUint32, 0, math.MaxUint32, math.MaxUint32, 2 * math.MaxUint32},
		{"greatest period, greatest age", math.MaxUint32, math.MaxUint32, 7, math.MaxUint32, 7},
	} {
		if got := ReadRate(test.period, test.age, test.cur, test.prev); got != test.want {
			t.Errorf("%s: ReadRate(%d, %d, %d, %d) = %d, want %d", test.name, test.period, test.age, test.cur, test.prev, got, test.want)
		}
	}
}

func TestAgeRate(t *testing.T) {
	for _, test := range []struct {
		age  uint32
		ms   int64
		want uint32
	}{
		{5, 0, 5},
		{5, -1, 5},
		{5, 10, 15},
		{math.MaxInt32 - 1, 1, math.MaxInt32},
		{math.MaxInt32 - 1, 2, math.MaxInt32},
		{math.MaxInt32, 1, math.MaxInt32},
		{0, math.MaxInt64, math.MaxInt32},
		// As it came: HAProxy's ages wrap.
		{4294949264, 0, 4294949264},
		{4294949264, 30_000, 4294949264},
		{math.MaxUint32, 1, math.MaxUint32},
	} {
		if got := ageRate(test.age, test.ms); got != test.want {
			t.Errorf("ageRate(%d, %d) = %d, want %d", test.age, test.ms, got, test.want)
		}
	}
}

// TestAgedRateStaysOver: what HAProxy makes of the age of a rate that we kept
// for long, as a signed 32-bit number, is over too.
func TestAgedRateStaysOver(t *testing.T) {
	const period = 10_000
	for _, days := range []int64{1, 20, 24, 25, 26, 49, 50, 100, 10_000} {
		age := ageRate(100, days*86_400_000)
		if remain := int32(period - age); remain >= -period {
			t.Errorf("after %d days HAProxy reads an age of %d as %d ms to go", days, age, remain)
		}
		if r := ReadRate(period, age, 5, 5); r != 0 {
			t.Errorf("after %d days the rate is %d", days, r)
		}
	}
}
