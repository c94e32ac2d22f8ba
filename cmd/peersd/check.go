package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/peersd/peersd/config"
	"github.com/spf13/cobra"
)

// checkCommand says what `peersd serve` would do by files. It takes the flags of that,
// since these change it.
func (a *app) checkCommand() *cobra.Command {
	c := config.Default()
	cmd := &cobra.Command{
		Use:   "check",
		Short: "check HAProxy's configuration, and say what serve would do by it",
		Long: `It reads files as peersd serve does, says what is wrong with them as HAProxy says
it, with file and line, and prints what serve would do: where it would listen, whom
dial and accept, and which tables there would be. Where something is wrong that
serve would refuse, it ends with code 1. It opens and dials nothing, and takes
all flags of serve.`,
		Example: `  peersd check -f /etc/haproxy/haproxy.cfg -L peersd
  peersd check -f /etc/haproxy/conf.d --section mypeers`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags(), os.LookupEnv); err != nil {
				return err
			}
			if len(c.Files) == 0 {
				return misuse(cmd, errors.New("check needs -f FILE"))
			}
			loaded, err := a.load(c)
			if err != nil {
				return err
			}
			fmt.Fprint(a.stdout, loaded)
			return nil
		},
	}
	serveFlags(cmd.Flags(), c)
	return cmd
}
