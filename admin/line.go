package admin

import (
	"bufio"
	"errors"
	"strings"
)

// Limits of a line, as HAProxy has them.
const (
	maxLine  = 16384 // bytes with its line feed and its payload: tune.bufsize
	maxWords = 64    // of a command
)

var errLongLine = errors.New("the line is too long")

// A line is what is read at once: commands, each but the first behind a ";".
type line struct {
	commands []string
	// A payload follows, up to a line that is pattern alone: the last command
	// ended with "<<" and that pattern.
	payload bool
	pattern string
}

// maxPattern is how long the pattern that ends a payload may be; a longer one is a
// word like any other.
const maxPattern = 7

// readLine reads up to a line feed without a backslash in front, which is not part
// of what it returns, and at most left bytes.
func readLine(r *bufio.Reader, left int) ([]byte, error) {
	var text []byte
	for escaped := false; len(text) < left; {
		c, err := r.ReadByte()
		if err != nil {
			return nil, err // a line that is not over is no line: what of it is missing may be what matters
		}
		if c == '\n' && !escaped {
			return text, nil
		}
		escaped = c == '\\' && !escaped
		text = append(text, c)
	}
	return nil, errLongLine
}

// parseLine cuts a line into its commands, exactly as HAProxy 3.2 does: also at a
// NUL, and at a carriage return that ends it, behind which there is one more
// command, an empty one.
func parseLine(text []byte) (l line) {
	from, escaped := 0, false
	for i, c := range text {
		if c == 0 || c == ';' && !escaped || c == '\r' && i == len(text)-1 {
			l.commands = append(l.commands, string(text[from:i]))
			from = i + 1
		}
		escaped = c == '\\' && !escaped
	}
	last := string(text[from:])
	word := last[strings.LastIndexAny(last, " \t")+1:]
	if pattern, found := strings.CutPrefix(word, "<<"); found && len(pattern) <= maxPattern {
		l.payload, l.pattern = true, pattern
		last = strings.TrimSuffix(last, word)
	}
	l.commands = append(l.commands, last)
	return l
}

// parseWords cuts a command into words. A backslash makes the next character one
// like any other. more tells whether there is something behind the words that a
// command may have.
func parseWords(command string) (words []string, more bool) {
	var word []byte
	for i := 0; i < len(command); i++ {
		if len(words) == maxWords {
			return words, true
		}
		switch c := command[i]; c {
		case ' ', '\t':
			if len(word) > 0 {
				words, word = append(words, string(word)), nil
			}
		case '\\':
			if i++; i < len(command) {
				word = append(word, command[i])
			}
		default:
			word = append(word, c)
		}
	}
	if len(word) > 0 {
		words = append(words, string(word))
	}
	return words, false
}
