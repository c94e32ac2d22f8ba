package admin

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

const (
	// watchEvery is how long a change may wait before it is seen: looking costs next
	// to nothing where there is none.
	watchEvery = 50 * time.Millisecond
	// maxWatches is how many clients may watch at a time: others have to be answered
	// too.
	maxWatches = maxClients / 2
)

// A watching is what `watch table` shows until its client goes or says something.
// There is no queue: it stands in the table's logs, and where the client is slow it
// lags behind.
type watching struct {
	*cli
	args   []string
	all    []watched
	tables []*table.Table // of the set, when it was looked what is to be watched
	last   *table.Table   // whose head was written last
	line   []byte
}

// A watched is a table, or one key of it.
type watched interface {
	of() *table.Table
	// look writes some of what has changed, and reports whether there may be more.
	look(w *watching, now time.Time) (more bool)
	close()
}

// watchTable shows the changes of a table as they come, up to the client's next line
// or the end of the connection.
func (c *cli) watchTable(args []string) error {
	if n := c.watches.Add(1); n > maxWatches {
		c.watches.Add(-1)
		return refusal("Too many clients watch already\n")
	}
	defer c.watches.Add(-1)
	w := &watching{cli: c, args: args}
	defer w.close()
	if err := w.find(); err != nil {
		return err
	}
	for _, one := range w.all {
		w.head(one.of())
	}
	return w.run()
}

// find takes up the tables that are there now, and drops those that are gone: HAProxys
// may define a name anew.
func (w *watching) find() error {
	w.tables = w.Tables.Tables()
	w.all = slices.DeleteFunc(w.all, func(one watched) bool {
		gone := !slices.Contains(w.tables, one.of())
		if gone {
			one.close()
		}
		return gone
	})
	return w.onTable(&verb{
		required: showing.required,
		gerund:   "Watching keys from",
		entry: func(_ *cli, t *table.Table, key []byte, _ []string) error {
			if !w.has(t) {
				w.all = append(w.all, newWatchedKey(t, key))
			}
			return nil
		},
		entries: func(_ *cli, t *table.Table, filters []filter) error {
			if !w.has(t) {
				w.all = append(w.all, &watchedTable{Watch: t.Watch(), filters: filters})
			}
			return nil
		},
	}, w.args)
}

func (w *watching) has(t *table.Table) bool {
	return slices.ContainsFunc(w.all, func(one watched) bool { return one.of() == t })
}

func (w *watching) close() {
	for _, one := range w.all {
		one.close()
	}
}

func (w *watching) run() error {
	heard := w.listen()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	hangUp := time.NewTicker(time.Second)
	defer hangUp.Stop()
	for {
		more, err := w.look()
		if err != nil {
			return err
		}
		wait := tick.C
		if more {
			wait = atOnceAgain
		}
		select {
		case err := <-heard:
			if err == nil || !w.halfOpen(err) {
				return nil
			}
			heard = nil
		case <-hangUp.C:
			if heard == nil && hungUp(w.conn) {
				return errQuit
			}
		case <-w.ctx.Done():
			return net.ErrClosed
		case <-wait:
		}
	}
}

// atOnceAgain is ready at any time.
var atOnceAgain = func() <-chan time.Time {
	c := make(chan time.Time)
	close(c)
	return c
}()

// listen waits for the client to say something, or to end its side.
func (w *watching) listen() <-chan error {
	w.conn.SetReadDeadline(time.Time{}) // it may be silent as long as it likes
	heard := make(chan error, 1)
	go func() {
		_, err := w.in.Peek(1)
		heard <- err
	}()
	return heard
}

// halfOpen reports whether a client that has ended its side may still read: one that
// was given its line by a pipe, as socat and nc are. On TCP nobody could tell when it
// is gone.
func (w *watching) halfOpen(err error) bool {
	_, unix := w.conn.(*net.UnixConn)
	return unix && errors.Is(err, io.EOF)
}

// look writes some of the changes of each table, and reports whether there may be
// more.
func (w *watching) look() (more bool, err error) {
	if tables := w.Tables.Tables(); len(tables) != len(w.tables) || len(tables) > 0 && &tables[0] != &w.tables[0] {
		if err := w.find(); err != nil && !errors.As(err, new(refusal)) {
			return false, err
		}
	}
	now := time.Now()
	for _, one := range w.all {
		more = one.look(w, now) || more
	}
	return more, w.out.Flush()
}

// head writes the head of a table.
func (w *watching) head(t *table.Table) {
	w.last = t
	w.out.Write(appendHead(nil, t)) // an error comes again, with Flush
}

// begin is called before something of t is written: where several tables are watched,
// it says which one it is of.
func (w *watching) begin(t *table.Table) {
	if t != w.last {
		w.head(t)
	}
}

// changed writes entry i of a batch, of which u was read.
func (w *watching) changed(t *table.Table, b *table.Batch, i int, u *protocol.Update) {
	w.begin(t)
	w.line = appendUpdate(w.line[:0], b, i, u)
	w.out.Write(w.line)
}

// ended writes that there is no entry of key any more.
func (w *watching) ended(t *table.Table, key []byte) {
	w.begin(t)
	w.line = append(appendKey(append(w.line[:0], "# ended: key="...), t.KeyType(), key), '\n')
	w.out.Write(w.line)
}

// A watchedTable is one of which all entries are watched, or those that pass filters.
// What ended passes none.
type watchedTable struct {
	*table.Watch
	filters []filter
	batch   table.Batch
	update  protocol.Update
}

func (wt *watchedTable) of() *table.Table { return wt.Table() }
func (wt *watchedTable) close()           { wt.Close() }

func (wt *watchedTable) look(w *watching, now time.Time) (more bool) {
	wt.Read(atOnce, now, &wt.batch)
	more = wt.batch.Len() > 0
	wt.write(w, now)
	// What was noted before an entry was read may have become of an earlier one of
	// its key: only where there is none the entry has ended.
	notes, missed := wt.Noted()
	for _, n := range notes {
		wt.Table().Find(n.Key, now, &wt.batch)
		if there := wt.batch.Len() > 0; there && !n.Ended {
			wt.write(w, now)
		} else if !there && n.Ended && len(wt.filters) == 0 {
			w.ended(wt.Table(), n.Key)
		}
		wt.batch.Release()
	}
	if missed > 0 && len(wt.filters) == 0 {
		w.begin(wt.Table())
		fmt.Fprintf(w.out, "# missed: %d\n", missed)
	}
	return more
}

// write writes what passes of the entries that are pinned, and lets go of them.
func (wt *watchedTable) write(w *watching, now time.Time) {
	b := &wt.batch
	for i := range b.Len() {
		if b.Cleared(i) {
			continue
		}
		b.Update(i, now, &wt.update)
		if passes(wt.filters, b.Layout(), b.Definition(), &wt.update) {
			w.changed(wt.Table(), b, i, &wt.update)
		}
	}
	b.Release()
}

// A watchedKey is looked up again and again: that takes less than to go through all
// changes of its table.
type watchedKey struct {
	table    *table.Table
	key      []byte
	there    bool
	local    bool
	position uint64
	values   []uint64
	batch    table.Batch
	update   protocol.Update
}

func newWatchedKey(t *table.Table, key []byte) *watchedKey {
	k := &watchedKey{table: t, key: key}
	k.find(time.Now())
	k.batch.Release()
	return k
}

func (k *watchedKey) of() *table.Table { return k.table }
func (k *watchedKey) close()           {}

// find pins the entry, and reports whether it was there before, and whether it has
// changed since.
func (k *watchedKey) find(now time.Time) (was, changed bool) {
	was = k.there
	k.table.Find(k.key, now, &k.batch)
	if k.there = k.batch.Len() > 0; !k.there {
		return was, was
	}
	local, position := k.batch.Local(0), k.batch.Position(0)
	k.batch.Update(0, now, &k.update)
	// A change can leave the entry where it stands in the log, see table.Note.
	changed = !was || local != k.local || position != k.position || !slices.Equal(k.update.Values, k.values)
	k.local, k.position, k.values = local, position, append(k.values[:0], k.update.Values...)
	return was, changed
}

func (k *watchedKey) look(w *watching, now time.Time) (more bool) {
	switch was, changed := k.find(now); {
	case was && !k.there:
		w.ended(k.table, k.key)
	case changed && k.there:
		w.changed(k.table, &k.batch, 0, &k.update)
	}
	k.batch.Release()
	return false
}
