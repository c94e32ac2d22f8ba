package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
)

// bansARound is how many addresses are banned and unbanned in a round.
const bansARound = 20

// A banned is how long it took, in ms, from the start of `peersd set`, or `peersd clear`,
// till all HAProxys refused, or served, who was banned or unbanned.
type banned struct{ ban, unban float64 }

func (b *bench) ban(ctx context.Context) error {
	var runs []banned
	for i := range b.rounds {
		progress("ban: round %d of %d", i+1, b.rounds)
		some, err := b.banOnAll(ctx)
		if err != nil {
			return err
		}
		runs = append(runs, some...)
	}
	columns := []column[banned]{
		{"peersd set, ms", func(x banned) float64 { return x.ban }, mark{limit: 50}},
		{"peersd clear, ms", func(x banned) float64 { return x.unban }, mark{limit: 50}},
	}
	_, err := fmt.Fprintf(b.out, `
## Ban

HAProxys of %d release lines, connected to one peersd, deny by a table who has a tag. Times are from the start of the process that sets or clears the tag to
the first request that is refused, or served again, on the last of them; each is asked all the time, every millisecond. %d times.
`, len(b.lines), len(runs))
	return errors.Join(err, printTable(b.out, "From the command to the last HAProxy", []string{""}, columns, []row[banned]{{[]string{"measured"}, runs}}))
}

const banConfig = `
global
    fd-hard-limit 1000
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
peers mypeers
    peer lb%[2]d %[1]s:%[3]d
    peer peersd %[1]s:10001
    table bans type ip size 1k expire 1h store gpt0,gpc0
frontend web
    bind %[1]s:%[4]d
    http-request deny if { req.hdr_ip(x-user),table_gpt0(mypeers/bans) gt 0 }
    http-request return status 200
`

// banOnAll bans and unbans on HAProxys of all lines.
func (b *bench) banOnAll(ctx context.Context) (all []banned, err error) {
	host, release, err := haproxytest.Reserve()
	if err != nil {
		return nil, err
	}
	defer release()
	var (
		urls  []string
		flags []string
		first *haproxytest.Process
	)
	for i, line := range b.lines {
		r, err := haproxytest.Find(line)
		if err != nil {
			return nil, err
		}
		lb, err := haproxytest.Start(r, haproxytest.Options{Name: fmt.Sprint("lb", i), Config: fmt.Sprintf(banConfig, host, i, 10010+i, 8080+i)})
		if err != nil {
			return nil, err
		}
		defer lb.Kill()
		if first == nil {
			first = lb
		}
		urls = append(urls, fmt.Sprintf("http://%s:%d/", host, 8080+i))
		flags = append(flags, "--peer", fmt.Sprintf("lb%d=%s:%d", i, host, 10010+i))
	}
	d, err := startDaemon(b.peersd, host, nil, flags...)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	if _, err := first.Command("set table mypeers/bans key 0.0.0.0 data.gpc0 1"); err != nil {
		return nil, err
	}
	if err := sleepFor(ctx, 3*time.Second); err != nil { // until all are connected
		return nil, err
	}
	for n := range bansARound {
		var x banned
		who := fmt.Sprint("10.0.0.", n+1)
		if x.ban, err = b.until(d, urls, who, http.StatusForbidden, "set", "mypeers/bans", who, "gpt0=1"); err != nil {
			return nil, err
		}
		if x.unban, err = b.until(d, urls, who, http.StatusOK, "clear", "mypeers/bans", who); err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	return all, ctx.Err()
}

// until runs a verb and returns after how many ms all answer who with a status.
func (b *bench) until(d *daemon, urls []string, who string, status int, args ...string) (float64, error) {
	ready, verb := make(chan struct{}, len(urls)), make(chan struct{})
	ends, errs := make([]time.Time, len(urls)), make([]error, len(urls)+1)
	var wg sync.WaitGroup
	for i, url := range urls {
		wg.Go(func() { ends[i], errs[i] = poll(url, who, status, ready, verb) })
	}
	for range urls {
		<-ready
	}
	began := time.Now()
	close(verb)
	_, _, errs[len(urls)] = b.verb(d, "", args...)
	wg.Wait()
	var last time.Duration
	for _, end := range ends {
		last = max(last, end.Sub(began))
	}
	return last.Seconds() * 1000, errors.Join(errs...)
}

// poll asks url as who until the status is as wanted, and returns when that was. It is
// another one until go is closed.
func poll(url, who string, want int, ready chan<- struct{}, verb <-chan struct{}) (time.Time, error) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		ready <- struct{}{}
		return time.Time{}, err
	}
	req.Header.Set("X-User", who)
	for i, end := 0, time.Now().Add(10*time.Second); time.Now().Before(end); i++ {
		answer, err := client.Do(req)
		if i == 0 {
			ready <- struct{}{}
			<-verb
		}
		if err != nil {
			return time.Time{}, err
		}
		_, _ = io.Copy(io.Discard, answer.Body) // so that the connection stays
		answer.Body.Close()
		if answer.StatusCode == want {
			return time.Now(), nil
		}
		time.Sleep(time.Millisecond)
	}
	return time.Time{}, fmt.Errorf("%s does not answer %s with %d within 10 s", url, who, want)
}
