package admin

import (
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

var clearing = verb{
	required: "Required arguments: <table> \"data.<store_data_type>\" <operator> <value> or <table> key <key> or <table> ptr <ptr>\n",
	gerund:   "Removing keys from",
	changes:  true,
	entry:    (*cli).clearEntry,
	entries:  (*cli).clearEntries,
}

func (c *cli) clearTable(args []string) error { return c.onTable(&clearing, args) }

func (c *cli) clearEntry(t *table.Table, key []byte, _ []string) error {
	var batch table.Batch
	now := time.Now()
	t.Find(key, now, &batch)
	defer batch.Release()
	if batch.Len() > 0 && batch.Clear(0, now) {
		c.changed = true
	}
	return nil
}

// clearEntries clears what passes the filters, a few entries at a time, which
// sessions push meanwhile.
func (c *cli) clearEntries(t *table.Table, filters []filter) error {
	cleared := false
	return c.walk(t, filters, func(b *table.Batch, i int, now time.Time, _ *protocol.Update) {
		cleared = b.Clear(i, now) || cleared
	}, func() error {
		if cleared {
			c.Hub.Wake()
		}
		cleared = false
		return nil
	})
}
