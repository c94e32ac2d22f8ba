package haproxycfg

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

var testVars = map[string]string{"V1": "one", "V2": "a b  c", "V3": " a b ", "EMPTY": "", ".LINE": "7", ".SECTION": ""}

func testLookup(name string) (string, bool) {
	v, ok := testVars[name]
	return v, ok
}

// splitLine returns the words of a line.
func splitLine(line string, get lookup) ([]string, error) {
	s := splitter{in: line, get: get}
	if err := s.run(); err != nil {
		return nil, err
	}
	return s.words, nil
}

// What HAProxy makes of these was seen in its notices: testdata/notices-words.txt
// has more of them.
func TestSplitLine(t *testing.T) {
	tests := []struct {
		line string
		want []string
	}{
		{``, nil},
		{" \t ", nil},
		{`# a`, nil},
		{`a b	c`, []string{"a", "b", "c"}},
		{`a#b`, []string{"a"}},
		{`"a#b"\#c`, []string{"a#b#c"}},
		{`a\ b`, []string{"a b"}},
		{`a"b c"'d e'`, []string{"ab cd e"}},
		{`"" ''`, []string{"", ""}},
		{`a\`, []string{`a\`}},
		{`\q\1`, []string{`\q\1`}},
		{`\x41\n\r\t`, []string{"A\n\r\t"}},
		{`'\x41'`, []string{`\x41`}},
		{`$V1 '$V1' "$V1" "\$V1" \$V1`, []string{"$V1", "$V1", "one", "$V1", `\$V1`}},
		{`"$V1x" "${V1}x"`, []string{"onex"}},
		{`"${NO-d e}" "${V1-d}" "${EMPTY-d}" "${NO-}"`, []string{"d e", "one", "", ""}},
		{`"${V2[*]}"`, []string{"a", "b", "c"}},
		{`x"${V2[*]}"y`, []string{"xa", "b", "cy"}},
		{`"${V3[*]}"`, []string{"", "a", "b", ""}},
		{`"${NO[*]-a b}"`, []string{"a", "b"}},
		{`a "$NO" b c`, []string{"a", "b", "c"}},
		{`a "x$NO" b`, []string{"a", "xb"}},
		{`a "$NO"`, []string{"a", ""}},
		{`a "$NO" "b c"`, []string{"a", "b c"}},
		{`a "$NO x" b`, []string{"a", " x", "b"}},
		{`"${.LINE}" "$.SECTION" x`, []string{"7", "", "x"}},
		{"a\rb", []string{"a"}},
		{"a \r b", []string{"a", "b"}},
		{"a\vb\fc", []string{"a", "b", "c"}},
		{"é\\é", []string{`é\é`}},
	}
	for _, tt := range tests {
		got, err := splitLine(tt.line, testLookup)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, %v; want %q", tt.line, got, err, tt.want)
		}
	}
}

func TestSplitLineErrors(t *testing.T) {
	for _, tt := range []struct {
		line, want string
		column     int
	}{
		{`a "b`, "unmatched quote", 3},
		{`a 'b"`, "unmatched quote", 3},
		{`'a\'b'`, "unmatched quote", 6},
		{"\"a\rb\"", "unmatched quote", 1},
		{`a \x4`, "hexadecimal", 3},
		{`a \xg0`, "hexadecimal", 3},
		{`"$"`, "forbidden first character", 3},
		{`"$1"`, "forbidden first character", 3},
		{`"${}"`, "forbidden first character", 4},
		{`"${V1"`, "unmatched brace", 3},
		{`"${V1-x"`, "unmatched brace", 3},
		{`"${V1 }"`, "unmatched brace", 3},
		{`"${V1[1]}"`, "word expansion", 6},
		{`"$.NO"`, "unknown variable .NO", 2},
		{strings.Repeat("a ", 65), "too many words", 1},
	} {
		got, err := splitLine(tt.line, testLookup)
		bad, ok := errors.AsType[*badLine](err)
		if !ok || !strings.Contains(err.Error(), tt.want) || bad.column != tt.column {
			t.Errorf("%s: %q, %v; want %q at %d", tt.line, got, err, tt.want, tt.column)
		}
	}
	if got, err := splitLine(strings.Repeat("a ", 64), testLookup); err != nil || len(got) != 64 {
		t.Errorf("64 words: %d, %v", len(got), err)
	}
}

func FuzzSplitLine(f *testing.F) {
	for _, line := range []string{`a "b c"'d' \x41 # e`, `"${V1}" "${NO-x y}" "${V2[*]}" "$NO" z`, `\`, `"\`, `"$`, `"${`, `"${A-`, `"${A[*`, "\r", `'`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, err := splitLine(line, testLookup)
		if err != nil {
			if _, ok := errors.AsType[*badLine](err); !ok {
				t.Fatalf("%T", err)
			}
			return
		}
		// What was cut and is put in quotes again is cut the same, but for what
		// has no place between single quotes.
		quoted := make([]string, len(words))
		for i, w := range words {
			if strings.ContainsAny(w, "'\r\n\x00") {
				return
			}
			quoted[i] = "'" + w + "'"
		}
		again, err := splitLine(strings.Join(quoted, "\t"), testLookup)
		if err != nil || !slices.Equal(again, words) {
			t.Fatalf("%q, then %q, %v", words, again, err)
		}
	})
}
