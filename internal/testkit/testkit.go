// Package testkit is what tests of several packages share.
package testkit

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// Skip skips a test for want of something, except where CI=true: there it
// fails, so that no green run hides what was not tested.
func Skip(tb testing.TB, why ...any) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatal(append(why, " (CI=true allows no skips)")...)
	}
	tb.Skip(why...)
}

// Output is what a process or a logger writes: it can be read meanwhile. Its
// zero value is empty.
type Output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// String is all that was written so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// FirstDifference tells in which line two texts differ first.
func FirstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d is\n%s\nnot\n%s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, not %d", len(g), len(w))
}
