package admin

import (
	"bufio"
	"bytes"
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
	for len(text) < left {
		if _, err := r.Peek(1); err != nil {
			return nil, err // a line that is not over is no line: what of it is missing may be what matters
		}
		part, _ := r.Peek(min(r.Buffered(), left-len(text)))
		end := bytes.IndexByte(part, '\n')
		if end >= 0 {
			part = part[:end+1]
		}
		text = append(text, part...)
		r.Discard(len(part))
		if end >= 0 && !endsEscaped(text[:len(text)-1]) {
			return text[:len(text)-1], nil
		}
	}
	return nil, errLongLine
}

// endsEscaped reports whether what follows text has a backslash in front: one that
// has none in front itself.
func endsEscaped(text []byte) bool {
	return (len(text)-len(bytes.TrimRight(text, `\`)))%2 == 1
}

// parseLine cuts a line into its commands, exactly as HAProxy 3.2 does: also at a
// NUL, and at a carriage return that ends it, behind which there is one more
// command, an empty one.
func parseLine(text string) (l line) {
	from, escaped := 0, false
	for i := range len(text) {
		c := text[i]
		if c == 0 || c == ';' && !escaped || c == '\r' && i == len(text)-1 {
			l.commands = append(l.commands, text[from:i])
			from = i + 1
		}
		escaped = c == '\\' && !escaped
	}
	last := text[from:]
	word := last[strings.LastIndexAny(last, " \t")+1:]
	if pattern, found := strings.CutPrefix(word, "<<"); found && len(pattern) <= maxPattern {
		l.payload, l.pattern = true, pattern
		last = strings.TrimSuffix(last, word)
	}
	l.commands = append(l.commands, last)
	return l
}

// parseWords cuts a command into words, which it appends to none. A backslash makes
// the next character one like any other. more tells whether there is something behind
// the words that a command may have.
func parseWords(none []string, command string) (words []string, more bool) {
	words = none
	for i := 0; i < len(command); {
		if len(words) == maxWords {
			return words, true
		}
		if c := command[i]; c == ' ' || c == '\t' {
			i++
			continue
		}
		var word string
		if word, i = cutWord(command, i); word != "" {
			words = append(words, word)
		}
		i++ // what ended it
	}
	return words, false
}

// cutWord returns the word that begins at i, and where it ends. It may be empty: a
// backslash with nothing behind it.
func cutWord(command string, i int) (string, int) {
	end := strings.IndexAny(command[i:], " \t\\")
	if end < 0 {
		return command[i:], len(command)
	}
	if command[i+end] != '\\' {
		return command[i : i+end], i + end
	}
	word := []byte(command[i : i+end])
	for i += end; i < len(command) && command[i] != ' ' && command[i] != '\t'; i++ {
		if command[i] == '\\' {
			if i++; i == len(command) {
				break
			}
		}
		word = append(word, command[i])
	}
	return string(word), i
}
