package admin

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/peersd/peersd/internal/testkit"
)

// activity is what `show activity` says of this process, by name.
func (r *running) activity() map[string]int {
	r.t.Helper()
	all := map[string]int{}
	for line := range strings.Lines(strings.TrimSuffix(r.ask("show activity\n"), "\n")) {
		name, number, _ := strings.Cut(line, ": ")
		var n int
		if _, err := fmt.Sscanf(number, "%d\n", &n); err != nil {
			r.t.Fatalf("%q: %v", line, err)
		}
		all[name] = n
	}
	return all
}

func TestShowActivity(t *testing.T) {
	if _, err := os.Stat("/proc/self/statm"); err != nil {
		testkit.Skip(t, "only Linux tells all of it: ", err)
	}
	r := start(t)
	const want = `^goroutines: \d+\nheap: \d{6,}\nresident: \d{7,}\nopen_files: \d+\nwatches: 0\nuptime: \d\n\n$`
	if got := r.ask("show activity\n"); !regexp.MustCompile(want).MatchString(got) {
		t.Errorf("got:\n%s", got)
	}
	if got, want := r.ask("show activity all\n"), "Nothing more is understood here: show activity\n\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What the process takes more of is seen, by as much as it is.
func TestActivityFollows(t *testing.T) {
	if _, err := os.Stat("/proc/self/statm"); err != nil {
		testkit.Skip(t, "only Linux tells all of it: ", err)
	}
	r := start(t)
	before := r.activity()
	const more, size = 20, 32 << 20
	end := make(chan struct{})
	defer close(end)
	for range more {
		go func() { <-end }()
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
	block := make([]byte, size)
	for i := 0; i < size; i += os.Getpagesize() {
		block[i] = 1
	}
	after := r.activity()
	runtime.KeepAlive(block)
	// A connection of ours may be on its way out, with its goroutine.
	for name, want := range map[string]int{"goroutines": more, "open_files": more, "heap": size, "resident": size} {
		if got := after[name] - before[name]; got < want*3/4 {
			t.Errorf("%s grew by %d, not by %d", name, got, want)
		}
	}
}
