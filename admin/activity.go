package admin

import (
	"bytes"
	"fmt"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

// showActivity writes what the process takes of its machine, a line each: numbers
// without units, memory in bytes, the uptime in seconds. HAProxy's command of that
// name has other lines of the same form. What a machine does not tell is left out.
func (c *cli) showActivity(args []string) error {
	if len(args) > 0 {
		return refusal("Nothing more is understood here: show activity\n")
	}
	goroutines, heap := runtimeMetrics()
	var b strings.Builder
	fmt.Fprintf(&b, "goroutines: %d\nheap: %d\n", goroutines, heap)
	if resident, ok := residentMemory(); ok {
		fmt.Fprintf(&b, "resident: %d\n", resident)
	}
	if files, ok := openFiles(); ok {
		fmt.Fprintf(&b, "open_files: %d\n", files)
	}
	fmt.Fprintf(&b, "watches: %d\n", c.watches.Load())
	fmt.Fprintf(&b, "uptime: %d\n", int(time.Since(c.Started).Seconds()))
	_, err := c.out.WriteString(b.String())
	return err
}

// runtimeMetrics are read without stopping the world.
func runtimeMetrics() (goroutines, heap uint64) {
	samples := []metrics.Sample{
		{Name: "/sched/goroutines:goroutines"},
		{Name: "/memory/classes/heap/objects:bytes"},
	}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}

// residentMemory is the second number of statm, in pages.
func residentMemory() (n int, ok bool) {
	text, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(text)
	if err != nil || len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.Atoi(string(fields[1]))
	return pages * os.Getpagesize(), err == nil
}

// openFiles leaves out the folder that is open while it is read.
func openFiles() (n int, ok bool) {
	files, err := os.ReadDir("/proc/self/fd")
	return len(files) - 1, err == nil
}
