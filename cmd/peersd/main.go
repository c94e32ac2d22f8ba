// Command peersd mirrors the stick tables of HAProxys and teaches them back.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
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
  peersd show tables        what the tables take, and what has become of entries
  peersd show limits        what peers can take, and how often they reached it
  peersd show activity      what the daemon takes: goroutines, memory, open files
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

// verbFlags are the flags of a verb.
type verbFlags struct {
	*flag.FlagSet
	wrong error // why a value was refused
}

func newFlags(verb string) *verbFlags {
	return &verbFlags{FlagSet: flag.NewFlagSet(verb, flag.ContinueOnError)}
}

// value adds a flag whose value set takes or refuses.
func (f *verbFlags) value(name string, set func(string) error) {
	f.Func(name, "", func(s string) error {
		if err := set(s); err != nil {
			f.wrong = fmt.Errorf("%s: %w", dashed(name), err)
		}
		return f.wrong
	})
}

// dashed is a flag as our help writes it.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// said turns an error of package flag into our words.
func said(err error) error {
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		return fmt.Errorf("there is no flag %s", dashed(name))
	}
	if name, ok := strings.CutPrefix(err.Error(), "flag needs an argument: -"); ok {
		return fmt.Errorf("%s needs a value", dashed(name))
	}
	return err
}

// parse reads the flags, anywhere among the arguments of the verb, and returns
// the others.
func (f *verbFlags) parse(help string, args []string, stdout io.Writer) (rest []string, err error) {
	f.SetOutput(io.Discard)
	for {
		err := f.Parse(args)
		switch {
		case errors.Is(err, flag.ErrHelp):
			io.WriteString(stdout, help)
			return nil, err
		case f.wrong != nil:
			return nil, f.misuse(f.wrong)
		case err != nil:
			return nil, f.misuse(said(err))
		case f.NArg() == 0:
			return rest, nil
		}
		rest = append(rest, f.Arg(0))
		args = f.Args()[1:]
	}
}

// misuse is an error that sends the user to the help of the verb.
func (f *verbFlags) misuse(err error) error {
	return usageError{fmt.Errorf("%w; see `peersd %s --help`", err, f.Name())}
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
	flags := newFlags("version")
	rest, err := flags.parse("usage: peersd version\n", args, stdout)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return flags.misuse(fmt.Errorf("version takes nothing, not %q", rest[0]))
	}
	_, err = fmt.Fprintln(stdout, "peersd "+versionString())
	return err
}
