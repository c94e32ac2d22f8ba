package admin

import (
	"fmt"
	"time"
)

// What a client says of its own conversation.

const promptUsage = `Usage: prompt [help | n | i | p | timed]*
Changes the default prompt and interactive mode. Available options:
  help    display this help
  n       set to single-command mode (no prompt, single command)
  i       set to interactive mode only (no prompt, multi-command)
  p       set to prompt+interactive mode (prompt + multi-command)
  timed   toggle displaying the current date in the prompt
Without any argument, toggles between n/i->p, p->n.
`

// prompt changes whether the conversation goes on after a line, and what asks for
// the next one. Without a mode it goes from any to p, and back from p to n; but
// with "timed" it is p.
func (c *cli) prompt(args []string) error {
	mode, timed := "", false
	for _, a := range args {
		switch a {
		case "n", "i", "p":
			mode = a
		case "timed":
			timed = true
		case "help":
			return c.say(severityInfo, promptUsage)
		default:
			return refusal(promptUsage)
		}
	}
	c.timed = c.timed != timed
	if mode == "" {
		mode = "p"
		if c.prompting && c.interactive && !timed {
			mode = "n"
		}
	}
	c.interactive, c.prompting = mode != "n", mode == "p"
	return nil
}

func (c *cli) quit([]string) error { return errQuit }

// setSeverity sets what messages begin with from now on. With "-" behind it, no
// line feed follows.
func (c *cli) setSeverity(args []string) error {
	c.noLF = word(args, 1) == "-"
	switch word(args, 0) {
	case "none":
		c.severity = severityNone
	case "number":
		c.severity = severityNumber
	case "string":
		c.severity = severityString
	default:
		return refusal("one of 'none', 'number', 'string' is a required argument\n")
	}
	return nil
}

func (c *cli) setTimeout(args []string) error {
	if word(args, 0) != "cli" {
		return refusal("'set timeout' only supports 'cli'.\n")
	}
	if word(args, 1) == "" {
		return refusal("Expects an integer value.\n")
	}
	timeout, ok := parseTime(args[1], time.Second)
	if !ok || timeout < time.Second {
		return refusal("Invalid timeout value.\n")
	}
	c.timeout = timeout
	return nil
}

func (c *cli) lowerToOperator(args []string) error { return c.lower(args, Operator) }
func (c *cli) lowerToUser(args []string) error     { return c.lower(args, User) }

// lower sets the level. With "-" behind it, no line feed follows.
func (c *cli) lower(args []string, to Level) error {
	c.noLF = word(args, 0) == "-"
	c.level = to
	return nil
}

func (c *cli) showLevel([]string) error { return c.say(severityInfo, c.level.String()+"\n") }

func (c *cli) showSockets([]string) error {
	fmt.Fprintln(c.out, "# socket lvl processes")
	for _, address := range c.addresses() {
		fmt.Fprintf(c.out, "%s %s all\n", address, c.Server.Level)
	}
	return nil
}

// word is the i-th of args, "" where there are fewer.
func word(args []string, i int) string {
	if i < len(args) {
		return args[i]
	}
	return ""
}
