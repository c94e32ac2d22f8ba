package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/admin/entries"
	"github.com/peersd/peersd/config"
	"github.com/spf13/cobra"
)

// What commands have in common that talk to a daemon over its runtime socket.

// onSocket makes cmd one of these.
func (a *app) onSocket(cmd *cobra.Command) *cobra.Command {
	a.socket = config.DefaultSocket()
	addFlag(cmd.Flags(), "socket", "PATH|ADDR:PORT", "the runtime socket of the daemon, "+a.socket+" without it", func(s string) error {
		a.socket = s
		return config.CheckSocket(s)
	})
	return cmd
}

// withJSON gives cmd --json.
func (a *app) withJSON(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON")
	return cmd
}

// do sends a command and writes the answer to w. What the socket refuses is an
// error, in its own words.
func (a *app) do(w io.Writer, words ...string) error {
	return admin.Do(a.socket, strings.Join(words, " "), w)
}

// answer is what the socket answers to a command.
func (a *app) answer(words ...string) (string, error) {
	var b bytes.Buffer
	err := a.do(&b, words...)
	return b.String(), err
}

// tableNames are the tables that peers have defined so far.
func (a *app) tableNames() (names []string, err error) {
	err = admin.DoLines(a.socket, "show table", func(line []byte) error {
		if name, _, _, _, ok := entries.ParseHead(line); ok {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

// describe asks for a table, and what it stores.
func (a *app) describe(name string) (*entries.Table, error) {
	if err := checkTable(name); err != nil {
		return nil, err
	}
	t, err := admin.Describe(a.socket, name)
	return t, onTable(name, err)
}

// onTable makes an error of a command with the table of that name more helpful.
func onTable(name string, err error) error {
	if errors.Is(err, admin.NoSuchTable) {
		return fmt.Errorf("no such table: %.100s; `peersd show table` lists those that peers have defined so far", name)
	}
	return err
}

// checkTable refuses what would be more than one word, or command, on the socket.
func checkTable(name string) error {
	if name == "" || strings.ContainsAny(name, " ;\\\t\r\n\x00") {
		return usageError{fmt.Errorf("%.100q is no name of a table; `peersd show table` lists those that peers have defined so far", name)}
	}
	return nil
}
