package haproxycfg

import (
	"fmt"
	"strings"
)

// A Position is a line of a configuration file.
type Position struct {
	File string
	Line int // from 1; 0 is the file as a whole
}

// String is the position as HAProxy writes it.
func (p Position) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// A Severity is how bad a message is.
type Severity int

// The severities, by HAProxy's names. With an Alert there is no configuration.
const (
	Notice Severity = iota
	Warning
	Alert
)

// String is the severity as HAProxy writes it.
func (s Severity) String() string { return [...]string{"NOTICE", "WARNING", "ALERT"}[s] }

// A Message is what is to be said of one line.
type Message struct {
	Severity Severity
	Pos      Position
	Text     string
}

// String is the message as HAProxy writes it, without its process id:
// "[ALERT] parsing [haproxy.cfg:7] : table: missing size".
func (m Message) String() string {
	if m.Pos.File == "" {
		return fmt.Sprintf("[%v] %s", m.Severity, m.Text)
	}
	return fmt.Sprintf("[%v] parsing [%v] : %s", m.Severity, m.Pos, m.Text)
}

// Messages are in the order of the lines, those on the whole behind.
type Messages []Message

// Err is all alerts as one error, nil without any.
func (ms Messages) Err() error {
	if alerts := ms.Of(Alert); len(alerts) > 0 {
		return alerts
	}
	return nil
}

// Of is those of one severity.
func (ms Messages) Of(s Severity) (of Messages) {
	for _, m := range ms {
		if m.Severity == s {
			of = append(of, m)
		}
	}
	return of
}

// Error is all messages, a line each.
func (ms Messages) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

func (ms *Messages) add(s Severity, p Position, format string, args ...any) {
	*ms = append(*ms, Message{s, p, fmt.Sprintf(format, args...)})
}
