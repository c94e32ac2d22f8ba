package table

import (
	"testing"

	"github.com/peersd/peersd/protocol"
)

// What one peer pushes after its session broke may be older than what another
// one has said since. Only the lesson's lifetimes tell.
func TestMergeOfTwoOrigins(t *testing.T) {
	type step struct {
		origin uint8
		how    How
		u      *protocol.Update
		taken  bool
		want   string
	}
	k := func(v uint64) *protocol.Update { return update("k", v) }
	kt := func(remaining uint32, v uint64) *protocol.Update { return timed(remaining, "k", v) }
	for name, test := range map[string]struct {
		expire uint32
		steps  []step
	}{
		"older is refused twice": {1000, []step{
			{1, Taught, kt(900, 2), true, "900 [2]"},
			{2, Pushed, k(1), false, "900 [2]"},
			{2, Taught, kt(400, 1), false, "900 [2]"},
			{2, Replayed, k(1), false, "900 [2]"},
		}},
		"younger is taken with its own lifetime": {1000, []step{
			{1, Taught, kt(400, 1), true, "400 [1]"},
			{2, Pushed, k(2), false, "400 [1]"},
			{2, Taught, kt(900, 2), true, "900 [2]"},
			{2, Pushed, k(3), true, "1000 [3]"}, // its own by now
		}},
		"of two uncertain ones the lessons tell": {1000, []step{
			{1, Pushed, k(2), true, "1000 [2]"},
			{2, Pushed, k(1), true, "1000 [1]"},
			{2, Taught, kt(400, 1), true, "400 [1]"},
			{1, Taught, kt(900, 2), true, "900 [2]"},
		}},
		"a live change is younger than all": {1000, []step{
			{1, Taught, kt(900, 2), true, "900 [2]"},
			{2, Live, k(1), true, "1000 [1]"},
		}},
		"without lifetimes the last one is right": {0, []step{
			{1, Taught, kt(0, 2), true, "0 [2]"},
			{2, Pushed, k(1), true, "0 [1]"},
			{1, Live, k(3), true, "0 [3]"},
			{2, Replayed, k(4), true, "0 [4]"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			tb, first := newTable1(define(protocol.KeyString, 9, test.expire, protocol.GPC0))
			def := define(protocol.KeyString, 9, test.expire, protocol.GPC0)
			sources := map[uint8]*Source{1: first, 2: tb.Source(def)}
			for i, s := range test.steps {
				src := sources[s.origin]
				src.Origin = s.origin
				if taken := src.Merge(at(0), s.u, s.how); taken != s.taken {
					t.Fatalf("step %d: taken %v, want %v", i, taken, s.taken)
				}
				if got := get(tb, "k", at(0)); got != s.want {
					t.Fatalf("step %d: %q, want %q", i, got, s.want)
				}
				check(t, tb)
			}
		})
	}
}
