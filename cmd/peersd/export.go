package main

import (
	"bufio"
	"errors"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/admin/entries"
	"github.com/spf13/cobra"
)

func (a *app) exportCommand() *cobra.Command {
	var (
		filters []string
		format  = entries.JSON
	)
	cmd := a.onSocket(&cobra.Command{
		Use:   "export TABLE",
		Short: "write the entries of a table as JSON lines, CSV or commands",
		Long: `It writes the entries of a table, with what is left of their lifetimes in ms:

  json  an object a line, which peersd import takes
  csv   the names of the columns, and a line an entry, which peersd import takes, too
  set   "set table" commands, a line each, which HAProxy's own socket takes; without
        lifetimes, and without the keys of servers, which it doesn't take

Of a rate it is the value that is written, not how the rate has come about.`,
		Example: `  peersd export t1 > t1.json
  peersd export t1 --format csv --filter 'gpt0=1'
  (echo prompt; peersd export t1 --format set) | socat - /run/haproxy.sock`,
		Args:              takes(1, 1),
		ValidArgsFunction: a.tables,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.export(args[0], format, filters)
		},
	})
	addFlag(cmd.Flags(), "format", "FORMAT", "json, csv or set; json without it", func(s string) error {
		format = s
		_, err := new(entries.Table).NewWriter(nil, s)
		return err
	})
	filterFlag(cmd, &filters)
	return cmd
}

func (a *app) export(table, format string, filters []string) error {
	t, err := a.describe(table)
	if err != nil {
		return err
	}
	words, err := selection(t, nil, filters)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(a.stdout, 65536)
	w, err := t.NewWriter(out, format)
	if err != nil {
		return err
	}
	err = a.entries(t, words, w.Write)
	return errors.Join(err, w.End(), out.Flush())
}

// entries calls do with each entry that words select. It is valid till do returns.
func (a *app) entries(t *entries.Table, words string, do func(e *entries.Entry) error) error {
	var e entries.Entry
	return admin.DoLines(a.socket, "show table "+words, func(line []byte) error {
		if _, _, _, _, ok := entries.ParseHead(line); ok {
			return nil
		}
		if line[0] == '#' {
			return errNoEntries
		}
		if err := t.Parse(line, &e); err != nil {
			return err
		}
		return do(&e)
	})
}

// errNoEntries is why there are none behind the head of a table.
var errNoEntries = errors.New("this socket shows no entries: it is of --socket-level user")
