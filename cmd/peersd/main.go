// Command peersd mirrors the stick tables of HAProxys and teaches them back.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// Exit codes.
const (
	exitOK      = 0
	exitRefused = 1 // it could not be done
	exitUsage   = 2 // it was not understood
)

const usage = `peersd mirrors the stick tables of HAProxys and teaches them back.

  peersd serve [flags]      run the mirror
  peersd show peers         the peers, and how their sessions are
  peersd show table [NAME]  all tables, or the entries of one
  peersd version            what this is

Each takes --help.
`

// A usageError is one for which the command line is to blame.
type usageError struct{ error }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run carries out one command line and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	err := dispatch(args, stdout)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	}
	fmt.Fprintln(stderr, "peersd: "+err.Error())
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitRefused
}

func dispatch(args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return usageError{errors.New("no command; `peersd --help` lists them")}
	}
	switch args[0] {
	case "serve":
		return serve(args[1:], stdout)
	case "show":
		return show(args[1:], stdout)
	case "version", "--version", "-version":
		return printVersion(args[1:], stdout)
	case "help", "--help", "-help", "-h":
		_, err := io.WriteString(stdout, usage)
		return err
	}
	return usageError{fmt.Errorf("no command %q; `peersd --help` lists them", args[0])}
}

// parse reads the flags of a verb, anywhere among its arguments, and returns
// the others.
func parse(flags *flag.FlagSet, help string, args []string, stdout io.Writer) (rest []string, err error) {
	flags.SetOutput(io.Discard)
	for {
		err := flags.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			io.WriteString(stdout, help)
			return nil, err
		}
		if err != nil {
			return nil, usageError{fmt.Errorf("%w; see `peersd %s --help`", err, flags.Name())}
		}
		if flags.NArg() == 0 {
			return rest, nil
		}
		rest = append(rest, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

// version is set when a release is built.
var version = ""

func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func printVersion(args []string, stdout io.Writer) error {
	rest, err := parse(flag.NewFlagSet("version", flag.ContinueOnError), "usage: peersd version\n", args, stdout)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usageError{fmt.Errorf("version takes no %q", rest[0])}
	}
	_, err = fmt.Fprintln(stdout, "peersd "+versionString())
	return err
}
