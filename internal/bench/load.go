package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A load makes requests of a HAProxy, at a steady rate whatever becomes of them, and
// keeps how long each took.
type load struct {
	address string
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu     sync.Mutex
	served []served
	wrong  error // the first one
}

// A served request.
type served struct {
	sent time.Time
	took time.Duration
}

// The load: each connection makes a request every loadEvery.
const (
	loadConnections = 20
	loadEvery       = 20 * time.Millisecond
)

// startLoad begins at once, and goes on until it is stopped.
func startLoad(ctx context.Context, address string) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{address: address, cancel: cancel}
	for i := range loadConnections {
		first := time.Now().Add(loadEvery * time.Duration(i) / loadConnections)
		l.wg.Go(func() {
			if err := l.connection(ctx, first); err != nil && ctx.Err() == nil {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.wrong = cmp.Or(l.wrong, err)
			}
		})
	}
	return l
}

// stop ends the load. The error is that of a request that was not served.
func (l *load) stop() error {
	l.cancel()
	l.wg.Wait()
	return l.wrong
}

func (l *load) connection(ctx context.Context, next time.Time) error {
	nc, err := net.Dial("tcp", l.address)
	if err != nil {
		return err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	r := bufio.NewReader(nc)
	for ; ctx.Err() == nil; next = next.Add(loadEvery) {
		time.Sleep(time.Until(next))
		// A timer that is late is not HAProxy's fault; that the last answer was is.
		sent := time.Now()
		if late := sent.Sub(next); late > loadEvery {
			sent = next
		}
		if err := request(nc, r); err != nil {
			return err
		}
		l.mu.Lock()
		l.served = append(l.served, served{sent, time.Since(sent)})
		l.mu.Unlock()
	}
	return nil
}

// request makes one, of one of some thousand users.
func request(nc net.Conn, r *bufio.Reader) error {
	if _, err := fmt.Fprintf(nc, "GET / HTTP/1.1\r\nHost: bench\r\nX-User: u%d\r\n\r\n", rand.IntN(5000)); err != nil {
		return err
	}
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("HAProxy answers a request with %s", answer.Status)
	}
	return nil
}

// between returns how long the requests took that were sent between two instants,
// the shortest first.
func (l *load) between(from, to time.Time) (all []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.served {
		if !s.sent.Before(from) && s.sent.Before(to) {
			all = append(all, s.took)
		}
	}
	slices.Sort(all)
	return all
}

// percentile of sorted times, of which there are some, in ms.
func percentile(sorted []time.Duration, p float64) float64 {
	i := min(int(float64(len(sorted))*p/100), len(sorted)-1)
	return sorted[i].Seconds() * 1000
}
