package haproxycfg

import (
	"strconv"
	"strings"
)

// An environment is what a file can ask for: variables, which it can set as
// well, and the HAProxy that it is written for. It is a copy: nothing that a
// file sets reaches this process.
type environment struct {
	vars    map[string]string
	enabled map[string]bool
	haproxy *HAProxy
	line    Position
	section string
}

func newEnvironment(environ []string, h *HAProxy) *environment {
	e := &environment{vars: map[string]string{}, haproxy: h, enabled: map[string]bool{
		"POLL": true, "EPOLL": true, "SPLICE": true, "GETADDRINFO": true, "REUSEPORT": true, "FAST-FORWARD": true,
	}}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok {
			e.vars[name] = value
		}
	}
	return e
}

// get is a [lookup].
func (e *environment) get(name string) (string, bool) {
	switch name {
	case ".FILE":
		return e.line.File, true
	case ".LINE":
		return strconv.Itoa(e.line.Line), true
	case ".SECTION":
		return e.section, true
	}
	v, ok := e.vars[name]
	return v, ok
}

// expand resolves the $NAME and ${NAME} in an address: HAProxy does that once
// more there, quotes or none.
func (e *environment) expand(s string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "$")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		inner, brace := strings.CutPrefix(rest, "{")
		end := 0
		for end < len(inner) && (isAlpha(inner[end]) || isDigit(inner[end]) || inner[end] == '_') {
			end++
		}
		b.WriteString(e.vars[inner[:end]])
		s = inner[end:]
		if brace {
			s = strings.TrimPrefix(s, "}")
		}
	}
}

// switches are the lines of a global section that turn something off that
// enabled() asks for.
var switches = map[string]string{
	"noepoll": "EPOLL", "nopoll": "POLL", "nosplice": "SPLICE", "nogetaddrinfo": "GETADDRINFO",
	"noreuseport": "REUSEPORT", "tune.disable-fast-forward": "FAST-FORWARD",
}

// setVariables obeys a line of a global section that changes variables, and
// reports whether it is one and what is wrong with it.
func (e *environment) setVariables(w words) (known bool, problem string) {
	switch w[0] {
	case "setenv", "presetenv":
		return true, e.setenv(w)
	case "unsetenv":
		return true, e.unsetenv(w)
	case "resetenv":
		e.resetenv(w)
		return true, ""
	}
	return false, ""
}

// setSwitch obeys a line of a global section that enabled() can ask for.
func (e *environment) setSwitch(w words) {
	if w[0] == "ssl-server-verify" {
		e.enabled["SERVER-SSL-VERIFY-NONE"] = w.at(1) == "none"
	}
	if option, ok := switches[w[0]]; ok {
		e.enabled[option] = false
	}
}

func (e *environment) setenv(w words) (problem string) {
	name, value := w.at(1), w.at(2)
	switch {
	case name == "":
		return "expects the name of a variable; write " + w.at(0) + " NAME VALUE"
	case value == "":
		return "expects a value for '" + name + "'; write " + w.at(0) + " NAME VALUE, and unsetenv NAME for none"
	case w.at(3) != "":
		return "cannot handle unexpected argument '" + w.at(3) + "'; put a value with spaces in quotes"
	case strings.Contains(name, "="):
		return "failed on variable '" + name + "'; a name has no \"=\", write " + w.at(0) + " NAME VALUE"
	}
	if _, ok := e.vars[name]; !ok || w.at(0) == "setenv" {
		e.vars[name] = value
	}
	return ""
}

func (e *environment) unsetenv(w words) (problem string) {
	if w.at(1) == "" {
		return "expects at least one variable name; write unsetenv NAME"
	}
	for _, name := range w.from(1) {
		if strings.Contains(name, "=") {
			return "failed on variable '" + name + "'; a name has no \"=\", write unsetenv NAME"
		}
		delete(e.vars, name)
	}
	return ""
}

// resetenv keeps only the variables that are named.
func (e *environment) resetenv(w words) {
	kept := map[string]string{}
	for _, name := range w.from(1) {
		if v, ok := e.vars[name]; ok {
			kept[name] = v
		}
	}
	e.vars = kept
}

// predefine sets the variables that HAProxy has for its files (section 2.3 of
// the manual; formats from its section 8.2).
func (e *environment) predefine(h *HAProxy) {
	const (
		timers = "%TR/%Tw/%Tc/%Tr/%Ta"
		counts = "%ac/%fc/%bc/%sc/%rc %sq/%bq"
	)
	for name, value := range map[string]string{
		"HAPROXY_STARTUP_VERSION":  h.Version,
		"HAPROXY_BRANCH":           h.branch(),
		"HAPROXY_HTTP_LOG_FMT":     "%ci:%cp [%tr] %ft %b/%s " + timers + " %ST %B %CC %CS %tsc " + counts + " %hr %hs %{+Q}r",
		"HAPROXY_HTTPS_LOG_FMT":    "%ci:%cp [%tr] %ft %b/%s " + timers + " %ST %B %CC %CS %tsc " + counts + " %hr %hs %{+Q}r %[fc_err]/%[ssl_fc_err,hex]/%[ssl_c_err]/%[ssl_c_ca_err]/%[ssl_fc_is_resumed] %[ssl_fc_sni]/%sslv/%sslc",
		"HAPROXY_HTTP_CLF_LOG_FMT": `%{+Q}o %{-Q}ci - - [%trg] %r %ST %B "" "" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta %tsc %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl`,
		"HAPROXY_TCP_LOG_FMT":      "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts " + counts,
		"HAPROXY_TCP_CLF_LOG_FMT":  `%{+Q}o %{-Q}ci - - [%T] "TCP " 000 %B "" "" %cp %ms %ft %b %s %Th %Tw %Tc %Tt %U %ts-- %ac %fc %bc %sc %rc %sq %bq "" "" `,
	} {
		e.vars[name] = value
	}
}
