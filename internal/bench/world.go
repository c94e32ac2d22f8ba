package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/peersd/peersd/admin"
	"github.com/peersd/peersd/internal/haproxytest"
)

// A world is two HAProxys of one release and peersd on an address of its own.
type world struct {
	release haproxytest.Release
	peersd  string
	key     string
	entries int

	host string
	used int // entries that the first HAProxy has: random keys may repeat
}

// A run is one lesson.
type run struct {
	teacherCPU, learnerCPU, wall float64 // seconds
}

const config = `
global
    fd-hard-limit 1000
peers mypeers
    peer lb1 %[1]s:10010
    peer lb2 %[1]s:10011
    peer peersd %[1]s:10001
    peer loader %[1]s:10012
backend t1
    stick-table type %[2]s size 20m expire 1h store gpc0,http_req_rate(10s),conn_cnt peers mypeers
`

func (w *world) haproxy(name string) (*haproxytest.Process, error) {
	keyType := w.key
	if keyType == "string" {
		keyType = "string len 32"
	}
	return haproxytest.Start(w.release, haproxytest.Options{Name: name, Config: fmt.Sprintf(config, w.host, keyType)})
}

func (w *world) run(rounds int) ([]round, error) {
	host, release, err := haproxytest.Reserve()
	if err != nil {
		return nil, err
	}
	defer release()
	w.host = host
	lb1, err := w.haproxy("lb1")
	if err != nil {
		return nil, err
	}
	defer lb1.Kill()
	if err := load(host+":10010", w.key, w.entries); err != nil {
		return nil, err
	}
	if w.used, err = used(lb1.Command("show table")); err != nil {
		return nil, err
	}
	var all []round
	for range rounds {
		r, err := w.round(lb1)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// round lets lb1 teach lb2, then peersd, and that teach lb2 again.
func (w *world) round(lb1 *haproxytest.Process) (r round, err error) {
	var lb2 *haproxytest.Process
	startLB2 := func() (learner, error) {
		lb2, err = w.haproxy("lb2")
		if err != nil {
			return learner{}, err
		}
		return learner{lb2.PID(), func() (int, error) { return used(lb2.Command("show table")) }}, nil
	}
	if r.haproxy, err = w.lesson(lb1.PID(), startLB2); err != nil {
		return r, fmt.Errorf("HAProxy teaches HAProxy: %w", err)
	}
	if r.haproxyBytes, err = resident(lb2.PID()); err != nil {
		return r, err
	}
	lb2.Kill()

	d := &daemon{path: w.peersd, host: w.host}
	if r.learn, err = w.lesson(lb1.PID(), d.start); err != nil {
		return r, fmt.Errorf("HAProxy teaches peersd: %w; it wrote\n%s", err, d.log.String())
	}
	if r.peersdBytes, err = resident(d.cmd.Process.Pid); err != nil {
		return r, err
	}
	defer d.stop()
	// lb1 is not to teach lb2 this time.
	if err := syscall.Kill(lb1.PID(), syscall.SIGSTOP); err != nil {
		return r, err
	}
	defer syscall.Kill(lb1.PID(), syscall.SIGCONT)
	if r.teach, err = w.lesson(d.cmd.Process.Pid, startLB2); err != nil {
		return r, fmt.Errorf("peersd teaches HAProxy: %w; it wrote\n%s", err, d.log.String())
	}
	lb2.Kill()
	r.haproxyBytes /= float64(w.used)
	r.peersdBytes /= float64(w.used)
	return r, nil
}

// A learner is a process that is to be taught, and how many entries it has.
type learner struct {
	pid  int
	used func() (int, error)
}

// lesson measures a lesson: the teacher is stopped while the learner starts, so
// that the start of the learner is no part of it.
func (w *world) lesson(teacher int, start func() (learner, error)) (r run, err error) {
	if err := syscall.Kill(teacher, syscall.SIGSTOP); err != nil {
		return r, err
	}
	l, err := start()
	time.Sleep(300 * time.Millisecond)
	teacher0, err1 := cpu(teacher)
	var learner0 float64
	if err == nil {
		learner0, err = cpu(l.pid)
	}
	began := time.Now()
	if err2 := syscall.Kill(teacher, syscall.SIGCONT); err != nil || err1 != nil || err2 != nil {
		return r, fmt.Errorf("%v %v %v", err, err1, err2)
	}
	for {
		n, err := l.used()
		if err != nil {
			return r, err
		}
		if n >= w.used {
			break
		}
		if time.Since(began) > 2*time.Minute {
			return r, fmt.Errorf("%w: %d of %d entries", errTimeout, n, w.used)
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.wall = time.Since(began).Seconds()
	teacher1, err := cpu(teacher)
	if err != nil {
		return r, err
	}
	learner1, err := cpu(l.pid)
	r.teacherCPU, r.learnerCPU = teacher1-teacher0, learner1-learner0
	return r, err
}

// used reads the number of entries of t1 from the answer to `show table`.
func used(answer string, err error) (n int, _ error) {
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(answer, "used:")
	if !ok {
		return 0, nil // not defined yet
	}
	_, err = fmt.Sscanf(rest, "%d", &n)
	return n, err
}

// A daemon is peersd under test.
type daemon struct {
	path, host string
	dir        string
	cmd        *exec.Cmd
	log        bytes.Buffer
}

func (d *daemon) start() (l learner, err error) {
	if d.dir, err = os.MkdirTemp("", "peersd-"); err != nil {
		return l, err
	}
	socket := filepath.Join(d.dir, "s")
	d.cmd = exec.Command(d.path, "serve", "--listen", d.host+":10001", "--section", "mypeers", "--socket", socket,
		"--peer", "lb1="+d.host+":10010", "--peer", "lb2="+d.host+":10011")
	d.cmd.Stderr = &d.log
	if err := d.cmd.Start(); err != nil {
		return l, err
	}
	return learner{d.cmd.Process.Pid, func() (int, error) {
		var out strings.Builder
		if err := admin.Do(socket, "show table", &out); err != nil {
			return 0, nil // not listening yet
		}
		return used(out.String(), nil)
	}}, nil
}

func (d *daemon) stop() {
	d.cmd.Process.Signal(syscall.SIGCONT)
	d.cmd.Process.Signal(syscall.SIGTERM)
	d.cmd.Wait()
	os.RemoveAll(d.dir)
}
