package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
)

// values reports how the values of a key differ from those that are wanted, written as
// `show table` writes them; "" is that there is no such entry.
func values(s shower, name, key, want string) error {
	t, err := s.table(name)
	if err != nil {
		return err
	}
	got := ""
	if e, ok := t.ByKey()[key]; ok {
		var all []string
		for _, f := range e.Data {
			all = append(all, f.Name+"="+f.Value)
		}
		got = strings.Join(all, " ")
	}
	if got != want {
		return fmt.Errorf("table %s: %s has %q, want %q", name, key, got, want)
	}
	return nil
}

// cleared reports whether a HAProxy has gpt0 and gpc0 of a key at zero, or has dropped it:
// 3.4 may do so when the lifetime of the last update, a second, is over.
func cleared(lb hap, key string) error {
	if values(lb, "mypeers/t1", key, "") == nil {
		return nil
	}
	return values(lb, "mypeers/t1", key, "gpt0=0 gpc0=0")
}

// must sends a command that changes something, which is answered with nothing.
func (d *daemon) must(command string) {
	d.t.Helper()
	if answer := d.ask(command + "\n"); answer != "\n" {
		d.t.Fatalf("%s: %s", command, answer)
	}
}

// What is set on peersd is set on every HAProxy, and what is cleared there reads
// zero: HAProxy can't be told to delete an entry. A change that a HAProxy makes
// after that is a new entry.
func TestSetAndClearReachHAProxys(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		tables := []string{
			"table t1 type ip size 1k expire 1h store gpt0,http_req_cnt,http_req_rate(1h)",
			"table forever type ip size 1k store gpt0,http_req_cnt,http_req_rate(1h)",
		}
		lb1 := hap{r.Start(t, "lb1", peersSection(host, 2, tables...))}
		lb2 := hap{r.Start(t, "lb2", peersSection(host, 2, tables...))}
		d := startDaemon(t, host, 2)
		eventually(t, 10*time.Second, "peersd has both lessons", func() error {
			if err := d.established("lb2"); err != nil {
				return err
			}
			return d.established("lb1")
		})
		for _, name := range []string{"mypeers/t1", "mypeers/forever"} {
			everywhere := func(what, want string) {
				t.Helper()
				for _, s := range []shower{lb1, lb2} {
					eventually(t, 5*time.Second, what, func() error { return values(s, name, "10.0.0.1", want) })
				}
			}
			lb1.MustCommand(t, "set table "+name+" key 10.0.0.1 data.http_req_cnt 5 data.http_req_rate 6")
			eventually(t, 5*time.Second, "peersd has it", func() error { return values(d, name, "10.0.0.1", "gpt0=0 http_req_cnt=5 http_req_rate(3600000)=6") })
			everywhere("both have it", "gpt0=0 http_req_cnt=5 http_req_rate(3600000)=6")

			d.must("set table " + name + " key 10.0.0.1 data.gpt0 1")
			everywhere("the tag is set, and nothing else", "gpt0=1 http_req_cnt=5 http_req_rate(3600000)=6")

			d.must("clear table " + name + " key 10.0.0.1")
			everywhere("all is zero", "gpt0=0 http_req_cnt=0 http_req_rate(3600000)=0")
			if err := values(d, name, "10.0.0.1", ""); err != nil {
				t.Error(err)
			}

			lb2.MustCommand(t, "set table "+name+" key 10.0.0.1 data.http_req_cnt 1")
			eventually(t, 5*time.Second, "it is a new one", func() error { return values(d, name, "10.0.0.1", "gpt0=0 http_req_cnt=1 http_req_rate(3600000)=0") })

			d.must("set table " + name + " key 10.0.0.1 data.gpt0 1 expire 300ms")
			everywhere("the tag is set for a while", "gpt0=1 http_req_cnt=1 http_req_rate(3600000)=0")
			everywhere("it lifts by itself", "gpt0=0 http_req_cnt=0 http_req_rate(3600000)=0")
			if err := values(d, name, "10.0.0.1", ""); err != nil {
				t.Error(err)
			}
		}
	})
}

// What is set stays, and what is lifted stays lifted, while the HAProxys push changes
// of the very same entry all the time, as they do in an attack.
func TestSetUnderTraffic(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		host := haproxytest.Host(t)
		const table = "table t1 type ip size 1k expire 1h store gpt0,http_req_cnt"
		// They don't know each other: what each of them has of the other's changes would
		// be another thing that has to settle.
		var lbs []hap
		for i := range 2 {
			name := fmt.Sprint("lb", i+1)
			lbs = append(lbs, hap{r.Start(t, name, fmt.Sprintf("peers mypeers\n    peer %s %s:%d\n    peer peersd %s:%d\n    %s\n",
				name, host, portLB+i, host, portPeersd, table))})
		}
		d := startDaemon(t, host, 2)
		eventually(t, 10*time.Second, "peersd has both lessons", func() error {
			if err := d.established("lb2"); err != nil {
				return err
			}
			return d.established("lb1")
		})
		stop := traffic(t, lbs)
		defer stop()
		eventually(t, 5*time.Second, "peersd has the table", func() error {
			_, err := d.table("mypeers/t1")
			return err
		})
		for n := range 10 {
			for _, order := range []string{"set table mypeers/t1 key 10.0.0.1 data.gpt0 1", "clear table mypeers/t1 key 10.0.0.1"} {
				d.must(order)
				want := map[bool]string{true: "1", false: "0"}[strings.HasPrefix(order, "set")]
				for _, lb := range lbs {
					eventually(t, 5*time.Second, fmt.Sprintf("%s has it, round %d", order, n), func() error { return tagOf(lb, "10.0.0.1", want) })
				}
			}
		}
		d.must("set table mypeers/t1 key 10.0.0.1 data.gpt0 1 expire 500ms")
		for _, lb := range lbs {
			eventually(t, 5*time.Second, "the tag is set for a while", func() error { return tagOf(lb, "10.0.0.1", "1") })
		}
		for _, lb := range lbs {
			eventually(t, 5*time.Second, "it lifts by itself", func() error { return tagOf(lb, "10.0.0.1", "0") })
		}
		stop()
		time.Sleep(300 * time.Millisecond) // nothing that was on its way brings it back
		for _, s := range []shower{lbs[0], lbs[1]} {
			if err := tagOf(s, "10.0.0.1", "0"); err != nil {
				t.Error(err)
			}
		}
	})
}

// tagOf reports whether gpt0 of an entry is as wanted.
func tagOf(s shower, key, want string) error {
	t, err := s.table("mypeers/t1")
	if err != nil {
		return err
	}
	got, there := t.ByKey()[key].Get("gpt0")
	if !there && want == "0" {
		return nil // HAProxy 3.4 may drop what was cleared
	}
	if got != want {
		return fmt.Errorf("gpt0 of %s is %q, want %s", key, got, want)
	}
	return nil
}

// traffic changes an entry on all HAProxys as fast as they can, until stop is called.
func traffic(t *testing.T, lbs []hap) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, lb := range lbs {
		wg.Go(func() {
			for n := 1; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				if _, err := lb.Command(fmt.Sprint("set table mypeers/t1 key 10.0.0.1 data.http_req_cnt ", n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var once sync.Once
	return func() {
		once.Do(func() { close(done) })
		wg.Wait()
	}
}

// A HAProxy that is away while something is set, or cleared, hears of it when it comes
// back; its own copy, which it teaches then, takes nothing back.
func TestSetAndClearWhileAway(t *testing.T) {
	haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
		host, hostPeersd := haproxytest.Host(t), haproxytest.Host(t)
		w := newWire(t, host, 1, hostPeersd)
		w.open()
		lb1 := hap{r.Start(t, "lb1", peersSection(host, 1, "table t1 type ip size 1k expire 1h store gpt0,gpc0"))}
		lb1.MustCommand(t, "set table mypeers/t1 key 10.0.0.1 data.gpt0 1 data.gpc0 5")
		lb1.MustCommand(t, "set table mypeers/t1 key 10.0.0.2 data.gpc0 6")
		lb1.MustCommand(t, "set table mypeers/t1 key 10.0.0.3 data.gpt0 1 data.gpc0 7")
		d := startDaemon(t, hostPeersd, 1)
		eventually(t, 10*time.Second, "peersd has what lb1 has", func() error {
			if err := d.established("lb1"); err != nil {
				return err
			}
			return same("mypeers/t1", lb1, d)
		})
		w.shut()
		eventually(t, 10*time.Second, "lb1 is away", func() error {
			if !strings.Contains(d.ask("show peers\n"), "id=lb1(remote,inactive)") {
				return fmt.Errorf("it is not")
			}
			return nil
		})
		d.must("clear table mypeers/t1 key 10.0.0.1")
		d.must("set table mypeers/t1 key 10.0.0.2 data.gpt0 1")
		d.must("clear table mypeers/t1 key 10.0.0.3")
		lb1.MustCommand(t, "set table mypeers/t1 key 10.0.0.2 data.gpc0 8") // did not know
		w.open()
		eventually(t, 20*time.Second, "lb1 is back", func() error {
			if err := cleared(lb1, "10.0.0.1"); err != nil {
				return err
			}
			if err := tagOf(lb1, "10.0.0.2", "1"); err != nil {
				return err
			}
			return d.established("lb1")
		})
		lb1.MustCommand(t, "set table mypeers/t1 key 10.0.0.3 data.gpc0 9")
		eventually(t, 5*time.Second, "peersd has what is new", func() error { return values(d, "mypeers/t1", "10.0.0.3", "gpt0=0 gpc0=9") })
		if err := values(d, "mypeers/t1", "10.0.0.1", ""); err != nil {
			t.Error(err)
		}
		if err := tagOf(d, "10.0.0.2", "1"); err != nil {
			t.Error(err)
		}
	})
}
