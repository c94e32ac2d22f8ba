package entries

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

var errObject = errors.New(`it is no JSON object, as in {"key":"10.0.0.1","expire":600000,"gpt0":1}`)

// eachMember calls do with the members of an object, as text, whether their values
// are numbers or strings; others are refused. Most files have plain ones only, which take a tenth of the
// time that package json needs.
func eachMember(object string, do func(name, value string) error) error {
	names, values, plain := plainMembers(object)
	if !plain {
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(object), &members); err != nil {
			return errObject
		}
		for name := range members {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			value := string(members[name])
			switch {
			case value[0] == '"':
				json.Unmarshal(members[name], &value) // it is valid
			case !strings.Contains("-0123456789", value[:1]):
				return fmt.Errorf("%q is neither a number nor text", name)
			}
			values = append(values, value)
		}
	}
	for i, name := range names {
		if err := do(name, values[i]); err != nil {
			return err
		}
	}
	return nil
}

// plainMembers cuts an object whose names and strings have nothing escaped and are
// ASCII, and whose other values are whole numbers; plain is whether it is one.
func plainMembers(object string) (names, values []string, plain bool) {
	names, values = make([]string, 0, 8), make([]string, 0, 8)
	rest, ok := cutMark(object, '{')
	for ok {
		var name, value string
		if name, rest, ok = cutString(rest); !ok {
			break
		}
		if rest, ok = cutMark(rest, ':'); !ok {
			break
		}
		if value, rest, ok = cutString(rest); !ok {
			value = rest[:len(rest)-len(strings.TrimLeft(rest, "-0123456789"))]
			rest = strings.TrimLeft(rest[len(value):], " \t")
			if ok = isNumber(value); !ok {
				break
			}
		}
		names, values = append(names, name), append(values, value)
		if end, over := cutMark(rest, '}'); over {
			return names, values, end == ""
		}
		rest, ok = cutMark(rest, ',')
	}
	return nil, nil, false
}

// cutMark cuts a character and the spaces behind it.
func cutMark(text string, mark byte) (rest string, ok bool) {
	if text == "" || text[0] != mark {
		return text, false
	}
	return strings.TrimLeft(text[1:], " \t"), true
}

// cutString cuts a plain string and the spaces behind it.
func cutString(text string) (value, rest string, ok bool) {
	if text == "" || text[0] != '"' {
		return "", text, false
	}
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return text[1:i], strings.TrimLeft(text[i+1:], " \t"), true
		case c < ' ' || c > '~' || c == '\\':
			return "", text, false
		}
	}
	return "", text, false
}

// isNumber reports whether text, of digits and dashes, is a number in JSON.
func isNumber(text string) bool {
	digits := strings.TrimPrefix(text, "-")
	return digits != "" && !strings.Contains(digits, "-") && (digits == "0" || digits[0] != '0')
}
