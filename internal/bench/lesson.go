package main

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// A lesson is what one has cost, in seconds.
type lesson struct {
	teacherCPU, learnerCPU, wall float64
}

// A learner is a process that is to be taught, and tells how many entries it has.
type learner struct {
	pid  int
	used func() (int, error)
}

const (
	// startTime is for how long a process is left alone after its start: what that
	// costs is no part of a lesson.
	startTime = 300 * time.Millisecond
	// restTime is for how long a learner is left alone after a lesson: what that
	// causes later, such as a garbage collection, is a part of it.
	restTime = 100 * time.Millisecond
	// askEvery is how often a learner is asked how far it is. An answer costs
	// HAProxy some 40 µs and peersd some 90 µs, which is little then.
	askEvery = 50 * time.Millisecond
)

// measureLesson lets a teacher, which was paused, teach a learner that waits for it.
func measureLesson(ctx context.Context, teacher int, l learner, entries int) (r lesson, err error) {
	time.Sleep(startTime)
	before, err := takeAccount(teacher, l.pid)
	if err != nil {
		return r, err
	}
	if err := resume(teacher); err != nil {
		return r, err
	}
	wall, err := awaitEntries(ctx, l, entries)
	if err != nil {
		return r, err
	}
	// 50 ms after it has taught a HAProxy, peersd asks it for its tables in turn,
	// which is another lesson.
	taught, err := takeAccount(teacher, l.pid)
	if err != nil {
		return r, err
	}
	time.Sleep(restTime)
	after, err := takeAccount(teacher, l.pid)
	if err != nil {
		return r, err
	}
	return lesson{taught.since(before, 0), after.since(before, 1), wall.Seconds()}, nil
}

func pause(pid int) error  { return syscall.Kill(pid, syscall.SIGSTOP) }
func resume(pid int) error { return syscall.Kill(pid, syscall.SIGCONT) }

// progressAt is how many entries there were at an instant after the beginning.
type progressAt struct {
	at time.Duration
	n  int
}

// awaitEntries returns how long it takes from now on till the learner has all
// entries.
func awaitEntries(ctx context.Context, l learner, all int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, patience(all))
	defer cancel()
	began := time.Now()
	var last, before progressAt
	for {
		n, err := l.used()
		if err != nil {
			return 0, err
		}
		now := progressAt{time.Since(began), n}
		if n >= all {
			return endOf(before, last, now), nil
		}
		before, last = last, now
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%d of %d entries after %v: %w", n, all, now.at.Round(time.Second), ctx.Err())
		case <-time.After(askEvery):
		}
	}
}

// endOf is when a lesson was over that had ended at now, and not yet at last: the
// rest came as fast as what had come between before and last.
func endOf(before, last, now progressAt) time.Duration {
	came, missing := last.n-before.n, now.n-last.n
	if came <= 0 {
		return now.at
	}
	each := float64(last.at-before.at) / float64(came)
	return min(now.at, last.at+time.Duration(float64(missing)*each))
}
