package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) rawCommand() *cobra.Command {
	raw := &cobra.Command{
		Use:   "raw COMMAND...",
		Short: "send a command to the socket as it is",
		Long: `It sends a command to the runtime socket as it is, and prints the answer as it is.
` + "`peersd raw help`" + ` lists the commands.`,
		Example: `  peersd raw show table t1 data.gpc0 gt 10
  peersd raw 'show peers dict'`,
		Args: takes(1, 64),
		RunE: func(cmd *cobra.Command, args []string) error {
			command := strings.Join(args, " ")
			switch {
			case strings.TrimSpace(command) == "":
				return misuse(cmd, errors.New("the command is empty"))
			case strings.Contains(command, "\n"):
				return misuse(cmd, fmt.Errorf("%q is more than one line", command))
			}
			return a.do(a.stdout, command)
		},
	}
	raw.Flags().SetInterspersed(false) // -1 may be a word of a command
	return a.onSocket(raw)
}
