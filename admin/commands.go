package admin

import (
	"io"
	"strings"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// A command of the socket. run gets the words behind its name.
type command struct {
	name string
	help string
	run  func(s *Server, w io.Writer, args []string) error
}

// A refusal is an answer that is an error of the user's. It is HAProxy's own
// wording where HAProxy has the same case.
type refusal string

func (r refusal) Error() string { return string(r) }

var commands []command

func init() { // the list refers to help, which refers to the list
	commands = []command{
		{"help", "this list", (*Server).help},
		{"show peers", "the peers, and how their sessions are", (*Server).showPeers},
		{"show tables", "what each table takes, and what has become of its entries", (*Server).showTables},
		{"show limits", "what peers can take of us, and how often they reached it", (*Server).showLimits},
		{"show activity", "what the process takes of its machine", (*Server).showActivity},
		{"show table", "[<table>] : all tables, or the entries of one", (*Server).showTable},
	}
}

// find returns the command that words begin with, and the words behind it.
func find(words []string) (*command, []string) {
	line := strings.Join(words, " ") + " "
	for i := range commands {
		c := &commands[i]
		if strings.HasPrefix(line, c.name+" ") {
			return c, words[strings.Count(c.name, " ")+1:]
		}
	}
	return nil, nil
}

func (s *Server) help(w io.Writer, _ []string) error {
	var b strings.Builder
	b.WriteString("The following commands are valid at this level:\n")
	for _, c := range commands {
		b.WriteString("  " + c.name + strings.Repeat(" ", 20-len(c.name)) + ": " + c.help + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Server) showTable(w io.Writer, args []string) error {
	if len(args) == 0 {
		var b []byte
		for _, t := range s.Tables.Tables() {
			b = appendHead(b, t)
		}
		_, err := w.Write(b)
		return err
	}
	if len(args) > 1 {
		return refusal("Only a table's name is understood here: show table <table>\n")
	}
	found := s.Tables.Lookup(args[0])
	if len(found) == 0 {
		return refusal("No such table\n")
	}
	for _, t := range found {
		if err := dump(w, t); err != nil {
			return err
		}
	}
	return nil
}

// dump writes the head and the entries of t, a batch at a time: no lock is held
// while it writes, and no more than a batch is in memory.
func dump(w io.Writer, t *table.Table) error {
	var (
		cursor table.Cursor
		batch  table.Batch
		u      protocol.Update
		b      = appendHead(nil, t)
	)
	for {
		now := time.Now()
		t.Walk(&cursor, 200, now, &batch)
		if batch.Len() == 0 {
			_, err := w.Write(b)
			return err
		}
		for i := range batch.Len() {
			b = appendEntry(b, &batch, i, now, &u)
		}
		batch.Release()
		if _, err := w.Write(b); err != nil {
			return err
		}
		b = b[:0]
	}
}
