package session_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/sync/session"
)

// FuzzSession lets a peer send anything. Messages that don't exist are taken
// for what happens in between: time passes, entries change here, the runner
// asks for a sign of life.
func FuzzSession(f *testing.F) {
	for _, c := range captures(f) {
		if c.release == "3.4" || c.scenario == "errors" || c.scenario == "downgrade-2.0" {
			f.Add(c.version == protocol.Version20, c.frames[:min(len(c.frames), 2000)])
		}
	}
	f.Add(false, []byte("\x00\x10\x00\x00\x09\x01\x00\x03\x00\x0b\x09\x02\x00\x00\x00\x03\x00\x01"))
	f.Fuzz(func(t *testing.T, old bool, data []byte) {
		v := protocol.Version21
		if old {
			v = protocol.Version20
		}
		z := newFuzzed(v)
		r := protocol.NewReader(bytes.NewReader(data))
		for {
			frame, err := r.Next()
			if err != nil {
				return
			}
			if err := z.happens(frame); err != nil {
				if !errors.As(err, new(*protocol.Error)) {
					t.Fatalf("%T: %v", err, err)
				}
				if err := wellFormed(session.AppendError(nil, err)); err != nil {
					t.Fatal(err)
				}
				return
			}
			if err := z.drain(); err != nil {
				t.Fatal(err)
			}
			if z.silent() {
				return
			}
		}
	})
}

// A fuzzed is a session of a daemon that knows something already.
type fuzzed struct {
	now     time.Time
	d       *daemon
	session *session.Session
	out     *wire
	version protocol.Version
}

const fuzzMax = 5 // updates at once

func newFuzzed(v protocol.Version) *fuzzed {
	d := newDaemon(epoch)
	d.tables.Define(epoch, nil, &protocol.Definition{Name: "t1", KeyType: protocol.KeyIPv4, KeyLen: 4, Types: 1 << protocol.GPC0})
	for i := range uint64(10) {
		d.set(epoch, fmt.Sprint("a", i), i)
	}
	link := d.link(v, fuzzMax)
	link.begin(epoch)
	return &fuzzed{now: epoch, d: d, session: link.session, out: newWire(), version: v}
}

func (z *fuzzed) happens(f protocol.Frame) error {
	n := int(f.Type & 0x7f)
	switch {
	case f.Type>>8 == 0 && n > 4:
		z.now = z.now.Add(time.Duration(n) * 20 * time.Millisecond)
	case f.Type>>8 == 9:
		z.d.set(z.now, fmt.Sprint("k", n), uint64(n))
	case f.Type>>8 == 8:
		z.session.Ping()
		z.session.Nudge(z.now)
	}
	return z.session.Receive(z.now, f)
}

// drain takes what is sent, and reports what is wrong with it.
func (z *fuzzed) drain() error {
	for range 10_000 {
		b := z.session.AppendOutput(z.now, nil)
		if len(b) == 0 {
			if !z.session.Consistent() {
				return errors.New("inconsistent")
			}
			if d := z.session.Deadline(); !d.After(z.now) && !z.silent() {
				return errors.New("the deadline stands still")
			}
			return nil
		}
		if err := wellFormed(b); err != nil {
			return err
		}
		updates := 0
		for len(b) > 0 {
			f, n, _ := protocol.ParseFrame(b)
			b = b[n:]
			if _, err := z.out.line(f); err != nil {
				return err
			}
			if f.Type.IsUpdate() {
				updates++
			}
			if f.Type == protocol.TimedUpdateMessage && z.version == protocol.Version20 {
				return errors.New("a timed update to a peer that speaks 2.0")
			}
		}
		if updates > fuzzMax {
			return fmt.Errorf("%d updates at once", updates)
		}
	}
	return errors.New("it never stops talking")
}

func (z *fuzzed) silent() bool { return errors.Is(z.session.Tick(z.now), session.ErrSilent) }
