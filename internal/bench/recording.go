package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/sync/session"
	"github.com/peersd/peersd/table"
)

// A recording is what a HAProxy sends to a peersd: a lesson of keys that are all new,
// and then a live update of each of them, in another random order.
type recording struct {
	entries      int
	lesson, live []byte
}

// record encodes a recording, so that encoding is no part of what is measured.
func record(entries int) *recording {
	d := definition("ip")
	s := newStream(d)
	r := &recording{entries: entries, lesson: protocol.AppendDefinition(nil, d)}
	for i := range entries {
		// HAProxy teaches in the order of the last changes.
		age := time.Duration(entries-i) * (lifetime / 2) / time.Duration(entries)
		r.lesson = s.appendTaught(r.lesson, i, lifetime-age)
	}
	r.lesson = protocol.AppendMessage(r.lesson, protocol.ResyncFinished)
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(entries) {
		r.live = s.appendLive(r.live, i)
	}
	return r
}

// play lets a new session take the recording into an empty table, and returns how
// long the lesson and the live updates took.
func (r *recording) play() (lesson, live time.Duration, err error) {
	began := time.Now().Add(-time.Minute) // a lesson is not asked for at once
	tables := table.NewSet("mypeers", began)
	s := session.New(began, session.Config{Version: protocol.Version21, Tables: tables, Peer: &session.Peer{}})
	s.AppendOutput(time.Now(), nil) // asks for the lesson
	if lesson, err = receive(s, r.lesson); err != nil {
		return 0, 0, err
	}
	if live, err = receive(s, r.live); err != nil {
		return 0, 0, err
	}
	taken := tables.Tables()[0].Stats()
	if want := uint64(2 * r.entries); taken.Entries != r.entries || taken.Merged != want || !s.Learned() {
		return 0, 0, fmt.Errorf("of %d updates of %d entries %d were taken, and there are %d entries", want, r.entries, taken.Merged, taken.Entries)
	}
	return lesson, live, nil
}

// receive does with the messages what peersd's goroutines do with what comes from a
// connection, all in one.
func receive(s *session.Session, messages []byte) (time.Duration, error) {
	began := time.Now()
	r := protocol.NewReader(bytes.NewReader(messages))
	frames := make([]protocol.Frame, 0, table.MaxArrivals)
	var output []byte
	for {
		var err error
		frames, err = r.NextAll(frames[:0])
		if errors.Is(err, io.EOF) {
			return time.Since(began), nil
		}
		if err != nil {
			return 0, err
		}
		now := time.Now()
		if err := s.Receive(now, frames...); err != nil {
			return 0, err
		}
		output = s.AppendOutput(now, output[:0])
	}
}
