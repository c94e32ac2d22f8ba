package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// figures are the values of one thing, one a round.
type figures []float64

// median is that of the sorted f: between two, where their number is even.
func (f figures) median() float64 {
	s := slices.Sorted(slices.Values(f))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// String is "0.52 (0.48 to 0.60)".
func (f figures) String() string {
	if len(f) == 1 {
		return short(f[0])
	}
	return fmt.Sprintf("%s (%s to %s)", short(f.median()), short(slices.Min(f)), short(slices.Max(f)))
}

// short is v with three digits, and no more than three decimals; none where v is
// a whole number.
func short(v float64) string {
	decimals := 3
	if v == math.Trunc(v) {
		decimals = 0
	}
	for limit := 1.0; limit <= v && decimals > 0; limit *= 10 {
		decimals--
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}

// A mark is what has to be reached. Its zero value is none.
type mark struct {
	limit   float64
	atLeast bool // not at most
	always  bool // in each round, not by the median only
}

func (m mark) String() string {
	if m == (mark{}) {
		return ""
	}
	s := "≤ "
	if m.atLeast {
		s = "≥ "
	}
	s += strconv.FormatFloat(m.limit, 'f', -1, 64)
	if m.always {
		s += " in each round"
	}
	return s
}

// missed reports whether f does not reach the mark.
func (m mark) missed(f figures) bool {
	of := f.median()
	switch {
	case m == (mark{}):
		return false
	case m.always && m.atLeast:
		of = slices.Min(f)
	case m.always:
		of = slices.Max(f)
	}
	if m.atLeast {
		return of < m.limit
	}
	return of > m.limit
}
