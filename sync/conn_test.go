package peersync

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peersd/peersd/protocol"
)

func frame(t protocol.MessageType, payload ...byte) string {
	return string(protocol.AppendFrame(nil, t, payload))
}

// define and update are messages of a peer whose table has the id 1.
func define(name string) string {
	return string(protocol.AppendDefinition(nil, definition(name, 1)))
}

func update(id uint32, key string, value uint64) string {
	u := &protocol.Update{ID: id, Key: net.ParseIP(key).To4(), Values: []uint64{value}}
	return string(protocol.AppendUpdate(nil, protocol.NewLayout(definition("", 1)), nil, u))
}

// How sessions end, what the peer is told, and what is counted and logged.
func TestSessionEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end                  func(p *remote)
		want, log            string
		protocolErrors, mute uint64
	}{
		"by the peer":                   {func(p *remote) { p.conn.Close() }, "200", "session closed: by the peer", 0, 0},
		"by the peer, within a message": {func(p *remote) { p.send("\x0a\x80\x05ab"); p.conn.Close() }, "200", "by the peer, within a message", 0, 0},
		"a reserved class":              {func(p *remote) { p.send("\xff\x00") }, "200, protocol error", "the peer broke the protocol", 1, 0},
		"too long a message":            {func(p *remote) { p.send("\x0a\x80\xf1\xff\x7f") }, "200, size limit", "longer than 16384 bytes", 1, 0},
		"a definition cut short":        {func(p *remote) { p.send(frame(protocol.DefinitionMessage, 1)) }, "200, protocol error", "cut short", 1, 0},
		"nothing is heard": {func(p *remote) {
			time.Sleep(16 * time.Second)
		}, "200, resync request", "nothing heard from the peer for 15 s", 0, 1},
		"a byte a second within a message": {func(p *remote) {
			for _, b := range []byte(frame(0x0a8f, make([]byte, 15)...)) {
				p.conn.Write([]byte{b})
				time.Sleep(time.Second)
			}
		}, "200, resync request", "nothing heard from the peer for 15 s", 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, &network{}, Config{})
				defer r.stop()
				p := r.call("lb1")
				c.end(p)
				p.expectOver(true)
				p.expect(c.want)
				r.expectLog(c.log)
				s := r.status("lb1")
				if s.Established || s.Sessions != 1 || s.ProtocolErrors != c.protocolErrors || s.Silent != c.mute {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// The peer's part of a session goes on while ours stalls, but not for ever.
func TestPeerReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		p := r.connect()
		p.conn.Write([]byte("HAProxyS 2.1\npeersd\nlb1 1 1\n"))
		p.conn.Read(make([]byte, 4))
		for i := range 9 {
			p.send(define("t1") + update(uint32(i), "10.0.0.1", uint64(i)))
			time.Sleep(time.Second)
		}
		if got := r.dump(); got != "t1 10.0.0.1=8" {
			t.Error(got)
		}
		if !r.status("lb1").Established {
			t.Error("it is over after 9 s")
		}
		time.Sleep(2 * time.Second)
		if r.status("lb1").Established {
			t.Error("it is not over after 11 s")
		}
	})
}

// Each message that wants an answer gets it at once, however messages come:
// there is no wake-up missing.
func TestNoWakeUpIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		p := r.call("lb1")
		p.deaf.Store(true)
		random := rand.New(rand.NewPCG(1, 1))
		time.Sleep(100 * time.Millisecond)
		p.say(protocol.ResyncFinished)
		p.send(define("t1"))
		for i := range 2000 {
			switch random.IntN(4) {
			case 0:
				p.conn.Write(protocol.AppendMessage(nil, protocol.ResyncPartial))
				expectLast(p, protocol.ResyncConfirm)
			case 1:
				p.conn.Write([]byte(update(uint32(i), "10.0.0.1", uint64(i))))
				expectLast(p, protocol.AckMessage)
			case 2:
				time.Sleep(time.Second) // a lesson begins no more often
				p.conn.Write(protocol.AppendMessage(nil, protocol.ResyncRequest))
				expectLast(p, protocol.ResyncFinished)
				p.say(protocol.ResyncConfirm)
			case 3:
				r.set("t1", "10.0.0.2", uint64(i))
				expectLast(p, protocol.TimedUpdateMessage)
			}
			if random.IntN(10) == 0 {
				time.Sleep(time.Duration(random.IntN(1000)) * time.Microsecond)
			}
		}
	})
}

// expectLast: the last message but heartbeats is of a type, and came now.
func expectLast(p *remote, want protocol.MessageType) {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.got) - 1; i >= 0; i-- {
		if m := p.got[i]; m.f.Type != protocol.Heartbeat {
			if m.f.Type != want || !m.at.Equal(time.Now()) {
				p.t.Fatalf("the last message is %v, %v ago, not %v", m.text, time.Since(m.at), want)
			}
			return
		}
	}
}

// What one HAProxy has pushed, another one that starts learns; what changes
// here both get at once, and what one has acked it does not get again.
func TestMirror(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		a := r.call("a")
		a.send(define("t1") + update(1, "10.0.0.1", 1) + update(2, "10.0.0.2", 2))
		a.expect("200, ack")
		time.Sleep(100 * time.Millisecond)
		a.say(protocol.ResyncFinished)

		b := r.call("b")
		b.say(protocol.ResyncRequest)
		b.expect("200, table definition, timed update, timed update, resync finished")
		if s := r.status("b"); s.Session.UpdatesOut != 2 || s.Lesson.Active {
			t.Errorf("%+v", s)
		}
		if s := r.status("a"); s.Session.UpdatesIn != 2 || !s.Learned {
			t.Errorf("%+v", s)
		}

		r.set("t1", "10.0.0.3", 3)
		a.expect("200, ack, resync request, resync confirm, table definition, timed update")
		b.expect("200, table definition, timed update, timed update, resync finished, timed update")
		b.send(string(protocol.AppendAck(nil, protocol.Ack{TableID: 1, UpdateID: 1})))
		b.conn.Close()
		a.conn.Close()
		synctest.Wait()
		r.call("b").expect("200")
		r.call("a").expect("200, table definition, timed update")
	})
}

// Much that has to be said goes out in parts, in one go.
func TestLongLesson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{MaxUpdates: 7})
		defer r.stop()
		p := r.call("a")
		p.send(define("t1"))
		for i := range 1000 {
			p.send(update(uint32(i+1), fmt.Sprintf("10.0.%d.%d", i/250, i%250), uint64(i)))
		}
		time.Sleep(100 * time.Millisecond)
		p.say(protocol.ResyncFinished)
		b, began := r.call("b"), time.Now()
		b.say(protocol.ResyncRequest)
		expectLast(b, protocol.ResyncFinished)
		if s := r.status("b"); s.Lesson.Sent != 0 || s.Session.UpdatesOut != 1000 || time.Since(began) != 0 {
			t.Errorf("after %v: %+v", time.Since(began), s)
		}
	})
}

// What an operator has to know of tables stands in the log.
func TestTablesThatDoNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &network{}, Config{})
		defer r.stop()
		def := definition("t1", 1)
		def.KeyType, def.KeyLen = protocol.KeyString, 33
		r.call("a").send(string(protocol.AppendDefinition(nil, def)))
		def.KeyLen = 65
		b := r.call("b")
		b.send(string(protocol.AppendDefinition(nil, def)))
		r.expectLog(`the table is \"string len 64\" here, but \"string len 32\" on a: HAProxy drops the other's updates in silence`)
		b.say(protocol.ProtocolError, protocol.ProtocolError)
		r.expectLog("the peer says: protocol error")
		if n := strings.Count(r.log.String(), "the peer says"); n != 1 {
			t.Errorf("the log has it %d times", n)
		}
		b.send(string(protocol.AppendAck(nil, protocol.Ack{TableID: 1, UpdateID: 77})))
		b.expectOver(false)
		r.set("t2", "10.0.0.1", 1)
		b.send(string(protocol.AppendAck(nil, protocol.Ack{TableID: 3, UpdateID: 77})))
		r.expectLog("ack of an update that was never sent ignored")

		unknown := protocol.AppendVarint([]byte("\x01\x02t3\x04\x04"), 1<<protocol.NumDataTypes)
		b.send(frame(protocol.DefinitionMessage, append(unknown, 0)...))
		r.expectLog("data types that this peersd does not know")
	})
}
