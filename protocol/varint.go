package protocol

// MaxVarintLen is the most bytes that an encoded varint takes: 2^64-1 in 10.
const MaxVarintLen = 10

// AppendVarint appends v in the variable-length encoding of the peers
// protocol: one byte below 240, else the low four bits under an 0xF0 prefix
// and the rest in groups of seven bits, each group reduced by the values that
// a shorter encoding already covers.
func AppendVarint(b []byte, v uint64) []byte {
	if v < 240 {
		return append(b, byte(v))
	}
	b = append(b, byte(v)|0xf0)
	v = (v - 240) >> 4
	for v >= 128 {
		b = append(b, byte(v)|0x80)
		v = (v - 128) >> 7
	}
	return append(b, byte(v))
}

// ParseVarint reads a varint from the front of b and returns it with the
// number of bytes that it took. The number is 0 where b ends inside the varint
// and negative where the value does not fit 64 bits.
func ParseVarint(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	v = uint64(b[0])
	if v < 240 {
		return v, 1
	}
	for i, shift := 1, uint(4); ; i, shift = i+1, shift+7 {
		if i == len(b) {
			return 0, 0
		}
		// The tenth byte is shifted by 60: only four of its bits are left.
		if shift > 60 || shift == 60 && b[i] > 0x0f {
			return 0, -1
		}
		sum := v + uint64(b[i])<<shift
		if sum < v {
			return 0, -1
		}
		v = sum
		if b[i] < 128 {
			return v, i + 1
		}
	}
}
