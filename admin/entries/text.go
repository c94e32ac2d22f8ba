package entries

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const hexDigits = "0123456789ABCDEF"

// letters are what stands behind a backslash for some characters.
var letters = map[byte]byte{'t': '\t', 'n': '\n', 'r': '\r', 'e': 0x1b, '\\': '\\', ' ': ' ', '=': '='}

// Unescape reads text as `show table` writes it. What needs no backslash may be
// without.
func Unescape(text string) (string, error) {
	if !strings.Contains(text, `\`) {
		return text, nil
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			b.WriteByte(text[i])
			continue
		}
		i++
		var code byte
		switch c, found := letters[byteAt(text, i)]; {
		case found:
			b.WriteByte(c)
		case byteAt(text, i) == 'x' && parseHex(text[i+1:], &code):
			b.WriteByte(code)
			i += 2
		default:
			return "", fmt.Errorf(`%.100q has a backslash that means nothing; write a backslash itself as \\, other characters as \x and two digits`, text)
		}
	}
	return b.String(), nil
}

func byteAt(text string, i int) byte {
	if i < len(text) {
		return text[i]
	}
	return 0
}

// parseHex reads the two digits that text begins with.
func parseHex(text string, code *byte) bool {
	for i := range 2 {
		n := strings.IndexByte(hexDigits, byteAt(strings.ToUpper(text[:min(len(text), 2)]), i))
		if n < 0 || len(text) < 2 {
			return false
		}
		*code = *code<<4 | byte(n)
	}
	return true
}

// Escape writes text so that it can be seen, and Unescape reads it: with a backslash
// in front of those, and of what is no printable UTF-8.
func Escape(text string) string {
	plain := true
	for i := range len(text) {
		plain = plain && text[i] >= ' ' && text[i] < 0x7f && text[i] != '\\'
	}
	if plain {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case r == utf8.RuneError && size == 1, r < ' ', r >= 0x7f && r < 0xa0:
			for _, c := range []byte(text[i : i+size]) {
				b.WriteString(`\x`)
				b.WriteByte(hexDigits[c>>4])
				b.WriteByte(hexDigits[c&15])
			}
		default:
			b.WriteString(text[i : i+size])
		}
		i += size
	}
	return b.String()
}
