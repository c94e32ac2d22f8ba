package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
)

// head prints on what all the rest was measured. HAProxys are named only where
// they take part.
func (b *bench) head() error {
	var on []string
	if b.has("lessons") {
		for _, line := range b.lines {
			r, err := haproxytest.Find(line)
			if err != nil {
				return err
			}
			on = append(on, r.Version)
		}
		on = []string{"HAProxy " + strings.Join(on, ", ")}
	}
	on = append(on, "Go "+strings.TrimPrefix(runtime.Version(), "go"), cpuModel(),
		fmt.Sprintf("%d CPUs", runtime.NumCPU()), time.Now().Format(time.DateOnly))
	rounds := "Each figure is the median of %d rounds (lowest to highest)."
	if b.rounds == 1 {
		rounds = "Each figure is of %d round."
	}
	_, err := fmt.Fprintf(b.out, "%s. "+rounds+"\n", strings.Join(on, "; "), b.rounds)
	return err
}

// count is n as a person writes it.
func count(n int) string {
	const million = 1_000_000
	if n >= million && n%million == 0 {
		return fmt.Sprintf("%d million", n/million)
	}
	return strconv.Itoa(n)
}

// cpuModel is the name of the first CPU, or its architecture where Linux gives
// no name, as on ARM.
func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(info)) {
			name, value, _ := strings.Cut(line, ":")
			if strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}
