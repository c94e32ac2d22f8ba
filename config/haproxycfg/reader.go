package haproxycfg

import (
	"errors"
	"slices"
	"strings"
)

// words are those of one line. An empty word ends the arguments of most
// keywords, as in HAProxy, where it can't be told from the end of the line.
type words []string

// at is a word, "" behind the end.
func (w words) at(i int) string {
	if i < len(w) {
		return w[i]
	}
	return ""
}

// from are the words from one on, up to an empty one.
func (w words) from(i int) words {
	i = min(i, len(w))
	if end := slices.Index(w[i:], ""); end >= 0 {
		return w[i : i+end]
	}
	return w[i:]
}

// maxAlerts is how many alerts HAProxy says before it gives a file up.
const maxAlerts = 50

// A reader turns the lines of files into statements: words with quotes,
// escapes and variables resolved, of those lines that no condition leaves out.
type reader struct {
	env    *environment
	msgs   Messages
	alerts int // among them
	// statement takes each of them, with the section that it is in: a first
	// word that begins a section belongs to that.
	statement func(section string, w words)
	// quiet is for a first pass whose notices and alerts are the second's.
	quiet bool
	// stopped is set where there is no point in going on.
	stopped bool

	pos     Position
	section string
	blocks  []block
}

// A block is a .if that is not closed.
type block struct {
	pos     Position
	taken   bool // a part of it was taken, or it is skipped as a whole
	active  bool // the part that we are in is taken
	hasElse bool
}

// maxBlocks bounds how deep .if nest (MAXNESTEDCONDS).
const maxBlocks = 100

func (r *reader) alert(format string, args ...any) {
	r.alerts++
	r.msgs.add(Alert, r.pos, format, args...)
}

func (r *reader) warn(format string, args ...any) { r.msgs.add(Warning, r.pos, format, args...) }

// stop is an alert behind which nothing is read.
func (r *reader) stop(format string, args ...any) {
	r.alert(format, args...)
	r.stopped = true
}

func (r *reader) read(sources []source) {
	for _, s := range sources {
		if r.stopped {
			return
		}
		r.readFile(s)
	}
}

func (r *reader) readFile(s source) {
	r.section, r.blocks, r.env.section = "", nil, ""
	r.pos = Position{File: s.name}
	for line := range strings.Lines(s.text) {
		r.pos.Line++
		r.env.line = r.pos
		if r.alerts >= maxAlerts {
			r.stop("too many errors, the rest is not read; correct these first")
			return
		}
		text, complete := strings.CutSuffix(line, "\n")
		if i := strings.IndexByte(text, 0); i >= 0 {
			r.stop("stray NUL character at position %d; remove it", i+1)
			return
		}
		if !complete {
			r.alert("missing LF on last line, the file might have been cut short at position %d; end it with a line feed", len(text)+1)
		}
		if r.readLine(text); r.stopped {
			return
		}
	}
	if len(r.blocks) > 0 {
		r.pos = r.blocks[len(r.blocks)-1].pos
		r.alert("non-terminated '.if' block; close it with .endif in the same file")
	}
}

func (r *reader) readLine(line string) {
	trimmed := strings.TrimLeft(line, " \t\n\v\f\r")
	if strings.HasPrefix(trimmed, "[") {
		r.scope(trimmed)
		return
	}
	s := splitter{in: trimmed, get: r.env.get}
	err := s.run()
	if bad, ok := errors.AsType[*badLine](err); ok {
		bad.column += len(line) - len(trimmed)
	}
	if err != nil {
		r.alert("%v", err)
		return
	}
	w := words(s.words)
	if i := slices.Index(w, ""); i >= 0 && !r.quiet {
		r.warn("argument number %d is empty and marks the end of the argument list; all subsequent arguments are ignored, and HAProxy 3.4 refuses it; remove it", i)
	}
	if s.joined != "" && !r.quiet && r.active() {
		r.warn("variable %s is not set, and takes the next word along in HAProxy 3.2, but not in 3.4; write \"${%s-}\" or set it", s.joined, s.joined)
	}
	switch first := w.at(0); {
	case first == "":
	case first[0] == '.' && r.condition(w):
	case !r.active():
	case first[0] == '.':
		r.directive(w)
	default:
		r.dispatch(w)
	}
}

// scope is a line that begins with "[": HAProxy keeps its name, for filters.
func (r *reader) scope(line string) {
	name, rest, ok := strings.Cut(line[1:], "]")
	rest = strings.TrimLeft(rest, " \t\v\f\r")
	switch {
	case !ok || name == "":
		r.alert("empty scope name is forbidden; write [NAME]")
	case invalidChar(name) != "":
		r.stop("character '%s' is not permitted in a scope name; write letters, digits, and any of .:_-", invalidChar(name))
	case rest != "" && rest[0] != '#':
		r.stop("character '%c' is not permitted after scope declaration; put it on a line of its own", rest[0])
	}
}

func (r *reader) active() bool { return len(r.blocks) == 0 || r.blocks[len(r.blocks)-1].active }

// condition obeys a line of a conditional block, and reports whether it is one.
func (r *reader) condition(w words) bool {
	text := ""
	if len(w) > 1 {
		text = strings.Join(w[1:], " ")
	}
	switch w[0] {
	case ".if":
		r.openBlock(text)
	case ".elif":
		r.elseBlock(w[0], func() bool { return r.eval(w[0], text) })
	case ".else", ".endif":
		if w.at(1) != "" {
			r.stop("unexpected argument '%s' for '%s'; write it alone on its line", w[1], w[0])
		} else if w[0] == ".endif" {
			r.closeBlock()
		} else {
			r.elseBlock(w[0], func() bool { return true })
		}
	default:
		return false
	}
	return true
}

func (r *reader) eval(directive, text string) bool {
	result, err := evalCondition(text, r.env)
	if err != nil {
		r.stop("in '%s': %v", directive, err)
	}
	return result
}

func (r *reader) openBlock(text string) {
	if len(r.blocks)+1 >= maxBlocks {
		r.stop("too many nested '.if', there are %d at most; take one away", maxBlocks-1)
		return
	}
	b := block{pos: r.pos, taken: true}
	if r.active() {
		b.active = r.eval(".if", text)
		b.taken = b.active
	}
	r.blocks = append(r.blocks, b)
}

// elseBlock is for .elif and .else; taken tells whether what follows is taken,
// if nothing before it was.
func (r *reader) elseBlock(directive string, taken func() bool) {
	if len(r.blocks) == 0 {
		r.stop("lone '%s' with no matching '.if'; write .if before it", directive)
		return
	}
	b := &r.blocks[len(r.blocks)-1]
	if b.hasElse {
		r.stop("'%s' after '.else' is not permitted; put .else last", directive)
		return
	}
	b.hasElse = directive == ".else"
	b.active = !b.taken && taken()
	b.taken = b.taken || b.active
}

func (r *reader) closeBlock() {
	if len(r.blocks) == 0 {
		r.stop("lone '.endif' with no matching '.if'; write .if before it")
		return
	}
	r.blocks = r.blocks[:len(r.blocks)-1]
}

// directive obeys what says something.
func (r *reader) directive(w words) {
	if r.quiet {
		return
	}
	severity, ok := map[string]Severity{".alert": Alert, ".warning": Warning, ".notice": Notice, ".diag": Notice}[w[0]]
	switch {
	case !ok:
		// HAProxy reads no further in this file.
		r.stop("unknown directive '%s'; there are .if, .elif, .else, .endif, .alert, .warning, .notice and .diag", w[0])
	case w.at(2) != "":
		r.alert("unexpected argument '%s' for '%s'; use quotes if the message should contain spaces", w[2], w[0])
	case w[0] == ".diag": // is for HAProxy's -dD alone
	default:
		r.msgs.add(severity, r.pos, "'%s'", w.at(1))
		r.stopped = severity == Alert
	}
}

// sections are the words that begin one, in HAProxy 3.2 and later.
var sections = []string{"acme", "backend", "cache", "crt-store", "defaults", "fcgi-app", "frontend", "global", "healthcheck",
	"http-errors", "listen", "log-forward", "log-profile", "mailers", "namespace_list", "peers", "program", "resolvers", "ring",
	"traces", "userlist"}

// negatable are the keywords that "no" and "default" can stand before.
var negatable = []string{"option", "log", "busy-polling", "set-dumpable", "strict-limits", "insecure-fork-wanted", "numa-cpu-mapping"}

// dispatch finds the section of a line that is neither empty nor a directive.
func (r *reader) dispatch(w words) {
	if (w[0] == "no" || w[0] == "default") && !slices.Contains(negatable, w.at(1)) {
		r.alert("'%s' can stand before %s only, not before '%s'; remove it", w[0], strings.Join(negatable, ", "), w.at(1))
		return
	}
	if slices.Contains(sections, w[0]) {
		r.section = w[0]
		if r.env.section = w.at(1); r.env.section == "" {
			r.env.section = w[0]
		}
	}
	if r.section == "" {
		if !r.quiet {
			r.alert("unknown keyword '%s' out of section; begin a section before it, such as global or peers NAME", w[0])
		}
		return
	}
	r.statement(r.section, w)
}

// invalidChar is the first character that a name can't have, "" where there is
// none.
func invalidChar(name string) string {
	for i := range len(name) {
		if c := name[i]; !isAlpha(c) && !isDigit(c) && strings.IndexByte(".:_-", c) < 0 {
			return name[i : i+1]
		}
	}
	return ""
}
