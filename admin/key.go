package admin

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// parseKey reads a key of t as HAProxy's socket does, in the form in which the
// table has it. Keys of binary tables can't be named there.
func parseKey(t *table.Table, text string) (key []byte, ok bool) {
	switch t.KeyType() {
	case protocol.KeyInteger:
		return binary.BigEndian.AppendUint32(nil, parseInteger(text)), true
	case protocol.KeyIPv4:
		return parseIPv4Key(text)
	case protocol.KeyIPv6:
		if a, ok := parseIPv4(text); ok {
			a16 := netip.AddrFrom4(a).As16()
			return a16[:], true
		}
		a, ok := parseIPv6(text)
		return a[:], ok
	}
	return []byte(text[:min(len(text), t.KeyLen()-1)]), true
}

// parseInteger reads a number up to where it ends: from nothing, that is 0. Beyond
// 64 bits it is the greatest or the least one of these, and of it 32 bits are the
// key.
func parseInteger(text string) uint32 {
	digits := strings.TrimLeft(text, "+-")
	if len(text)-len(digits) > 1 {
		return 0
	}
	end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		text = text[:len(text)-len(digits)+end]
	}
	n, _ := strconv.ParseInt(text, 10, 64) // out of range it is the bound
	return uint32(n)
}

// parseIPv4Key also takes an IPv6 address that stands for an IPv4 one: mapped,
// compatible, or of 6to4.
func parseIPv4Key(text string) (key []byte, ok bool) {
	if a, ok := parseIPv4(text); ok {
		return a[:], true
	}
	a, ok := parseIPv6(text)
	if !ok {
		return nil, false
	}
	switch {
	case [10]byte(a[:10]) == [10]byte{} && (a[10] == 0xff && a[11] == 0xff || a[10] == 0 && a[11] == 0):
		return a[12:], true
	case a[0] == 0x20 && a[1] == 0x02:
		return a[2:6], true
	}
	return nil, false
}

// parseIPv4 reads four numbers up to the first character that is no digit and no
// dot. What stands behind it is left alone.
func parseIPv4(text string) (a [4]byte, ok bool) {
	if end := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }); end >= 0 {
		text = text[:end]
	}
	parts := strings.Split(text, ".")
	if len(parts) != len(a) {
		return a, false
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 64)
		if err != nil || n > math.MaxUint8 {
			return a, false
		}
		a[i] = byte(n)
	}
	return a, true
}

func parseIPv6(text string) (a [16]byte, ok bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return a, false
	}
	return addr.As16(), true
}
