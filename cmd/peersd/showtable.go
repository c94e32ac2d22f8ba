package main

import "github.com/spf13/cobra"

func (a *app) showTableCommand() *cobra.Command {
	return a.onSocket(&cobra.Command{
		Use:   "table [NAME]",
		Short: "all tables, or the entries of one",
		Long: `It shows all tables, their types, sizes and how many entries they have; or the
entries of one, as HAProxy prints them.`,
		Example: `  peersd show table
  peersd show table t1`,
		Args:              takes(0, 1),
		ValidArgsFunction: a.tables,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.do(a.stdout, "show table")
			}
			if err := checkTable(args[0]); err != nil {
				return err
			}
			return onTable(args[0], a.do(a.stdout, "show table", args[0]))
		},
	})
}
