package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) completionCommand() *cobra.Command {
	shells := map[string]func(root *cobra.Command) error{
		"bash": func(root *cobra.Command) error { return root.GenBashCompletionV2(a.stdout, true) },
		"zsh":  func(root *cobra.Command) error { return root.GenZshCompletion(a.stdout) },
		"fish": func(root *cobra.Command) error { return root.GenFishCompletion(a.stdout, true) },
	}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "print the script by which a shell completes commands, flags and tables",
		Long: `It prints the script by which a shell completes commands and flags, and the names
of tables, for which it asks the daemon.`,
		Example: `  source <(peersd completion bash)
  peersd completion bash > /etc/bash_completion.d/peersd
  peersd completion zsh > "${fpath[1]}/_peersd"
  peersd completion fish > ~/.config/fish/completions/peersd.fish`,
		Args:      takes(1, 1),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			write := shells[args[0]]
			if write == nil {
				return usageError{fmt.Errorf("there is no completion for %q; it is for bash, zsh and fish", args[0])}
			}
			return write(cmd.Root())
		},
	}
}

// tables completes an argument that is a table, the first one, by asking the
// daemon.
func (a *app) tables(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := a.tableNames()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
