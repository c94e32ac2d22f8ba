package main

import "github.com/spf13/cobra"

func (a *app) showPeersCommand() *cobra.Command {
	return a.onSocket(&cobra.Command{
		Use: "peers", Short: "the peers, and how their sessions are", Example: "  peersd show peers", Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error { return a.do(a.stdout, "show peers") },
	})
}
