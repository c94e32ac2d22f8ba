package haproxytest

import "testing"

// Start starts a HAProxy for a test, with which it ends; so do those that come of its Reload and Restart. What they
// wrote is shown if the test fails.
func (r Release) Start(tb testing.TB, name, config string) *Process {
	tb.Helper()
	return r.StartWith(tb, Options{Name: name, Config: config})
}

// StartWith is Start with more to say.
func (r Release) StartWith(tb testing.TB, o Options) *Process {
	tb.Helper()
	o.onStart = func(p *Process) {
		tb.Cleanup(func() {
			p.Kill()
			if tb.Failed() {
				tb.Logf("HAProxy %s %q, process %d, wrote:\n%s", r.Version, o.Name, p.PID(), p.Output())
			}
		})
	}
	p, err := Start(r, o)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// MustCommand is Command for a test.
func (p *Process) MustCommand(tb testing.TB, cmd string) string {
	tb.Helper()
	answer, err := p.Command(cmd)
	if err != nil {
		tb.Fatalf("%s: %v", cmd, err)
	}
	return answer
}

// MustTable is Table for a test.
func (p *Process) MustTable(tb testing.TB, name string) Table {
	tb.Helper()
	t, err := p.Table(name)
	if err != nil {
		tb.Fatalf("show table %s: %v", name, err)
	}
	return t
}
