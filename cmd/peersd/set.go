package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/peersd/peersd/admin/entries"
	"github.com/spf13/cobra"
)

func (a *app) setCommand() *cobra.Command {
	var expire lifetime
	cmd := a.onSocket(&cobra.Command{
		Use:   "set TABLE KEY FIELD=VALUE...",
		Short: "change an entry, or make it, on every HAProxy",
		Long: `It changes an entry, or makes it, here and on every HAProxy that has the table. Other
fields of it stay as they are. A rate reads as the value for its period, and fades.

Without --expire the entry lives as long as the table says. With it, all its fields
are set to zero at its end, on every HAProxy.`,
		Example: `  peersd set t1 10.0.0.1 gpt0=1
  peersd set t1 10.0.0.1 gpt0=1 http_req_rate=0 --expire 10m
  peersd set mypeers/t2 user-1 'gpc[2]=5'`,
		Args:              takes(3, 1000),
		ValidArgsFunction: a.tables,
		RunE: func(_ *cobra.Command, args []string) error {
			for _, arg := range args[2:] {
				if !strings.Contains(arg, "=") {
					return usageError{fmt.Errorf("%q is not FIELD=VALUE, as in gpt0=1; see `peersd set --help`", arg)}
				}
			}
			return a.set(args[0], args[1], args[2:], int64(expire))
		},
	})
	addFlag(cmd.Flags(), "expire", "TIME", "how long it is to last, as in 10m", expire.set)
	return cmd
}

// A lifetime is the value of --expire in ms.
type lifetime int64

func (l *lifetime) set(s string) error {
	ms, err := entries.ParseTime(s)
	*l = lifetime(ms)
	return err
}

func (a *app) set(table, key string, fields []string, expire int64) error {
	t, err := a.describe(table)
	if err != nil {
		return err
	}
	e := entries.Entry{Expire: expire}
	if e.Key, err = t.Key(key); err != nil {
		return err
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, "=")
		f, err := t.Set(name, value)
		if err != nil {
			return err
		}
		e.Set(f)
	}
	return a.do(io.Discard, string(t.AppendTimed(nil, &e)))
}
