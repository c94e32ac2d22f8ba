package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/peersd/peersd/internal/haproxytest"
)

// diagnose is what `peersd doctor` says, faults without notes, and its exit code.
func (d *daemon) diagnose(args ...string) (faults string, code int, err error) {
	out, err := exec.Command(peersd, append([]string{"doctor", "--socket", d.socket}, args...)...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code, err = exit.ExitCode(), nil
	}
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "note ") {
			faults += line
		}
	}
	return faults, code, err
}

// What is wrong is told, each thing by its code and with the names of it; and nothing
// where all is as it should be.
func TestDoctor(t *testing.T) {
	const (
		t1      = "table t1 type ip size 1k expire 1h store gpc0,http_req_rate(10s)"
		healthy = "nothing is wrong\n"
	)
	type world struct {
		d    *daemon
		host string
		r    haproxytest.Release
		args []string // of doctor
	}
	// start starts a HAProxy, which doctor looks at too.
	start := func(t *testing.T, w *world, name, config string) hap {
		p := hap{w.r.Start(t, name, config)}
		w.args = append(w.args, "--haproxy", name+"="+p.Socket())
		return p
	}
	for name, c := range map[string]struct {
		do   func(t *testing.T, w *world)
		want []string // in the order in which they are told
	}{
		"nothing": {do: func(t *testing.T, w *world) {
			lb1, lb2 := start(t, w, "lb1", peersSection(w.host, 2, t1)), start(t, w, "lb2", peersSection(w.host, 2, t1))
			w.d = startDaemon(t, w.host, 2)
			eventually(t, 10*time.Second, "peersd has both lessons", func() error {
				return errors.Join(w.d.established("lb1"), w.d.established("lb2"))
			})
			for i := range 100 {
				lb1.MustCommand(t, fmt.Sprintf("set table mypeers/t1 key 10.0.1.%d data.gpc0 %d data.http_req_rate 5", i, i))
				lb2.MustCommand(t, fmt.Sprintf("set table mypeers/t1 key 10.0.2.%d data.gpc0 %d", i, i))
				w.d.must(fmt.Sprintf("set table mypeers/t1 key 10.0.3.%d data.gpc0 %d", i, i))
			}
			w.d.must("clear table mypeers/t1 key 10.0.3.7") // HAProxy keeps it, with zeros
		}},
		"a wrong name": {
			do: func(t *testing.T, w *world) {
				start(t, w, "lb1", strings.Replace(peersSection(w.host, 1, t1), "peer peersd", "peer mirror", 1))
				w.d = startDaemon(t, w.host, 1)
			},
			want: []string{
				`fault hello-refused: lb1 calls us "mirror", but our name is "peersd"`,
				`fault dial-refused: lb1, at HOST:10010, refuses us: it says 504`,
			},
		},
		"key types that differ": {
			do: func(t *testing.T, w *world) {
				start(t, w, "lb1", peersSection(w.host, 2, t1))
				start(t, w, "lb2", peersSection(w.host, 2, strings.Replace(t1, "type ip", "type string len 32", 1)))
				w.d = startDaemon(t, w.host, 2)
			},
			want: []string{`fault definition-conflict: mypeers/t1 is "ip" on lb1, and "string len 32" on lb2: HAProxy drops`},
		},
		"periods that differ": {
			do: func(t *testing.T, w *world) {
				start(t, w, "lb1", peersSection(w.host, 2, t1))
				start(t, w, "lb2", peersSection(w.host, 2, strings.Replace(t1, "rate(10s)", "rate(1m)", 1)))
				w.d = startDaemon(t, w.host, 2)
			},
			want: []string{"fault periods-differ: http_req_rate of mypeers/t1 is counted over 10s on lb1, and 1m0s on lb2: HAProxy takes over"},
		},
		"a peer that was never seen": {
			do: func(t *testing.T, w *world) {
				start(t, w, "lb1", peersSection(w.host, 2, t1))
				w.d = startDaemon(t, w.host, 2)
			},
			want: []string{"fault never-seen: there was no session with lb2 yet, which is dialled at HOST:10011: "},
		},
		"a table without expire": {
			do: func(t *testing.T, w *world) {
				start(t, w, "lb1", peersSection(w.host, 1, "table t1 type ip size 1k store gpc0"))
				w.d = startDaemon(t, w.host, 1)
			},
			want: []string{"fault no-expire: mypeers/t1 has no expire on lb1: "},
		},
		// peersd does not relay: HAProxys that don't know each other don't know of
		// each other's changes.
		"HAProxys that disagree": {
			do: func(t *testing.T, w *world) {
				alone := func(name string, port int) hap {
					return start(t, w, name, fmt.Sprintf("peers mypeers\n    peer %s %s:%d\n    peer peersd %s:%d\n    %s\n", name, w.host, port, w.host, portPeersd, t1))
				}
				lb1, lb2 := alone("lb1", portLB), alone("lb2", portLB+1)
				w.d = startDaemon(t, w.host, 2)
				eventually(t, 10*time.Second, "peersd has both lessons", func() error {
					return errors.Join(w.d.established("lb1"), w.d.established("lb2"))
				})
				w.d.must("set table mypeers/t1 key 10.0.0.3 data.gpc0 3")
				eventually(t, 5*time.Second, "lb1 and lb2 have what was set", func() error {
					return errors.Join(same("mypeers/t1", lb1, w.d), same("mypeers/t1", lb2, w.d))
				})
				lb1.MustCommand(t, "set table mypeers/t1 key 10.0.0.1 data.gpc0 1")
				lb1.MustCommand(t, "set table mypeers/t1 key 10.0.0.3 data.gpc0 5")
				eventually(t, 5*time.Second, "peersd has it", func() error { return same("mypeers/t1", lb1, w.d) })
			},
			want: []string{"fault haproxy-disagrees: lb2 and peersd disagree about 2 of 2 entries of mypeers/t1: 10.0.0.1 is missing on lb2, 10.0.0.3 has gpc0=3 on lb2 and 5 on peersd; "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			haproxytest.Each(t, func(t *testing.T, r haproxytest.Release) {
				w := &world{host: haproxytest.Host(t), r: r}
				c.do(t, w)
				// Findings come as peers do, and what is to go goes.
				eventually(t, 20*time.Second, "what is wrong is told, and nothing else", func() error {
					got, code, err := w.d.diagnose(w.args...)
					if err != nil {
						return err
					}
					if len(c.want) == 0 && (got != healthy || code != 0) {
						return fmt.Errorf("code %d: %s", code, got)
					}
					lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
					for i, want := range c.want {
						if want = strings.ReplaceAll(want, "HOST", w.host); len(lines) != len(c.want) || !strings.HasPrefix(lines[i], want) || code != 1 {
							return fmt.Errorf("code %d: %s", code, got)
						}
					}
					return nil
				})
				if len(c.want) > 0 {
					return
				}
				// What takes time to be told is nothing either: acks that don't come.
				time.Sleep(12 * time.Second)
				if got, code, err := w.d.diagnose(w.args...); got != healthy || code != 0 || err != nil {
					t.Errorf("later: code %d, %v: %s", code, err, got)
				}
			})
		})
	}
}
