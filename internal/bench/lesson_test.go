package main

import (
	"testing"
	"time"
)

func TestEndOf(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name              string
		before, last, now progressAt
		want              time.Duration
	}{
		{"halfway", progressAt{50 * ms, 100}, progressAt{100 * ms, 200}, progressAt{150 * ms, 250}, 125 * ms},
		{"slower than before", progressAt{50 * ms, 100}, progressAt{100 * ms, 200}, progressAt{150 * ms, 400}, 150 * ms},
		{"nothing came before", progressAt{50 * ms, 0}, progressAt{100 * ms, 0}, progressAt{150 * ms, 9}, 150 * ms},
		{"asked once", progressAt{}, progressAt{}, progressAt{5 * ms, 9}, 5 * ms},
		{"some went", progressAt{50 * ms, 9}, progressAt{100 * ms, 8}, progressAt{150 * ms, 10}, 150 * ms},
	} {
		if got := endOf(tt.before, tt.last, tt.now); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}
