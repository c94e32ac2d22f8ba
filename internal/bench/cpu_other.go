//go:build !linux

package main

import (
	"errors"
	"time"
)

// cpu: there are HAProxys to measure on Linux only; elsewhere this package just has
// to compile.
func cpu(int) (time.Duration, error) {
	return 0, errors.New("the CPU time of another process can be read on Linux only")
}
