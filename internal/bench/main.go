// Command bench measures peersd and prints what it finds as Markdown:
//
//   - lessons: a HAProxy teaches a HAProxy, the same HAProxy teaches peersd, and
//     peersd teaches a HAProxy. What counts are the ratios of runs beside each
//     other: machines are shared and noisy;
//   - pace: what a lesson costs the users of the HAProxy that learns, at the pace
//     that is the default, and without;
//   - engine: how many updates a second one goroutine takes from the wire into a
//     table, and what becomes of that in a large table;
//   - collector: what Go's garbage collector costs a peersd that holds millions of
//     entries, under a steady stream of updates;
//   - ban: how soon HAProxys of all lines refuse whom `peersd set` bans;
//   - import: what `peersd import` and `peersd export` take;
//   - dump: what `show table` of millions of entries takes, and costs sessions.
//
// Each figure is the median of all rounds, with the lowest and the highest. A
// figure that misses its mark says so. What goes on meanwhile is told on the
// standard error.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	o, err := readOptions(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	if err := measure(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		os.Exit(1)
	}
}

// A bench is what all parts need.
type bench struct {
	*options
	peersd string // the binary
	out    io.Writer
}

// parts are what can be measured, in the order in which it is.
var parts = []struct {
	name string
	run  func(*bench, context.Context) error
}{
	{"lessons", (*bench).lessons},
	{"pace", (*bench).pace},
	{"engine", (*bench).engine},
	{"collector", (*bench).collector},
	{"ban", (*bench).ban},
	{"import", (*bench).importing},
	{"dump", (*bench).dump},
}

func measure(ctx context.Context, o *options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "peersd-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, peersd: filepath.Join(dir, "peersd"), out: out}
	if err := build(ctx, b.peersd); err != nil {
		return err
	}
	if err := b.head(); err != nil {
		return err
	}
	for _, p := range parts {
		if !o.has(p.name) {
			continue
		}
		err := p.run(b, ctx)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// build makes the peersd that is measured, without cgo, as it is shipped.
func build(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", path, "github.com/peersd/peersd/cmd/peersd")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("can't build peersd: %w\n%s", err, out)
	}
	return nil
}

// progress tells whoever waits what is being measured.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
