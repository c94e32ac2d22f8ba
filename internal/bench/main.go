// Command bench measures peersd beside real HAProxys: the same entries are
// taught by a HAProxy to a HAProxy, by that HAProxy to peersd, and by peersd to
// a HAProxy, in turn, several times. What counts are the ratios of runs that
// follow each other: machines are shared and noisy.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/peersd/peersd/internal/haproxytest"
)

func main() {
	var (
		lines   = flag.String("lines", strings.Join(haproxytest.Lines, ","), "release lines of HAProxy")
		entries = flag.Int("entries", 1_000_000, "entries in the table")
		rounds  = flag.Int("rounds", 5, "how often each is run")
		keys    = flag.String("keys", "ip,string", "types of keys: ip, string")
	)
	flag.Parse()
	if err := bench(strings.Split(*lines, ","), strings.Split(*keys, ","), *entries, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		os.Exit(1)
	}
}

func bench(lines, keys []string, entries, rounds int) error {
	dir, err := os.MkdirTemp("", "peersd-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "peersd")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/peersd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("can't build peersd: %w\n%s", err, out)
	}
	fmt.Printf("%d random keys, store gpc0,http_req_rate(10s),conn_cnt; HAProxy with one thread; medians of %d runs, (lowest to highest).\n", entries, rounds)
	fmt.Println("Each ratio is peersd's figure over HAProxy's in the run beside it.")
	for _, key := range keys {
		fmt.Printf("\n### Keys of type %s\n\n", key)
		printHead()
		for _, line := range lines {
			r, err := haproxytest.Find(line)
			if err != nil {
				return err
			}
			w := &world{release: r, peersd: binary, key: key, entries: entries}
			all, err := w.run(rounds)
			if err != nil {
				return fmt.Errorf("HAProxy %s: %w", r.Version, err)
			}
			printRow(r, all)
		}
	}
	return nil
}

// A round is what one turn of all runs has measured.
type round struct {
	haproxy, learn, teach run
	haproxyBytes          float64 // resident, an entry
	peersdBytes           float64
}

func printHead() {
	fmt.Println("| HAProxy | learns: CPU s, wall s | peersd learns: CPU s, wall s | CPU ratio | wall ratio | HAProxy teaches: CPU s | peersd teaches: CPU s, wall s | CPU ratio | wall ratio | bytes an entry | peersd's | ratio |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|---|")
}

func printRow(r haproxytest.Release, all []round) {
	of := func(f func(round) float64) string {
		var v []float64
		for _, x := range all {
			v = append(v, f(x))
		}
		slices.Sort(v)
		return fmt.Sprintf("%s (%s to %s)", short(v[len(v)/2]), short(v[0]), short(v[len(v)-1]))
	}
	median := func(f func(round) float64) string { s, _, _ := strings.Cut(of(f), " "); return s }
	cells := []string{
		r.Version,
		median(func(x round) float64 { return x.haproxy.learnerCPU }) + ", " + median(func(x round) float64 { return x.haproxy.wall }),
		median(func(x round) float64 { return x.learn.learnerCPU }) + ", " + median(func(x round) float64 { return x.learn.wall }),
		of(func(x round) float64 { return x.learn.learnerCPU / x.haproxy.learnerCPU }),
		of(func(x round) float64 { return x.learn.wall / x.haproxy.wall }),
		median(func(x round) float64 { return x.haproxy.teacherCPU }),
		median(func(x round) float64 { return x.teach.teacherCPU }) + ", " + median(func(x round) float64 { return x.teach.wall }),
		of(func(x round) float64 { return x.teach.teacherCPU / x.haproxy.teacherCPU }),
		of(func(x round) float64 { return x.teach.wall / x.haproxy.wall }),
		median(func(x round) float64 { return x.haproxyBytes }),
		median(func(x round) float64 { return x.peersdBytes }),
		of(func(x round) float64 { return x.peersdBytes / x.haproxyBytes }),
	}
	fmt.Println("| " + strings.Join(cells, " | ") + " |")
}

func short(v float64) string {
	if v >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

var errTimeout = errors.New("not over after two minutes")
