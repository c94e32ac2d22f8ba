package e2e

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
	"github.com/peersd/peersd/protocol"
)

// A player plays a HAProxy, as many others do in the same process: it teaches what
// it has when it is asked, pushes what it changes, and learns when it is told to.
type player struct {
	name   string
	layout *protocol.Layout
	nc     net.Conn
	ended  chan error // why nothing more comes

	mu      sync.Mutex // of what follows, and of writing
	id      uint32
	own     map[string]uint64 // what it has set
	learned map[string]uint64 // what it was taught
	rows    atomic.Int64      // of the lesson that is on its way
	whole   chan struct{}     // has one when a lesson is over
}

// playersTable is users as nodeConfig has it.
func playersTable() *protocol.Definition {
	return &protocol.Definition{
		ID: 1, Name: "/users", KeyType: protocol.KeyString, KeyLen: 171, Expire: hour,
		Types: 1<<protocol.GPC0 | 1<<protocol.HTTPReqCount,
	}
}

// play connects a player to the peersd on host.
func play(host, name string) (*player, error) {
	nc, err := net.Dial("tcp", address(host, portPeersd))
	if err != nil {
		return nil, err
	}
	p := &player{
		name: name, layout: protocol.NewLayout(playersTable()), nc: nc, ended: make(chan error, 1),
		own: map[string]uint64{}, learned: map[string]uint64{}, whole: make(chan struct{}, 1),
	}
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	hello := protocol.Hello{Version: protocol.Version21, Remote: "peersd", Local: name, PID: 1, Relative: 1}
	status := make([]byte, 4)
	_, err = nc.Write(protocol.AppendHello(nil, hello))
	if err == nil {
		_, err = nc.Read(status)
	}
	if err == nil && string(status) != "200\n" {
		err = fmt.Errorf("%s was answered %q", name, status)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	nc.SetDeadline(time.Time{})
	go func() { p.ended <- p.read() }()
	go p.beat()
	return p, nil
}

// beat sends heartbeats until the connection is closed.
func (p *player) beat() {
	for err := error(nil); err == nil; err = p.send(message(protocol.Heartbeat)) {
		time.Sleep(time.Second)
	}
}

func (p *player) send(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.nc.Write(b)
	return err
}

// set pushes changes.
func (p *player) set(value uint64, keys ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := protocol.AppendDefinition(nil, playersTable())
	for _, key := range keys {
		p.own[key] = value
		b = p.appendUpdate(b, key, false)
	}
	_, err := p.nc.Write(b)
	return err
}

// appendUpdate appends what it has of a key.
func (p *player) appendUpdate(b []byte, key string, timed bool) []byte {
	p.id++
	u := protocol.Update{ID: p.id, Timed: timed, Remaining: hour, Key: []byte(key), Values: []uint64{p.own[key], 0}}
	return protocol.AppendUpdate(b, p.layout, new(protocol.DictionaryWriter), &u)
}

// teach gives a lesson.
func (p *player) teach() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := protocol.AppendDefinition(nil, playersTable())
	for key := range p.own {
		b = p.appendUpdate(b, key, true)
	}
	_, err := p.nc.Write(protocol.AppendMessage(b, protocol.ResyncFinished))
	return err
}

// ask asks for a lesson; whole tells when it is over.
func (p *player) ask() error {
	p.mu.Lock()
	clear(p.learned)
	p.mu.Unlock()
	p.rows.Store(0)
	select {
	case <-p.whole: // of a ping
	default:
	}
	return p.send(message(protocol.ResyncRequest))
}

func (p *player) read() error {
	r := protocol.NewReader(p.nc)
	var table uint64
	var layout *protocol.Layout
	var dict protocol.DictionaryReader
	for {
		f, err := r.Next()
		if err != nil {
			return err
		}
		switch {
		case f.Type == protocol.ResyncRequest:
			err = p.teach()
		case f.Type == protocol.ResyncFinished, f.Type == protocol.ResyncPartial:
			select {
			case p.whole <- struct{}{}:
			default: // it is a ping
			}
			err = p.send(message(protocol.ResyncConfirm))
		case f.Type == protocol.DefinitionMessage:
			table, layout, err = usersOf(f.Payload)
		case f.Type.IsUpdate() && layout != nil:
			u := protocol.Update{Values: make([]uint64, layout.Words)}
			if err = protocol.ParseUpdate(f.Type, f.Payload, layout, &dict, 0, &u); err == nil {
				p.mu.Lock()
				p.learned[string(u.Key)] = u.Values[0]
				p.mu.Unlock()
				// As HAProxy before 3.3 does. Who says nothing in a lesson is given a long
				// one in a hurry.
				if p.rows.Add(1) == 1 {
					err = p.send(protocol.AppendAck(nil, protocol.Ack{TableID: table, UpdateID: u.ID}))
				}
			}
		}
		if err != nil {
			return err
		}
	}
}

// usersOf is the sender's id and the layout of users, which is nil for other tables.
func usersOf(definition []byte) (id uint64, l *protocol.Layout, err error) {
	def, err := protocol.ParseDefinition(definition)
	if err != nil || def.Name != playersTable().Name {
		return 0, nil, err
	}
	return def.ID, protocol.NewLayout(def), nil
}

// all runs f for all players at once, and returns what went wrong.
func all(players []*player, f func(i int, p *player) error) error {
	errs := make([]error, len(players))
	var wg sync.WaitGroup
	for i, p := range players {
		wg.Go(func() { errs[i] = f(i, p) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

const (
	players    = 50
	playerKeys = 100 // of its own that each has
	shared     = 50  // that all change
	rounds     = 5
	// playersRate, in entries a second for each, makes a lesson last for 2.6 s, and is
	// no more than the machine has for all.
	playersRate = 2000
)

// playersKeys are n keys that begin so.
func playersKeys(prefix string, n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprintf("%s-%d", prefix, i))
	}
	return keys
}

// Fifty peers at once, one of them a HAProxy, each with its own updates, and some
// keys that all change: peersd has all. Then the fifty ask for a lesson at the same
// instant: each gets everything, and they share fairly.
func TestFiftyPeers(t *testing.T) {
	t.Parallel()
	haproxytest.EachAtOnce(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		d := mirror{startDaemon(t, host, 0, "--teach-rate", strconv.Itoa(playersRate))}
		lb := startNode(t, r, host, 1, 100)
		lb.mustChange()
		inTheEnd(t, "peersd has met HAProxy", func() error { return d.established("lb1") })

		everybody := make([]*player, players)
		var want map[string]uint64
		busy(func() {
			for i := range everybody {
				p, err := play(host, fmt.Sprint("player", i))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { p.nc.Close() })
				everybody[i] = p
			}
			want = changeAtOnce(t, everybody)
			eventually(t, 20*time.Second, "peersd has all changes", func() error { return holdsAll(d, want, lb) })
		})
		playing.Lock()
		defer playing.Unlock()
		lessonsAtOnce(t, everybody, want, lb)

		lb.restart()
		inTheEnd(t, "HAProxy has all of it back", func() error { return holdsAll(lb, want, lb) })
	})
}

// playing is held while fifty players learn: one line after the other, so that it is
// peersd that they share, and not the test.
var playing sync.Mutex

// changeAtOnce lets all change their own keys and the shared ones, round after
// round, and returns what comes of it: the last word is the first player's.
func changeAtOnce(t *testing.T, everybody []*player) map[string]uint64 {
	t.Helper()
	common := playersKeys("shared", shared)
	want := map[string]uint64{}
	for round := range uint64(rounds) {
		err := all(everybody, func(i int, p *player) error {
			return errors.Join(p.set(round, playersKeys(p.name, playerKeys)...), p.set(round, common...))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range everybody {
		for _, key := range playersKeys(p.name, playerKeys) {
			want[key] = rounds - 1
		}
	}
	return want
}

// holdsAll reports what of the players' keys, and of what was set in HAProxy, s does
// not have, or has with another value.
func holdsAll(s shower, want map[string]uint64, lb *node) error {
	there, err := see(s)
	if err != nil {
		return err
	}
	entries := there[0].ByKey()
	for key, value := range want {
		if got, _ := entries[key].Get("gpc0"); got != strconv.FormatUint(value, 10) {
			return fmt.Errorf("%s is %q, not %d", key, got, value)
		}
	}
	for _, key := range playersKeys("shared", shared) {
		if entries[key].Key == "" {
			return fmt.Errorf("there is no %s", key)
		}
	}
	return lb.record().in(there)
}

// lessonsAtOnce lets all ask for a lesson at the same instant. At the pace that each
// is given none can be over early, so fair is that none is late: the slowest of all
// has a third of its pace at least. How many rows the others had when the first one
// had all of them is told, but depends on whom the machine lets read.
func lessonsAtOnce(t *testing.T, everybody []*player, want map[string]uint64, lb *node) {
	t.Helper()
	began := time.Now()
	if err := all(everybody, func(_ int, p *player) error { return p.ask() }); err != nil {
		t.Fatal(err)
	}
	first := make(chan []int64, 1)
	err := all(everybody, func(_ int, p *player) error {
		select {
		case <-p.whole:
		case err := <-p.ended:
			return fmt.Errorf("%s: %w", p.name, err)
		case <-time.After(30 * time.Second):
			return fmt.Errorf("%s waits for its lesson, after %d rows", p.name, p.rows.Load())
		}
		select {
		case first <- rowsOf(everybody):
		default:
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	took, rows := time.Since(began), <-first
	t.Logf("all lessons were over after %v; when the first one was, all had %d to %d rows", took.Round(time.Millisecond), slices.Min(rows), slices.Max(rows))
	if paced := time.Duration(slices.Max(rows)) * time.Second / playersRate; took > 3*paced {
		t.Errorf("the last lesson was over after %v, and at its pace it takes %v", took, paced)
	}
	for _, p := range everybody {
		if err := p.knows(want, lb); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}

func rowsOf(everybody []*player) (rows []int64) {
	for _, p := range everybody {
		rows = append(rows, p.rows.Load())
	}
	return rows
}

// knows reports what of the players' keys, and of HAProxy's, it was not taught.
func (p *player) knows(want map[string]uint64, lb *node) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, value := range want {
		if got, ok := p.learned[key]; !ok || got != value {
			return fmt.Errorf("%s is %d, not %d (taught: %v)", key, got, value, ok)
		}
	}
	for _, key := range playersKeys("shared", shared) {
		if _, ok := p.learned[key]; !ok {
			return fmt.Errorf("%s is missing", key)
		}
	}
	for i := range lb.keys {
		if key := lb.keys[i][0]; p.learned[key] != uint64(lb.latest(i)) {
			return fmt.Errorf("%s is %d, not %d", key, p.learned[key], lb.latest(i))
		}
	}
	return nil
}
