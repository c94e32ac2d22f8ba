package admin

import (
	"bytes"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// atOnce is how many entries are held at once while a table is gone through. No
// lock is held while an answer is written.
const atOnce = 200

// A verb is what `show table`, `set table` and `clear table` do that is not alike.
type verb struct {
	required string // what is said where arguments are missing
	gerund   string // what can't be done with keys of some types
	changes  bool   // entries
	// entry is done with the entry of a key, which does not have to be there; words
	// stand behind its name.
	entry func(c *cli, t *table.Table, key []byte, words []string) error
	// entries is done with those that pass the filters; nil where a verb is not
	// for several.
	entries func(c *cli, t *table.Table, filters []filter) error
}

const unsupportedKeys = " tables of type other than ip, ipv6, string and integer is not supported\n"

// onTable does what a verb says with what args name. Where there are several tables
// of that name, HAProxys have defined it in different ways, and it is done with
// each, as far as it can be.
func (c *cli) onTable(v *verb, args []string) error {
	if len(args) == 0 {
		return refusal(v.required)
	}
	found := c.Tables.Lookup(args[0])
	if len(found) == 0 {
		return refusal("No such table\n")
	}
	var refused error
	done := false
	for _, t := range found {
		switch err := c.onOne(v, t, args[1:]); {
		case err == nil:
			done = true
		case !errors.As(err, new(refusal)):
			return err
		case refused == nil:
			refused = err
		}
	}
	if done {
		return nil
	}
	return refused
}

func (c *cli) onOne(v *verb, t *table.Table, args []string) error {
	switch {
	case word(args, 0) == "key":
		return c.onKey(v, t, args)
	case word(args, 0) == "ptr":
		return c.onID(v, t, args)
	case len(args) > 0 && !strings.HasPrefix(args[0], "data."), len(args) == 0 && v.entries == nil:
		return refusal(v.required)
	case v.entries == nil:
		return refusal("content-based lookup is only supported with the \"show\" and \"clear\" actions\n")
	}
	if err := c.mayGoThrough(v); err != nil {
		return err
	}
	def := t.Definition()
	filters, err := parseFilters(&def, args)
	if err != nil {
		return err
	}
	return v.entries(c, t, filters)
}

func (c *cli) onKey(v *verb, t *table.Table, args []string) error {
	if len(args) < 2 {
		return refusal("Key value expected\n")
	}
	key, ok := parseKey(t, args[1])
	if !ok {
		return refusal("Invalid key\n")
	}
	if err := c.mayName(v, t); err != nil {
		return err
	}
	return v.entry(c, t, key, args[2:])
}

func (c *cli) onID(v *verb, t *table.Table, args []string) error {
	digits, found := strings.CutPrefix(word(args, 1), "0x")
	if !found {
		return refusal("Pointer expected (0xffff notation)\n")
	}
	id, err := strconv.ParseUint(digits, 16, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return refusal("Malformed ptr.\n")
	}
	key := keyOf(t, id)
	if key == nil {
		return refusal("No entry can be found matching ptr.\n")
	}
	if err := c.mayName(v, t); err != nil {
		return err
	}
	return v.entry(c, t, key, args[2:])
}

// keyOf is the key of the entry with that id, nil where there is none.
func keyOf(t *table.Table, id uint64) []byte {
	var (
		batch table.Batch
		u     protocol.Update
	)
	now := time.Now()
	t.FindID(id, now, &batch)
	defer batch.Release()
	if batch.Len() == 0 {
		return nil
	}
	batch.Update(0, now, &u)
	return bytes.Clone(u.Key)
}

// mayName refuses to name single entries of a table, where HAProxy does.
func (c *cli) mayName(v *verb, t *table.Table) error {
	if t.KeyType() == protocol.KeyBinary {
		return refusal(v.gerund + unsupportedKeys)
	}
	return c.allow(Operator)
}

// mayGoThrough refuses to change many entries. That others are not shown is told
// with the table's head.
func (c *cli) mayGoThrough(v *verb) error {
	if v.changes {
		return c.allow(Operator)
	}
	return nil
}

// walk calls do with each entry of t that passes the filters, some at a time, and
// done after these.
func (c *cli) walk(t *table.Table, filters []filter, do func(b *table.Batch, i int, now time.Time, u *protocol.Update), done func() error) error {
	var (
		cursor table.Cursor
		batch  table.Batch
		u      protocol.Update
	)
	for {
		now := time.Now()
		t.Walk(&cursor, atOnce, now, &batch)
		if batch.Len() == 0 {
			return nil
		}
		for i := range batch.Len() {
			batch.Update(i, now, &u)
			if passes(filters, batch.Layout(), batch.Definition(), &u) {
				do(&batch, i, now, &u)
			}
		}
		batch.Release()
		if err := done(); err != nil {
			return err
		}
		if c.ctx.Err() != nil {
			return net.ErrClosed
		}
	}
}
