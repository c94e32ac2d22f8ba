package admin

import (
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

var showing = verb{
	required: "Optional argument only supports \"data.<store_data_type>\" <operator> <value> or key <key> or ptr <ptr>\n",
	gerund:   "Showing keys from",
	entry:    (*cli).showEntry,
	entries:  (*cli).dump,
}

// showTable shows all tables, or entries of one.
func (c *cli) showTable(args []string) error {
	if len(args) > 0 {
		return c.onTable(&showing, args)
	}
	var b []byte
	for _, t := range c.Tables.Tables() {
		b = appendHead(b, t)
	}
	_, err := c.out.Write(b)
	return err
}

func (c *cli) showEntry(t *table.Table, key []byte, _ []string) error {
	var (
		batch table.Batch
		u     protocol.Update
	)
	now := time.Now()
	if t.Find(key, now, &batch); batch.Len() == 0 {
		return nil
	}
	b := appendEntry(appendHead(nil, t), &batch, 0, now, &u)
	batch.Release() // whoever reads the answer may take his time
	_, err := c.out.Write(b)
	return err
}

// dump writes the head and the entries of t, a few at a time: no lock is held while
// it writes, and no more than these are in memory.
func (c *cli) dump(t *table.Table, filters []filter) error {
	b := appendHead(nil, t)
	if c.level > Operator {
		b = append(b, "# contents not dumped due to insufficient privileges\n"...)
		_, err := c.out.Write(b)
		return err
	}
	write := func() error {
		_, err := c.out.Write(b)
		b = b[:0]
		return err
	}
	if err := write(); err != nil {
		return err
	}
	return c.walk(t, filters, func(batch *table.Batch, i int, _ time.Time, u *protocol.Update) {
		b = appendUpdate(b, batch, i, u)
	}, write)
}
