package discover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/peersd/peersd/protocol"
)

// A Prober finds out whether the peer at an address goes by a name, without a
// session coming of it.
//
// A hello names whom it calls, and HAProxy answers 503 where that is not its own
// name, and does not say which one is. Only then it looks at the name of the
// caller, and answers 504 where it knows none such. So a hello whose caller has an
// empty name, which no peer has, is answered with 504 by who was called by its
// name, and with 503 by all others. It touches no session, of ours or of anybody
// else. So do peersds.
type Prober struct {
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

const probeTimeout = 2 * time.Second

// Is asks it. The error is that there is no answer.
func (p Prober) Is(ctx context.Context, address netip.AddrPort, name string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	nc, err := p.Dial(ctx, "tcp", address.String())
	if err != nil {
		return false, err
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	// All that speak the protocol take version 2.0.
	hello := protocol.Hello{Version: protocol.Version20, Remote: name, Relative: 1}
	if _, err := nc.Write(protocol.AppendHello(nil, hello)); err != nil {
		return false, err
	}
	status, err := readStatus(nc)
	switch {
	case err != nil:
		return false, err
	case status == protocol.StatusLocal:
		return false, nil
	case status == protocol.StatusRemote:
		return true, nil
	}
	return false, fmt.Errorf("it says %v to a hello without a name", status)
}

func readStatus(nc net.Conn) (protocol.Status, error) {
	var buf [64]byte
	for n := 0; ; {
		k, err := nc.Read(buf[n:])
		n += k
		if s, size, err := protocol.ParseStatus(buf[:n]); err != nil || size > 0 {
			return s, err
		}
		if err != nil {
			return 0, fmt.Errorf("it gives no status: %w", err)
		}
	}
}

// How often an endpoint is asked for its name: quickly while nobody answers, for a
// HAProxy that has just been started asks for a lesson only for 5 s; now and then
// where it has none of the names that we can think of; and where it has one, but no
// session with us, for it may be another peer by now.
const (
	unansweredAtLeast = 250 * time.Millisecond
	unansweredAtMost  = 2 * time.Second
	namelessPause     = time.Minute
	verifyPause       = 5 * time.Second
)

// introduce keeps the name of an endpoint known until ctx is done.
func (d *Discovery) introduce(ctx context.Context, e *endpoint) {
	pause := unansweredAtLeast
	for ctx.Err() == nil {
		if name := d.nameOf(e); name != "" && d.cfg.Connected(name) {
			wait(ctx, verifyPause, nil)
			continue
		}
		name, tried, err := d.search(ctx, e)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			d.unanswered(e, err)
			wait(ctx, pause, e.said)
			pause = min(pause*3/2, unansweredAtMost)
			continue
		case name == "":
			d.nameless(e, tried)
			wait(ctx, namelessPause, e.said)
		default:
			d.named(e, name)
			wait(ctx, verifyPause, nil)
		}
		pause = unansweredAtLeast
	}
}

// search asks an endpoint for each name that it may have: the one that it had last,
// those that were said by who called from there, those that the DNS gives reason to
// think of.
func (d *Discovery) search(ctx context.Context, e *endpoint) (name string, tried []string, err error) {
	for _, more := range []func() []string{
		func() []string { return d.candidates(e) },
		func() []string { return d.pointers(ctx, e.address.Addr()) },
	} {
		for _, name := range more() {
			if slices.Contains(tried, name) {
				continue
			}
			tried = append(tried, name)
			if is, err := d.is(ctx, e.address, name); err != nil || is {
				return name, tried, err
			}
		}
	}
	return "", tried, nil
}

// pointers are names by the PTR records of an address. It has some or not.
func (d *Discovery) pointers(ctx context.Context, address netip.Addr) (names []string) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	hosts, err := d.ask.Names(ctx, address)
	if err != nil {
		return nil
	}
	for _, h := range hosts[:min(len(hosts), mostPointers)] {
		names = append(names, namesOf(h)...)
	}
	return names
}

const mostPointers = 8

// wait returns when d is over, ctx is done, or something comes on early.
func wait(ctx context.Context, d time.Duration, early <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-early:
	case <-ctx.Done():
	}
}

// short strips the addresses, which the log line has already.
func short(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
