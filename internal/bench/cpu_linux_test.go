package main

import (
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// What threads that have ended had used is still there.
func TestCPU(t *testing.T) {
	before, err := cpu(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	var usage, usageBefore syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usageBefore); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		burnThread()
	}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	after, err := cpu(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	want := total(&usage) - total(&usageBefore)
	if got := after - before; got < 30*time.Millisecond || (got-want).Abs() > want/5 {
		t.Errorf("got %v, the kernel's other account says %v", got, want)
	}
}

// burnThread uses the CPU in a thread of its own, which ends.
func burnThread() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and not unlocked: the thread ends with the goroutine
		for began := time.Now(); time.Since(began) < 50*time.Millisecond; {
		}
	}()
	<-done
}

func total(u *syscall.Rusage) time.Duration { return time.Duration(u.Utime.Nano() + u.Stime.Nano()) }
