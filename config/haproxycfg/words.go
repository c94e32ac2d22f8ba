package haproxycfg

import (
	"fmt"
	"strings"
)

// maxWords is how many words a line can have in HAProxy (MAX_LINE_ARGS).
const maxWords = 64

// maxExpanded bounds, in bytes, what a line is after its variables are resolved:
// they can double from line to line. HAProxy has no such limit.
const maxExpanded = 1 << 20

// A lookup returns the value of an environment variable, or of one of
// HAProxy's own that begin with a dot.
type lookup func(name string) (value string, ok bool)

// A badLine says why a line can't be cut into words.
type badLine struct {
	column     int // in bytes, from 1
	text, hint string
}

func (e *badLine) Error() string {
	return fmt.Sprintf("%s at position %d; %s", e.text, e.column, e.hint)
}

// A splitter cuts a line into words as HAProxy does: see "Words" in the
// documentation of the package. It is at one place of the line.
type splitter struct {
	in    string
	pos   int
	get   lookup
	words []string
	word  []byte
	// joined is the name of a variable that is not set, and so took the next
	// word along.
	joined string
	// expanded is how long the values of variables were so far.
	expanded int
	// inWord is true from a word's first character or quote on: "" is a word.
	inWord bool
	// quote is the one that is open, 0 without; quotePos is where it stands.
	quote    byte
	quotePos int
}

func (s *splitter) run() error {
	for s.pos < len(s.in) {
		c := s.in[s.pos]
		switch {
		case c == 0 || c == '\n' || c == '\r':
			return s.finish()
		case c == '#' && s.quote == 0:
			return s.finish()
		case (c == '"' || c == '\'') && (s.quote == 0 || s.quote == c):
			s.toggle(c)
		case c == '\\' && s.quote != '\'':
			if err := s.escape(); err != nil {
				return err
			}
		case isSpace(c) && s.quote == 0:
			s.endWord()
			s.skipSpaces()
		case c == '$' && s.quote == '"':
			if err := s.variable(); err != nil {
				return err
			}
		default:
			s.emit(c)
			s.pos++
		}
	}
	return s.finish()
}

func (s *splitter) finish() error {
	s.endWord()
	if s.quote != 0 {
		return s.bad(s.quotePos, "unmatched quote", "close it on the same line")
	}
	if len(s.words) > maxWords {
		return s.bad(0, "too many words", fmt.Sprintf("a line has %d at most", maxWords))
	}
	return nil
}

func (s *splitter) bad(pos int, text, hint string) error { return &badLine{pos + 1, text, hint} }

func (s *splitter) emit(c byte) {
	s.inWord = true
	s.word = append(s.word, c)
}

func (s *splitter) endWord() {
	if s.inWord {
		s.words = append(s.words, string(s.word))
		s.word, s.inWord = s.word[:0], false
	}
}

func (s *splitter) skipSpaces() {
	for s.pos < len(s.in) && isSpace(s.in[s.pos]) {
		s.pos++
	}
}

func (s *splitter) toggle(quote byte) {
	s.inWord = true
	if s.quote == quote {
		s.quote = 0
	} else {
		s.quote, s.quotePos = quote, s.pos
	}
	s.pos++
}

// peek is the byte n places on, 0 behind the end.
func (s *splitter) peek(n int) byte {
	if s.pos+n < len(s.in) {
		return s.in[s.pos+n]
	}
	return 0
}

// escape is at a backslash. One that escapes nothing stands for itself.
func (s *splitter) escape() error {
	c, n := byte('\\'), 1
	switch next := s.peek(1); {
	case strings.IndexByte(` \#'"`, next) >= 0, next == '$' && s.quote == '"':
		c, n = next, 2
	case next == 't':
		c, n = '\t', 2
	case next == 'n':
		c, n = '\n', 2
	case next == 'r':
		c, n = '\r', 2
	case next == 'x':
		high, low := hexDigit(s.peek(2)), hexDigit(s.peek(3))
		if high < 0 || low < 0 {
			return s.bad(s.pos, "truncated or invalid hexadecimal sequence", `write \x and two digits, as in \x20`)
		}
		c, n = byte(high<<4|low), 4
	}
	s.emit(c)
	s.pos += n
	return nil
}

// variable is at a dollar between double quotes.
func (s *splitter) variable() error {
	s.pos++
	start, brace := s.pos-1, s.peek(0) == '{'
	if brace {
		s.pos++
	}
	name, err := s.variableName()
	if err != nil {
		return err
	}
	value, ok := s.get(name)
	if !ok && name[0] == '.' {
		return s.bad(start, "unknown variable "+name, "of those with a dot there are .FILE, .LINE and .SECTION")
	}
	expand := false
	if brace {
		if expand, value, ok, err = s.braces(start, value, ok); err != nil {
			return err
		}
	}
	if s.expanded += len(value); s.expanded > maxExpanded {
		return s.bad(start, "the line is too long with the value of "+name, fmt.Sprintf("its variables can have %d bytes at most", maxExpanded))
	}
	s.inWord = true
	switch {
	case ok && expand:
		s.expand(value)
	case ok:
		s.word = append(s.word, value...)
	case s.peek(0) == '"':
		// HAProxy takes the quote and the spaces behind a variable that is
		// not set for its own: the next word goes on with this one.
		s.pos++
		behind := s.pos
		s.skipSpaces()
		s.quote = 0
		if c := s.peek(0); s.pos > behind && c != 0 && c != '#' {
			s.joined = name
		}
	}
	return nil
}

func (s *splitter) variableName() (string, error) {
	from := s.pos
	if c := s.peek(0); !isAlpha(c) && c != '_' && c != '.' {
		return "", s.bad(s.pos, "forbidden first character in the name of an environment variable",
			`write a dollar between double quotes as \$`)
	}
	s.pos++
	for c := s.peek(0); isAlpha(c) || isDigit(c) || c == '_'; c = s.peek(0) {
		s.pos++
	}
	return s.in[from:s.pos], nil
}

// braces reads what may follow a name between braces: [*], and a default.
func (s *splitter) braces(start int, value string, ok bool) (expand bool, _ string, _ bool, err error) {
	if s.peek(0) == '[' {
		if s.peek(1) != '*' || s.peek(2) != ']' {
			return false, "", false, s.bad(s.pos, "truncated or invalid word expansion sequence", `write "${NAME[*]}"`)
		}
		expand = true
		s.pos += 3
	}
	end := strings.IndexByte(s.in[s.pos:], '}')
	if end < 0 || end > 0 && s.peek(0) != '-' {
		return false, "", false, s.bad(start+1, "unmatched brace in the name of an environment variable",
			`write "${NAME}" or "${NAME-default}"`)
	}
	if end > 0 && !ok {
		value, ok = s.in[s.pos+1:s.pos+end], true
	}
	s.pos += end + 1
	return expand, value, ok, nil
}

// expand makes a word of each of the value's.
func (s *splitter) expand(value string) {
	for i := 0; i < len(value); i++ {
		if !isSpace(value[i]) {
			s.emit(value[i])
			continue
		}
		s.endWord()
	}
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isAlpha(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// hexDigit is the value of a digit, -1 where c is none.
func hexDigit(c byte) int {
	return strings.IndexByte("0123456789abcdef", lower(c))
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}
