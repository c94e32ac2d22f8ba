package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const rootHelp = `peersd mirrors the stick tables of HAProxys and teaches them back.

Exit codes: 0 done, 1 refused or nothing found, 2 not understood.`

// root builds the tree of commands: one a file.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:               "peersd",
		Long:              rootHelp,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	version := root.Flags().Bool("version", false, "the same as peersd version")
	root.Args = cobra.ArbitraryArgs
	root.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case *version:
			return a.printVersion()
		case len(args) == 0:
			return usageError{errors.New("no command; `peersd --help` lists them")}
		}
		return unknown(cmd, "no command", "them", args[0])
	}
	root.PersistentFlags().BoolP("help", "h", false, "this help")
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { a.stdout.Write(appendHelp(nil, cmd)) })
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return misuse(cmd, flagError(err)) })
	root.AddCommand(a.serveCommand(), a.showCommand(), a.setCommand(), a.clearCommand(), a.importCommand(), a.exportCommand(), a.watchCommand(), a.doctorCommand(), a.topCommand(), a.rawCommand(), a.completionCommand(), a.manCommand(), a.versionCommand())
	root.SetHelpCommand(a.helpCommand(root))
	return root
}

// helpCommand is `peersd help VERB`, the same as `peersd VERB --help`.
func (a *app) helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "what a command does, as with --help",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, _ := root.Find(args)
			if len(rest) > 0 {
				return unknown(cmd, "no command", "them", rest[0])
			}
			return cmd.Help()
		},
	}
}

// misuse is an error that sends the user to the help of the command.
func misuse(cmd *cobra.Command, err error) error {
	return usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
}

// unknown is the error that cmd has no word like that behind it; its help lists
// those that there are.
func unknown(cmd *cobra.Command, what, those, word string) error {
	hint := fmt.Sprintf("`%s --help` lists %s", cmd.CommandPath(), those)
	cmd.SuggestionsMinimumDistance = 2
	if like := cmd.SuggestionsFor(word); len(like) > 0 {
		hint = fmt.Sprintf("is it %s? %s", strings.Join(like, " or "), hint)
	}
	return usageError{fmt.Errorf("%s %q; %s", what, word, hint)}
}

// takes is how many arguments a command takes; names are those of its usage line.
func takes(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch _, names, _ := strings.Cut(cmd.Use, " "); {
		case len(args) > most && most == 0:
			return misuse(cmd, fmt.Errorf("%s takes flags only, not %q", cmd.Name(), args[0]))
		case len(args) > most:
			return misuse(cmd, fmt.Errorf("%s takes %s, and no %q", cmd.Name(), names, args[most]))
		case len(args) < least:
			return misuse(cmd, fmt.Errorf("%s needs %s", cmd.Name(), names))
		}
		return nil
	}
}
