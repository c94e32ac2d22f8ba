package admin

import (
	"fmt"
	"strings"
)

// A command of the socket. run gets the words behind its name.
type command struct {
	name  string
	args  string
	help  string
	level Level // that it takes
	run   func(c *cli, args []string) error
}

// A refusal is an answer that is an error of the user's. It is HAProxy's own
// wording where HAProxy has the same case.
type refusal string

func (r refusal) Error() string { return string(r) }

var (
	commands []command
	byName   = map[string]*command{}
)

func init() { // the list refers to help, which refers to the list
	commands = []command{
		{"clear table", "<table> [<filter>|key <k>|ptr <p>]", "zero entries at all peers, and drop them here", User, (*cli).clearTable},
		{"operator", "", "lower the level of this connection to operator", Operator, (*cli).lowerToOperator},
		{"set severity-output", "[none|number|string]", "what messages begin with", User, (*cli).setSeverity},
		{"set table", "<table> key <k>|ptr <p> [data.<type> <v>]* [expire <time>]", "change or make an entry, at all peers", User, (*cli).setTable},
		{"set timeout", "cli <time>", "how long this connection may be idle", User, (*cli).setTimeout},
		{"show activity", "", "what the process takes of its machine", User, (*cli).showActivity},
		{"show busiest", "<table> [data.<type>] [<number>]", "entries that change, those of the highest rate first", Operator, (*cli).showBusiest},
		{"show cli level", "", "the level of this connection", User, (*cli).showLevel},
		{"show cli sockets", "", "where commands are taken", User, (*cli).showSockets},
		{"show definitions", "[json]", "how the peers define the tables", User, (*cli).showDefinitions},
		{"show env", "[<name>]", "the environment of the process", Operator, (*cli).showEnv},
		{"show findings", "[json]", "what is wrong", User, (*cli).showFindings},
		{"show info", "[typed|json] [desc]", "the process", User, (*cli).showInfo},
		{"show limits", "", "what peers can take of us, and how often they reached it", User, (*cli).showLimits},
		{"show peers", "[dict|-] [<section>]", "the peers, and how their sessions are", User, (*cli).showPeers},
		{"show sess", "[all]", "streams, of which there are none here", Operator, (*cli).showSess},
		{"show stat", "[typed|json]", "proxies and servers, of which there are none here", User, (*cli).showStat},
		{"show table", "[<table> [<filter>|key <k>|ptr <p>]]", "all tables, or the entries of one", User, (*cli).showTable},
		{"show tables", "", "what each table takes, and what has become of its entries", User, (*cli).showTables},
		{"show version", "", "the version of the process", User, (*cli).showVersion},
		{"user", "", "lower the level of this connection to user", User, (*cli).lowerToUser},
		{"watch table", "<table> [<filter>|key <k>|ptr <p>]", "the entries of one that change, as they do", Operator, (*cli).watchTable},
		{"help", "[<command>]", "all commands, or those that begin so", User, (*cli).help},
		{"prompt", "[help|n|i|p|timed]*", "whether this connection goes on after a line", User, (*cli).prompt},
		{"quit", "", "end this connection", User, (*cli).quit},
	}
	for i := range commands {
		byName[commands[i].name] = &commands[i]
	}
}

func (c *command) words() []string { return strings.Split(c.name, " ") }

// find returns the command that words begin with, and the words behind it. No name
// has more than three.
func find(words []string) (*command, []string) {
	for n := min(3, len(words)); n > 0; n-- {
		name := append(make([]byte, 0, 64), words[0]...)
		for _, word := range words[1:n] {
			name = append(append(name, ' '), word...)
		}
		if c := byName[string(name)]; c != nil {
			return c, words[n:]
		}
	}
	return nil, nil
}

// usage lists the commands whose names have most words in common with the first
// ones of words, and behind them those that every list of HAProxy's ends with.
func usage(words []string) string {
	most := 0
	for i := range commands {
		most = max(most, commands[i].common(words))
	}
	var b strings.Builder
	for i := range commands {
		c := &commands[i]
		if always := c.name == "help" || c.name == "prompt" || c.name == "quit"; always || c.common(words) == most {
			fmt.Fprintf(&b, "  %-40s: %s\n", strings.TrimSpace(c.name+" "+c.args), c.help)
		}
	}
	return b.String()
}

// common is how many words at the beginning are those of c's name.
func (c *command) common(words []string) (n int) {
	for i, word := range c.words() {
		if i == len(words) || words[i] != word {
			break
		}
		n++
	}
	return n
}

func (c *cli) help(args []string) error {
	return c.say(severityInfo, "The following commands are valid at this level:\n"+usage(args))
}
