package main

import (
	"context"
	"fmt"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
)

// A world is two HAProxys of one release, and peersd, on an address of their own.
// The first HAProxy has a table full of entries, all the time.
type world struct {
	release haproxytest.Release
	peersd  string // the binary
	key     string
	entries int

	host string
	lb1  *haproxytest.Process
}

// A round is what one turn of all lessons has cost, and what the learners of the
// first two have in memory then, in bytes an entry.
type round struct {
	haproxy, learn, teach     lesson
	haproxyBytes, peersdBytes float64
}

// tableSize is the most entries that a HAProxy's table takes.
const tableSize = 20 << 20

// lessonConfig is what both HAProxys have, but for the ports of lb2 and peersd.
const lessonConfig = `
global
    fd-hard-limit 1000
peers mypeers
    peer lb1 %[1]s:10010
    peer lb2 %[1]s:%[2]d
    peer peersd %[1]s:%[3]d
    peer loader %[1]s:10012
backend t1
    stick-table type %[4]s size 20m expire 1h store gpc0,http_req_rate(10s),conn_cnt peers mypeers
`

// nobody listens there. Only learners can reach their teachers, not the other way:
// where both dial it may take a second till one connection is settled on.
const nobody = 10099

func (w *world) startLB1() (*haproxytest.Process, error) { return w.haproxy("lb1", nobody, nobody) }
func (w *world) startLB2() (*haproxytest.Process, error) { return w.haproxy("lb2", 10011, 10001) }

func (w *world) haproxy(name string, lb2Port, peersdPort int) (*haproxytest.Process, error) {
	keyType := w.key
	if keyType == "string" {
		keyType = "string len 32"
	}
	text := fmt.Sprintf(lessonConfig, w.host, lb2Port, peersdPort, keyType)
	return haproxytest.Start(w.release, haproxytest.Options{Name: name, Config: text})
}

// run fills the first HAProxy and lets so many rounds take place.
func (w *world) run(ctx context.Context, rounds int) (all []round, err error) {
	host, release, err := haproxytest.Reserve()
	if err != nil {
		return nil, err
	}
	defer release()
	w.host = host
	if w.lb1, err = w.startLB1(); err != nil {
		return nil, err
	}
	defer w.lb1.Kill()
	if err := w.fill(ctx); err != nil {
		return nil, err
	}
	for i := range rounds {
		progress("lessons: HAProxy %s, keys of type %s, round %d of %d", w.release.Version, w.key, i+1, rounds)
		r, err := w.round(ctx, i%2 == 1)
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

func (w *world) fill(ctx context.Context) error {
	l, err := connect(ctx, w.host+":10010", "lb1")
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.teach(definition(w.key), w.entries); err != nil {
		return err
	}
	n, err := haproxyLearner(w.lb1).used()
	if err == nil && n != w.entries {
		err = fmt.Errorf("lb1 has %d of the %d entries that it was taught", n, w.entries)
	}
	return err
}

// round has its lessons in another order each other time: whatever makes the
// machine slower or faster meanwhile is not to be found in the ratios.
func (w *world) round(ctx context.Context, peersdFirst bool) (r round, err error) {
	turns := []func(context.Context, *round) error{w.haproxyLearns, w.peersdLearnsAndTeaches}
	if peersdFirst {
		turns[0], turns[1] = turns[1], turns[0]
	}
	for _, turn := range turns {
		if err := turn(ctx, &r); err != nil {
			return r, err
		}
		// lb1 takes note of who has gone.
		if err := resume(w.lb1.PID()); err != nil {
			return r, err
		}
		time.Sleep(startTime)
	}
	return r, nil
}

// haproxyLearns lets lb1 teach another HAProxy.
func (w *world) haproxyLearns(ctx context.Context, r *round) error {
	lb1 := w.lb1.PID()
	if err := pause(lb1); err != nil {
		return err
	}
	lb2, err := w.startLB2()
	if err != nil {
		return err
	}
	defer lb2.Kill()
	if r.haproxy, err = measureLesson(ctx, lb1, haproxyLearner(lb2), w.entries); err != nil {
		return fmt.Errorf("HAProxy teaches HAProxy: %w", err)
	}
	r.haproxyBytes, err = w.bytesAnEntry(lb2.PID())
	return err
}

// peersdLearnsAndTeaches lets lb1 teach peersd, and that another HAProxy.
func (w *world) peersdLearnsAndTeaches(ctx context.Context, r *round) error {
	lb1 := w.lb1.PID()
	if err := pause(lb1); err != nil {
		return err
	}
	d, err := startDaemon(w.peersd, w.host, nil,
		"--peer", "lb1="+w.host+":10010", "--peer", fmt.Sprintf("lb2=%s:%d", w.host, nobody), "--teach-rate", "0")
	if err != nil {
		return err
	}
	defer d.stop()
	if r.learn, err = measureLesson(ctx, lb1, learner{d.pid(), d.used}, w.entries); err != nil {
		return fmt.Errorf("HAProxy teaches peersd: %w; it wrote\n%s", err, d.log.String())
	}
	if r.peersdBytes, err = w.bytesAnEntry(d.pid()); err != nil {
		return err
	}
	if r.teach, err = w.peersdTeaches(ctx, d); err != nil {
		return fmt.Errorf("peersd teaches HAProxy: %w; it wrote\n%s", err, d.log.String())
	}
	return nil
}

// peersdTeaches lets d teach another HAProxy. lb1 stays paused, so that it does not.
func (w *world) peersdTeaches(ctx context.Context, d *daemon) (r lesson, err error) {
	for _, pid := range []int{w.lb1.PID(), d.pid()} {
		if err := pause(pid); err != nil {
			return r, err
		}
	}
	lb2, err := w.startLB2()
	if err != nil {
		return r, err
	}
	defer lb2.Kill()
	return measureLesson(ctx, d.pid(), haproxyLearner(lb2), w.entries)
}

func (w *world) bytesAnEntry(pid int) (float64, error) {
	bytes, err := resident(pid)
	return bytes / float64(w.entries), err
}

func haproxyLearner(p *haproxytest.Process) learner {
	return learner{p.PID(), func() (int, error) {
		answer, err := p.Command("show table")
		if err != nil {
			return 0, err
		}
		return number(answer, "used:")
	}}
}
