package table

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
)

// twin is a table as a map. It is slow and plain, and says what is right.
type twin struct {
	entries map[string]*twinEntry // those whose lifetime is over too, until they are dropped
	room    func() bool           // whether a new one is let in; what gives way to it is out by then
	expired uint64                // as Stats counts them
	shardOf func(key string) int
	learned map[int]uint64       // position of the newest, by shard
	changed uint64               // the same of those that were changed here
	union   *protocol.Definition // what all declarers say together
	def     *protocol.Definition // the same without what there is no room for
}

type twinEntry struct {
	values    map[protocol.DataType][]twinValue
	server    string
	stamp     int64
	expire    int64 // 0 = never
	uncertain bool
	origin    uint8
	live      bool // changed last live, or here
	local     bool // changed last here
	position  uint64
}

// twinValue is one value, a rate as of its own instant.
type twinValue struct {
	words [3]uint64
	stamp int64
}

func (e *twinEntry) clone() *twinEntry {
	c := *e
	c.values = map[protocol.DataType][]twinValue{}
	for dt, v := range e.values {
		c.values[dt] = slices.Clone(v)
	}
	return &c
}

func (e *twinEntry) ended(now int64) bool { return e.expire != 0 && e.expire <= now }

// A twinSource is what a Source is to know.
type twinSource struct {
	def        *protocol.Definition
	origin     uint8
	lessonFrom int64
	doubted    map[uint32]bool
}

// merge says what Source.Merge is to do, by its documentation.
func (w *twin) merge(now int64, src *twinSource, u *protocol.Update, how How) bool {
	key, def := string(u.Key), src.def
	e := w.entries[key]
	if e != nil && e.ended(now) {
		delete(w.entries, key)
		w.expired++
		e = nil
	}
	lifetime := int64(def.Expire)
	if u.Timed && int64(u.Remaining) < lifetime {
		lifetime = int64(u.Remaining)
	}
	expire := now + lifetime
	if def.Expire == 0 {
		expire = 0
	} else if lifetime == 0 {
		return false
	}
	others := e != nil && e.origin != src.origin && !e.uncertain && e.expire != 0 && expire != 0
	if how == Pushed && others || how == Replayed && (others && !src.doubted[u.ID] || e != nil && w.same(e, def, u)) {
		return false
	}
	if e != nil && how == Taught && !u.Timed {
		return false
	}
	if e != nil && how == Taught && !e.uncertain {
		longer := expire - e.expire
		switch {
		case e.expire == 0 || expire == 0 || longer < 0:
			return false
		case w.same(e, def, u):
			if longer <= 1000 {
				return false
			}
		case others && e.live && src.lessonFrom > 0 && longer <= now-src.lessonFrom:
			src.doubted[u.ID] = true
			return false
		}
	}
	if e == nil {
		if !w.room() {
			return false
		}
		e = &twinEntry{values: map[protocol.DataType][]twinValue{}}
		w.entries[key] = e
	}
	e.stamp, e.expire, e.origin = now, expire, src.origin
	e.uncertain, e.local, e.live = how == Pushed, how == Local, how == Live || how == Local
	if e.local {
		w.changed++
		e.position = w.changed
	} else {
		w.learned[w.shardOf(key)]++
		e.position = w.learned[w.shardOf(key)]
	}
	w.fit(e)
	w.bring(def, u, func(dt protocol.DataType, element int, words []uint64) {
		v := twinValue{stamp: now}
		copy(v.words[:], words)
		e.values[dt][element] = v
	})
	if w.def.Types&def.Types&(1<<protocol.ServerKey) != 0 {
		e.server = u.ServerKey
	}
	return true
}

// bring calls f for each value of u that the table stores.
func (w *twin) bring(def *protocol.Definition, u *protocol.Update, f func(dt protocol.DataType, element int, words []uint64)) {
	at := 0
	for dt := range def.DataTypes() {
		n, words := max(def.Params[dt].Elements, 1), dt.Kind().Words()
		for i := range n {
			if w.def.Types&(1<<dt) != 0 && i < max(w.def.Params[dt].Elements, 1) && dt != protocol.ServerKey {
				f(dt, i, u.Values[at:at+words])
			}
			at += words
		}
	}
}

func (w *twin) same(e *twinEntry, def *protocol.Definition, u *protocol.Update) bool {
	same := true
	w.bring(def, u, func(dt protocol.DataType, i int, words []uint64) {
		have := e.values[dt][i].words
		if dt.IsRate() {
			same = same && have[1] == words[1] && have[2] == words[2]
		} else {
			same = same && have[0] == words[0]
		}
	})
	if w.def.Types&def.Types&(1<<protocol.ServerKey) != 0 {
		same = same && e.server == u.ServerKey
	}
	return same
}

// fit gives e the values that the table stores now: none of those are known
// that it did not store before.
func (w *twin) fit(e *twinEntry) {
	values := map[protocol.DataType][]twinValue{}
	for dt := range w.def.DataTypes() {
		values[dt] = make([]twinValue, max(w.def.Params[dt].Elements, 1))
		for i := range values[dt] {
			values[dt][i].stamp = e.stamp
		}
		copy(values[dt], e.values[dt])
	}
	e.values = values
	if w.def.Types&(1<<protocol.ServerKey) == 0 {
		e.server = ""
	}
}

// define makes the table that of all definitions, of which the last is latest.
func (w *twin) define(all []*protocol.Definition) {
	def := *all[0]
	def.ID, def.Types, def.Params = 0, 0, [protocol.NumDataTypes]protocol.Params{}
	for _, d := range all {
		def.Expire = d.Expire
		def.Types |= d.Known()
		for dt := range d.DataTypes() {
			def.Params[dt].Period = d.Params[dt].Period
			def.Params[dt].Elements = max(def.Params[dt].Elements, d.Params[dt].Elements)
		}
	}
	w.union = &def
}

// store makes the table store what def says.
func (w *twin) store(def protocol.Definition) {
	w.def = &def
	for _, e := range w.entries {
		w.fit(e)
	}
}

// seen is what a reader sees of an entry at an instant.
type seen struct {
	key, server string
	words       []uint64 // position, remaining lifetime, values
}

func (s *seen) equal(o *seen) bool {
	return s.key == o.key && s.server == o.server && slices.Equal(s.words, o.words)
}

// at is what is to be seen of e.
func (e *twinEntry) at(now int64, def *protocol.Definition, key string, s *seen) {
	remaining := int64(0)
	if e.expire != 0 {
		remaining = min(max(e.expire-now, 0), math.MaxUint32)
	}
	s.key, s.server, s.words = key, e.server, append(s.words[:0], e.position, uint64(remaining))
	for dt := range def.DataTypes() {
		if dt == protocol.ServerKey {
			continue
		}
		for _, v := range e.values[dt] {
			if dt.IsRate() {
				if since := now - v.stamp; since > 0 && v.words[0] < math.MaxInt32 {
					v.words[0] = min(v.words[0]+uint64(since), math.MaxInt32)
				}
			}
			s.words = append(s.words, v.words[:dt.Kind().Words()]...)
		}
	}
}

// seenIn is what is seen of an entry in a batch.
func seenIn(b *Batch, i int, now time.Time, u *protocol.Update, s *seen) {
	b.Update(i, now, u)
	s.key, s.server, s.words = string(u.Key), u.ServerKey, append(s.words[:0], b.Position(i), uint64(u.Remaining))
	for _, c := range b.Layout().Columns {
		if c.Type != protocol.ServerKey {
			s.words = append(s.words, u.Values[c.Offset:c.Offset+c.Words()]...)
		}
	}
}

// choices are where a model's next step comes from.
type choices interface {
	// upTo returns a number below n.
	upTo(n int) int
	done() bool
}

type randomChoices struct {
	r     *rand.Rand
	steps int
}

func (c *randomChoices) upTo(n int) int { return c.r.IntN(n) }
func (c *randomChoices) done() bool     { c.steps--; return c.steps < 0 }

// byteChoices are those of a fuzzer.
type byteChoices struct{ b []byte }

func (c *byteChoices) done() bool { return len(c.b) == 0 }

func (c *byteChoices) upTo(n int) int {
	v := 0
	for most := n - 1; most > 0 && len(c.b) > 0; most >>= 8 {
		v, c.b = v<<8|int(c.b[0]), c.b[1:]
	}
	return v % n
}

// held is a batch that is not released yet, and what it held at first.
type held struct {
	b     *Batch
	keys  []string
	twins []*twinEntry
	def   *protocol.Definition
}

// lesson is one under way: what it has brought so far, and at which position.
type lesson struct {
	cursor LearnedCursor
	read   map[string]uint64
	newest map[int]uint64 // by shard
}

// some is how many are read at once.
func (m *model) some() int { return 1 + m.c.upTo(8*m.bulk) }

// model runs a Table and its twin side by side.
type model struct {
	t       testing.TB
	c       choices
	set     *Set
	table   *Table
	twin    twin
	now     int64 // tick
	keys    []string
	pool    []*protocol.Definition
	says    []*protocol.Definition // what each declarer says, nil for nothing
	latest  []*protocol.Definition // the same, the latest last, each once
	sources []*Source
	twins   []*twinSource // of the sources
	held    []held
	lesson  lesson
	every   int // so many steps everything is compared
	bulk    int // so many keys a step takes, more or less

	limits  Limits
	limited bool // memory is
	cut     int  // slots by which compaction made the table smaller

	// As Stats counts them.
	merged           int
	evicted, refused uint64

	u         protocol.Update
	got, want seen
}

func newModel(t testing.TB, c choices, keyType protocol.KeyType, keyLen, shards, keys int) *model {
	m := &model{t: t, c: c, set: NewSet("section", epoch).WithShards(shards), now: 1, every: 1, bulk: 1}
	m.twin.entries, m.twin.learned = map[string]*twinEntry{}, map[int]uint64{}
	m.twin.shardOf = func(key string) int { return int(hash([]byte(key)) >> m.table.shardShift) }
	m.twin.room = m.room
	known := map[string]bool{}
	for i := range keys {
		key := fmt.Sprintf("%0*d", keyLen, i)
		if keyType == protocol.KeyString {
			// Of all lengths up to the greatest.
			key = strings.Repeat("k", i*(keyLen-1)/keys) + strconv.Itoa(i)
			key = key[max(0, len(key)-(keyLen-1)):]
		}
		if !known[key] {
			m.keys = append(m.keys, key)
		}
		known[key] = true
	}
	all := define(keyType, keyLen, 500, protocol.ServerID, protocol.GPC0, protocol.HTTPReqRate, protocol.BytesInCount,
		protocol.BytesOutRate, protocol.ServerKey, protocol.GPTArray, protocol.GPCRateArray, protocol.GlitchCount)
	m.pool = []*protocol.Definition{
		define(keyType, keyLen, 500, protocol.GPC0, protocol.HTTPReqRate),
		define(keyType, keyLen, 0, protocol.GPC0, protocol.ServerKey),
		define(keyType, keyLen, 300, protocol.HTTPReqRate, protocol.ServerKey, protocol.GPCRateArray),
		all,
		change(all, func(d *protocol.Definition) {
			d.Expire = math.MaxUint32
			d.Params[protocol.GPTArray].Elements, d.Params[protocol.GPCRateArray].Elements = 1, 5
		}),
		change(all, func(d *protocol.Definition) { d.Types, d.Expire = 1<<protocol.GPTArray|1<<45, 20 }),
	}
	m.says = make([]*protocol.Definition, 3)
	m.sources = make([]*Source, 3)
	m.twins = make([]*twinSource, 3)
	m.define(0)
	return m
}

// define lets a declarer say something new.
func (m *model) define(declarer int) {
	is := change(m.pool[m.c.upTo(len(m.pool))], func(d *protocol.Definition) { d.ID = uint64(m.c.upTo(3)) })
	was := m.says[declarer]
	m.table = m.set.Define(at(m.now-1), was, is)
	m.sources[declarer] = m.table.Source(is)
	m.twins[declarer] = &twinSource{def: is, doubted: map[uint32]bool{}}
	m.says[declarer] = is
	news := was == nil || !same(was, is)
	if news {
		// Twice the same counts as said once, at the later time.
		gone := func(d *protocol.Definition) bool {
			return same(d, is) || !slices.ContainsFunc(m.says, func(s *protocol.Definition) bool { return s != nil && same(s, d) })
		}
		m.latest = append(slices.DeleteFunc(m.latest, gone), is)
		m.twin.define(m.latest)
	}
	m.follow()
	if got := m.table.Definition(); news && !m.limited && got != *m.twin.union {
		m.t.Fatalf("definition is %v, want %v", &got, m.twin.union)
	}
	if len(m.set.Tables()) != 1 {
		m.t.Fatal("another table")
	}
}

// follow lets the twin store what the table stores: all that is declared, but for what
// it did not store before, where memory is limited.
func (m *model) follow() {
	got, all, was := m.table.Definition(), m.twin.union, m.twin.def
	want := *all
	for dt := range all.DataTypes() {
		had := was != nil && was.Types>>dt&1 == 1
		least, most, n := 0, all.Params[dt].Elements, got.Params[dt].Elements
		if had {
			least = min(was.Params[dt].Elements, most)
		}
		switch has := got.Types>>dt&1 == 1; {
		case has && n >= least && n <= most:
			want.Params[dt].Elements = n
		case !has && !had:
			want.Types &^= 1 << dt
			want.Params[dt] = protocol.Params{}
		}
	}
	if got != want {
		m.t.Fatalf("definition is %v, want %v", &got, &want)
	}
	m.twin.store(got)
}

func (m *model) update(def *protocol.Definition) *protocol.Update {
	u := &protocol.Update{Key: []byte(m.keys[m.c.upTo(len(m.keys))]), ID: uint32(m.c.upTo(4))}
	l := protocol.NewLayout(def)
	u.Values = make([]uint64, l.Words)
	salt := uint64(m.c.upTo(6)) // few, so that equal updates are met
	for _, c := range l.Columns {
		for i := range c.Words() {
			v := salt * uint64(1+c.Offset+i)
			switch {
			case c.Type.Kind() == protocol.Unsigned64:
				v <<= 35
			case c.Type.Kind() == protocol.Signed32 && salt%2 == 1:
				v = -v
			case c.Type.IsRate() && i%3 == 0 && salt == 5:
				v = 4294949264
			}
			u.Values[c.Offset+i] = v
		}
		if c.Type == protocol.ServerKey && salt > 0 {
			u.ServerKey = fmt.Sprint("server", salt)
		}
	}
	if m.c.upTo(2) == 0 {
		u.Timed = true
		u.Remaining = []uint32{0, 1, 10, 100, 400, 700, math.MaxUint32}[m.c.upTo(7)]
	}
	return u
}

// source is one of the sources, of another session now and then.
func (m *model) source() (*Source, *twinSource) {
	i := m.c.upTo(len(m.sources))
	if m.sources[i] == nil {
		m.define(i)
	}
	src, twin := m.sources[i], m.twins[i]
	if m.c.upTo(4) == 0 {
		src.Origin = uint8(m.c.upTo(2))
		src.LessonAsked(at(m.now - 1))
		twin.origin, twin.lessonFrom, twin.doubted = src.Origin, m.now, map[uint32]bool{}
	}
	return src, twin
}

func (m *model) merge() {
	src, twin := m.source()
	u, how := m.update(twin.def), m.how()
	m.merge1(twin, u, how, src.Merge(at(m.now-1), u, how))
}

func (m *model) how() How { return How(m.c.upTo(int(Local) + 1)) }

// merge1 does in the twin what was done in the table.
func (m *model) merge1(src *twinSource, u *protocol.Update, how How, got bool) {
	if want := m.twin.merge(m.now, src, u, how); got != want {
		m.t.Fatalf("merge of %q, how %d, timed %v %d: %v, want %v", u.Key, how, u.Timed, u.Remaining, got, want)
	}
	if got {
		m.merged++
	}
	clear(u.Key) // the table has to have its own
}

// mergeAll merges many at once, which go shard by shard. There is room for all.
func (m *model) mergeAll(n int) {
	src, twin := m.source()
	all := make([]Arrival, n)
	for i := range all {
		all[i].Update, all[i].How = *m.update(twin.def), m.how()
	}
	src.MergeAll(at(m.now-1), all)
	slices.SortStableFunc(all, func(a, b Arrival) int {
		return m.twin.shardOf(string(a.Key)) - m.twin.shardOf(string(b.Key))
	})
	m.twin.room = func() bool { return true }
	for i := range all {
		a := &all[i]
		known := m.twin.entries[string(a.Key)]
		if want := a.Changed && (known == nil || known.ended(m.now)); a.Added != want {
			m.t.Fatalf("merge of %q, how %d: added %v, want %v", a.Key, a.How, a.Added, want)
		}
		m.merge1(twin, &a.Update, a.How, a.Changed)
	}
	m.twin.room = m.room
}

// mergeSome merges one by one where there are limits, so that it can be seen what
// gives way to which.
func (m *model) mergeSome() {
	if !m.limited && m.limits.Size == 0 && m.c.upTo(2) == 0 {
		m.mergeAll(1 + m.c.upTo(min(4*m.bulk, MaxArrivals)))
		return
	}
	for range m.bulk {
		m.merge()
	}
}

// gone are the twin's entries that the table has no more.
func (m *model) gone() (keys []string) {
	for key := range m.twin.entries {
		if !there(m.table, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// evict takes what was evicted out of the twin. That is what ends first of all
// that ends, whatever the shard, and by its true end: nothing that is left ends
// earlier, and what had ended counts as expired. Of those that end at the same
// tick any may be first. cleaned is whether the cleaner may have dropped what had
// ended, which it does shard by shard. left is whether anything more could go.
func (m *model) evict(keys []string, cleaned bool) (left bool) {
	last := int64(0)
	for _, key := range keys {
		e := m.twin.entries[key]
		delete(m.twin.entries, key)
		if e.ended(m.now) {
			m.twin.expired++
			if cleaned {
				continue
			}
		} else {
			m.evicted++
		}
		if last = max(last, e.expire); e.expire == 0 || m.limits.NoPurge {
			m.t.Fatalf("%q was evicted, which ends at %d; limits %+v", key, e.expire, m.limits)
		}
	}
	for key, e := range m.twin.entries {
		if e.expire != 0 && e.expire < last {
			m.t.Fatalf("%q, which ends at %d, is left; one that ends at %d was evicted", key, e.expire, last)
		}
		left = left || e.expire != 0
	}
	return left && !m.limits.NoPurge
}

// room is what the table did to let a new entry in.
func (m *model) room() bool {
	size, before, s := m.limits.Size, len(m.twin.entries), m.table.Stats()
	var gone []string
	more := true
	if s.Evicted+s.Expired != m.evicted+m.twin.expired || s.Refused != m.refused {
		gone = m.gone()
		more = m.evict(gone, false)
	}
	full := size > 0 && len(m.twin.entries) >= size
	switch {
	case len(gone) > 0 && !m.limited && (size == 0 || before < size || len(gone) > before-size+size/256+1):
		m.t.Fatalf("%d of %d entries gave way where there may be %d", len(gone), before, size)
	case s.Refused == m.refused:
		if full {
			m.t.Fatalf("one more than %d entries is let in", size)
		}
		return true
	case !full && !m.limited:
		m.t.Fatalf("refused with %d entries, where there may be %d", len(m.twin.entries), size)
	case more && len(gone) < maxEvicted:
		// Where a limit was lowered by far, some hundreds go at a time.
		m.t.Fatalf("refused with %d entries, where there may be %d, though some could give way", len(m.twin.entries), size)
	}
	m.refused++
	return false
}

// hold keeps b, which has been compared, for a while.
func (m *model) hold(b *Batch) {
	h := held{b: b, def: m.twin.def}
	var u protocol.Update
	for i := range b.Len() {
		b.Update(i, at(m.now-1), &u)
		key := string(u.Key)
		h.keys = append(h.keys, key)
		h.twins = append(h.twins, m.twin.entries[key].clone())
	}
	m.held = append(m.held, h)
	if len(m.held) > 8 {
		m.release(0)
	}
}

func (m *model) release(i int) {
	m.held[i].b.Release()
	m.held = slices.Delete(m.held, i, i+1)
}

// learned are the twin's entries that a peer changed last, shard by shard.
func (m *model) learned() []string {
	return m.ordered(func(e *twinEntry) bool { return !e.local })
}

// changed are those that were changed last here, after a position.
func (m *model) changed(position uint64) []string {
	return m.ordered(func(e *twinEntry) bool { return e.local && e.position > position })
}

func (m *model) ordered(which func(*twinEntry) bool) (keys []string) {
	for key, e := range m.twin.entries {
		if which(e) && !e.ended(m.now) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		x, y := m.twin.entries[a], m.twin.entries[b]
		if d := m.twin.shardOf(a) - m.twin.shardOf(b); d != 0 && !x.local {
			return d
		}
		return int(x.position) - int(y.position)
	})
	return keys
}

func (m *model) compare(b *Batch, keys []string) {
	m.t.Helper()
	if b.Len() != len(keys) {
		m.t.Fatalf("batch of %d entries, want %d", b.Len(), len(keys))
	}
	for i, key := range keys {
		e := m.twin.entries[key]
		m.compareOne("an entry", b, i, m.now, e, m.twin.def, key)
		if b.Expires(i) != (e.expire != 0) || b.Local(i) != e.local || b.Uncertain(i) != e.uncertain {
			m.t.Fatalf("entry %d: Expires %v, changed here %v, Uncertain %v", i, b.Expires(i), b.Local(i), b.Uncertain(i))
		}
	}
}

func (m *model) compareOne(what string, b *Batch, i int, now int64, e *twinEntry, def *protocol.Definition, key string) {
	seenIn(b, i, at(now-1), &m.u, &m.got)
	e.at(now, def, key, &m.want)
	if !m.got.equal(&m.want) {
		m.t.Fatalf("%s is\n%v, want\n%v", what, m.got, m.want)
	}
}

// read reads what was changed here, from anywhere.
func (m *model) read() {
	position, limit := uint64(m.c.upTo(int(m.twin.changed)+2)), m.some()
	if position >= m.twin.changed {
		position = 0 // more often than not the beginning is more interesting
	}
	b := new(Batch)
	next := m.table.ReadChanged(position, limit, at(m.now-1), b)
	want := m.changed(position)
	m.compare(b, want[:min(limit, len(want))])
	if rest, left := m.changed(next), len(want)-b.Len(); len(rest) != left {
		m.t.Fatalf("goes on from %d, behind which there are %d, not %d", next, len(rest), left)
	}
	m.hold(b)
}

// learn goes on with a lesson, between other steps: nothing comes twice unless it
// has changed, and in the end nothing is missing.
func (m *model) learn() {
	l := &m.lesson
	if l.read == nil {
		*l = lesson{read: map[string]uint64{}, newest: map[int]uint64{}}
	}
	b := new(Batch)
	m.table.ReadLearned(&l.cursor, m.some(), at(m.now-1), b)
	var u protocol.Update
	for i := range b.Len() {
		b.Update(i, at(m.now-1), &u)
		key := string(u.Key)
		e, shard := m.twin.entries[key], m.twin.shardOf(key)
		if e == nil || e.local || b.Local(i) || e.ended(m.now) {
			m.t.Fatalf("lesson has %q, which it should not", key)
		}
		m.compareOne("in a lesson", b, i, m.now, e, m.twin.def, key)
		if b.Position(i) <= l.newest[shard] {
			m.t.Fatalf("lesson goes back from %d to %d in shard %d", l.newest[shard], b.Position(i), shard)
		}
		l.read[key], l.newest[shard] = b.Position(i), b.Position(i)
	}
	if m.hold(b); b.Len() > 0 {
		return
	}
	for _, key := range m.learned() {
		if l.read[key] != m.twin.entries[key].position {
			m.t.Fatalf("lesson is over without %q", key)
		}
	}
	*l = lesson{}
}

func (m *model) walk() {
	var cursor Cursor
	got := map[string]bool{}
	for {
		b := new(Batch)
		m.table.Walk(&cursor, m.some(), at(m.now-1), b)
		if b.Len() == 0 {
			break
		}
		var u protocol.Update
		for i := range b.Len() {
			b.Update(i, at(m.now-1), &u)
			e := m.twin.entries[string(u.Key)]
			if e == nil || e.ended(m.now) || got[string(u.Key)] {
				m.t.Fatalf("walked over %q, which is not there, or twice", u.Key)
			}
			got[string(u.Key)] = true
			m.compareOne("walked over", b, i, m.now, e, m.twin.def, string(u.Key))
		}
		m.hold(b)
	}
	if want := len(m.learned()) + len(m.changed(0)); len(got) != want {
		m.t.Fatalf("walked over %d entries, want %d", len(got), want)
	}
}

func (m *model) find() {
	key := m.keys[m.c.upTo(len(m.keys))]
	b := new(Batch)
	m.table.Find([]byte(key), at(m.now-1), b)
	var want []string
	if e := m.twin.entries[key]; e != nil && !e.ended(m.now) {
		want = []string{key}
	}
	m.compare(b, want)
	m.hold(b)
}

func (m *model) expire() {
	budget := m.c.upTo(6 * m.bulk) // of each shard
	dropped, again := m.table.Expire(at(m.now-1), budget)
	if dropped > budget*len(m.table.shards) {
		m.t.Fatalf("%d entries dropped with a budget of %d", dropped, budget)
	}
	first, left := int64(math.MaxInt64), 0
	for key, e := range maps.Clone(m.twin.entries) {
		if there(m.table, key) {
			if e.ended(m.now) {
				left++
			}
			if e.expire != 0 {
				first = min(first, e.expire)
			}
			continue
		}
		if !e.ended(m.now) {
			m.t.Fatalf("%q was dropped %d ms too early", key, e.expire-m.now)
		}
		delete(m.twin.entries, key)
		m.twin.expired++
		dropped--
	}
	switch {
	case dropped != 0:
		m.t.Fatalf("the number of entries dropped is wrong by %d", dropped)
	case budget > 0 && again.IsZero() && first != math.MaxInt64:
		m.t.Fatal("never again, though entries end")
	case !again.IsZero() && again.After(at(m.now-1)) && left > 0:
		m.t.Fatalf("%d entries that have ended are left, and again is later", left)
	case first != math.MaxInt64 && again.After(at(max(first, m.now)-1)):
		m.t.Fatalf("again at %v is later than the first end, %v", again, at(first-1))
	}
}

// expireAll is what the cleaner does: it evicts too where memory is short.
func (m *model) expireAll() {
	m.set.Expire(at(m.now-1), 1+m.c.upTo(6*m.bulk))
	m.evict(m.gone(), true)
	m.follow()
}

// limit sets other limits: more often than not such as are reached.
func (m *model) limit() {
	m.limits = Limits{Size: m.c.upTo(len(m.keys)), NoPurge: m.c.upTo(5) == 0}
	if m.c.upTo(3) == 0 {
		m.limits.Size = 0
	}
	m.limited = m.c.upTo(2) == 0
	memory := int64(0)
	if m.limited { // a little more or less than what is reserved: the table can't grow
		memory = max(m.set.Memory()+int64(m.c.upTo(1<<14)-1<<13), 1)
	}
	m.set.Limit(m.table.Name(), m.limits)
	m.set.LimitMemory(memory)
}

func (m *model) noLimit() {
	m.limits, m.limited = Limits{}, false
	m.set.Limit(m.table.Name(), m.limits)
	m.set.LimitMemory(0)
}

// clear takes entries out of a batch that was held for some time: those go that
// are as they were then.
func (m *model) clear() {
	if len(m.held) == 0 {
		return
	}
	h := &m.held[m.c.upTo(len(m.held))]
	for i, from := 0, m.c.upTo(2); from+i < len(h.keys); i++ {
		m.drop(h.b, from+i, h.twins[from+i], h.keys[from+i])
	}
}

// clearAll clears the table.
func (m *model) clearAll() {
	var (
		cursor Cursor
		b      Batch
		u      protocol.Update
	)
	for {
		if m.table.Walk(&cursor, m.some(), at(m.now-1), &b); b.Len() == 0 {
			break
		}
		for i := range b.Len() {
			b.Update(i, at(m.now-1), &u)
			m.drop(&b, i, m.twin.entries[string(u.Key)], string(u.Key))
		}
		b.Release()
	}
	if n := len(m.learned()) + len(m.changed(0)); n > 0 {
		m.t.Fatalf("%d entries are left after all were dropped", n)
	}
}

// drop drops entry i of b, which was as was says when it was pinned.
func (m *model) drop(b *Batch, i int, was *twinEntry, key string) {
	e := m.twin.entries[key]
	want := e != nil && e.local == was.local && e.position == was.position
	if got := b.take(i); got != want {
		m.t.Fatalf("drop of %q: %v, want %v", key, got, want)
	}
	if want {
		delete(m.twin.entries, key)
	}
}

func (m *model) step() {
	switch n := m.c.upTo(1000); {
	case n < 480:
		m.mergeSome()
	case n < 530:
		m.read()
	case n < 580:
		m.learn()
	case n < 610:
		m.walk()
	case n < 660:
		m.find()
	case n < 750:
		m.expire()
	case n < 780:
		m.expireAll()
	case n < 800:
		m.limit()
	case n < 840:
		m.clear()
	case n < 845:
		m.clearAll()
	case n < 880:
		m.define(m.c.upTo(len(m.says)))
	case n < 920:
		if len(m.held) > 0 {
			m.release(m.c.upTo(len(m.held)))
		}
	case n < 990:
		m.now += int64(m.c.upTo(60))
	case m.now < 1<<38: // a daemon of eight years
		m.now += []int64{500, math.MaxInt32, math.MaxUint32}[m.c.upTo(3)]
	}
}

// tide is a step of a model of many entries, the n-th: they come, and they go, so
// that what is reserved grows, and shrinks.
func (m *model) tide(n int) {
	switch n %= 50; {
	case n == 0:
		m.noLimit()
	case n < 20 && m.c.upTo(3) > 0:
		m.mergeSome()
	case n == 25:
		switch m.c.upTo(4) {
		case 0:
			m.limit()
		case 1:
			m.clearAll()
		default:
			m.now += 500
		}
	case n > 25 && m.c.upTo(3) == 0:
		m.expire()
	case n > 35 && len(m.held) > 0:
		m.release(0)
	default:
		m.step()
	}
}

// slots are how many the table has, in use or free.
func (m *model) slots() (n int) {
	for sh := range m.table.each {
		n += int(sh.store.next)
	}
	return n
}

// verify compares all that there is with the twin.
func (m *model) verify() {
	for _, h := range m.held {
		later := m.now + int64(len(h.keys))
		for i, key := range h.keys {
			m.compareOne("a pinned entry", h.b, i, later, h.twins[i], h.def, key)
		}
	}
	var b Batch
	m.table.ReadLearned(new(LearnedCursor), len(m.keys)+1, at(m.now-1), &b)
	// Shards have their turns; in each entries are in order.
	slices.SortStableFunc(b.items, func(x, y item) int { return x.shard.number - y.shard.number })
	m.compare(&b, m.learned())
	b.Release()
	m.table.ReadChanged(0, len(m.keys)+1, at(m.now-1), &b)
	m.compare(&b, m.changed(0))
	b.Release()
	s, position := m.table.Stats(), m.table.ChangedPosition()
	got := []uint64{uint64(s.Entries), uint64(s.Size), s.Merged, s.Expired, s.Evicted, s.Refused, position}
	want := []uint64{uint64(len(m.twin.entries)), uint64(m.limits.Size), uint64(m.merged), m.twin.expired, m.evicted, m.refused, m.twin.changed}
	if !slices.Equal(got, want) {
		m.t.Fatalf("entries, size, merged, expired, evicted, refused, position are %d, want %d", got, want)
	}
	check(m.t, m.table)
}

func (m *model) run() {
	for n := 0; !m.c.done(); n++ {
		if m.bulk == 1 {
			m.step()
		} else {
			before := m.slots()
			m.tide(n)
			m.cut += max(before-m.slots(), 0)
		}
		if n%m.every == 0 {
			m.verify()
		}
	}
	m.verify()
	for len(m.held) > 0 {
		m.release(0)
		check(m.t, m.table)
	}
	// Nothing leaks: after the last end all slots and long keys are free.
	m.now += math.MaxUint32
	for again := at(0); !again.IsZero(); {
		_, again = m.table.Expire(at(m.now-1), 100)
	}
	for key, e := range m.twin.entries {
		if e.expire != 0 {
			delete(m.twin.entries, key)
			m.twin.expired++
		}
	}
	m.verify()
	if slots, long := used(m.table); slots != len(m.twin.entries) || long > slots {
		m.t.Fatalf("%d slots and %d long keys in use for %d entries", slots, long, len(m.twin.entries))
	}
}

// A keyKind is what the keys of a table are.
type keyKind struct {
	keyType protocol.KeyType
	keyLen  int
}

var modelKeys = []keyKind{
	{protocol.KeyIPv4, 4},
	{protocol.KeyIPv6, 16},
	{protocol.KeyString, 17},
	{protocol.KeyString, 300},
	{protocol.KeyBinary, 40},
}

func TestModel(t *testing.T) {
	for i, k := range modelKeys {
		for _, shards := range []int{1, 8} {
			t.Run(fmt.Sprintf("%s, shards %d", KeySpec(k.keyType, k.keyLen), shards), func(t *testing.T) {
				t.Parallel()
				seeds(t, func(t *testing.T, r *rand.Rand) {
					m := newModel(t, &randomChoices{r, steps(1600)}, k.keyType, k.keyLen, shards, 24)
					m.every = 4 + i
					m.run()
				})
			})
		}
	}
}

// The same with entries enough that stores have chunks of all sizes, and are
// compacted: see store.spare.
func TestModelOfMany(t *testing.T) {
	cut := 0
	seeds(t, func(t *testing.T, r *rand.Rand) {
		k := modelKeys[1+r.IntN(3)]
		m := newModel(t, &randomChoices{r, steps(400)}, k.keyType, k.keyLen, 1+r.IntN(2), 6*maxPassed)
		m.every, m.bulk = 40, 200
		m.run()
		cut += m.cut
	})
	if cut < 500 {
		t.Errorf("compaction took %d slots back: this tests nothing", cut)
	}
}

// FuzzTable is the model, its steps taken from bytes.
func FuzzTable(f *testing.F) {
	for i := range modelKeys {
		r := rand.New(rand.NewPCG(uint64(i), 1))
		b := make([]byte, 600)
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		f.Add(byte(i), b)
		f.Add(byte(i)+5<<5, b[:40])
	}
	f.Fuzz(func(t *testing.T, key byte, b []byte) {
		b = b[:min(len(b), 1000)] // more steps are more of the same
		k := modelKeys[int(key)%len(modelKeys)]
		newModel(t, &byteChoices{b}, k.keyType, k.keyLen, 1<<(key>>4&3), 24).run()
	})
}
