package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/admin/entries"
	"github.com/spf13/cobra"
)

func (a *app) watchCommand() *cobra.Command {
	var filters []string
	cmd := a.onSocket(a.withJSON(&cobra.Command{
		Use:   "watch TABLE [KEY]",
		Short: "the entries of a table that change, as they do",
		Long: `It shows each entry of a table that changes, one a line, as soon as it does, and
the keys of those that are over: their lifetimes, or cleared. It goes on until Ctrl-C.

With --filter only entries are shown for which it is true after the change, and no ends.
What changes faster than it is read comes once, as it is by then.`,
		Example: `  peersd watch t1
  peersd watch t1 10.0.0.1
  peersd watch t1 --filter 'http_req_rate>100' --json`,
		Args:              takes(1, 2),
		ValidArgsFunction: a.tables,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 && len(filters) > 0 {
				return misuse(cmd, errors.New("there is a KEY or a --filter, not both"))
			}
			return a.watchTable(args, filters)
		},
	}))
	filterFlag(cmd, &filters)
	return cmd
}

// watchTable shows changes until it is interrupted, or the daemon ends.
func (a *app) watchTable(args, filters []string) error {
	t, err := a.describe(args[0])
	if err != nil {
		return err
	}
	words, err := selection(t, args[1:], filters)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	over := make(chan error, 1)
	w := &tableWatch{app: a, table: t}
	go func() { over <- admin.DoLines(a.socket, "watch table "+words, w.line) }()
	select {
	case <-ctx.Done():
		return nil
	case err := <-over:
		return err
	}
}

// A tableWatch shows the lines of `watch table`.
type tableWatch struct {
	*app
	table *entries.Table
	entry entries.Entry
}

// What lines begin with that are of no entry.
var (
	endedMark  = []byte("# ended: ")
	missedMark = []byte("# missed: ")
)

// line shows one: to programs as it is, or as JSON.
func (w *tableWatch) line(line []byte) error {
	if !w.json && !w.terminal {
		_, err := w.stdout.Write(line)
		return err
	}
	if n, found := bytes.CutPrefix(line, missedMark); found {
		return w.missed(string(bytes.TrimSpace(n)))
	}
	key, ended := bytes.CutPrefix(line, endedMark)
	switch {
	case ended:
		line = append([]byte("0x0: "), key...) // as that of an entry without values
	case line[0] == '#':
		return nil
	}
	if err := w.parse(line); err != nil {
		return err
	}
	if w.json {
		return w.object(ended)
	}
	return w.row(ended)
}

// parse reads the line of an entry. Where it has what the table did not store before,
// that is asked for anew.
func (w *tableWatch) parse(line []byte) error {
	err := w.table.Parse(line, &w.entry)
	if err == nil {
		return nil
	}
	t, gone := w.describe(w.table.Name)
	if gone != nil {
		return err
	}
	w.table = t
	return w.table.Parse(line, &w.entry)
}

func (w *tableWatch) object(ended bool) error {
	if ended {
		return w.printJSON(map[string]any{"key": entries.Escape(w.entry.Key), "ended": true})
	}
	out, err := w.table.NewWriter(w.stdout, entries.JSON)
	if err != nil {
		return err
	}
	return out.Write(&w.entry)
}

// row is for people: when, the key, and its values.
func (w *tableWatch) row(ended bool) error {
	var b strings.Builder
	b.WriteString(w.paint(dim, time.Now().Format("15:04:05.000")) + " " + w.paint(bold, entries.Escape(w.entry.Key)))
	if ended {
		b.WriteString(" " + w.paint(red, "ended"))
	}
	for _, f := range w.entry.Fields {
		b.WriteString(" " + f.Shown + "=" + entries.Escape(f.Value))
	}
	if w.entry.Expire > 0 {
		b.WriteString(w.paint(dim, " expires in "+(time.Duration(w.entry.Expire)*time.Millisecond).Round(time.Second).String()))
	}
	_, err := io.WriteString(w.stdout, b.String()+"\n")
	return err
}

func (w *tableWatch) missed(n string) error {
	if count, err := strconv.Atoi(n); err == nil && w.json {
		return w.printJSON(map[string]int{"missed": count})
	}
	_, err := fmt.Fprintln(w.stdout, w.paint(yellow, n+" ends were missed"))
	return err
}
