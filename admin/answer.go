package admin

import (
	"regexp"
	"strings"
)

// What the socket answers, read again.

// ParseLines reads an answer of lines "name: value", as those to `show info` and
// `show activity`.
func ParseLines(answer string) (names, values []string) {
	for line := range strings.Lines(answer) {
		if name, value, found := strings.Cut(strings.TrimRight(line, "\n"), ":"); found {
			names, values = append(names, name), append(values, strings.TrimSpace(value))
		}
	}
	return names, values
}

var columnGap = regexp.MustCompile(` {2,}`)

// ParseColumns reads an answer of a head and lines below it, as those to
// `show tables` and `show limits`. Lines that begin with "#" are not among them. In
// the name of a column there is "_" for a space.
func ParseColumns(answer string) (head []string, rows [][]string) {
	for line := range strings.Lines(answer) {
		cells := columnGap.Split(strings.TrimSpace(line), -1)
		switch {
		case strings.HasPrefix(line, "#"):
		case head == nil:
			for _, name := range cells {
				head = append(head, strings.ReplaceAll(strings.TrimPrefix(name, "# "), " ", "_"))
			}
		default:
			rows = append(rows, cells)
		}
	}
	return head, rows
}
