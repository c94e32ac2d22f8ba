package session_test

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/sync/session"
	"github.com/peersd/peersd/table"
)

// An endpoint is one end of a session in a test: a peersd's or a HAProxy's.
type endpoint interface {
	begin(now time.Time) // a new session; there is no other
	receive(now time.Time, f protocol.Frame) error
	output(now time.Time) []byte
}

// lifetime of the entries in the tests' tables.
const lifetime = 60 * time.Second

// tableOf are the tables in the tests: each key belongs into one of them.
func tableOf(key string) string { return fmt.Sprintf("t%d", key[len(key)-1]%3) }

func tableDefinition(id uint64, name string) *protocol.Definition {
	return &protocol.Definition{ID: id, Name: name, KeyType: protocol.KeyString, KeyLen: 17,
		Types: 1 << protocol.GPC0, Expire: uint32(lifetime.Milliseconds())}
}

// A copied entry, as somebody has it.
type copied struct {
	value uint64
	ends  time.Time
}

// A daemon is a peersd that knows several peers.
type daemon struct {
	tables *table.Set
	links  []*daemonLink
	synced bool
}

// A daemonLink is a daemon's end of the sessions with one peer.
type daemonLink struct {
	d       *daemon
	peer    session.Peer
	origin  uint8
	session *session.Session
	version protocol.Version
	max     int
}

func newDaemon(now time.Time) *daemon {
	d := &daemon{tables: table.NewSet("mypeers", now)}
	for _, name := range []string{"t0", "t1", "t2"} {
		d.tables.Define(now, nil, tableDefinition(0, name))
	}
	return d
}

func (d *daemon) link(v protocol.Version, maxUpdates int) *daemonLink {
	l := &daemonLink{d: d, origin: uint8(1 + len(d.links)), version: v, max: maxUpdates}
	d.links = append(d.links, l)
	return l
}

func (l *daemonLink) begin(now time.Time) {
	l.session = session.New(now, session.Config{
		Version: l.version, Tables: l.d.tables, Peer: &l.peer, Origin: l.origin, MaxUpdates: l.max,
		UpToDate: func() bool { return l.d.synced },
		Notify: func(e session.Event) {
			if e.Kind == session.Learned {
				l.d.synced = l.d.synced || e.UpToDate
			}
		},
	})
}

func (l *daemonLink) receive(now time.Time, f protocol.Frame) error { return l.session.Receive(now, f) }
func (l *daemonLink) output(now time.Time) []byte                   { return l.session.AppendOutput(now, nil) }

// set is a local change.
func (d *daemon) set(now time.Time, key string, value uint64) {
	t := d.tables.Lookup(tableOf(key))[0]
	def := t.Definition()
	t.Source(&def).Merge(now, &protocol.Update{Key: []byte(key), Values: []uint64{value}}, table.Local)
}

func (d *daemon) get(now time.Time, key string) (c copied, ok bool) {
	var b table.Batch
	var u protocol.Update
	d.tables.Lookup(tableOf(key))[0].Find([]byte(key), now, &b)
	defer b.Release()
	if b.Len() == 0 {
		return copied{}, false
	}
	b.Update(0, now, &u)
	return copied{u.Values[0], now.Add(time.Duration(u.Remaining) * time.Millisecond)}, true
}

// A haproxy is a HAProxy as its peers see it: how it numbers, pushes, teaches
// and learns, and no more. See src/peers.c of HAProxy.
type haproxy struct {
	tables     []*haproxyTable
	upToDate   bool
	acksLesson bool // as before 3.3
	swapsAcks  bool // the true one comes after one as of 3.3 to 3.5-dev5
	atOnce     int  // tune.peers.max-updates-at-once
	session    *haproxySession
}

type haproxyTable struct {
	def     *protocol.Definition
	entries map[string]*haproxyEntry
	update  uint32 // id of the last change
	local   uint32 // of the last one made here
	acked   uint32 // by the peer; stays from session to session
}

type haproxyEntry struct {
	copied
	id uint32
}

type haproxySession struct {
	wire
	teaching, told   bool     // a lesson is on its way; its end was sent
	learning         bool     // so is one to us
	confirms         int      // owed
	request          bool     // a lesson is still to be asked for
	pushed, origin   []uint32 // by table
	get, acked       []uint32
	stage            []int
	over             []bool // the numbers ended, in this stage
	selected, around int
	dict             protocol.DictionaryWriter
}

func newHAProxy(firstID uint32) *haproxy {
	h := &haproxy{acksLesson: true, atOnce: 5}
	for i, name := range []string{"t0", "t1", "t2"} {
		h.tables = append(h.tables, &haproxyTable{def: tableDefinition(uint64(i+1), name),
			entries: map[string]*haproxyEntry{}, update: firstID, local: firstID, acked: firstID})
	}
	return h
}

func (h *haproxy) table(name string) (int, *haproxyTable) {
	i := slices.IndexFunc(h.tables, func(t *haproxyTable) bool { return t.def.Name == name })
	return i, h.tables[i]
}

func (h *haproxy) set(now time.Time, key string, value uint64) {
	_, t := h.table(tableOf(key))
	t.update++
	t.local = t.update
	t.entries[key] = &haproxyEntry{copied{value, now.Add(lifetime)}, t.update}
}

func (h *haproxy) get(now time.Time, key string) (copied, bool) {
	_, t := h.table(tableOf(key))
	e := t.entries[key]
	if e == nil || !e.ends.After(now) {
		return copied{}, false
	}
	return e.copied, true
}

func (h *haproxy) begin(time.Time) {
	n := len(h.tables)
	s := &haproxySession{wire: *newWire(), selected: -1,
		pushed: make([]uint32, n), origin: make([]uint32, n), get: make([]uint32, n), acked: make([]uint32, n), stage: make([]int, n), over: make([]bool, n)}
	for i, t := range h.tables {
		s.pushed[i] = t.acked
	}
	s.request = !h.upToDate
	s.learning = s.request
	h.session = s
}

func (h *haproxy) receive(now time.Time, f protocol.Frame) error {
	s := h.session
	switch f.Type {
	case protocol.ResyncRequest:
		s.teaching, s.told = true, false
		for i, t := range h.tables {
			s.origin[i], s.pushed[i], s.stage[i], s.over[i] = t.acked, t.acked, 0, t.acked == 1<<32-1
		}
	case protocol.ResyncFinished, protocol.ResyncPartial:
		s.confirms++
		if s.learning {
			// Not quite: it would ask others, or wait for 5 s.
			s.learning, h.upToDate = false, true
		}
	case protocol.ResyncConfirm:
		for i, t := range h.tables {
			t.acked, s.pushed[i] = s.origin[i], s.origin[i]
		}
		s.teaching = false
	case protocol.AckMessage:
		a, err := protocol.ParseAck(f.Payload)
		if err == nil && !s.teaching {
			h.tables[a.TableID-1].acked = a.UpdateID
		}
		return err
	case protocol.DefinitionMessage:
		def, err := protocol.ParseDefinition(f.Payload)
		if err == nil {
			s.define(def)
		}
		return err
	}
	if f.Type.IsUpdate() {
		return h.learn(now, f)
	}
	return nil
}

func (h *haproxy) learn(now time.Time, f protocol.Frame) error {
	s := h.session
	if s.current == nil {
		return fmt.Errorf("%v before a definition", f.Type)
	}
	i, t := h.table(s.current.def.Name)
	u := protocol.Update{Values: make([]uint64, s.current.layout.Words)}
	if err := protocol.ParseUpdate(f.Type, f.Payload, s.current.layout, &s.reader, s.get[i], &u); err != nil {
		return err
	}
	s.get[i] = u.ID
	if s.learning && !h.acksLesson {
		s.acked[i] = u.ID
	}
	life := lifetime
	if u.Timed {
		life = min(time.Duration(u.Remaining)*time.Millisecond, lifetime)
	}
	e := t.entries[string(u.Key)]
	if e == nil {
		// It has a place in lessons, and is not pushed.
		t.update++
		e = &haproxyEntry{id: t.update + 1<<31}
		t.entries[string(u.Key)] = e
	}
	e.copied = copied{u.Values[0], now.Add(life)}
	return nil
}

// output goes round the tables as peer_send_msgs does.
func (h *haproxy) output(now time.Time) (b []byte) {
	s := h.session
	if s.request {
		s.request = false
		return protocol.AppendMessage(b, protocol.ResyncRequest)
	}
	for range h.tables {
		i := s.around % len(h.tables)
		if s.get[i] != s.acked[i] {
			s.acked[i] = s.get[i]
			a := protocol.Ack{TableID: s.tableID(h.tables[i].def.Name), UpdateID: bits.ReverseBytes32(s.get[i])}
			if h.swapsAcks {
				b = protocol.AppendAck(b, a)
			}
			a.UpdateID = s.get[i]
			b = protocol.AppendAck(b, a)
		}
		var more bool
		switch {
		case !s.teaching && !s.learning:
			b, more = h.push(now, b, i)
		case s.teaching && !s.told:
			b, more = h.teach(now, b, i)
		}
		if more {
			return b
		}
		s.around++
	}
	if s.teaching && !s.told {
		s.told = true
		end := protocol.ResyncPartial
		if h.upToDate {
			end = protocol.ResyncFinished
		}
		b = protocol.AppendMessage(b, end)
	}
	for ; s.confirms > 0; s.confirms-- {
		b = protocol.AppendMessage(b, protocol.ResyncConfirm)
	}
	return b
}

// tableID is the peer's number of a table.
func (s *haproxySession) tableID(name string) uint64 {
	for id, t := range s.tables {
		if t.def.Name == name {
			return id
		}
	}
	return 0
}

// push sends what was changed here after what was pushed last, untimed.
func (h *haproxy) push(now time.Time, b []byte, i int) (_ []byte, more bool) {
	t, s := h.tables[i], h.session
	due := t.due(s.pushed[i]+1, func(id uint32) bool { return id-s.pushed[i]-1 < t.local-s.pushed[i] })
	if len(due) == 0 {
		s.pushed[i] = t.local
		return b, false
	}
	return h.send(now, b, i, due, false)
}

// teach sends all entries, timed: from the last that was acked on in the order
// of their ids, which does not wrap, and then those before it.
func (h *haproxy) teach(now time.Time, b []byte, i int) (_ []byte, more bool) {
	t, s := h.tables[i], h.session
	b = h.define(b, i)
	for ; s.stage[i] < 2; s.stage[i], s.over[i] = s.stage[i]+1, false {
		due := t.due(0, func(id uint32) bool {
			return !s.over[i] && id >= s.pushed[i]+1 && (s.stage[i] == 0 || id <= s.origin[i])
		})
		if len(due) > 0 {
			b, more = h.send(now, b, i, due, true)
			s.over[i] = s.pushed[i] == 1<<32-1
			return b, more
		}
		if all := t.due(0, func(uint32) bool { return true }); len(all) > 0 {
			s.pushed[i] = t.entries[all[0]].id - 1
		}
	}
	return b, false
}

// due returns the keys of entries with such ids, in the order of the ids, which
// begins at first.
func (t *haproxyTable) due(first uint32, which func(id uint32) bool) (keys []string) {
	for key, e := range t.entries {
		if which(e.id) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(x, y string) int { return cmp.Compare(t.entries[x].id-first, t.entries[y].id-first) })
	return keys
}

func (h *haproxy) define(b []byte, i int) []byte {
	if h.session.selected != i {
		h.session.selected = i
		b = protocol.AppendDefinition(b, h.tables[i].def)
	}
	return b
}

// send sends up to atOnce entries.
func (h *haproxy) send(now time.Time, b []byte, i int, keys []string, timed bool) (_ []byte, more bool) {
	t, s := h.tables[i], h.session
	b = h.define(b, i)
	for n, key := range keys[:min(h.atOnce, len(keys))] {
		e := t.entries[key]
		incremental := n > 0 && e.id == s.pushed[i]+1
		s.pushed[i] = e.id
		u := &protocol.Update{ID: e.id, Timed: timed, Key: []byte(key), Values: []uint64{e.value}}
		u.Remaining = uint32(max(e.ends.Sub(now).Milliseconds(), 0))
		if !e.ends.After(now) {
			continue
		}
		m := protocol.AppendUpdate(nil, protocol.NewLayout(t.def), &s.dict, u)
		if incremental {
			f, _, _ := protocol.ParseFrame(m)
			m = protocol.AppendFrame(nil, f.Type+1, f.Payload[4:])
		}
		b = append(b, m...)
	}
	return b, true
}
