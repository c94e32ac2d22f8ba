package table

import "math"

// ReadRate is the value of a rate as HAProxy reads it (read_freq_ctr_period,
// src/freq_ctr.c), in integers: period and age in ms, the count in the current
// period and the one in the previous period.
//
// While the current period runs, the previous one counts for the part of a
// period that it still covers. A period that has run out is the previous one,
// and beyond two periods nothing is left. The exception keeps very low rates
// from flapping: a lone event of the previous period reads 1 until the end of
// the period after it.
func ReadRate(period, age, current, previous uint32) uint64 {
	p, a := uint64(period), uint64(age)
	c, v := uint64(current), uint64(previous)
	if a > p {
		if a > 2*p {
			return 0
		}
		c, v, a = 0, c, a-p
	}
	if p == 0 {
		return 0
	}
	if c == 0 && v <= 1 {
		return v
	}
	return c + v*(p-a)/p
}

// ageRate is the age, in ms, of a rate of which the age was known some ms ago.
// It does not grow beyond 31 bits: HAProxy reads ages as signed ones, and takes
// a greater one for a period that is yet to begin, so that what was over long
// ago would count again.
func ageRate(age uint32, ms int64) uint32 {
	if ms <= 0 || age >= math.MaxInt32 {
		return age
	}
	return uint32(min(int64(age)+ms, math.MaxInt32))
}

// maxAhead is by how many ms one clock of a HAProxy may be ahead of another.
const maxAhead = 1000

// begun is the age of a rate as it came, but 0 for one that is yet to begin: each
// thread of HAProxy has a clock of its own, and the one that counted may be a ms
// ahead of the one that pushes what it counted.
func begun(age uint32) uint32 {
	if int32(age) < 0 && int32(age) >= -maxAhead {
		return 0
	}
	return age
}
