// Command peersd mirrors the stick tables of HAProxys and teaches them back.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Exit codes.
const (
	exitOK      = 0
	exitRefused = 1 // it could not be done, or nothing was found
	exitUsage   = 2 // it was not understood
)

// A usageError is one for which the command line is to blame.
type usageError struct{ error }

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run carries out one command line and returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, terminal: isTerminal(stdout)}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "peersd: "+err.Error())
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitRefused
}

// An app is one run of the command line.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	terminal       bool   // stdout is one
	socket         string // of the daemon
	json           bool
}
