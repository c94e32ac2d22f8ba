package haproxycfg

import (
	"fmt"
	"strconv"
	"strings"
)

// A condition evaluates the text behind .if and .elif.
type condition struct {
	in  string
	pos int
	env *environment
}

// maxDepth bounds how deep parentheses nest (MAX_CFG_RECURSION).
const maxDepth = 1024

// evalCondition evaluates a condition, whose words are joined by single spaces.
// An empty one is false.
func evalCondition(text string, env *environment) (bool, error) {
	if text == "" {
		return false, nil
	}
	c := condition{in: text, env: env}
	result, err := c.or(maxDepth)
	if err != nil {
		return false, err
	}
	if c.skipBlanks(); c.pos < len(c.in) {
		return false, c.bad("unexpected %q at the end of the condition", c.in[c.pos:])
	}
	return result, nil
}

func (c *condition) bad(format string, args ...any) error {
	return fmt.Errorf("%s; write it as in defined(NAME) && !streq(\"$NAME\",value)", fmt.Sprintf(format, args...))
}

func (c *condition) skipBlanks() {
	for c.pos < len(c.in) && (c.in[c.pos] == ' ' || c.in[c.pos] == '\t') {
		c.pos++
	}
}

func (c *condition) take(prefix string) bool {
	if !strings.HasPrefix(c.in[c.pos:], prefix) {
		return false
	}
	c.pos += len(prefix)
	return true
}

// or reads terms with "||" between them. All are evaluated, since none has an
// effect; that the whole can be read is checked in any case, as in HAProxy.
func (c *condition) or(depth int) (bool, error) {
	result, err := c.and(depth - 1)
	for err == nil && c.operator("||") {
		var next bool
		next, err = c.and(depth - 1)
		result = result || next
	}
	return result, err
}

func (c *condition) and(depth int) (bool, error) {
	result, err := c.term(depth - 1)
	for err == nil && c.operator("&&") {
		var next bool
		next, err = c.term(depth - 1)
		result = result && next
	}
	return result, err
}

func (c *condition) operator(op string) bool {
	c.skipBlanks()
	return c.take(op)
}

func (c *condition) term(depth int) (bool, error) {
	c.skipBlanks()
	negated := false
	for c.take("!") {
		negated = !negated
		c.skipBlanks()
	}
	result, err := c.operand(depth)
	return result != negated, err
}

func (c *condition) operand(depth int) (bool, error) {
	if depth <= 0 {
		return false, c.bad("the condition has too many parentheses")
	}
	if n, size := leadingInt(c.in[c.pos:]); size > 0 {
		c.pos += size
		return n != 0, nil
	}
	if c.take("(") {
		result, err := c.or(depth - 1)
		if err != nil {
			return false, err
		}
		if c.skipBlanks(); !c.take(")") {
			return false, c.bad("expected \")\" before %q", c.in[c.pos:])
		}
		return result, nil
	}
	return c.predicate()
}

// A predicate is what a condition can ask for.
type predicate struct {
	args int
	eval func(e *environment, a []string) (bool, error)
}

var predicates = map[string]predicate{
	"defined":         {1, func(e *environment, a []string) (bool, error) { _, ok := e.get(a[0]); return ok, nil }},
	"feature":         {1, func(e *environment, a []string) (bool, error) { return e.haproxy.hasFeature(a[0]), nil }},
	"streq":           {2, func(_ *environment, a []string) (bool, error) { return a[0] == a[1], nil }},
	"strneq":          {2, func(_ *environment, a []string) (bool, error) { return a[0] != a[1], nil }},
	"strstr":          {2, func(_ *environment, a []string) (bool, error) { return strings.Contains(a[0], a[1]), nil }},
	"version_atleast": {1, func(e *environment, a []string) (bool, error) { return e.haproxy.compare(a[0]) >= 0, nil }},
	"version_before":  {1, func(e *environment, a []string) (bool, error) { return e.haproxy.compare(a[0]) < 0, nil }},
	"openssl_version_atleast": {1, func(e *environment, a []string) (bool, error) {
		n, err := e.haproxy.compareOpenSSL(a[0])
		return n >= 0, err
	}},
	"openssl_version_before": {1, func(e *environment, a []string) (bool, error) {
		n, err := e.haproxy.compareOpenSSL(a[0])
		return n < 0, err
	}},
	"ssllib_name_startswith": {1, func(e *environment, a []string) (bool, error) { return strings.HasPrefix(e.haproxy.OpenSSL, a[0]), nil }},
	"enabled":                {1, func(e *environment, a []string) (bool, error) { return e.enabled[a[0]], nil }},
}

func (c *condition) predicate() (bool, error) {
	rest := c.in[c.pos:]
	name := rest
	if end := strings.IndexAny(rest, " ("); end >= 0 {
		name = rest[:end]
	}
	p, ok := predicates[name]
	if !ok {
		if rest == "" {
			return false, c.bad("the condition ends too early")
		}
		return false, c.bad("%q can't be read as a condition", rest)
	}
	c.pos += len(name)
	args, err := c.arguments(name, p.args)
	if err != nil {
		return false, err
	}
	return p.eval(c.env, args)
}

// arguments reads what stands in parentheses. Without any there is one empty
// argument. Quotes and escapes are resolved a second time here.
func (c *condition) arguments(name string, want int) ([]string, error) {
	var args []string
	if !c.take("(") {
		args = []string{""}
	} else {
		for more := true; more; more = len(args) < want && c.take(",") {
			args = append(args, c.argument())
		}
		if !c.take(")") {
			return nil, c.bad("expected \")\" before %q, behind argument %d of %s()", c.in[c.pos:], len(args), name)
		}
	}
	if len(args) < want {
		return nil, c.bad("%s() has %d of its %d arguments", name, len(args), want)
	}
	return args, nil
}

func (c *condition) argument() string {
	var (
		arg   []byte
		quote byte
	)
	for ; c.pos < len(c.in); c.pos++ {
		b := c.in[c.pos]
		switch {
		case (b == '"' || b == '\'') && (quote == 0 || quote == b):
			quote ^= b
		case b == '\\' && quote != '\'' && c.pos+1 < len(c.in):
			var n int
			b, n = argumentEscape(c.in[c.pos+1])
			c.pos += n
			arg = append(arg, b)
		case quote == 0 && (b == ',' || b == ')'):
			return string(arg)
		default:
			arg = append(arg, b)
		}
	}
	return string(arg)
}

// argumentEscape returns what a backslash before c stands for, and whether that
// includes c.
func argumentEscape(c byte) (byte, int) {
	if i := strings.IndexByte("rnt", c); i >= 0 {
		return "\r\n\t"[i], 1
	}
	if strings.IndexByte(`\ "'`, c) >= 0 {
		return c, 1
	}
	return '\\', 0
}

// leadingInt reads an integer at the beginning of s, as strtol() does in base 0,
// and returns its length, 0 where there is none.
func leadingInt(s string) (n int64, size int) {
	i := 0
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	base, isBaseDigit := 10, isDigit
	switch {
	case len(s) > i+2 && s[i] == '0' && s[i+1]|0x20 == 'x' && hexDigit(s[i+2]) >= 0:
		base, isBaseDigit = 16, func(c byte) bool { return hexDigit(c) >= 0 }
		i += 2
	case len(s) > i && s[i] == '0':
		base, isBaseDigit = 8, func(c byte) bool { return '0' <= c && c <= '7' }
	}
	from := i
	for i < len(s) && isBaseDigit(s[i]) {
		i++
	}
	if i == from {
		return 0, 0
	}
	u, err := strconv.ParseUint(s[from:i], base, 63)
	if err != nil {
		u = 1 << 62 // too large, but not 0
	}
	return int64(u), i
}
