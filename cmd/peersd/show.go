package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/peersd/peersd/admin"
	"github.com/spf13/cobra"
)

func (a *app) showCommand() *cobra.Command {
	show := &cobra.Command{
		Use:   "show",
		Short: "look at the daemon, its peers and its tables",
		Long: `It shows what the daemon knows: on a terminal for people, elsewhere as the runtime
socket says it.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("show what? `peersd show --help` lists it")}
			}
			return unknown(cmd, "can't show", "what there is", args[0])
		},
	}
	show.AddCommand(
		a.showPeersCommand(),
		a.showTableCommand(),
		a.showAnswer("info", "the process, as HAProxy's show info", "", a.lines),
		a.showAnswer("activity", "what the daemon takes of its machine", `It shows what the daemon takes: goroutines, bytes of memory, open files, and the
seconds since it was started.`, a.lines),
		a.showAnswer("limits", "what peers can take, and how often they reached it", `It shows what peers can take of us: each limit, how much of it is in use, and how
often it was reached.`, a.rows),
		a.showAnswer("tables", "what the tables take, and what has become of their entries", `It shows what each table takes, in all and for an entry, and what has become of
its entries.`, a.rows),
	)
	return show
}

// showAnswer is a command that shows what the socket answers to `show name`, which
// people and --json get by way of form.
func (a *app) showAnswer(name, short, long string, form func(answer string) error) *cobra.Command {
	return a.onSocket(a.withJSON(&cobra.Command{
		Use: name, Short: short, Long: long, Example: "  peersd show " + name + "\n  peersd show " + name + " --json", Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			if !a.json && !a.terminal {
				return a.do(a.stdout, "show", name)
			}
			answer, err := a.answer("show", name)
			if err != nil {
				return err
			}
			return form(answer)
		},
	}))
}

// lines prints an answer of lines "name: value".
func (a *app) lines(answer string) error {
	names, values := admin.ParseLines(answer)
	if a.json {
		object := map[string]any{}
		for i, name := range names {
			object[name] = jsonValue(values[i])
		}
		return a.printJSON(object)
	}
	c := a.columns("name", "value")
	for i, name := range names {
		c.row(name, values[i])
	}
	return c.flush()
}

// rows prints an answer of columns, the last of which, a name, comes first here.
func (a *app) rows(answer string) error {
	head, rows := admin.ParseColumns(answer)
	name := len(head) - 1
	if a.json {
		objects := []map[string]any{}
		for _, row := range rows {
			object := map[string]any{}
			for i, cell := range row {
				object[head[i]] = jsonValue(cell)
			}
			if table, keys, found := strings.Cut(row[name], ", "); found {
				object["table"], object["type"] = table, keys
			}
			objects = append(objects, object)
		}
		return a.printJSON(objects)
	}
	names := []string{head[name]}
	for _, n := range head[:name] {
		names = append(names, ">"+strings.ReplaceAll(n, "_", " "))
	}
	c := a.columns(names...)
	for _, row := range rows {
		c.row(append([]string{row[name]}, row[:name]...)...)
	}
	return c.flush()
}

// jsonValue is a number where text is one, nothing for "-", and else text.
func jsonValue(text string) any {
	if text == "-" {
		return nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	return text
}
