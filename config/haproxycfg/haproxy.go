package haproxycfg

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A HAProxy is the one that a file is read as: what version_atleast(),
// feature() and the like are answered by. The zero value is the HAProxy that
// this package was tested against.
type HAProxy struct {
	Version  string   // as `haproxy -v` has it
	Features []string // those with a "+" in `haproxy -vv`
	OpenSSL  string   // as `haproxy -vv` has it, "Running on SSL library version"
}

// Debian's package of 3.2.
var tested = HAProxy{
	Version: "3.2.26-1",
	Features: strings.Fields("ACCEPT4 BACKTRACE CPU_AFFINITY CRYPT_H DL EPOLL GETADDRINFO LIBCRYPT LINUX_CAP LINUX_SPLICE LINUX_TPROXY LUA MATH" +
		" NETFILTER NS OPENSSL OT PCRE2 PCRE2_JIT POLL PRCTL PROCCTL PROMEX QUIC RT SLZ SSL TFO THREAD THREAD_DUMP TPROXY ACME"),
	OpenSSL: "OpenSSL 3.6.5 29 Sep 2026",
}

func (h HAProxy) complete() *HAProxy {
	if h.Version == "" {
		h.Version = tested.Version
	}
	if h.Features == nil {
		h.Features = tested.Features
	}
	if h.OpenSSL == "" {
		h.OpenSSL = tested.OpenSSL
	}
	return &h
}

// branch is "3.2" of "3.2.26-1".
func (h *HAProxy) branch() string {
	parts := strings.SplitN(h.Version, ".", 3)
	if len(parts) < 2 {
		return h.Version
	}
	return parts[0] + "." + parts[1]
}

func (h *HAProxy) hasFeature(name string) bool { return slices.Contains(h.Features, name) }

// compare returns whether this version is below (-1), at (0) or above (1)
// another one. What is no version is below all.
func (h *HAProxy) compare(version string) int {
	own, _ := parseVersion(h.Version)
	other, ok := parseVersion(version)
	if !ok {
		return 1
	}
	return slices.Compare(own[:], other[:])
}

// A version is four numbers; whether it is a -dev (1), a -rc or -pre (2), or a
// release (3); the number of that; the commits behind it.
type version [7]int64

func parseVersion(s string) (v version, ok bool) {
	v[4] = 3
	numbers, tail, tagged := strings.Cut(s, "-")
	parts := strings.Split(numbers, ".")
	if s == "" || len(parts) > 4 {
		return v, false
	}
	for i, p := range parts {
		n, rest := leadingDecimal(p)
		if rest != "" {
			return v, false
		}
		v[i] = n
	}
	if !tagged {
		return v, true
	}
	return v, v.parseTail(tail)
}

// parseTail reads what is behind the first "-": "dev19", "dev19-abc-7", "1".
func (v *version) parseTail(tail string) bool {
	for tag, kind := range map[string]int64{"dev": 1, "rc": 2, "pre": 2} {
		rest, ok := strings.CutPrefix(tail, tag)
		if !ok {
			continue
		}
		v[4] = kind
		v[5], rest = leadingDecimal(rest)
		if rest == "" {
			return true
		}
		if tail, ok = strings.CutPrefix(rest, "-"); !ok {
			return false
		}
	}
	if i := strings.LastIndexByte(tail, '-'); i >= 0 {
		if tail = tail[i+1:]; tail == "" {
			return false
		}
	}
	n, rest := leadingDecimal(tail)
	if rest == "" {
		v[6] = n
	}
	return true
}

// leadingDecimal reads the digits at the beginning of s, as strtol() does.
func leadingDecimal(s string) (n int64, rest string) {
	digits := strings.TrimLeft(s, " \t\n\v\f\r")
	sign := strings.HasPrefix(digits, "-") || strings.HasPrefix(digits, "+")
	end := 0
	if sign {
		end = 1
	}
	for end < len(digits) && isDigit(digits[end]) {
		end++
	}
	n, err := strconv.ParseInt(digits[:end], 10, 64)
	if err != nil && n == 0 {
		return 0, s
	}
	return n, digits[end:]
}

// compareOpenSSL is [HAProxy.compare] for the version of its OpenSSL.
func (h *HAProxy) compareOpenSSL(version string) (int, error) {
	other, ok := parseOpenSSL(version)
	if !ok {
		return 0, fmt.Errorf("%q is no version of OpenSSL; write it as in 3.0.0 or 1.1.1a", version)
	}
	own, _ := parseOpenSSL(strings.Fields(h.OpenSSL + " ? ?")[1])
	if own >= 3<<28 {
		// What OpenSSL 3 calls its own number has the third one elsewhere
		// than HAProxy looks for it, and HAProxy compares the two as they are.
		own = own&0xfff00000 | own>>12&0xff<<4
	}
	return cmp.Compare(int32(own), int32(other)), nil // so 8.0.0 is below 7.0.0
}

// parseOpenSSL reads "1.1.1a", "3.0.2" and "3.5.0-beta1" into one number, as
// OpenSSL before 3 has it.
func parseOpenSSL(s string) (number uint32, ok bool) {
	major, s := leadingDecimal(s)
	if !strings.HasPrefix(s, ".") {
		return 0, false
	}
	minor, s := leadingDecimal(s[1:])
	if !strings.HasPrefix(s, ".") {
		return 0, false
	}
	fix, s := leadingDecimal(s[1:])
	if major < 0 || major > 0xf || minor < 0 || minor > 0xff || fix < 0 || fix > 0xff {
		return 0, false
	}
	patch, status := int64(0), int64(0xf)
	if tail, ok := strings.CutPrefix(s, "-"); ok {
		status = 0
		if beta, ok := strings.CutPrefix(tail, "beta"); ok {
			if status, _ = leadingDecimal(beta); status < 0 || status > 14 {
				return 0, false
			}
		}
	} else if s != "" {
		patch = 1
		for _, c := range []byte(s) {
			patch += int64(c&^0x20) - 'A'
		}
	}
	number = uint32(major<<28 | minor<<20 | fix<<12 | patch&0xff<<4 | status)
	return number, number != 0
}
