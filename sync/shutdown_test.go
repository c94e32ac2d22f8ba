package peersync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/protocol"
	"github.com/peersd/peersd/table"
)

// A real is a Hub that listens on a real socket, and has much to teach.
type real struct {
	t    *testing.T
	addr string
	stop func() time.Duration // and how long it took
}

func startReal(t *testing.T) *real {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	def := &protocol.Definition{Name: "t1", KeyType: protocol.KeyString, KeyLen: 1001}
	tables := table.NewSet("mypeers", now)
	src := tables.Define(now, nil, def).Source(def)
	for i := range 30_000 { // 30 MB: more than sockets hold
		src.Merge(now, &protocol.Update{Key: fmt.Appendf(nil, "%01000d", i)}, table.Live)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	over := make(chan error)
	h := New(Config{Names: []string{"peersd"}, Allow: anybody, Tables: tables})
	go func() { over <- h.Run(ctx, l) }()
	return &real{t, l.Addr().String(), func() time.Duration {
		began := time.Now()
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
		return time.Since(began)
	}}
}

// pupil is a connection on which a lesson is under way.
func (r *real) pupil() net.Conn {
	r.t.Helper()
	nc, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(nc, "HAProxyS 2.1\npeersd\nlb1 1 1\n")
	nc.Write(protocol.AppendMessage(nil, protocol.ResyncRequest))
	if _, err := io.ReadFull(nc, make([]byte, len("200\n"))); err != nil {
		r.t.Fatal(err)
	}
	return nc
}

// A peer that is being taught when it is over for us gets whole messages and then
// the end of the stream, however much it has to say meanwhile.
func TestShutdownEndsWithAMessage(t *testing.T) {
	r := startReal(t)
	nc := r.pupil()
	reader, updates := protocol.NewReader(nc), 0
	next := func() error {
		f, err := reader.Next()
		if f.Type.IsUpdate() {
			updates++
		}
		return err
	}
	for updates < 1000 {
		if err := next(); err != nil {
			t.Fatal(err)
		}
	}
	talking := make(chan struct{})
	go func() {
		defer close(talking)
		heartbeats := []byte(strings.Repeat("\x00\x04", 5000))
		for {
			if _, err := nc.Write(heartbeats); err != nil {
				return
			}
		}
	}()
	took := make(chan time.Duration)
	go func() { took <- r.stop() }()
	var err error
	for err == nil {
		err = next()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("after %d updates: %v", updates, err)
	}
	nc.Close()
	if d := <-took; d > 2*time.Second {
		t.Errorf("it took %v", d)
	}
	if <-talking; updates == 30_000 {
		t.Error("the lesson was over")
	}
}

// One that reads nothing doesn't keep us.
func TestShutdownBesideADeafPeer(t *testing.T) {
	r := startReal(t)
	r.pupil()
	time.Sleep(100 * time.Millisecond) // a write is under way
	if d := r.stop(); d > 2*time.Second {
		t.Errorf("it took %v", d)
	}
}
