package admin

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// What a line is cut into is HAProxy 3.2's; that it is, end to end, is tested in
// package e2e.
func TestParseLine(t *testing.T) {
	tests := []struct {
		name, line string
		commands   []string
		payload    string // "-" without one
	}{
		{"one", "show table", []string{"show table"}, "-"},
		{"nothing", "", []string{""}, "-"},
		{"several", "a;b; c", []string{"a", "b", " c"}, "-"},
		{"nothing in between", ";a;;", []string{"", "a", "", ""}, "-"},
		{"escaped", `a\;b;c`, []string{`a\;b`, "c"}, "-"},
		{"an escaped backslash", `a\\;b`, []string{`a\\`, "b"}, "-"},
		{"NUL", "a\x00b", []string{"a", "b"}, "-"},
		{"an escaped NUL", "a\\\x00b", []string{`a\`, "b"}, "-"},
		{"carriage return", "a\r", []string{"a", ""}, "-"},
		{"carriage returns", "a\r\r", []string{"a\r", ""}, "-"},
		{"carriage return within", "a\rb", []string{"a\rb"}, "-"},
		{"payload", "a b <<", []string{"a b "}, ""},
		{"payload up to a word", "a;b <<END", []string{"a", "b "}, "END"},
		{"payload alone", "<<", []string{""}, ""},
		{"payload of a command in front", "a <<;b", []string{"a <<", "b"}, "-"},
		{"a pattern that is too long", "a <<12345678", []string{"a <<12345678"}, "-"},
		{"no payload: not the last word", "a << b", []string{"a << b"}, "-"},
		{"no payload: not a word's beginning", "a<<", []string{"a<<"}, "-"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := parseLine(tt.line)
			payload := "-"
			if l.payload {
				payload = l.pattern
			}
			if !slices.Equal(l.commands, tt.commands) || payload != tt.payload {
				t.Errorf("got %q, payload %q", l.commands, payload)
			}
		})
	}
}

func TestParseWords(t *testing.T) {
	most := strings.Repeat("x ", maxWords)
	for command, want := range map[string][]string{
		"":                  nil,
		" \t ":              nil,
		"show table":        {"show", "table"},
		"\t show \ttable  ": {"show", "table"},
		`a\ b c`:            {"a b", "c"},
		`a\\b`:              {`a\b`},
		`a\bc\=`:            {"abc="},
		`a\`:                {"a"},
		`a \`:               {"a"},
		`\;\	`:              {";\t"},
		`"a b"`:             {`"a`, `b"`},
		most:                strings.Fields(most),
	} {
		if got, more := parseWords(nil, command); !slices.Equal(got, want) || more {
			t.Errorf("%q: got %q, more %v", command, got, more)
		}
	}
	for _, command := range []string{most + " ", most + "x"} {
		if got, more := parseWords(nil, command); len(got) != maxWords || !more {
			t.Errorf("%d words, more %v", len(got), more)
		}
	}
}

func TestReadLine(t *testing.T) {
	long := strings.Repeat("x", maxLine-1)
	tests := []struct {
		in, want string
		err      error
	}{
		{"a\nb\n", "a", nil},
		{"\n", "", nil},
		{"a\\\nb\nc", "a\\\nb", nil},
		{"a\\\\\nb\n", "a\\\\", nil},
		{"", "", io.EOF},
		{"a line that is cut short", "", io.EOF},
		{long + "\n", long, nil},
		{long + "x\n", "", errLongLine},
		{long + long, "", errLongLine},
		{long + "x", "", errLongLine}, // no more is waited for
		{"\\\n\\\n\n", "\\\n\\\n", nil},
	}
	for _, tt := range tests {
		for _, in := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in))} {
			got, err := readLine(bufio.NewReader(in), maxLine)
			if string(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%.20q: got %.20q, %v", tt.in, got, err)
			}
		}
	}
}

// Whatever is sent, nothing is lost but what means something: words that are put
// together again, escaped, are the same words.
func FuzzLine(f *testing.F) {
	for _, seed := range []string{"show table t1", `set table t key a\ b\\ data.gpc0 1;clear table t`, ";;\r", "a <<END", "\x00\\\x00;\\"} {
		f.Add(seed)
	}
	escape := strings.NewReplacer(`\`, `\\`, " ", `\ `, "\t", "\\\t")
	f.Fuzz(func(t *testing.T, text string) {
		l := parseLine(text)
		if len(l.commands) == 0 || len(l.pattern) > maxPattern {
			t.Fatalf("%q: %q, pattern %q", text, l.commands, l.pattern)
		}
		for _, command := range l.commands {
			words, more := parseWords(nil, command)
			if len(words) > maxWords || slices.Contains(words, "") {
				t.Fatalf("%q: words %q", command, words)
			}
			var escaped []string
			for _, w := range words {
				escaped = append(escaped, escape.Replace(w))
			}
			if again, _ := parseWords(nil, strings.Join(escaped, " ")); !more && !slices.Equal(again, words) {
				t.Fatalf("%q: words %q, and again %q", command, words, again)
			}
		}
	})
}
