package admin

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	peersync "github.com/peersd/peersd/sync"
	"github.com/peersd/peersd/table"
	"github.com/rs/zerolog"
)

// maxClients is how many clients are answered at once. More wait until it is their
// turn.
const maxClients = 100

// A Server answers the runtime commands on its sockets, as HAProxy's socket does: a
// line of commands separated by ";", the answer to each ended by an empty line, and
// then the end of the connection, unless the client has asked for a prompt.
type Server struct {
	Tables  *table.Set
	Hub     *peersync.Hub
	Listen  []string // the addresses that peers reach us at
	Level   Level    // of a client, which may lower it
	Version string   // of the process
	Started time.Time
	Log     zerolog.Logger

	listeners []net.Listener
	clients   chan struct{} // a slot for each
	watches   atomic.Int32  // of them that watch
}

// Serve answers on all listeners until ctx is done, and closes them. It is called
// once.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) {
	s.listeners, s.clients = listeners, make(chan struct{}, maxClients)
	var wg sync.WaitGroup
	for _, l := range listeners {
		wg.Go(func() { s.serve(ctx, l) })
	}
	wg.Wait()
}

func (s *Server) serve(ctx context.Context, l net.Listener) {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	log := s.Log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			log.Error().Err(err).Msg("can't accept a connection on the socket, trying again")
			time.Sleep(100 * time.Millisecond)
			continue
		}
		select {
		case s.clients <- struct{}{}:
		case <-ctx.Done():
			c.Close()
			continue
		}
		wg.Go(func() {
			defer func() { <-s.clients }()
			stop := context.AfterFunc(ctx, func() { c.Close() })
			defer stop()
			defer c.Close()
			newCLI(ctx, s, c).converse()
		})
	}
}

// addresses are where the listeners are, as haproxy.cfg writes it.
func (s *Server) addresses() (all []string) {
	for _, l := range s.listeners {
		prefix := map[string]string{"unix": "unix@", "tcp": "ipv4@"}[l.Addr().Network()]
		if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.To4() == nil {
			prefix = "ipv6@"
		}
		all = append(all, prefix+l.Addr().String())
	}
	return all
}
