package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/config"
)

const showHelp = `usage: peersd show peers|tables|limits|activity|table|table NAME [--socket PATH]

  peersd show peers      the peers, and how their sessions are
  peersd show tables     what each table takes, in all and for an entry, and what
                         has become of its entries
  peersd show limits     what peers can take of us: each limit, how much of it is
                         in use, and how often it was reached
  peersd show activity   what the daemon takes: goroutines, bytes of memory, open
                         files, and the seconds since it was started
  peersd show table      all tables: type, size, entries used
  peersd show table t1   the entries of one table, as HAProxy prints them

  --socket PATH          the socket of the daemon, %s without it
`

func show(args []string, stdout io.Writer) error {
	flags := newFlags("show")
	socket := config.DefaultSocket()
	flags.value("socket", func(s string) error {
		socket = s
		return config.CheckSocket(s)
	})
	words, err := flags.parse(fmt.Sprintf(showHelp, config.DefaultSocket()), args, stdout)
	if err != nil {
		return err
	}
	switch {
	case len(words) == 1 && slices.Contains([]string{"peers", "tables", "limits", "activity", "table"}, words[0]):
	case len(words) == 2 && words[0] == "table":
		if strings.ContainsAny(words[1], " ;\t\r\n") || words[1] == "" {
			return usageError{fmt.Errorf("%q is no name of a table; `peersd show table` lists those that peers have defined so far", words[1])}
		}
	case len(words) == 0:
		return usageError{errors.New("show what? peers, tables, limits, activity, table, or table NAME")}
	default:
		return usageError{fmt.Errorf("can't show %q; show takes peers, tables, limits, activity, table, or table NAME", strings.Join(words, " "))}
	}
	err = admin.Do(socket, "show "+strings.Join(words, " "), stdout)
	var refused admin.RefusedError
	if errors.As(err, &refused) && refused == "No such table" {
		return fmt.Errorf("no such table: %s; `peersd show table` lists those that peers have defined so far", words[1])
	}
	return err
}
