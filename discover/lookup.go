package discover

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// questions are those that are asked of the DNS: a [Resolver].
type questions interface {
	Hosts(ctx context.Context, host string) ([]netip.Addr, time.Duration, error)
	Services(ctx context.Context, name string) ([]*net.SRV, time.Duration, error)
	Names(ctx context.Context, address netip.Addr) ([]string, error)
}

// How soon a place is looked up again: when its TTL is over, within bounds, or
// later and later while there is no answer. No answer means that nothing is known,
// and changes nothing; the answer that there is no such name is one.
const (
	leastTTL      = time.Second
	mostTTL       = time.Hour
	leastPause    = time.Second
	mostPause     = time.Minute
	lookupTimeout = 10 * time.Second
)

// mostEndpoints is how many a place may have.
const mostEndpoints = 1024

// lookup returns where the peers of a place are, and for how long that holds; with an
// error, what is known nevertheless.
func (p Place) lookup(ctx context.Context, q questions) (found []Endpoint, ttl time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	if p.Port != 0 {
		found, ttl, err = hostEndpoints(ctx, q, p.Host, p.Port)
		return bounded(p, found, ttl, err)
	}
	services, ttl, err := q.Services(ctx, p.Host)
	if isNegative(err) {
		return nil, ttl, nil
	}
	if err != nil {
		return nil, 0, err
	}
	// RFC 2782: "." is that the service is not there.
	services = slices.DeleteFunc(services, func(s *net.SRV) bool { return s.Target == "." })
	found, until, err := serviceEndpoints(ctx, q, services[:min(len(services), mostEndpoints+1)])
	return bounded(p, found, min(ttl, until), err)
}

// lookupsAtOnce is how many hosts of a service are looked up at the same time.
const lookupsAtOnce = 16

// serviceEndpoints are those of all hosts of a service.
func serviceEndpoints(ctx context.Context, q questions, services []*net.SRV) (found []Endpoint, ttl time.Duration, err error) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		room = make(chan struct{}, lookupsAtOnce)
	)
	ttl = mostTTL
	for _, s := range services {
		room <- struct{}{}
		wg.Go(func() {
			more, until, failed := hostEndpoints(ctx, q, s.Target, s.Port)
			<-room
			mu.Lock()
			defer mu.Unlock()
			found, ttl = append(found, more...), min(ttl, until)
			if failed != nil {
				err = failed
			}
		})
	}
	wg.Wait()
	return found, ttl, err
}

func bounded(p Place, found []Endpoint, ttl time.Duration, err error) ([]Endpoint, time.Duration, error) {
	if len(found) > mostEndpoints {
		return nil, 0, fmt.Errorf("%v has %d addresses, and more than %d are too many", p, len(found), mostEndpoints)
	}
	return found, ttl, err
}

// hostEndpoints are the addresses of a host. That there is no such host is an
// answer too.
func hostEndpoints(ctx context.Context, q questions, host string, port uint16) (found []Endpoint, ttl time.Duration, err error) {
	addresses, ttl, err := q.Hosts(ctx, host)
	if err != nil && !isNegative(err) {
		return nil, 0, err
	}
	for _, a := range addresses {
		found = append(found, Endpoint{Address: netip.AddrPortFrom(a, port), Hints: namesOf(host)})
	}
	return found, ttl, nil
}

func isNegative(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}

// namesOf are the names that the peer on a host may go by: HAProxy's is that of its
// host, without -L and localpeer, and a host calls itself by its first label or by
// all of them.
func namesOf(host string) (names []string) {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	host = strings.TrimSuffix(host, ".")
	first, _, _ := strings.Cut(host, ".")
	return slices.Compact([]string{first, host})
}

// A watch is when to look a place up.
type watch struct {
	failures int
}

// next is how long to wait after an answer, or after none: up to a tenth more, so
// that many peersds don't ask at once.
func (w *watch) next(ttl time.Duration, err error) time.Duration {
	d := min(max(ttl, leastTTL), mostTTL)
	if err != nil {
		d = min(leastPause<<min(w.failures, 6), mostPause)
		w.failures++
	} else {
		w.failures = 0
	}
	return d + rand.N(d/10)
}
