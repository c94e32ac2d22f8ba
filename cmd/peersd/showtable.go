package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/admin/entries"
	"github.com/spf13/cobra"
)

// A tableView is what of a table is to be shown, and how.
type tableView struct {
	*app
	filters []string
	sort    string
	top     int
}

func (a *app) showTableCommand() *cobra.Command {
	v := &tableView{app: a}
	watching := false
	interval := time.Second
	cmd := a.onSocket(a.withJSON(&cobra.Command{
		Use:   "table [NAME [KEY]]",
		Short: "all tables, or the entries of one",
		Long: `It shows all tables, their types, sizes and how many entries they have; or the
entries of one; or one entry. Where nothing is found, the exit code is 1.

With --json, entries are an object a line, as peersd import takes them.`,
		Example: `  peersd show table
  peersd show table t1
  peersd show table t1 10.0.0.1
  peersd show table t1 --filter 'http_req_rate>100' --filter 'gpt0=0'
  peersd show table t1 --sort http_req_rate --top 10 --watch`,
		Args:              takes(0, 2),
		ValidArgsFunction: a.tables,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 2 && len(v.filters) > 0:
				return misuse(cmd, errors.New("there is a KEY or a --filter, not both"))
			case len(args) == 0 && (len(v.filters) > 0 || v.sort != "" || v.top > 0):
				return misuse(cmd, errors.New("--filter, --sort and --top need the NAME of a table"))
			case watching:
				if _, lines := screenSize(a.stdout); v.top == 0 {
					v.top = lines - 2 // two lines are heads
				}
				return a.watch(cmd, interval, func() error { return ignoreNone(v.show(args)) })
			}
			return v.show(args)
		},
	}))
	filterFlag(cmd, &v.filters)
	cmd.Flags().VarP(&value{"FIELD", func(s string) error { v.sort = s; return nil }}, "sort", "", "in the order of a field, of expire or of use, the greatest first; or of the key")
	addFlag(cmd.Flags(), "top", "N", "only the first ones", func(s string) (err error) {
		if v.top, err = strconv.Atoi(s); err != nil || v.top < 1 {
			return fmt.Errorf("%q is no number of entries, as in 10", s)
		}
		return nil
	})
	cmd.Flags().BoolVar(&watching, "watch", false, "paint it again and again, until Ctrl-C")
	addFlag(cmd.Flags(), "interval", "TIME", "how often, 1s without it", func(s string) error {
		ms, err := entries.ParseTime(s)
		interval = time.Duration(ms) * time.Millisecond
		return err
	})
	return cmd
}

// errNone is that nothing was found.
type errNone struct{ error }

func ignoreNone(err error) error {
	if errors.As(err, new(errNone)) {
		return nil
	}
	return err
}

func (v *tableView) show(args []string) error {
	if len(args) == 0 {
		return v.showTables()
	}
	if err := checkTable(args[0]); err != nil {
		return err
	}
	if len(args) == 1 && len(v.filters) == 0 && v.sort == "" && v.top == 0 && !v.json && !v.terminal {
		return onTable(args[0], v.do(v.stdout, "show table", args[0]))
	}
	t, err := v.describe(args[0])
	if err != nil {
		return err
	}
	words, err := selection(t, args[1:], v.filters)
	if err != nil {
		return err
	}
	by, err := order(t, v.sort)
	if err != nil {
		return err
	}
	r := v.newReport(t, by)
	err = admin.DoLines(v.socket, "show table "+words, r.line)
	if err = errors.Join(ignoreEnough(err), r.end()); err != nil {
		return err
	}
	switch {
	case r.found > 0:
		return nil
	case len(args) == 2:
		return errNone{fmt.Errorf("%s has no entry of %s", args[0], args[1])}
	case len(v.filters) > 0:
		return errNone{fmt.Errorf("%s has no entry with %s", args[0], strings.Join(v.filters, " and "))}
	}
	return nil
}

// showTables shows all tables.
func (v *tableView) showTables() error {
	if !v.json && !v.terminal {
		return v.do(v.stdout, "show table")
	}
	type head struct {
		Table string `json:"table"`
		Type  string `json:"type"`
		Size  int    `json:"size"`
		Used  int    `json:"used"`
	}
	all := []head{}
	err := admin.DoLines(v.socket, "show table", func(line []byte) error {
		var (
			h  head
			ok bool
		)
		if h.Table, h.Type, h.Size, h.Used, ok = entries.ParseHead(line); ok {
			all = append(all, h)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if v.json {
		return v.printJSON(all)
	}
	c := v.columns("table", "type", ">size", ">used")
	for _, h := range all {
		c.row(h.Table, h.Type, strconv.Itoa(h.Size), strconv.Itoa(h.Used))
	}
	return c.flush()
}
