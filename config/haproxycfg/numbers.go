package haproxycfg

import (
	"fmt"
	"math"
	"strconv"
)

// parseSize reads a size as HAProxy does: a number that fits 32 bits, with k, m
// or g behind it for 2^10, 2^20 and 2^30.
func parseSize(s string) (uint32, error) {
	digits, shift := s, 0
	if s != "" {
		switch s[len(s)-1] | 0x20 {
		case 'k':
			shift = 10
		case 'm':
			shift = 20
		case 'g':
			shift = 30
		}
	}
	if shift > 0 {
		digits = s[:len(s)-1]
	}
	n, err := strconv.ParseUint(digits, 10, 32-shift)
	if err != nil {
		return 0, fmt.Errorf("'%s' is no size below 4g; write it as in 100000, 100k, 2m or 1g", s)
	}
	return uint32(n) << shift, nil
}

// timeUnits are in microseconds.
var timeUnits = map[string]uint64{"us": 1, "ms": 1000, "s": 1e6, "m": 60e6, "h": 3600e6, "d": 86400e6}

// parseTime reads a time as HAProxy does, in ms. What follows a unit is left
// out, with a warning in HAProxy; it is returned.
func parseTime(s string) (ms uint32, behind string, err error) {
	digits := 0
	for digits < len(s) && isDigit(s[digits]) {
		digits++
	}
	unit, behind := s[digits:], ""
	switch {
	case unit == "":
		unit = "ms"
	case len(unit) > 1 && (unit[:2] == "us" || unit[:2] == "ms"):
		unit, behind = unit[:2], unit[2:]
	default:
		unit, behind = unit[:1], unit[1:]
	}
	scale, ok := timeUnits[unit]
	if digits == 0 || !ok {
		return 0, "", fmt.Errorf("'%s' is no time; write it as in 30s, 5m, 1h or 10d", s)
	}
	n, err := strconv.ParseUint(s[:digits], 10, 64)
	if err != nil || n > math.MaxInt32*1000/scale {
		return 0, "", fmt.Errorf("'%s' is more than the longest time, 2147483647 ms; write at most 24d", s)
	}
	return uint32((n*scale + 999) / 1000), behind, nil
}

// atoi reads the integer that s begins with, as atol() does: 0 without one.
func atoi(s string) int {
	n, _ := leadingDecimal(s)
	return int(max(min(n, math.MaxInt32), math.MinInt32))
}
