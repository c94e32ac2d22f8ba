package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
)

// An imported is what verbs of the command line took for all entries, in seconds.
type imported struct {
	keys, clientCPU, daemonCPU float64 // a list of keys
	reached                    float64 // till a HAProxy has them all
	again                      float64 // the same with --replace
	export, json               float64
}

var importColumns = []column[imported]{
	{"keys: s", func(i imported) float64 { return i.keys }, mark{limit: 3}},
	{"peersd import: CPU s", func(i imported) float64 { return i.clientCPU }, mark{}},
	{"peersd serve: CPU s", func(i imported) float64 { return i.daemonCPU }, mark{}},
	{"till HAProxy has them, s", func(i imported) float64 { return i.reached }, mark{}},
	{"again, --replace: s", func(i imported) float64 { return i.again }, mark{}},
	{"export: s", func(i imported) float64 { return i.export }, mark{}},
	{"JSON lines: s", func(i imported) float64 { return i.json }, mark{}},
}

// importing measures imports while a HAProxy of each release line is connected.
func (b *bench) importing(ctx context.Context) error {
	var rows []row[imported]
	for _, line := range b.lines {
		r, err := haproxytest.Find(line)
		if err != nil {
			return err
		}
		var runs []imported
		for i := range b.rounds {
			progress("import: HAProxy %s, round %d of %d", r.Version, i+1, b.rounds)
			run, err := b.importTo(ctx, r)
			if err != nil {
				return fmt.Errorf("HAProxy %s: %w", r.Version, err)
			}
			runs = append(runs, run)
		}
		rows = append(rows, row[imported]{[]string{r.Version}, runs})
	}
	_, err := fmt.Fprintf(b.out, `
## Import

peersd import of %s IPv4 keys, --set gpt0=1 --expire 30m, into a peersd to which a HAProxy is connected, on the same %d cores; then the same file with
--replace, so that nothing is to be sent; an export, and the import of what that has written. HAProxy gets them at the pace of lessons.
`, count(b.entries), runtime.NumCPU())
	return errors.Join(err, printTable(b.out, "Import and export, by the HAProxy that is connected", []string{"HAProxy"}, importColumns, rows))
}

const importConfig = `
global
    fd-hard-limit 1000
peers mypeers
    peer lb1 %[1]s:10010
    peer peersd %[1]s:10001
backend t1
    stick-table type ip size 20m expire 1h store gpt0,gpc0 peers mypeers
`

func (b *bench) importTo(ctx context.Context, r haproxytest.Release) (i imported, err error) {
	host, release, err := haproxytest.Reserve()
	if err != nil {
		return i, err
	}
	defer release()
	lb, err := haproxytest.Start(r, haproxytest.Options{Name: "lb1", Config: fmt.Sprintf(importConfig, host)})
	if err != nil {
		return i, err
	}
	defer lb.Kill()
	d, err := startDaemon(b.peersd, host, nil, "--peer", "lb1="+host+":10010")
	if err != nil {
		return i, err
	}
	defer d.stop()
	keys, json := filepath.Join(d.dir, "keys"), filepath.Join(d.dir, "json")
	if err := errors.Join(writeKeys(keys, b.entries), define(ctx, lb, d)); err != nil {
		return i, err
	}
	before, err := takeAccount(d.pid())
	if err != nil {
		return i, err
	}
	if i.keys, i.clientCPU, err = b.verb(d, "", "import", "t1", keys, "--set", "gpt0=1", "--expire", "30m"); err != nil {
		return i, err
	}
	after, err := takeAccount(d.pid())
	if err != nil {
		return i, err
	}
	i.daemonCPU = after.since(before, 0)
	if _, err = awaitEntries(ctx, haproxyLearner(lb), b.entries+1); err != nil {
		return i, err
	}
	i.reached = time.Since(before.at).Seconds()
	if i.again, _, err = b.verb(d, "", "import", "t1", keys, "--set", "gpt0=1", "--expire", "30m", "--replace"); err != nil {
		return i, err
	}
	if i.export, _, err = b.verb(d, json, "export", "t1"); err != nil {
		return i, err
	}
	i.json, _, err = b.verb(d, "", "import", "t1", json)
	return i, err
}

// define waits until d has the table t1, which HAProxy defines with the first entry
// that it pushes.
func define(ctx context.Context, lb *haproxytest.Process, d *daemon) error {
	if _, err := lb.Command("set table t1 key 0.0.0.0 data.gpc0 1"); err != nil {
		return err
	}
	_, err := awaitEntries(ctx, learner{d.pid(), d.used}, 1)
	return err
}

func writeKeys(path string, n int) error {
	var b []byte
	for i := range n {
		key := appendKey(nil, definition("ip").KeyType, uint64(i+1)) // that of 0 is 0.0.0.0
		b = append(netip.AddrFrom4([4]byte(key)).AppendTo(b), '\n')
	}
	return os.WriteFile(path, b, 0o600)
}

// verb runs a verb of the command line against d, and returns for how many seconds it
// ran, and its CPU. It writes to a file, or to nothing.
func (b *bench) verb(d *daemon, to string, args ...string) (wall, cpu float64, err error) {
	cmd := exec.Command(b.peersd, append(args, "--socket", d.socket())...)
	var wrong strings.Builder
	cmd.Stderr = &wrong
	if to != "" {
		f, err := os.Create(to)
		if err != nil {
			return 0, 0, err
		}
		defer f.Close()
		cmd.Stdout = f
	}
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, 0, fmt.Errorf("peersd %s: %w: %s", args[0], err, wrong.String())
	}
	used := cmd.ProcessState
	return time.Since(began).Seconds(), (used.UserTime() + used.SystemTime()).Seconds(), nil
}
