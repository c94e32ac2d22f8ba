package admin

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// units are those of HAProxy's times, longer names first.
var units = []struct {
	name string
	unit time.Duration
}{
	{"us", time.Microsecond}, {"ms", time.Millisecond}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour},
}

// parseTime reads a time as haproxy.cfg has it, a number and a unit, in multiples
// of the unit that a bare number is of, rounded up. There may be less than 2^31 of
// these.
func parseTime(s string, unit time.Duration) (time.Duration, bool) {
	digits, each := s, unit
	for _, u := range units {
		if d, found := strings.CutSuffix(s, u.name); found {
			digits, each = d, u.unit
			break
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n > math.MaxInt64/uint64(each) {
		return 0, false
	}
	count := (n*uint64(each) + uint64(unit) - 1) / uint64(unit)
	return time.Duration(count) * unit, count <= math.MaxInt32
}

// humanTime writes a time as HAProxy's `show peers` does: the two greatest units
// of days, hours, minutes and seconds that are not 0. That are never four.
func humanTime(d time.Duration) string {
	left := int64(d / time.Second)
	if left <= 0 {
		return "0s"
	}
	s, count := "", 2
	for i := len(units) - 1; i >= 2; i-- {
		each := int64(units[i].unit / time.Second)
		if n := left / each; n > 0 && count > 0 {
			s += fmt.Sprint(n, units[i].name)
			count--
		}
		left %= each
	}
	return s
}

// ago is how long an instant is past, in HAProxy's words.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "<NEVER>"
	}
	return humanTime(now.Sub(t))
}
