package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// An account is what processes have used up to an instant.
type account struct {
	at  time.Time
	cpu []time.Duration // one a process
}

func takeAccount(pids ...int) (account, error) {
	a := account{at: time.Now()}
	for _, pid := range pids {
		used, err := cpu(pid)
		if err != nil {
			return a, err
		}
		a.cpu = append(a.cpu, used)
	}
	return a, nil
}

// since is how many seconds of CPU process i has used after before.
func (a account) since(before account, i int) float64 { return (a.cpu[i] - before.cpu[i]).Seconds() }

// resident is the resident memory of a process, in bytes.
func resident(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			return kb * 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS, has it ended?", pid)
}
