package session_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/sync/session"
	"github.com/peersd/peersd/table"
)

func TestAckedPosition(t *testing.T) {
	const wrap = 1 << 32
	for _, c := range []struct {
		acked, pushed uint64
		id            uint32
		want          uint64
		ok            bool
	}{
		{0, 0, 0, 0, true},
		{0, 0, 1, 0, false},
		{0, 0, math.MaxUint32, 0, false},
		{3, 7, 3, 3, true},
		{3, 7, 5, 5, true},
		{3, 7, 7, 7, true},
		{3, 7, 8, 0, false},
		{3, 7, 2, 0, false},
		{3, 7, 7 << 24, 0, false},
		// Ids wrap, positions don't.
		{wrap - 2, wrap + 3, math.MaxUint32 - 1, wrap - 2, true},
		{wrap - 2, wrap + 3, math.MaxUint32, wrap - 1, true},
		{wrap - 2, wrap + 3, 0, wrap, true},
		{wrap - 2, wrap + 3, 3, wrap + 3, true},
		{wrap - 2, wrap + 3, 4, 0, false},
		{wrap - 2, wrap + 3, math.MaxUint32 - 2, 0, false},
		{5*wrap + 1, 5*wrap + 2, 2, 5*wrap + 2, true},
		// So far behind that any id may be true.
		{0, 2 * wrap, 9, wrap + 9, true},
	} {
		got, ok := session.AckedPosition(c.acked, c.pushed, c.id)
		if got != c.want || ok != c.ok {
			t.Errorf("acked %d, pushed %d: id %d is position %d, %v, not %d, %v", c.acked, c.pushed, c.id, got, ok, c.want, c.ok)
		}
	}
}

// receive feeds s with messages of text_test.go.
func receive(t *testing.T, s *session.Session, w *wire, now time.Time, lines ...string) {
	t.Helper()
	for _, line := range lines {
		b, err := w.message(line)
		if err != nil {
			t.Fatal(err)
		}
		f, n, err := protocol.ParseFrame(b)
		if err != nil || n != len(b) {
			t.Fatal(line, err)
		}
		if err := s.Receive(now, f); err != nil {
			t.Fatal(line, err)
		}
	}
}

// What a peer can take of memory by defining tables is bounded over all its
// sessions, and nothing is left of a session that was too much.
func TestTooManyTables(t *testing.T) {
	d, now := newDaemon(epoch), epoch
	had := len(d.tables.Tables())
	var peer session.Peer
	begin := func() *session.Session {
		return session.New(now, session.Config{Version: protocol.Version21, Tables: d.tables, Peer: &peer})
	}
	define := func(s *session.Session, prefix string, n int) (err error) {
		for i := 0; i < n && err == nil; i++ {
			var f protocol.Frame
			f, _, _ = protocol.ParseFrame(protocol.AppendDefinition(nil, tableDefinition(uint64(i), fmt.Sprint(prefix, i))))
			err = s.Receive(now, f)
		}
		return err
	}
	s := begin()
	if err := define(s, "x", 10_000); err == nil || !strings.Contains(err.Error(), "more than 1024 tables") || !s.Consistent() {
		t.Errorf("10,000 tables: %v, consistent %v", err, s.Consistent())
	}
	s.TakeBack()
	if n := len(d.tables.Tables()) - had; n != 0 || !s.Consistent() {
		t.Errorf("%d tables are left, consistent %v", n, s.Consistent())
	}
	for i := range 4 {
		s = begin()
		if err := define(s, fmt.Sprint("y", i), session.DefaultMaxTables); err != nil || !s.Consistent() {
			t.Errorf("session %d: %v, consistent %v", i, err, s.Consistent())
		}
		if n := len(d.tables.Tables()) - had; n != session.DefaultMaxTables {
			t.Errorf("session %d: %d tables", i, n)
		}
	}
	peer.Forget(d.tables)
	if n := len(d.tables.Tables()) - had; n != 0 || !s.Consistent() {
		t.Errorf("%d tables are left of a peer that was forgotten", n)
	}
}

// What a peer has acked keeps no table that is gone, even while it is away.
func TestAckedKeepsNoTable(t *testing.T) {
	d, now := newDaemon(epoch), epoch
	l := d.link(protocol.Version21, 10)
	l.begin(now)
	d.set(now, "k0", 1)
	for len(l.output(now)) > 0 {
	}
	receive(t, l.session, newWire(), now, "ack table=1 update=1")
	l.session = nil
	gone := weak.Make(d.tables.Tables()[0])
	d.tables.Retract(tableDefinition(0, "t0"))
	for end := time.Now().Add(10 * time.Second); gone.Value() != nil; runtime.GC() {
		if time.Now().After(end) {
			t.Fatal("a table that is gone is kept")
		}
	}
	l.begin(now) // and nothing is made of it
	for len(l.output(now)) > 0 {
	}
}

// A peer that has acked a change may still teach what it had before: it has taken the
// change when its lesson is over, and it was up to date.
func TestTakenAfterTheLesson(t *testing.T) {
	d, now, w := newDaemon(epoch), epoch, newWire()
	l := d.link(protocol.Version21, 10)
	l.begin(now)
	receive(t, l.session, w, now, "define id=1 t0 type string len 17 expire 60000 store gpc0")
	d.set(now, "k0", 1)
	tb := d.tables.Lookup("t0")[0]
	taken := func(when string, want uint64) {
		t.Helper()
		if got, ok := l.peer.Taken(tb); got != want || !ok {
			t.Errorf("%s: %d, %v; want %d", when, got, ok, want)
		}
	}
	for len(l.output(now)) > 0 {
	}
	taken("before the ack", 0)
	receive(t, l.session, w, now, "ack table=1 update=1")
	taken("acked", 0)
	now = now.Add(time.Second)
	l.output(now)
	receive(t, l.session, w, now, "timed 1 2000ms k0 gpc0=0", "resync partial")
	taken("its lesson is over, but not all of it", 0)
	now = now.Add(5 * time.Second)
	l.output(now)
	receive(t, l.session, w, now, "resync finished")
	taken("its lesson is over", 1)
	l.begin(now)
	taken("another session", 0)
}

// Whatever the order in which the lessons of several peers arrive, row by row,
// the freshest copy of each entry stays; and a live change stays, whenever it
// comes.
func TestFreshestLessonStays(t *testing.T) {
	rows := []string{
		"timed 1 2000ms k gpc0=1", "timed 2 9000ms k gpc0=9", "timed 3 5000ms k gpc0=5", "timed 4 7000ms k gpc0=7",
	}
	for _, order := range permutations(len(rows)) {
		for live := range len(rows) + 1 {
			for _, pushed := range []bool{false, true} {
				freshest(t, rows, order, live, pushed)
			}
		}
	}
}

// freshest: peers teach their rows in an order. Before the one at live, there
// is a live change, unless live is beyond them all; before all of them one of
// the teachers has pushed its row, with an unknown age.
func freshest(t *testing.T, rows []string, order []int, live int, pushed bool) {
	d, now := newDaemon(epoch), epoch
	var sessions []*session.Session
	var wires []*wire
	for range len(rows) + 1 {
		l := d.link(protocol.Version21, 0)
		l.begin(now)
		sessions, wires = append(sessions, l.session), append(wires, newWire())
	}
	define := "define id=1 t0 type string len 17 expire 60000 store gpc0"
	for i, s := range sessions {
		receive(t, s, wires[i], now, define)
	}
	if pushed {
		receive(t, sessions[order[0]], wires[order[0]], now, "update"+rows[order[0]][5:7]+" k "+rows[order[0]][len(rows[order[0]])-6:])
	}
	now = now.Add(100 * time.Millisecond)
	for _, s := range sessions {
		s.AppendOutput(now, nil) // asks for the lesson
	}
	receive(t, sessions[len(rows)], wires[len(rows)], now, "resync finished")
	want := uint64(9)
	for i, who := range order {
		if i == live {
			receive(t, sessions[len(rows)], wires[len(rows)], now, "update 1 k gpc0=100")
			want = 100
		}
		receive(t, sessions[who], wires[who], now, rows[who], "resync finished")
	}
	var b table.Batch
	var u protocol.Update
	d.tables.Lookup("t0")[0].Find([]byte("k"), now, &b)
	b.Update(0, now, &u)
	if u.Values[0] != want {
		t.Errorf("order %v, live at %d, pushed %v: %d stays, not %d", order, live, pushed, u.Values[0], want)
	}
}

func permutations(n int) (all [][]int) {
	if n == 0 {
		return [][]int{{}}
	}
	for _, p := range permutations(n - 1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(p), i, n-1))
		}
	}
	return all
}

// A lesson and live changes cost no allocation a message: the five are those of
// a lesson, where its cursors begin.
func TestSessionAllocatesNothing(t *testing.T) {
	d := newDaemon(epoch)
	l := d.link(protocol.Version21, 200)
	l.begin(epoch)
	w, now := newWire(), epoch
	receive(t, l.session, w, now, "define id=1 t0 type string len 17 expire 60000 store gpc0")
	var frames []protocol.Frame
	for i := range 100 {
		b, err := w.message(fmt.Sprintf("update %d k%d gpc0=%d", i+1, i, i))
		if err != nil {
			t.Fatal(err)
		}
		f, _, _ := protocol.ParseFrame(b)
		frames = append(frames, f)
	}
	buf := make([]byte, 0, 1<<16)
	round := func() {
		now = now.Add(time.Second) // lessons don't begin more often
		if err := l.session.Receive(now, frames...); err != nil {
			t.Fatal(err)
		}
		if err := l.session.Receive(now, protocol.Frame{Type: protocol.ResyncRequest}); err != nil {
			t.Fatal(err)
		}
		for b := l.session.AppendOutput(now, buf); len(b) > 0; b = l.session.AppendOutput(now, buf) {
		}
		if err := l.session.Receive(now, protocol.Frame{Type: protocol.ResyncConfirm}); err != nil {
			t.Fatal(err)
		}
	}
	round()
	if n := testing.AllocsPerRun(20, round); n > 5 {
		t.Errorf("%v allocations for 100 updates received and 100 taught", n)
	}
}

// Whoever writes is woken for what may have to be answered, and not for each row
// of a lesson.
func TestHeard(t *testing.T) {
	d, now := newDaemon(epoch), epoch
	l := d.link(protocol.Version21, 10)
	l.begin(now)
	w := newWire()
	heard := func(want bool, messages ...string) {
		t.Helper()
		receive(t, l.session, w, now, messages...)
		if got := l.session.Heard(); got != want {
			t.Errorf("after %q: %v", messages, got)
		}
		if l.session.AppendOutput(now, nil); l.session.Heard() {
			t.Errorf("after %q, and its answer: still", messages)
		}
	}
	heard(false)
	heard(true, "define id=1 t0 type string len 17 expire 60000 store gpc0")
	heard(true, "update 1 k gpc0=1") // is acked
	now = now.Add(100 * time.Millisecond)
	heard(false) // asks for the lesson
	heard(false, "timed 2 2000ms k2 gpc0=1", "timed 3 2000ms k3 gpc0=1")
	heard(true, "timed 4 2000ms k4 gpc0=1", "resync finished")
	heard(true, "update 5 k gpc0=2")
}

// A lesson ends though the entries change faster than the pupil takes them.
func TestLessonEndsThoughAllChanges(t *testing.T) {
	d, now := newDaemon(epoch), epoch
	pupil, busy := d.link(protocol.Version21, 10), d.link(protocol.Version21, 10)
	pupil.begin(now)
	busy.begin(now)
	w := newWire()
	receive(t, busy.session, w, now, "define id=1 t0 type string len 17 expire 60000 store gpc0")
	id := 0
	change := func() {
		for range 50 {
			id++
			receive(t, busy.session, w, now, fmt.Sprintf("update %d k%d gpc0=%d", id, id%1000, id))
		}
	}
	for range 20 {
		change()
	}
	receive(t, pupil.session, newWire(), now, "resync request")
	for range 1000 {
		change()
		if len(pupil.session.AppendOutput(now, nil)) == 0 {
			break
		}
	}
	if sent := pupil.session.Stats().UpdatesOut; sent < 4000 || sent > 4020 {
		t.Errorf("%d updates of a lesson of 1000 entries, want 4000", sent)
	}
	receive(t, pupil.session, newWire(), now, "resync confirm")
	if pupil.session.Lesson(now).Active {
		t.Error("the lesson goes on")
	}
}

// Two mirrors that teach each other the same at the same time come to an end,
// though each copy of an entry lives a little longer than the last.
func TestMirrorsThatTeachEachOther(t *testing.T) {
	now := epoch
	p := pair{}
	for i := range p.ends {
		d := newDaemon(now)
		for k := range uint64(100) {
			d.set(now, fmt.Sprint("k", k), k)
		}
		p.ends[i] = d.link(protocol.Version21, 20)
	}
	p.connect(now)
	for range 1000 { // after 50 ms, both ask
		for i := range p.ends {
			if err := p.talk(now, i); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(2 * time.Millisecond)
		for i := range p.ends {
			if err := p.deliver(now, i, len(p.sent[i])); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, e := range p.ends {
		s := e.(*daemonLink).session
		if s.Lesson(now).Active || !s.Learned() || s.Stats().UpdatesOut > 1000 {
			t.Errorf("end %d teaches: %v, has learned: %v, and has sent %d updates", i, s.Lesson(now).Active, s.Learned(), s.Stats().UpdatesOut)
		}
	}
}

// A definition that there is no room for ends nothing: the updates that follow are
// skipped, however often it comes, and taken as soon as there is room.
func TestDefinitionWithoutRoom(t *testing.T) {
	tables := table.NewSet("mypeers", epoch).WithShards(1)
	tables.LimitMemory(1 << 20)
	var full []*protocol.Definition
	for n := 0; tables.Refused() == 0; n++ {
		full = append(full, &protocol.Definition{Name: fmt.Sprint("x", n), KeyType: protocol.KeyIPv4, KeyLen: 4})
		tables.Define(epoch, nil, full[n])
	}
	var peer session.Peer
	s := session.New(epoch, session.Config{Version: protocol.Version21, Tables: tables, Peer: &peer})
	w := newWire()
	define := func() {
		receive(t, s, w, epoch, "define id=1 t1 type ip len 4 expire 60000 store gpc0", "update 1 1.2.3.4 gpc0=1")
	}
	for range 5000 {
		define()
	}
	if n := s.Stats().Skipped; n != 5000 || !s.Consistent() {
		t.Fatalf("%d updates skipped of 5000", n)
	}
	if n, _ := peer.Defined(); n != 0 {
		t.Errorf("the peer has defined %d tables", n)
	}
	for _, def := range full[:2] {
		tables.Retract(def)
	}
	define()
	if found := tables.Lookup("t1"); len(found) != 1 || found[0].Entries() != 1 || !s.Consistent() {
		t.Error("there is room, and the table is not there")
	}
	if n, _ := peer.Defined(); n != 1 {
		t.Errorf("the peer has defined %d tables", n)
	}
	for n := range 3000 { // that is too often, though
		def := fmt.Sprint("define id=1 t1 type ip len 4 expire ", n, " store gpc0")
		b, err := w.message(def)
		if err != nil {
			t.Fatal(err)
		}
		f, _, _ := protocol.ParseFrame(b)
		if err := s.Receive(epoch, f); err != nil {
			return
		}
	}
	t.Error("3000 other definitions were taken")
}

// A session takes note of tables that come and go: each has an id of its own, and is
// taught once.
func TestTablesComeAndGo(t *testing.T) {
	tables := table.NewSet("mypeers", epoch).WithShards(1)
	var peer session.Peer
	s := session.New(epoch, session.Config{Version: protocol.Version21, Tables: tables, Peer: &peer})
	r := rand.New(rand.NewPCG(1, 2))
	var defs []*protocol.Definition
	ids := map[*table.Table]uint64{}
	for n := range 300 {
		if len(defs) > 0 && r.IntN(3) == 0 {
			i := r.IntN(len(defs))
			tables.Retract(defs[i])
			defs = slices.Delete(defs, i, i+1)
		} else {
			defs = append(defs, &protocol.Definition{Name: fmt.Sprint("x", n), KeyType: protocol.KeyIPv4, KeyLen: 4})
			tables.Define(epoch, nil, defs[len(defs)-1])
		}
		if r.IntN(3) > 0 {
			continue
		}
		s.AppendOutput(epoch, nil)
		all := s.TableStatus()
		if len(all) != len(tables.Tables()) {
			t.Fatalf("%d tables, want %d", len(all), len(tables.Tables()))
		}
		used := map[uint64]bool{}
		for i, st := range all {
			if st.Table != tables.Tables()[i] || used[st.LocalID] || ids[st.Table] != 0 && ids[st.Table] != st.LocalID {
				t.Fatalf("table %d has id %d, which had %d", i, st.LocalID, ids[st.Table])
			}
			used[st.LocalID], ids[st.Table] = true, st.LocalID
		}
	}
}
