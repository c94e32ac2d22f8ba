package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/admin/entries"
	"github.com/spf13/cobra"
)

func (a *app) clearCommand() *cobra.Command {
	var (
		filters []string
		yes     bool
	)
	cmd := a.onSocket(&cobra.Command{
		Use:   "clear TABLE [KEY]",
		Short: "clear an entry, some or all of a table, on every HAProxy",
		Long: `It clears entries: they are gone here, and their fields are zero on every HAProxy.

With neither a KEY nor a --filter these are all entries of the table. On a terminal
you are asked whether you mean that; elsewhere --yes has to say so.

Where nothing is found, the exit code is 1.`,
		Example: `  peersd clear t1 10.0.0.1
  peersd clear t1 --filter 'gpt0=1'
  peersd clear t1 --yes`,
		Args:              takes(1, 2),
		ValidArgsFunction: a.tables,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 && len(filters) > 0 {
				return misuse(cmd, errors.New("there is a KEY or a --filter, not both"))
			}
			all := len(args) == 1 && len(filters) == 0
			if all && !yes && !isTerminal(a.stdin) {
				return misuse(cmd, fmt.Errorf("this would clear all entries of %s; say so with --yes, or name a KEY or a --filter", args[0]))
			}
			return a.clear(args, filters, all && !yes)
		},
	})
	filterFlag(cmd, &filters)
	cmd.Flags().BoolVar(&yes, "yes", false, "don't ask whether all entries are meant")
	return cmd
}

func (a *app) clear(args, filters []string, ask bool) error {
	t, err := a.describe(args[0])
	if err != nil {
		return err
	}
	words, err := selection(t, args[1:], filters)
	if err != nil {
		return err
	}
	switch used, found, err := a.count(words); {
	case err != nil:
		return err
	case !found && len(args) == 2:
		return fmt.Errorf("%s has no entry of %s", args[0], args[1])
	case !found && len(filters) > 0:
		return fmt.Errorf("%s has no entry with %s", args[0], strings.Join(filters, " and "))
	case ask && !a.confirm(fmt.Sprintf("Clear all entries of %s, %d, on every HAProxy?", args[0], used)):
		return errors.New("nothing was cleared")
	}
	return a.do(io.Discard, "clear table", words)
}

// count tells how many entries a table has, and whether any of them is selected.
func (a *app) count(words string) (used int, found bool, err error) {
	err = admin.DoLines(a.socket, "show table "+words, func(line []byte) error {
		if _, _, _, n, ok := entries.ParseHead(line); ok {
			used += n
			return nil
		}
		found = true
		return errEnough
	})
	return used, found, ignoreEnough(err)
}

// confirm asks a question that "y" says yes to.
func (a *app) confirm(question string) bool {
	fmt.Fprint(a.stderr, question+" [y/N] ")
	answer, _ := bufio.NewReader(a.stdin).ReadString('\n') // the end of it is a no
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}
