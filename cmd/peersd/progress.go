package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// A progress is a bar on a terminal that shows how much of something is done, and
// nothing elsewhere.
type progress struct {
	out   io.Writer
	total int
	began time.Time
	next  time.Time
	shown bool
}

const barWidth = 40

func (a *app) newProgress(total int) *progress {
	p := &progress{total: total, began: time.Now()}
	if isTerminal(a.stderr) {
		p.out = a.stderr
	}
	return p
}

// show paints it anew, ten times a second.
func (p *progress) show(done int) {
	if p.out == nil || done%128 != 0 {
		return
	}
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	p.next, p.shown = now.Add(100*time.Millisecond), true
	full := barWidth * done / p.total
	left := time.Duration(float64(now.Sub(p.began)) / float64(done) * float64(p.total-done))
	fmt.Fprintf(p.out, "\r[%s%s] %3d%%  %d of %d  %v left \x1b[K",
		strings.Repeat("#", full), strings.Repeat(" ", barWidth-full), 100*done/p.total, done, p.total, left.Round(100*time.Millisecond))
}

// clear takes it away.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.shown = false
	}
}
