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

func (c *cli) clearEntry(_ *table.Table, e *selected) error {
	if e.batch.Len() > 0 && e.batch.Clear(0, time.Now()) {
		c.Hub.Wake()
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
