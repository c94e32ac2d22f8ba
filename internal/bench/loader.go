package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/peersd/peersd/protocol"
)

// A loader plays a HAProxy, the peer "loader", that teaches whoever is at the other
// end of its connection, and then changes entries.
type loader struct {
	nc       net.Conn
	name     string // of the peer at the other end
	out      *bufio.Writer
	stream   *stream
	b        []byte
	messages chan protocol.MessageType // of the control class, as they came
	ended    chan error                // why nothing more comes
	release  func() bool
}

// connect calls the peer of that name. The connection ends with ctx.
func connect(ctx context.Context, address, name string) (*loader, error) {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	l := &loader{
		nc: nc, name: name, out: bufio.NewWriterSize(nc, 1<<20),
		messages: make(chan protocol.MessageType, 1000), ended: make(chan error, 1),
		release: context.AfterFunc(ctx, func() { nc.Close() }),
	}
	in := bufio.NewReader(nc)
	if err := l.greet(in); err != nil {
		l.close()
		return nil, err
	}
	go func() { l.ended <- l.read(protocol.NewReader(in)) }()
	return l, nil
}

// stay keeps the session alive until the loader is closed: a peer that is gone
// would be one of whom something may be missing.
func (l *loader) stay() {
	_ = l.nc.SetDeadline(time.Time{})
	go func() {
		for l.send(protocol.AppendMessage(nil, protocol.Heartbeat)) == nil {
			time.Sleep(3 * time.Second)
		}
	}()
}

func (l *loader) close() {
	l.release()
	l.nc.Close()
}

func (l *loader) greet(in *bufio.Reader) error {
	if err := l.nc.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	hello := protocol.Hello{Version: protocol.Version21, Remote: l.name, Local: "loader", PID: 1, Relative: 1}
	if err := l.send(protocol.AppendHello(nil, hello)); err != nil {
		return err
	}
	answer, err := in.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s does not answer the loader: %w", l.name, err)
	}
	if s, _, err := protocol.ParseStatus(answer); err != nil || s != protocol.StatusSuccess {
		return fmt.Errorf("%s answers the loader %q", l.name, answer)
	}
	return l.send(protocol.AppendMessage(nil, protocol.Heartbeat))
}

// send sends b, and what was written before.
func (l *loader) send(b []byte) error {
	if _, err := l.out.Write(b); err != nil {
		return err
	}
	return l.out.Flush()
}

// read passes on what of the control class comes; acks are of no interest.
func (l *loader) read(r *protocol.Reader) error {
	for {
		f, err := r.Next()
		if err != nil {
			return err
		}
		if f.Payload == nil && f.Type != protocol.Heartbeat {
			l.messages <- f.Type
		}
	}
}

// await waits for a message, until the deadline of the connection.
func (l *loader) await(want protocol.MessageType) error {
	for {
		select {
		case m := <-l.messages:
			if m == want {
				return nil
			}
		case err := <-l.ended:
			return fmt.Errorf("no %q from %s to the loader: %w", want, l.name, err)
		}
	}
}

// teach gives a lesson of entries as soon as it is asked for, and returns when it
// is confirmed.
func (l *loader) teach(d *protocol.Definition, entries int) error {
	if err := l.nc.SetDeadline(time.Now().Add(patience(entries))); err != nil {
		return err
	}
	if err := l.await(protocol.ResyncRequest); err != nil {
		return err
	}
	l.stream = newStream(d)
	l.b = protocol.AppendDefinition(l.b[:0], d)
	for i := range entries {
		l.b = l.stream.appendTaught(l.b, i, lifetime)
		if _, err := l.out.Write(l.b); err != nil {
			return fmt.Errorf("%s takes no more than %d entries of the loader: %w", l.name, i, err)
		}
		l.b = l.b[:0]
	}
	if err := l.send(protocol.AppendMessage(nil, protocol.ResyncFinished)); err != nil {
		return err
	}
	return l.await(protocol.ResyncConfirm)
}

// patience is for how long a lesson of so many entries may last: many times what it
// should, but not so long that nobody looks any more.
func patience(entries int) time.Duration {
	return time.Minute + time.Duration(entries)*60*time.Microsecond
}

// maxBurst bounds how many updates are written at once, whatever the rate.
const maxBurst = 10_000

// change makes rate live updates a second, for as long as it is told to, of random
// ones of the entries that were taught. It returns how many it has sent.
func (l *loader) change(entries, rate int, lasts time.Duration) (sent int, err error) {
	if err := l.nc.SetDeadline(time.Now().Add(lasts + 30*time.Second)); err != nil {
		return 0, err
	}
	random := rand.New(rand.NewPCG(1, 2))
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		elapsed := min(time.Since(began), lasts)
		due := min(int(elapsed.Seconds()*float64(rate)), sent+maxBurst)
		for l.b = l.b[:0]; sent < due; sent++ {
			l.b = l.stream.appendLive(l.b, random.IntN(entries))
		}
		if err := l.send(l.b); err != nil {
			return sent, fmt.Errorf("%s takes no more than %d live updates: %w", l.name, sent, err)
		}
		if elapsed == lasts {
			return sent, nil
		}
	}
}
