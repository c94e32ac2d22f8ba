package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/admin/entries"
	"github.com/spf13/cobra"
)

// An importer makes commands of a file, and sends them when it has seen all of it.
type importer struct {
	*app
	format  string
	fields  []string // of --set
	expire  int64    // of --expire: ms, 0 for what the file says, ownLifetime for the table's
	replace bool

	table   *entries.Table
	name    string // of the file
	set     []entries.Field
	script  admin.Script
	lines   []int // where the entries of the script stand
	bad     int
	command []byte
	// With --replace: what is wanted, in the order of the file, and where it stands
	// there by keys.
	wanted []entries.Entry
	at     map[string]int
	counts struct{ set, cleared, kept int }
}

const ownLifetime = -1

// badShown is how many bad lines are told of.
const badShown = 10

func (a *app) importCommand() *cobra.Command {
	im := &importer{app: a}
	cmd := a.onSocket(&cobra.Command{
		Use:   "import TABLE FILE|-",
		Short: "set the entries of a file, on every HAProxy",
		Long: `It sets the entries of a file, or of stdin for "-", as peersd set does. A file is
what its first line looks like, or what --format says:

  keys  a key a line; lines that begin with "#" are left out
  csv   the first line names the columns: key, and any of expire and fields
  json  an object a line, as {"key":"10.0.0.1","expire":600000,"gpt0":1}

expire is a time as in 10m, or a number of ms; without it an entry lives as long as the
table says. A backslash in a key is written as two; other characters as \x and two
digits.

Nothing is sent before the whole file is known to be right. A daemon may still refuse
single entries; which ones is told, and the others are set.

With --replace the table is made equal to the file: what is not in the file is cleared,
what is there already stays, and only differences are sent. A lifetime is renewed where
less than half of it is left.`,
		Example: `  peersd import t1 banned.txt --set gpt0=1 --expire 24h --replace
  peersd export t1 | peersd import mypeers/t2 -
  peersd import t1 t1.csv`,
		Args: takes(2, 2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return a.tables(cmd, args, word)
		},
		RunE: func(_ *cobra.Command, args []string) error { return im.run(args[0], args[1]) },
	})
	flags := cmd.Flags()
	flags.SortFlags = false
	addFlag(flags, "set", "FIELD=VALUE", "set this field of every entry, whatever the file says; may be repeated", func(s string) error {
		if !strings.Contains(s, "=") {
			return fmt.Errorf("%q is not FIELD=VALUE, as in gpt0=1", s)
		}
		im.fields = append(im.fields, s)
		return nil
	})
	addFlag(flags, "expire", "TIME", "how long every entry is to last, whatever the file says, as in 24h; table for as long as the table says", func(s string) (err error) {
		if s == "table" {
			im.expire = ownLifetime
			return nil
		}
		im.expire, err = entries.ParseTime(s)
		return err
	})
	flags.BoolVar(&im.replace, "replace", false, "make the table equal to the file")
	addFlag(flags, "format", "FORMAT", "keys, csv or json", func(s string) error {
		im.format = s
		if s != entries.Keys && s != entries.CSV && s != entries.JSON {
			return fmt.Errorf("%q is no format of a file: there are %s, %s and %s", s, entries.Keys, entries.CSV, entries.JSON)
		}
		return nil
	})
	return cmd
}

func (im *importer) run(table, file string) (err error) {
	if im.table, err = im.describe(table); err != nil {
		return err
	}
	for _, s := range im.fields {
		name, value, _ := strings.Cut(s, "=")
		f, err := im.table.Set(name, value)
		if err != nil {
			return err
		}
		im.set = append(im.set, f)
	}
	in := im.stdin
	if im.name = "stdin"; file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("can't read the file: %w", err)
		}
		defer f.Close()
		in, im.name = f, file
	}
	if err := im.read(in); err != nil {
		return err
	}
	if im.replace {
		if err := im.compare(); err != nil {
			return err
		}
	}
	return im.send()
}

// read checks the whole file.
func (im *importer) read(in io.Reader) error {
	if im.replace {
		im.at = map[string]int{}
	}
	r, err := im.table.NewReader(in, im.format)
	for err == nil {
		var e entries.Entry
		if err = r.Next(&e); err == nil {
			err = im.take(&e, r.Line())
		}
		if wrong := (*entries.LineError)(nil); errors.As(err, &wrong) {
			if im.bad++; im.bad <= badShown {
				fmt.Fprintf(im.stderr, "%s: %v\n", im.name, wrong)
			}
			err = nil
		}
	}
	switch {
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("%s: %w; nothing was sent", im.name, err)
	case im.replace && len(im.wanted) == 0 && im.bad == 0:
		return fmt.Errorf("%s has no entries, and --replace would clear all of %s; if that is meant, use `peersd clear %[2]s`", im.name, im.table.Name)
	case im.bad > 0:
		return fmt.Errorf("%s has %s; nothing was sent", im.name, count(im.bad, "bad line"))
	}
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprint(n, " ", what, "s")
}

// take takes an entry of the file.
func (im *importer) take(e *entries.Entry, line int) error {
	switch {
	case im.expire == ownLifetime:
		e.Expire = 0
	case im.expire > 0:
		e.Expire = im.expire
	}
	if len(e.Fields) == 0 {
		e.Fields = im.set // the same for all
	} else {
		for _, f := range im.set {
			e.Set(f)
		}
	}
	if !im.replace {
		return im.add(e, line)
	}
	if i, found := im.at[e.Key]; found {
		im.wanted[i], im.lines[i] = *e, line
		return nil
	}
	im.at[e.Key] = len(im.wanted)
	im.wanted, im.lines = append(im.wanted, *e), append(im.lines, line)
	return nil
}

// add adds the command that sets e.
func (im *importer) add(e *entries.Entry, line int) error {
	im.command = im.table.AppendTimed(im.command[:0], e)
	if err := im.script.Add(im.command); err != nil {
		return &entries.LineError{Line: line, Err: err}
	}
	im.lines = append(im.lines, line)
	im.counts.set++
	return nil
}

// compare makes the script of the differences between the table and what is wanted:
// first what makes room.
func (im *importer) compare() error {
	same := make([]bool, len(im.wanted))
	err := im.entries(im.table, im.table.Name, func(e *entries.Entry) error {
		if i, found := im.at[e.Key]; found {
			same[i] = e.Same(&im.wanted[i])
			return nil
		}
		im.counts.cleared++
		im.command = entries.AppendKey(append(append(im.command[:0], "clear table "...), im.table.Name+" "...), e.Key)
		return im.script.Add(im.command)
	})
	if err != nil {
		return err
	}
	lines := im.lines
	im.lines = make([]int, im.counts.cleared) // which no line says
	for i := range im.wanted {
		if same[i] {
			im.counts.kept++
		} else if err := im.add(&im.wanted[i], lines[i]); err != nil {
			return fmt.Errorf("%s: %w; nothing was sent", im.name, err)
		}
	}
	return nil
}

// send sends the commands, and tells what has become of them.
func (im *importer) send() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	bar := im.newProgress(im.script.Len())
	done, refused := 0, 0
	err := im.script.Run(ctx, im.socket, func(i int, why error) {
		done++
		if why != nil {
			if refused++; refused <= badShown {
				bar.clear()
				fmt.Fprintf(im.stderr, "%s\n", im.refusal(i, why))
			}
		}
		bar.show(done)
	})
	bar.clear()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("stopped after %d of %d changes", done-refused, im.script.Len())
	case err != nil:
		return fmt.Errorf("%w; %d of %d changes were made", err, done-refused, im.script.Len())
	case refused > 0:
		return fmt.Errorf("refused: %d of %d changes; the others were made", refused, im.script.Len())
	}
	summary := fmt.Sprintf("%d set", im.counts.set)
	if im.replace {
		summary += fmt.Sprintf(", %d cleared, %d kept", im.counts.cleared, im.counts.kept)
	}
	_, err = fmt.Fprintln(im.stdout, summary)
	return err
}

func (im *importer) refusal(i int, why error) string {
	if line := im.lines[i]; line > 0 {
		return fmt.Sprintf("%s: line %d: %v", im.name, line, why)
	}
	return fmt.Sprintf("an entry could not be cleared: %v", why)
}
